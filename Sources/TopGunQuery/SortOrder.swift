package import TopGunModel

/// The order of a query's rows, as bytes that compare like the rows (protocol.md 6.4).
///
/// ```
/// sort key = field, field, …, record key
///
/// field    0x10 boolean    one byte
///          0x20 number     nine bytes and more, by value whatever the encoding
///          0x30 text       bytes, 00 as 00 ff, ended by 00 00
///          0x40 anything else, all equal
///          0xff missing or nil
/// ```
///
/// A descending field has all its bytes inverted, except that missing and nil stay last. The record key comes last and
/// ascends always. Whoever merges the rows of several partitions compares sort keys and never looks at a value.
package struct SortOrder: Sendable {
    package struct Field: Sendable {
        package var path: FieldPath
        package var isDescending: Bool

        package init(_ path: FieldPath, isDescending: Bool = false) {
            self.path = path
            self.isDescending = isDescending
        }
    }

    package let fields: [Field]

    /// By key alone.
    package static let byKey = SortOrder([])

    package init(_ fields: [Field]) {
        self.fields = fields
    }

    /// The sort key of a record.
    package func sortKey(of record: RecordView) -> ByteString {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(fields.count * 12 + record.key.count)
        for field in fields {
            let start = bytes.count
            Self.append(field.path.value(in: record) ?? .null, to: &bytes)
            if field.isDescending, bytes[start] != Class.missing {
                for index in start..<bytes.count { bytes[index] = ~bytes[index] }
            }
        }
        bytes.append(contentsOf: record.key)
        return ByteString(bytes)
    }

    // MARK: Bytes

    private enum Class {
        static let boolean: UInt8 = 0x10
        static let number: UInt8 = 0x20
        static let text: UInt8 = 0x30
        static let other: UInt8 = 0x40
        static let missing: UInt8 = 0xff
    }

    private static func append(_ value: PayloadValue, to bytes: inout [UInt8]) {
        switch value {
        case .null: bytes.append(Class.missing)
        case .bool(let bool):
            bytes.append(Class.boolean)
            bytes.append(bool ? 1 : 0)
        case .number(let number) where !number.isNaN:
            bytes.append(Class.number)
            append(number, to: &bytes)
        case .string(let text):
            bytes.append(Class.text)
            for byte in text {
                bytes.append(byte)
                if byte == 0 { bytes.append(0xff) }
            }
            bytes.append(0)
            bytes.append(0)
        case .number, .binary, .array, .map, .extended: bytes.append(Class.other)
        }
    }

    /// The nearest double, with its bits arranged so that they ascend, then by how much the number exceeds it.
    private static func append(_ number: PayloadNumber, to bytes: inout [UInt8]) {
        // Adding zero makes one of the two zeros.
        let double = number.double + 0
        let pattern = double.bitPattern
        let ascending = double.sign == .minus ? ~pattern : pattern | 1 << 63
        for byte in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: ascending >> UInt64(56 - 8 * byte))) }
        // An integer differs from its nearest double by at most 1,024.
        let excess = UInt16(truncatingIfNeeded: excess(of: number, over: double) + 0x8000)
        bytes.append(UInt8(truncatingIfNeeded: excess >> 8))
        bytes.append(UInt8(truncatingIfNeeded: excess))
    }

    private static func excess(of number: PayloadNumber, over double: Double) -> Int64 {
        switch number {
        case .double: 0
        case .integer(let integer):
            // Only 2^63 is beyond the range, and only just.
            Int64(whole: double).map { integer &- $0 } ?? integer &- .max &- 1
        case .unsigned(let integer):
            UInt64(whole: double).map { Int64(bitPattern: integer &- $0) } ?? -Int64(UInt64.max &- integer) - 1
        }
    }
}

// MARK: - Decoding

extension SortOrder {
    /// Reads `sort` in any of its forms: `[{field, direction}]`, `{field: direction}`, and the form that arises when an
    /// application hands the official client an array, `[{field: "0", direction: {field, direction}}]`.
    package init(decoding bytes: UnsafeRawBufferPointer) throws(QueryError) {
        var fields: [Field] = []
        switch PayloadValue(bytes) {
        case .null: break
        case .map(let elements):
            try Self.check(count: elements.count)
            var reader = PayloadReader(elements.bytes)
            for _ in 0..<elements.count {
                guard let name = reader.readString(), let direction = reader.read() else { throw Self.malformed }
                fields.append(
                    Field(FieldPath(ByteString(copying: name)), isDescending: try Self.isDescending(direction)))
            }
        case .array(let elements):
            try Self.check(count: elements.count)
            var reader = PayloadReader(elements.bytes)
            for _ in 0..<elements.count {
                guard case .map(let parts)? = reader.read() else { throw Self.malformed }
                fields.append(try Self.field(parts, mayNest: true))
            }
        default: throw Self.malformed
        }
        self.init(fields)
    }

    private static func field(_ parts: PayloadElements, mayNest: Bool) throws(QueryError) -> Field {
        var reader = PayloadReader(parts.bytes)
        var (name, isDescending): (ByteString?, Bool) = (nil, false)
        for _ in 0..<parts.count {
            let part = reader.readString()
            guard let value = reader.read() else { throw malformed }
            guard let part else { continue }
            if part.isText("field") {
                guard case .string(let text) = value else { throw malformed }
                name = ByteString(copying: text)
            } else if part.isText("direction") {
                if mayNest, case .map(let inner) = value { return try field(inner, mayNest: false) }
                isDescending = try Self.isDescending(value)
            }
        }
        guard let name else { throw malformed }
        return Field(FieldPath(name), isDescending: isDescending)
    }

    private static func isDescending(_ direction: PayloadValue) throws(QueryError) -> Bool {
        switch direction {
        case .string(let text) where text.isText("desc"): return true
        case .string(let text) where text.isText("asc"): return false
        case .null: return false
        default: throw malformed
        }
    }

    /// Whether a query may sort by so many fields.
    package static func check(count: Int) throws(QueryError) {
        guard count <= QueryLimits.sortFieldsMax else {
            throw QueryError(code: .tooLarge, message: "sort names too many fields")
        }
    }

    private static var malformed: QueryError { QueryError(code: .malformed, message: "sort is malformed") }
}
