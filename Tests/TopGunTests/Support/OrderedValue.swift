import Foundation

/// Any value of MessagePack, with the entries of its maps in their order.
indirect enum OrderedValue: Codable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case float(Double)
    case text(String)
    case bytes(Data)
    case array([OrderedValue])
    case map([Entry])

    struct Entry: Equatable {
        var key: String
        var value: OrderedValue
    }

    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        let scalar = try decoder.singleValueContainer()
        if scalar.decodeNil() {
            self = .null
        } else if let map = try? decoder.container(keyedBy: Name.self) {
            self = .map(
                try map.allKeys.map { Entry(key: $0.stringValue, value: try map.decode(OrderedValue.self, forKey: $0)) }
            )
        } else if var array = try? decoder.unkeyedContainer() {
            var elements: [OrderedValue] = []
            while !array.isAtEnd { elements.append(try array.decode(OrderedValue.self)) }
            self = .array(elements)
        } else if let text = try? scalar.decode(String.self) {
            self = .text(text)
        } else if let bool = try? scalar.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? scalar.decode(Int64.self) {
            self = .integer(integer)
        } else if let float = try? scalar.decode(Double.self) {
            self = .float(float)
        } else {
            self = .bytes(try scalar.decode(Data.self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        switch self {
        case .map(let entries):
            var map = encoder.container(keyedBy: Name.self)
            for entry in entries { try map.encode(entry.value, forKey: Name(stringValue: entry.key)) }
        case .array(let elements):
            var array = encoder.unkeyedContainer()
            for element in elements { try array.encode(element) }
        case .null:
            var scalar = encoder.singleValueContainer()
            try scalar.encodeNil()
        case .bool(let value): try Self.write(value, encoder)
        case .integer(let value): try Self.write(value, encoder)
        case .float(let value): try Self.write(value, encoder)
        case .text(let value): try Self.write(value, encoder)
        case .bytes(let value): try Self.write(value, encoder)
        }
    }

    private static func write(_ value: some Encodable, _ encoder: any Encoder) throws {
        var scalar = encoder.singleValueContainer()
        try scalar.encode(value)
    }
}
