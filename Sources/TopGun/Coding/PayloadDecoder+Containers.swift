import TopGunModel

/// The entries of a map.
///
/// Fields of a struct are found by going through the entries; a map with many of them, which a dictionary is, gets an
/// index.
struct MapDecoding<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let source: DecodingSource
    let entries: [DecodingSource.Entry]
    let path: CodingPathNode?
    private let index: [ByteString: Int]?

    init(source: DecodingSource, entries: [DecodingSource.Entry], path: CodingPathNode?) {
        self.source = source
        self.entries = entries
        self.path = path
        guard entries.count > 32 else {
            index = nil
            return
        }
        index = Dictionary(
            entries.map { (ByteString(Array(source.bytes[$0.keyStart..<$0.keyStart + $0.keyCount])), $0.value) },
            uniquingKeysWith: { $1 })
    }

    var codingPath: [any CodingKey] { CodingPathNode.path(path) }

    var allKeys: [Key] {
        entries.compactMap { Key(stringValue: $0.key(in: source.bytes)) }
    }

    /// The last entry of that name, compared by bytes.
    private func find(_ name: String) -> Int? {
        if let index { return index[ByteString(name)] }
        var name = name
        return name.withUTF8 { wanted in
            source.bytes.withUnsafeBytes { bytes in
                for entry in entries.reversed() where entry.keyCount == wanted.count {
                    var index = 0
                    while index < wanted.count, bytes[entry.keyStart &+ index] == wanted[index] { index &+= 1 }
                    if index == wanted.count { return entry.value }
                }
                return nil
            }
        }
    }

    private func place(of key: any CodingKey) throws -> Int {
        guard let offset = find(key.stringValue) else {
            throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: "no such field"))
        }
        return offset
    }

    private func below(_ key: any CodingKey) -> CodingPlace { CodingPlace(key, below: path) }

    func contains(_ key: Key) -> Bool { find(key.stringValue) != nil }

    func decodeNil(forKey key: Key) throws -> Bool { try source.isNil(at: place(of: key), below(key)) }

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try source.bool(at: place(of: key), below(key))
    }

    func decode(_ type: String.Type, forKey key: Key) throws -> String {
        try source.text(at: place(of: key), below(key))
    }

    func decode(_ type: Double.Type, forKey key: Key) throws -> Double {
        try source.float(at: place(of: key), below(key))
    }

    func decode(_ type: Float.Type, forKey key: Key) throws -> Float {
        Float(try source.float(at: place(of: key), below(key)))
    }

    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try integer(type, key) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try integer(type, key) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try integer(type, key) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try integer(type, key) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try integer(type, key) }
    func decode(_ type: Int128.Type, forKey key: Key) throws -> Int128 { try integer(type, key) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try integer(type, key) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try integer(type, key) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try integer(type, key) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try integer(type, key) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try integer(type, key) }
    func decode(_ type: UInt128.Type, forKey key: Key) throws -> UInt128 { try integer(type, key) }

    private func integer<Number: FixedWidthInteger>(_ type: Number.Type, _ key: Key) throws -> Number {
        try source.integer(type, at: place(of: key), below(key))
    }

    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value {
        try source.decode(type, at: place(of: key), below(key))
    }

    func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<NestedKey> {
        try level(key).container(keyedBy: type)
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        try level(key).unkeyedContainer()
    }

    func superDecoder() throws -> any Decoder { try level(PositionKey.superKey) }

    func superDecoder(forKey key: Key) throws -> any Decoder { try level(key) }

    private func level(_ key: any CodingKey) throws -> DecodingLevel {
        DecodingLevel(source: source, offset: try place(of: key), path: below(key).node)
    }
}

/// The elements of an array, in order.
struct ArrayDecoding: UnkeyedDecodingContainer {
    let source: DecodingSource
    let elements: [Int]
    let path: CodingPathNode?
    private(set) var currentIndex = 0

    init(source: DecodingSource, elements: [Int], path: CodingPathNode?) {
        self.source = source
        self.elements = elements
        self.path = path
    }

