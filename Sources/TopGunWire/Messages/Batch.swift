package import TopGunModel

/// Several encoded messages in one: BATCH, whose content is framed differently in each direction (protocol.md 1.6).
///
/// ```
/// to the client   u32 little-endian count, then per message  u32 little-endian length, bytes
/// to the server                                 per message  u32 big-endian length,    bytes, to the end
/// ```
package enum BatchContent {
    /// The messages in a BATCH from a client, as views over `data`.
    package static func messages(
        fromClient data: UnsafeRawBufferPointer
    ) throws(WireError) -> [UnsafeRawBufferPointer] {
        var messages: [UnsafeRawBufferPointer] = []
        var offset = 0
        while offset < data.count {
            messages.append(try message(in: data, at: &offset, isBigEndian: true))
            guard messages.count <= WireLimits.batchMessagesMax else { throw WireError(.tooLarge, field: "data") }
        }
        return messages
    }

    /// The messages in a BATCH from a server, as views over `data`.
    package static func messages(
        fromServer data: UnsafeRawBufferPointer
    ) throws(WireError) -> [UnsafeRawBufferPointer] {
        guard data.count >= 4 else { throw WireError(.malformed, field: "data") }
        let count = UInt32(littleEndian: data.loadUnaligned(as: UInt32.self))
        guard count <= WireLimits.batchMessagesMax else { throw WireError(.tooLarge, field: "data") }
        var messages: [UnsafeRawBufferPointer] = []
        var offset = 4
        for _ in 0..<count { messages.append(try message(in: data, at: &offset, isBigEndian: false)) }
        guard offset == data.count else { throw WireError(.malformed, field: "data") }
        return messages
    }

    private static func message(
        in data: UnsafeRawBufferPointer, at offset: inout Int, isBigEndian: Bool
    ) throws(WireError) -> UnsafeRawBufferPointer {
        guard data.count - offset >= 4 else { throw WireError(.malformed, field: "data") }
        let word = data.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        let declared = isBigEndian ? UInt32(bigEndian: word) : UInt32(littleEndian: word)
        let length = Int(truncatingIfNeeded: declared)
        guard length >= 0, length <= data.count - offset - 4 else { throw WireError(.malformed, field: "data") }
        let start = offset + 4
        offset = start + length
        let message = UnsafeRawBufferPointer(rebasing: data[start..<offset])
        guard !isBatch(message) else { throw WireError(.malformed, field: "data") }
        return message
    }

    /// A BATCH inside a BATCH is not allowed; anything malformed is found out by who decodes it.
    private static func isBatch(_ message: UnsafeRawBufferPointer) -> Bool {
        do throws(WireError) {
            return try Fields(frame: message).optionalWord("type") { $0 == "BATCH" ? true : nil } ?? false
        } catch {
            return false
        }
    }

    /// Frames messages for a client.
    package static func append(forClient messages: [UnsafeRawBufferPointer], to sink: ByteSink) {
        sink.append(littleEndian: UInt32(truncatingIfNeeded: messages.count))
        for message in messages {
            sink.append(littleEndian: UInt32(truncatingIfNeeded: message.count))
            sink.append(message)
        }
    }

    /// Frames messages for a server.
    package static func append(forServer messages: [UnsafeRawBufferPointer], to sink: ByteSink) {
        for message in messages {
            sink.append(littleEndian: UInt32(truncatingIfNeeded: message.count).byteSwapped)
            sink.append(message)
        }
    }
}

/// BATCH as a message.
package struct Batch: Hashable, Sendable {
    /// Only a hint, never trusted.
    package var count: Int64?
    /// What ``BatchContent`` reads and writes.
    package var data: [UInt8]

    package init(count: Int64?, data: [UInt8]) {
        self.count = count
        self.data = data
    }

    init(_ fields: Fields) throws(WireError) {
        count = try fields.optionalInteger("count")
        guard let data = try fields.optionalBinary("data") else { throw WireError(.missingField, field: "data") }
        self.data = data
    }

    func write(into map: inout FieldWriter) {
        map.integer("count", count)
        map.binary("data", data)
    }
}
