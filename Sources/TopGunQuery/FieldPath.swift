package import TopGunModel

/// The name of a field as a query gives it: the literal top-level name first, else a dotted path through nested maps.
///
/// `_key` means the record's key unless the value has such a field. A value that is no map has no fields, and arrays
/// have no paths (protocol.md 6.2).
package struct FieldPath: Sendable, Hashable {
    package let name: ByteString
    /// The parts between the dots, if there is a dot.
    private let parts: [ByteString]

    package static let keyName: ByteString = "_key"

    package init(_ name: ByteString) {
        self.name = name
        let parts = name.bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        self.parts = parts.count > 1 ? parts.map { ByteString(Array($0)) } : []
    }

    /// The field's value in a record, `nil` if it has none.
    package func value(in record: RecordView) -> PayloadValue? {
        if case .map(let elements)? = record.value {
            if let value = Self.member(name, of: elements) { return value }
            if let value = nestedValue(in: elements) { return value }
        }
        return name == Self.keyName ? .string(record.key) : nil
    }

    private func nestedValue(in elements: PayloadElements) -> PayloadValue? {
        guard !parts.isEmpty else { return nil }
        var elements = elements
        for part in parts.dropLast() {
            guard case .map(let nested)? = Self.member(part, of: elements) else { return nil }
            elements = nested
        }
        return Self.member(parts[parts.count - 1], of: elements)
    }

    /// The value under a name in a map; of a name that occurs twice the last.
    package static func member(_ name: ByteString, of elements: PayloadElements) -> PayloadValue? {
        name.bytes.withUnsafeBytes { name in
            var reader = PayloadReader(elements.bytes)
            var found: UnsafeRawBufferPointer?
            for _ in 0..<elements.count {
                let key = reader.readString()
                guard let value = reader.skipValue() else { break }
                if let key, VersionOrder.equal(key, name) { found = value }
            }
            return found.flatMap { PayloadValue($0) }
        }
    }
}

/// One record as a query sees it: its key, and its value read in place.
package struct RecordView {
    package let key: UnsafeRawBufferPointer
    /// `nil` if the bytes hold no value.
    package let value: PayloadValue?

    package init(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
        self.key = key
        self.value = PayloadValue(value)
    }
}
