/// The text that stands for one key of an OR-Map in the Merkle tree, exactly as the official client writes it.
///
/// ```
/// key:<key>|<tag>:<value text>:<millis>:<counter>:<node>[:ttl=<ttl>]|…     tags ascending by UTF-16 units
/// ```
///
/// See protocol.md 9.7; any deviation costs a client a full walk at every reconnect. Golden data: `merkle-ormap.json`.
package enum ORMapEntry {
    /// The item of a key in the tree: the ``KeyHash`` of its text.
    package static func item(key: ByteString, records: [ORMapRecord]) -> UInt32 {
        KeyHash.of(text(key: key, records: records))
    }

    package static func text(key: ByteString, records: [ORMapRecord]) -> ByteString {
        var text: [UInt8] = []
        text.append(ascii: "key:")
        text.append(contentsOf: key.bytes)
        for record in records.sorted(by: { UTF16Order.precedes($0.tag, $1.tag) }) {
            text.append(UInt8(ascii: "|"))
            text.append(contentsOf: record.tag.bytes)
            text.append(UInt8(ascii: ":"))
            record.value.bytes.withUnsafeBytes { ECMAScriptText.append(value: $0, to: &text) }
            text.append(UInt8(ascii: ":"))
            text.append(decimal: record.timestamp.millis)
            text.append(UInt8(ascii: ":"))
            text.append(decimal: Int64(record.timestamp.counter))
            text.append(UInt8(ascii: ":"))
            text.append(contentsOf: record.timestamp.node.bytes)
            if record.ttlMillis > 0 {
                text.append(ascii: ":ttl=")
                text.append(decimal: record.ttlMillis)
            }
        }
        return ByteString(text)
    }
}

/// The order of texts by UTF-16 code units, taken from their UTF-8 bytes.
///
/// It is the order of the bytes except that scalars beyond U+FFFF, whose surrogates start at 0xD800, come before
/// U+E000...U+FFFF. Only the first byte of a scalar tells them apart: 0xF0 and up, and 0xEE or 0xEF.
package enum UTF16Order {
    package static func precedes(_ left: ByteString, _ right: ByteString) -> Bool {
        left.bytes.withUnsafeBytes { leftBytes in
            right.bytes.withUnsafeBytes { precedes(leftBytes, $0) }
        }
    }

    package static func precedes(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<min(left.count, right.count) where left[index] != right[index] {
            return rank(left[index]) < rank(right[index])
        }
        return left.count < right.count
    }

    private static func rank(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0xee, 0xef: byte + 0x10
        case 0xf0...: byte - 2
        default: byte
        }
    }
}

extension [UInt8] {
    package mutating func append(ascii text: StaticString) {
        append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
