import Foundation
package import TopGunModel

/// Encodes `Codable` values as MessagePack, the form that record values have everywhere in TopGun.
///
/// | Swift | MessagePack |
/// | --- | --- |
/// | integers | the shortest integer form |
/// | `Double`, `Float` | float64, float32; never an integer, so that the kind of number is kept |
/// | `String`, `URL`, `UUID` (upper case) | str |
/// | `Data` | bin |
/// | `Date` | an integer: milliseconds since 1970, rounded |
/// | structs, classes, dictionaries with `String` or `Int` keys | map with text keys, in the order they are encoded |
/// | arrays, sets, other dictionaries | array |
/// | `nil` inside a value | left out where `Codable` leaves it out, else nil |
///
/// All headers are the shortest that fit. A value that is nil as a whole cannot be encoded: in TopGun that is a removal.
package enum PayloadEncoder {
    /// - Throws: ``TopGunError`` with the code `invalidValue` when the value is nil as a whole, nests deeper than
    ///   ``Limits/valueDepthMax``, or its own `encode(to:)` throws; `tooLarge` above ``Limits/valueBytesMax``.
    package static func encode<Value: Encodable>(_ value: Value) throws(TopGunError) -> Payload {
        let sink = ByteSink(capacity: 256)
        do {
            try EncodingLevel(sink: sink, path: nil, depth: 0).write(value)
        } catch let error as TopGunError {
            throw error
        } catch {
            throw TopGunError(.invalidValue, "the value cannot be encoded", cause: error)
        }
        let payload = Payload(copying: sink.bytes)
        guard !payload.isTombstone else {
            throw TopGunError(.invalidValue, "nil is no value: use remove(_:)")
        }
        guard payload.bytes.count <= Limits.valueBytesMax else {
            throw TopGunError(
                .tooLarge, "a value of \(payload.bytes.count) bytes; at most \(Limits.valueBytesMax) fit")
        }
        return payload
    }
}

/// The coding path, kept as a chain so that a value without an error costs no array.
final class CodingPathNode {
    let key: any CodingKey
    let parent: CodingPathNode?

    init(_ key: any CodingKey, below parent: CodingPathNode?) {
        self.key = key
        self.parent = parent
    }

    static func path(_ node: CodingPathNode?) -> [any CodingKey] {
        var keys: [any CodingKey] = []
        var node = node
        while let current = node {
            keys.append(current.key)
            node = current.parent
        }
        return keys.reversed()
    }
}

/// Where a value is, for the errors about it: made into a path only when one is needed.
struct CodingPlace {
    var parent: CodingPathNode?
    var key: (any CodingKey)?

    init(_ node: CodingPathNode?) {
        parent = node
    }

    init(_ key: any CodingKey, below parent: CodingPathNode?) {
        self.parent = parent
        self.key = key
    }

    var node: CodingPathNode? { key.map { CodingPathNode($0, below: parent) } ?? parent }
    var path: [any CodingKey] { CodingPathNode.path(node) }
}

/// One value being encoded: it becomes a scalar, or the map or array whose container was asked for.
///
/// Elements are written straight behind the header, which is one byte long until the number of elements is known; the
/// few containers with more than fifteen are moved to make room for a longer one. A container that the value keeps while
/// it goes on writing (`nestedContainer`, `superEncoder`) gets a sink of its own, spliced in at the end.
final class EncodingLevel: Encoder {
    enum Kind {
        case undecided
        case scalar
        case map
        case array
    }

    let sink: ByteSink
    let path: CodingPathNode?
    let depth: Int
    private let start: Int
    private var kind = Kind.undecided
    private(set) var count = 0
    private var deferred: [Deferred] = []
    /// Of ``deferred`` those that a map gave out for a key, by its bytes.
    private var deferredByKey: [[UInt8]: Int] = [:]

    /// An element that may still be written to, and where it belongs.
    private struct Deferred {
        var offset: Int
        var level: EncodingLevel
    }

    var codingPath: [any CodingKey] { CodingPathNode.path(path) }
    var userInfo: [CodingUserInfoKey: Any] { [:] }
    var writer: MessagePackWriter { MessagePackWriter(sink) }

    init(sink: ByteSink, path: CodingPathNode?, depth: Int) {
        self.sink = sink
        self.path = path
        self.depth = depth
        self.start = sink.count
    }

    // MARK: Writing a value

    /// Writes one value at the end of the sink, with the types that have a form of their own taken first.
    func write<Value: Encodable>(_ value: Value) throws {
        guard depth <= Limits.valueDepthMax else { throw Self.tooDeep }
        // Types are compared before anything is cast: a comparison is one instruction, a cast a search.
        if Value.self == Data.self, let data = value as? Data {
            data.withUnsafeBytes { writer.writeBinary($0) }
        } else if Value.self == Date.self, let date = value as? Date {
            try write(date)
        } else if Value.self == URL.self, let url = value as? URL {
            writeScalar(url.absoluteString)
        } else {
            try value.encode(to: self)
            try finish()
        }
    }

