package import TopGunModel

/// The name of a field as a query gives it: the literal top-level name first, else a dotted path through nested maps.
///
/// `_key` means the record's key unless the value has such a field. A value that is no map has no fields, and arrays
/// have no paths (protocol.md 6.2).
package struct FieldPath: Sendable, Hashable {
    package let name: ByteString
    /// The parts between the dots, if there is a dot; none where they are more than a value is deep.
    private let parts: [ByteString]

    package static let keyName: ByteString = "_key"

    package init(_ name: ByteString) {
        self.name = name
        let dots = name.bytes.reduce(0) { $1 == UInt8(ascii: ".") ? $0 + 1 : $0 }
        guard dots > 0, dots < ModelLimits.valueDepthMax else {
            parts = []
            return
        }
        parts = name.bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
            .map { ByteString(Array($0)) }
    }

    /// The field's value in a record, `nil` if it has none.
    package func value(in record: RecordView) -> PayloadValue? {
        if let bytes = bytes(in: record) { return PayloadValue(bytes) }
        return name == Self.keyName ? .string(record.key) : nil
    }

    /// The bytes of the field in the record's value; `_key` is found only where the value has such a field.
    package func bytes(in record: RecordView) -> UnsafeRawBufferPointer? {
        if let bytes = Self.member(name, of: record.value) { return bytes }
        guard !parts.isEmpty else { return nil }
        var value: UnsafeRawBufferPointer? = record.value
        for part in parts {
            guard let map = value else { return nil }
            value = Self.member(part, of: map)
        }
        return value
    }

    /// The bytes under a name in a map; of a name that occurs twice the last. `nil` if the bytes are no map.
    private static func member(_ name: ByteString, of map: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        name.bytes.withUnsafeBytes { PayloadReader.member($0, of: map) }
    }
}

/// One record as a query sees it: its key and the bytes of its value, read in place.
package struct RecordView {
    package let key: UnsafeRawBufferPointer
    package let value: UnsafeRawBufferPointer

    package init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        self.key = key
        self.value = value
    }
}
