/// A record's value: the MessagePack bytes that its author sent, kept as they are from socket to disk to subscriber.
///
/// A payload that is exactly the one byte `0xc0` (nil) marks a removal.
package struct Payload: Hashable, Sendable {
    package var bytes: [UInt8]

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    package init(copying bytes: UnsafeRawBufferPointer) {
        self.bytes = Array(bytes)
    }

    /// The value of a removed record.
    package static let tombstone = Payload([0xc0])

    package var isTombstone: Bool { bytes.count == 1 && bytes[0] == 0xc0 }

    /// Whether the bytes are exactly one MessagePack value, nested no deeper than servers take. Only then is a frame with
    /// them in it a frame: what is more or less than a value takes everything beside it along.
    package var isOneValue: Bool {
        bytes.withUnsafeBytes { bytes in
            var reader = MessagePackReader(bytes)
            do throws(MessagePackError) {
                try reader.skipValue()
            } catch {
                return false
            }
            return reader.isAtEnd
        }
    }
}
