import Foundation
package import TopGunModel

/// Decodes the MessagePack bytes of a record's value into a `Codable` type: the way back of ``PayloadEncoder``.
///
/// Takes whatever other clients write: any width of integer or float, a float without a fraction where an integer is
/// asked for, integers where a float is asked for, bytes as `bin`, as an array of integers, or as the map of decimal
/// keys that the TypeScript client makes of them. Unknown fields are ignored; of a field that occurs twice the last one
/// counts. A number that does not fit the type asked for is an error, never cut.
package enum PayloadDecoder {
    /// - Throws: ``TopGunError`` with the code `invalidValue`, and the `DecodingError` as its cause.
    package static func decode<Value: Decodable>(
        _ type: Value.Type, from payload: Payload
    ) throws(TopGunError) -> Value {
        do {
            let source = DecodingSource(payload.bytes)
            return try source.decode(type, at: 0, CodingPlace(nil))
        } catch let error as TopGunError {
            throw error
        } catch {
            throw TopGunError(.invalidValue, "the value is no \(type)", cause: error)
        }
    }
}

/// The bytes being decoded, and how each type is read from a place in them.
final class DecodingSource {
    /// Held as an array, not as a pointer: a `Decodable` type may keep its decoder longer than it should.
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// Reads at a place; an error of the reader becomes one of `Codable`.
    func read<Result>(
        at offset: Int, _ place: CodingPlace,
        _ body: (inout MessagePackReader) throws(MessagePackError) -> Result
    ) throws -> Result {
        try bytes.withUnsafeBytes { bytes in
            var reader = MessagePackReader(bytes, offset: offset)
            do throws(MessagePackError) {
                return try body(&reader)
            } catch {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: place.path, debugDescription: "\(error)"))
            }
        }
    }

    func kind(at offset: Int, _ place: CodingPlace) throws -> MessagePackReader.Kind {
        try read(at: offset, place) { reader throws(MessagePackError) in try reader.peekKind() }
    }

    func mismatch<Type>(_ type: Type.Type, at offset: Int, _ place: CodingPlace) -> DecodingError {
        let context = DecodingError.Context(
            codingPath: place.path, debugDescription: "found another kind of value")
        if let kind = try? kind(at: offset, place), kind == .null {  // Only to name the error better.
            return .valueNotFound(type, context)
        }
        return .typeMismatch(type, context)
    }

    // MARK: Types

    func decode<Value: Decodable>(_ type: Value.Type, at offset: Int, _ place: CodingPlace) throws -> Value {
        // Types are compared before anything is cast: a comparison is one instruction, a cast a search.
        if Value.self == Data.self, let data = try Data(byteString(at: offset, place)) as? Value {
            return data
        }
        if Value.self == Date.self {
            let millis = try float(at: offset, place)
            if let date = Date(timeIntervalSince1970: millis / 1000) as? Value { return date }
        }
        if Value.self == URL.self {
            guard let url = URL(string: try text(at: offset, place)) as? Value else {
                throw DecodingError.dataCorrupted(
                    .init(codingPath: place.path, debugDescription: "the text is no URL"))
            }
            return url
        }
        return try Value(from: DecodingLevel(source: self, offset: offset, path: place.node))
    }

    func isNil(at offset: Int, _ place: CodingPlace) throws -> Bool {
        try kind(at: offset, place) == .null
    }

    func bool(at offset: Int, _ place: CodingPlace) throws -> Bool {
        guard try kind(at: offset, place) == .bool else { throw mismatch(Bool.self, at: offset, place) }
        return try read(at: offset, place) { reader throws(MessagePackError) in try reader.readBool() }
    }

    func text(at offset: Int, _ place: CodingPlace) throws -> String {
        guard try kind(at: offset, place) == .string else { throw mismatch(String.self, at: offset, place) }
        return try read(at: offset, place) { reader throws(MessagePackError) in
            String(decoding: try reader.readString(), as: UTF8.self)
        }
    }

    func float(at offset: Int, _ place: CodingPlace) throws -> Double {
        switch try kind(at: offset, place) {
        case .float:
            return try read(at: offset, place) { reader throws(MessagePackError) in try reader.readDouble() }
        case .integer:
            return Double(try wideInteger(at: offset, place))
        case .null, .bool, .string, .binary, .array, .map, .extension:
            throw mismatch(Double.self, at: offset, place)
        }
    }

    func integer<Number: FixedWidthInteger>(
        _ type: Number.Type, at offset: Int, _ place: CodingPlace
    ) throws -> Number {
        let wide = try wideInteger(at: offset, place)
        guard let number = Number(exactly: wide) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: place.path, debugDescription: "the number does not fit \(type)"))
        }
        return number
    }

    /// Any integer of MessagePack; `Int64` cannot hold those above 2^63.
    private func wideInteger(at offset: Int, _ place: CodingPlace) throws -> Int128 {
        switch try kind(at: offset, place) {
        case .integer:
            guard bytes[offset] == 0xcf, bytes.count - offset >= 9 else {
                return Int128(
                    try read(at: offset, place) { reader throws(MessagePackError) in try reader.readInteger() })
            }
            return Int128(bytes[offset + 1...offset + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        case .float:
            let float = try read(at: offset, place) { reader throws(MessagePackError) in try reader.readDouble() }
            guard let whole = Int128(exactly: float) else { throw mismatch(Int.self, at: offset, place) }
            return whole
        case .null, .bool, .string, .binary, .array, .map, .extension:
            throw mismatch(Int.self, at: offset, place)
        }
    }

    private func byteString(at offset: Int, _ place: CodingPlace) throws -> [UInt8] {
        switch try kind(at: offset, place) {
        case .binary:
            return try read(at: offset, place) { reader throws(MessagePackError) in Array(try reader.readBinary()) }
        case .array:
            return try elements(at: offset, place).map { try integer(UInt8.self, at: $0, place) }
        case .map:
            // `{"0": 1, "1": 2}`, in whatever order.
            let entries = try entries(at: offset, place)
            var found = [UInt8?](repeating: nil, count: entries.count)
            for entry in entries {
                guard let index = Int(entry.key(in: bytes)), found.indices.contains(index) else {
                    throw mismatch(Data.self, at: offset, place)
                }
                found[index] = try integer(UInt8.self, at: entry.value, place)
            }
            let whole = found.compactMap { $0 }
            guard whole.count == found.count else { throw mismatch(Data.self, at: offset, place) }
            return whole
        case .null, .bool, .string, .integer, .float, .extension:
            throw mismatch(Data.self, at: offset, place)
        }
    }

    // MARK: Containers

    /// Where an entry of a map lies.
    struct Entry {
        var keyStart: Int
        var keyCount: Int
        var value: Int

        func key(in bytes: [UInt8]) -> String {
            String(decoding: bytes[keyStart..<keyStart + keyCount], as: UTF8.self)
        }
    }

    /// The entries with text keys; others have no name that a field could ask for.
    func entries(at offset: Int, _ place: CodingPlace) throws -> [Entry] {
        guard try kind(at: offset, place) == .map else { throw mismatch([String: Any].self, at: offset, place) }
        return try read(at: offset, place) { reader throws(MessagePackError) in
            let count = try reader.readMapCount()
            var entries: [Entry] = []
            entries.reserveCapacity(min(count, 64))
            for _ in 0..<count {
                guard try reader.peekKind() == .string else {
                    _ = try reader.skipValue()
                    _ = try reader.skipValue()
                    continue
                }
                let keyCount = try reader.readString().count
                let value = reader.offset
                _ = try reader.skipValue()
                entries.append(Entry(keyStart: value - keyCount, keyCount: keyCount, value: value))
            }
            return entries
        }
    }

    /// Where the elements of an array lie.
    func elements(at offset: Int, _ place: CodingPlace) throws -> [Int] {
        guard try kind(at: offset, place) == .array else { throw mismatch([Any].self, at: offset, place) }
        return try read(at: offset, place) { reader throws(MessagePackError) in
            let count = try reader.readArrayCount()
            var elements: [Int] = []
            elements.reserveCapacity(min(count, 1024))
            for _ in 0..<count {
                elements.append(reader.offset)
                _ = try reader.skipValue()
            }
            return elements
        }
    }
}

/// One value being decoded.
struct DecodingLevel: Decoder {
    let source: DecodingSource
    let offset: Int
    let path: CodingPathNode?

    var codingPath: [any CodingKey] { CodingPathNode.path(path) }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(
            MapDecoding<Key>(source: source, entries: try source.entries(at: offset, CodingPlace(path)), path: path))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
        ArrayDecoding(source: source, elements: try source.elements(at: offset, CodingPlace(path)), path: path)
    }

    func singleValueContainer() -> any SingleValueDecodingContainer {
        ScalarDecoding(source: source, offset: offset, path: path)
    }
}