    /// Writes one element, or nothing: what was written of it before it threw is taken back, for an `encode(to:)` may go
    /// on after a `try?`, and what it has written then must still be one value.
    func whole(_ write: () throws -> Void) rethrows {
        let (bytes, elements, kept, stood) = (sink.count, count, deferred.count, kind)
        do {
            try write()
        } catch {
            sink.truncate(to: bytes)
            count = elements
            deferred.removeSubrange(kept...)
            deferredByKey = deferredByKey.filter { $0.value < kept }
            kind = stood
            throw error
        }
    }

    private static var tooDeep: TopGunError {
        TopGunError(.invalidValue, "a value may nest \(Limits.valueDepthMax) levels")
    }

    private func write(_ date: Date) throws {
        let millis = (date.timeIntervalSince1970 * 1000).rounded()
        guard let whole = Int64(exactly: millis) else {
            throw TopGunError(.invalidValue, "a date that milliseconds cannot hold")
        }
        writer.write(whole)
    }

    // MARK: Containers

    /// Opens the map or array that this value is; asking again gives the same one, as `Codable` demands.
    private func open(_ wanted: Kind) {
        if kind == .undecided {
            kind = wanted
            sink.append([0])
        }
        precondition(kind == wanted, "a value cannot be a map and an array at once")
    }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        open(.map)
        return KeyedEncodingContainer(MapEncoding<Key>(level: self))
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer {
        open(.array)
        return ArrayEncoding(level: self)
    }

    func singleValueContainer() -> any SingleValueEncodingContainer {
        ScalarEncoding(level: self)
    }

    func writeKey(_ key: String) {
        count += 1
        writeScalar(key)
    }

    func addElement() {
        count += 1
    }

    func markScalar() {
        precondition(kind == .undecided, "a value was encoded twice")
        kind = .scalar
    }

    /// A level for an element whose writing ends before the next one begins.
    func child(_ key: any CodingKey) -> EncodingLevel {
        EncodingLevel(sink: sink, path: CodingPathNode(key, below: path), depth: depth + 1)
    }

    /// A level for an element that may be written while later ones are.
    func deferredChild(_ key: any CodingKey) -> EncodingLevel {
        let level = EncodingLevel(
            sink: ByteSink(capacity: 64), path: CodingPathNode(key, below: path), depth: depth + 1)
        deferred.append(Deferred(offset: sink.count, level: level))
        return level
    }

    /// The container under a key of this map. Asking again gives the same one, so that what was put into it stays.
    func nested(_ key: any CodingKey, _ wanted: Kind) -> EncodingLevel {
        let name = Array(key.stringValue.utf8)
        if let index = deferredByKey[name], deferred[index].level.kind == wanted { return deferred[index].level }
        writeKey(key.stringValue)
        deferredByKey[name] = deferred.count
        return deferredChild(key)
    }

    // MARK: The end

    /// Splices in what was deferred and writes the header.
    private func finish() throws {
        try splice()
        guard kind == .scalar || count == 0 || depth < Limits.valueDepthMax else { throw Self.tooDeep }
        switch kind {
        case .scalar:
            return
        case .undecided:
            // A value that encodes nothing at all, as an empty struct does, is an empty map.
            sink.append([0x80])
        case .map:
            writeHeader(short: 0x80, medium: 0xde, long: 0xdf)
        case .array:
            writeHeader(short: 0x90, medium: 0xdc, long: 0xdd)
        }
    }

    private func splice() throws {
        guard !deferred.isEmpty else { return }
        // Children first: each of them may hold deferred ones of its own.
        for element in deferred { try element.level.finish() }
        let tail = Array(sink.bytes[deferred[0].offset...])
        let tailStart = deferred[0].offset
        sink.truncate(to: tailStart)
        for (index, element) in deferred.enumerated() {
            sink.append(element.level.sink.bytes)
            let end = index + 1 < deferred.count ? deferred[index + 1].offset - tailStart : tail.count
            sink.append(Array(tail[(element.offset - tailStart)..<end]))
        }
        deferred = []
        deferredByKey = [:]
    }

    private func writeHeader(short: UInt8, medium: UInt8, long: UInt8) {
        let extra = count < 16 ? 0 : count < 65536 ? 2 : 4
        if extra > 0 {
            let content = sink.count - start - 1
            sink.append([UInt8](repeating: 0, count: extra))
            let first = sink.base + start + 1
            (first + extra).copyMemory(from: UnsafeRawPointer(first), byteCount: content)
        }
        let header = sink.base + start
        switch extra {
        case 0:
            header.storeBytes(of: short | UInt8(count), as: UInt8.self)
        case 2:
            header.storeBytes(of: medium, as: UInt8.self)
            header.storeBytes(of: UInt16(count).bigEndian, toByteOffset: 1, as: UInt16.self)
        default:
            header.storeBytes(of: long, as: UInt8.self)
            header.storeBytes(of: UInt32(count).bigEndian, toByteOffset: 1, as: UInt32.self)
        }
    }
}