    var codingPath: [any CodingKey] { CodingPathNode.path(path) }
    var count: Int? { elements.count }
    var isAtEnd: Bool { currentIndex >= elements.count }

    /// Decodes the next element and steps over it, unless that throws.
    private mutating func next<Value>(
        _ type: Value.Type, _ body: (_ offset: Int, _ place: CodingPlace) throws -> Value
    ) throws -> Value {
        let place = CodingPlace(PositionKey(currentIndex), below: path)
        guard !isAtEnd else {
            throw DecodingError.valueNotFound(
                type, .init(codingPath: place.path, debugDescription: "the array ends here"))
        }
        let value = try body(elements[currentIndex], place)
        currentIndex += 1
        return value
    }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd, try source.isNil(at: elements[currentIndex], CodingPlace(path)) else { return false }
        currentIndex += 1
        return true
    }

    mutating func decode(_ type: Bool.Type) throws -> Bool {
        try next(type) { [source] in try source.bool(at: $0, $1) }
    }
    mutating func decode(_ type: String.Type) throws -> String {
        try next(type) { [source] in try source.text(at: $0, $1) }
    }
    mutating func decode(_ type: Double.Type) throws -> Double {
        try next(type) { [source] in try source.float(at: $0, $1) }
    }
    mutating func decode(_ type: Float.Type) throws -> Float {
        try next(type) { [source] in Float(try source.float(at: $0, $1)) }
    }
    mutating func decode(_ type: Int.Type) throws -> Int { try integer(type) }
    mutating func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
    mutating func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
    mutating func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
    mutating func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
    mutating func decode(_ type: Int128.Type) throws -> Int128 { try integer(type) }
    mutating func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }
    mutating func decode(_ type: UInt128.Type) throws -> UInt128 { try integer(type) }

    private mutating func integer<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        try next(type) { [source] in try source.integer(type, at: $0, $1) }
    }

    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try next(type) { [source] in try source.decode(type, at: $0, $1) }
    }

    mutating func nestedContainer<NestedKey: CodingKey>(
        keyedBy type: NestedKey.Type
    ) throws -> KeyedDecodingContainer<NestedKey> {
        try nextLevel().container(keyedBy: type)
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
        try nextLevel().unkeyedContainer()
    }

    mutating func superDecoder() throws -> any Decoder { try nextLevel() }

    private mutating func nextLevel() throws -> DecodingLevel {
        try next(DecodingLevel.self) { [source] in DecodingLevel(source: source, offset: $0, path: $1.node) }
    }
}

/// A value that is no map and no array.
struct ScalarDecoding: SingleValueDecodingContainer {
    let source: DecodingSource
    let offset: Int
    let path: CodingPathNode?

    var codingPath: [any CodingKey] { CodingPathNode.path(path) }

    // A value that cannot be read at all is not nil; what is asked for next says what is wrong with it.
    func decodeNil() -> Bool { (try? source.isNil(at: offset, CodingPlace(path))) ?? false }

    func decode(_ type: Bool.Type) throws -> Bool { try source.bool(at: offset, CodingPlace(path)) }
    func decode(_ type: String.Type) throws -> String { try source.text(at: offset, CodingPlace(path)) }
    func decode(_ type: Double.Type) throws -> Double { try source.float(at: offset, CodingPlace(path)) }
    func decode(_ type: Float.Type) throws -> Float { Float(try source.float(at: offset, CodingPlace(path))) }
    func decode(_ type: Int.Type) throws -> Int { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: Int8.Type) throws -> Int8 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: Int16.Type) throws -> Int16 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: Int32.Type) throws -> Int32 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: Int64.Type) throws -> Int64 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: Int128.Type) throws -> Int128 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: UInt.Type) throws -> UInt { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try source.integer(type, at: offset, CodingPlace(path)) }
    func decode(_ type: UInt128.Type) throws -> UInt128 { try source.integer(type, at: offset, CodingPlace(path)) }

    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try source.decode(type, at: offset, CodingPlace(path))
    }
}
