import Foundation

/// Any value of a map, as JSON writes it. Bytes are `{"$binary": "<base64>"}`, for which JSON has no form.
enum JSONValue: Codable, Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// An integer that only fits without a sign.
    case large(UInt64)
    case double(Double)
    case text(String)
    case bytes(Data)
    case array([JSONValue])
    case object([String: JSONValue])

    private static let binaryKey = "$binary"

    /// What a person typed: JSON if it is JSON, else text.
    init(typed text: String) {
        // Whatever is not JSON is text; there is nothing to tell about it.
        self = (try? JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))) ?? .text(text)
    }

    init(from decoder: any Decoder) throws {
        let scalar = try decoder.singleValueContainer()
        func tried<Value: Decodable>(_ type: Value.Type) -> Value? {
            // Each kind is tried in turn: a decoder cannot be asked which one it has.
            try? scalar.decode(type)
        }
        if scalar.decodeNil() {
            self = .null
        } else if let value = tried(Bool.self) {
            self = .bool(value)
        } else if let value = tried(Int64.self) {
            self = .integer(value)
        } else if let value = tried(UInt64.self) {
            self = .large(value)
        } else if let value = tried(Double.self) {
            self = .double(value)
        } else if let value = tried(String.self) {
            self = .text(value)
        } else if let value = tried([JSONValue].self) {
            self = .array(value)
        } else if let value = tried([String: JSONValue].self) {
            self = Self.bytes(in: value) ?? .object(value)
        } else {
            self = .bytes(try scalar.decode(Data.self))
        }
    }

    private static func bytes(in object: [String: JSONValue]) -> JSONValue? {
        guard object.count == 1, case .text(let text)? = object[binaryKey] else { return nil }
        return Data(base64Encoded: text).map { .bytes($0) }
    }

    func encode(to encoder: any Encoder) throws {
        var scalar = encoder.singleValueContainer()
        switch self {
        case .null: try scalar.encodeNil()
        case .bool(let value): try scalar.encode(value)
        case .integer(let value): try scalar.encode(value)
        case .large(let value): try scalar.encode(value)
        case .double(let value): try scalar.encode(value)
        case .text(let value): try scalar.encode(value)
        case .array(let value): try scalar.encode(value)
        case .object(let value): try scalar.encode(value)
        case .bytes(let value): try scalar.encode(value)
        }
    }

    /// The value with bytes in their JSON form.
    private var forJSON: JSONValue {
        switch self {
        case .bytes(let data): .object([Self.binaryKey: .text(data.base64EncodedString())])
        case .array(let elements): .array(elements.map(\.forJSON))
        case .object(let fields): .object(fields.mapValues(\.forJSON))
        case .double(let value) where !value.isFinite: .text("\(value)")
        case .null, .bool, .integer, .large, .double, .text: self
        }
    }

    /// One line of JSON, fields in order.
    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Every value has a JSON form, so encoding it cannot fail.
        guard let data = try? encoder.encode(forJSON) else { return "null" }
        return String(decoding: data, as: UTF8.self)
    }

    /// For people: text without quotes, everything else as JSON.
    var plain: String {
        if case .text(let text) = self { return text }
        return json
    }
}
