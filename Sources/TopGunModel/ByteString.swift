/// A key, map name, tag or node id: UTF-8 text that is compared, ordered and hashed by its bytes.
///
/// `String` compares by canonical equivalence, which would merge keys that the protocol keeps apart (`é` as one scalar
/// and as two), and it orders differently. Everything that names something in TopGun is a `ByteString` instead.
package struct ByteString: Hashable, Sendable {
    package var bytes: [UInt8]

    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    package init(_ string: String) {
        self.bytes = Array(string.utf8)
    }

    package init(copying bytes: UnsafeRawBufferPointer) {
        self.bytes = Array(bytes)
    }

    /// All bytes at once: what the compiler would write hashes an array element by element.
    package func hash(into hasher: inout Hasher) {
        bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        hasher.combine(bytes.count)
    }

    package var count: Int { bytes.count }
    package var isEmpty: Bool { bytes.isEmpty }

    /// The text, with invalid UTF-8 replaced; for people, never for comparison.
    package var string: String { String(decoding: bytes, as: UTF8.self) }
}

extension ByteString: Comparable {
    /// Bytes ascending, a prefix before what it is a prefix of.
    package static func < (left: ByteString, right: ByteString) -> Bool {
        left.bytes.withUnsafeBytes { left in
            right.bytes.withUnsafeBytes { VersionOrder.compare(bytes: left, to: $0) == .older }
        }
    }
}

extension ByteString: ExpressibleByStringLiteral {
    package init(stringLiteral value: String) {
        self.init(value)
    }
}

extension ByteString: CustomStringConvertible {
    package var description: String { string }
}
