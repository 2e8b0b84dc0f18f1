import TopGunModel

/// What every container does with a scalar.
extension EncodingLevel {
    func writeScalar(_ value: Bool) { writer.write(value) }
    func writeScalar(_ value: String) { writer.write(value) }
    func writeScalar(_ value: Double) { writer.write(value) }
    func writeScalar(_ value: Float) { writer.write(value) }
    func writeScalar<Number: BinaryInteger>(_ value: Number) throws {
        if let signed = Int64(exactly: value) {
            writer.write(signed)
        } else if let unsigned = UInt64(exactly: value) {
            writer.write(unsigned)
        } else {
            throw TopGunError(.invalidValue, "an integer beyond 64 bits")
        }
    }
}

/// The entries of a map. A dictionary's `Int` keys become text.
struct MapEncoding<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let level: EncodingLevel

    var codingPath: [any CodingKey] { level.codingPath }

    private func key(_ key: Key) { level.writeKey(key.stringValue) }

    func encodeNil(forKey key: Key) {
        self.key(key)
        level.writer.writeNil()
    }

    func encode(_ value: Bool, forKey key: Key) {
        self.key(key)
        level.writeScalar(value)
    }

    func encode(_ value: String, forKey key: Key) {
        self.key(key)
        level.writeScalar(value)
    }

    func encode(_ value: Double, forKey key: Key) {
        self.key(key)
        level.writeScalar(value)
    }

    func encode(_ value: Float, forKey key: Key) {
        self.key(key)
        level.writeScalar(value)
    }

    func encode(_ value: Int, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: Int8, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: Int16, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: Int32, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: Int64, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: Int128, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: UInt, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: UInt8, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: UInt16, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: UInt32, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: UInt64, forKey key: Key) throws { try integer(value, key) }
    func encode(_ value: UInt128, forKey key: Key) throws { try integer(value, key) }

    private func integer<Number: BinaryInteger>(_ value: Number, _ key: Key) throws {
        try level.whole {
            self.key(key)
            try level.writeScalar(value)
        }
    }

    func encode<Value: Encodable>(_ value: Value, forKey key: Key) throws {
        try level.whole {
            self.key(key)
            try level.child(key).write(value)
        }
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy keyType: NestedKey.Type, forKey key: Key
    ) -> KeyedEncodingContainer<NestedKey> {
        level.nested(key, .map).container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
        level.nested(key, .array).unkeyedContainer()
    }

    func superEncoder() -> any Encoder {
        level.writeKey(PositionKey.superKey.stringValue)
        return level.deferredChild(PositionKey.superKey)
    }

    func superEncoder(forKey key: Key) -> any Encoder {
        self.key(key)
        return level.deferredChild(key)
    }
}

/// The elements of an array.
struct ArrayEncoding: UnkeyedEncodingContainer {
    let level: EncodingLevel

    var codingPath: [any CodingKey] { level.codingPath }
    var count: Int { level.count }

    func encodeNil() {
        level.addElement()
        level.writer.writeNil()
    }

    func encode(_ value: Bool) {
        level.addElement()
        level.writeScalar(value)
    }

    func encode(_ value: String) {
        level.addElement()
        level.writeScalar(value)
    }

    func encode(_ value: Double) {
        level.addElement()
        level.writeScalar(value)
    }

    func encode(_ value: Float) {
        level.addElement()
        level.writeScalar(value)
    }

    func encode(_ value: Int) throws { try integer(value) }
    func encode(_ value: Int8) throws { try integer(value) }
    func encode(_ value: Int16) throws { try integer(value) }
    func encode(_ value: Int32) throws { try integer(value) }
    func encode(_ value: Int64) throws { try integer(value) }
    func encode(_ value: Int128) throws { try integer(value) }
    func encode(_ value: UInt) throws { try integer(value) }
    func encode(_ value: UInt8) throws { try integer(value) }
    func encode(_ value: UInt16) throws { try integer(value) }
    func encode(_ value: UInt32) throws { try integer(value) }
    func encode(_ value: UInt64) throws { try integer(value) }
    func encode(_ value: UInt128) throws { try integer(value) }

    private func integer<Number: BinaryInteger>(_ value: Number) throws {
        try level.whole {
            level.addElement()
            try level.writeScalar(value)
        }
    }

    func encode<Value: Encodable>(_ value: Value) throws {
        try level.whole {
            let key = PositionKey(level.count)
            level.addElement()
            try level.child(key).write(value)
        }
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy keyType: NestedKey.Type
    ) -> KeyedEncodingContainer<NestedKey> {
        deferredElement().container(keyedBy: keyType)
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer {
        deferredElement().unkeyedContainer()
    }

    func superEncoder() -> any Encoder {
        deferredElement()
    }

    private func deferredElement() -> EncodingLevel {
        let key = PositionKey(level.count)
        level.addElement()
        return level.deferredChild(key)
    }
}

/// A value that is no map and no array.
struct ScalarEncoding: SingleValueEncodingContainer {
    let level: EncodingLevel

    var codingPath: [any CodingKey] { level.codingPath }

    func encodeNil() {
        level.markScalar()
        level.writer.writeNil()
    }

    func encode(_ value: Bool) {
        level.markScalar()
        level.writeScalar(value)
    }

    func encode(_ value: String) {
        level.markScalar()
        level.writeScalar(value)
    }

    func encode(_ value: Double) {
        level.markScalar()
        level.writeScalar(value)
    }

    func encode(_ value: Float) {
        level.markScalar()
        level.writeScalar(value)
    }

    func encode(_ value: Int) throws { try integer(value) }
    func encode(_ value: Int8) throws { try integer(value) }
    func encode(_ value: Int16) throws { try integer(value) }
    func encode(_ value: Int32) throws { try integer(value) }
    func encode(_ value: Int64) throws { try integer(value) }
    func encode(_ value: Int128) throws { try integer(value) }
    func encode(_ value: UInt) throws { try integer(value) }
    func encode(_ value: UInt8) throws { try integer(value) }
    func encode(_ value: UInt16) throws { try integer(value) }
    func encode(_ value: UInt32) throws { try integer(value) }
    func encode(_ value: UInt64) throws { try integer(value) }
    func encode(_ value: UInt128) throws { try integer(value) }

    private func integer<Number: BinaryInteger>(_ value: Number) throws {
        try level.whole {
            level.markScalar()
            try level.writeScalar(value)
        }
    }

    func encode<Value: Encodable>(_ value: Value) throws {
        try level.whole {
            level.markScalar()
            try EncodingLevel(sink: level.sink, path: level.path, depth: level.depth).write(value)
        }
    }
}

/// The place of an element, as a key of coding paths.
enum PositionKey: CodingKey {
    case position(Int)
    case name(String)

    static let superKey = PositionKey.name("super")

    init(_ position: Int) {
        self = .position(position)
    }

    init(stringValue: String) {
        self = .name(stringValue)
    }

    init(intValue: Int) {
        self = .position(intValue)
    }

    var stringValue: String {
        switch self {
        case .position(let position): "\(position)"
        case .name(let name): name
        }
    }

    var intValue: Int? {
        switch self {
        case .position(let position): position
        case .name: nil
        }
    }
}
