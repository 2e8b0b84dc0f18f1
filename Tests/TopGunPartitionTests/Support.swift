import TopGunModel
import TopGunPartition

/// A generator that gives the same numbers for the same seed everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var number = state
        number = (number ^ number >> 30) &* 0xbf58_476d_1ce4_e5b9
        number = (number ^ number >> 27) &* 0x94d0_49bb_1331_11eb
        return number ^ number >> 31
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next() >> 20) }
    }
}

/// One operation with the bytes that its views need.
struct Write {
    var kind = OperationView.Kind.put
    var map: ByteString = "map"
    var key: ByteString
    var value: [UInt8] = [0xc0]
    var millis: Int64 = 0
    var counter: UInt32 = 0
    var node: ByteString = "node-a"
    var ttlMillis: Int64 = 0
    var refusal: Refusal?
}

extension GroupState {
    static let allPartitions = (0..<PartitionID.count).map { PartitionID($0) }

    static func make(
        node: ByteString = "server-1", seed: UInt64 = 7, limits: GroupLimits = GroupLimits()
    ) -> GroupState {
        GroupState(
            partitions: allPartitions, clock: HybridLogicalClock(node: node), hashSeed: seed, limits: limits)
    }

    /// Applies writes as one batch whose bytes are gone afterwards, as those of a frame are.
    @discardableResult
    func apply(
        _ writes: [Write], author: UInt64 = 1, nameSpace: ByteString = "", rules: IngressRules = [],
        wall: Int64 = 1_000_000
    ) -> [Outcome] {
        let arena = ByteSink(capacity: 64)
        let length = writes.reduce(0) { $0 + $1.map.count + $1.key.count + $1.value.count + $1.node.count }
        _ = arena.reserve(length)
        func place(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
            let start = arena.count
            arena.append(bytes)
            return UnsafeRawBufferPointer(rebasing: arena.bytes[start...])
        }
        let operations = writes.map { write in
            var view = OperationView()
            view.kind = write.kind
            view.map = place(write.map.bytes)
            view.key = place(write.key.bytes)
            view.keyHash = KeyHash.of(write.key)
            view.value = place(write.value)
            view.node = place(write.node.bytes)
            view.millis = write.millis
            view.counter = write.counter
            view.ttlMillis = write.ttlMillis
            view.refusal = write.refusal
            return view
        }
        operations.withUnsafeBufferPointer {
            apply($0, author: author, nameSpace: nameSpace, rules: rules, wallMillis: wall)
        }
        return outcomes
    }

    func stored(_ key: ByteString, in map: ByteString = "map", nameSpace: ByteString = "") -> LWWRecord? {
        guard let id = existingMap(map, in: nameSpace) else { return nil }
        return key.bytes.withUnsafeBytes { record(in: id, key: $0, keyHash: KeyHash.of(key)) }.map { LWWRecord($0) }
    }

    /// All logged records in order.
    var logged: [Record] {
        var offset = 0
        var records: [Record] = []
        while let record = StoredRecord(in: log.bytes, at: &offset) { records.append(Record(record)) }
        return records
    }

    func logged(at offset: Int) -> Record {
        var offset = offset
        return Record(StoredRecord(in: log.bytes, at: &offset)!)
    }

    /// A scan that ends with its visits only.
    func scan(
        _ map: MapID, from cursor: ScanCursor?, visits: Int, wallMillis: Int64, _ body: (RecordView) -> Void
    ) -> ScanCursor? {
        scan(map, from: cursor, visits: visits, wallMillis: wallMillis) { (record) -> Bool in
            body(record)
            return false
        }
    }

    /// Everything that is stored, by way of the slices of a checkpoint.
    func checkpoint(bytesLimit: Int = 1_000) -> ByteSink {
        let sink = ByteSink()
        for partition in Self.allPartitions {
            var cursor: CheckpointCursor?
            repeat {
                cursor = slice(partition, from: cursor, bytesLimit: bytesLimit, into: sink)
            } while cursor != nil
        }
        return sink
    }

    func load(_ sink: ByteSink) throws {
        var offset = 0
        while let record = StoredRecord(in: sink.bytes, at: &offset) { try load(record) }
    }

    /// Every record of every map, tombstones included, from the leaves.
    var content: [Record: Int] {
        var content: [Record: Int] = [:]
        for number in 0..<mapCount {
            let map = MapID(UInt32(number))
            let name = name(of: map)
            forEachRecord(in: map, at: .root) {
                content[Record(nameSpace: name.nameSpace, map: name.name, view: $0), default: 0] += 1
            }
        }
        return content
    }
}

extension LWWRecord {
    init(_ view: RecordView) {
        self.init(
            value: Payload(copying: view.value),
            timestamp: Timestamp(millis: view.millis, counter: view.counter, node: ByteString(copying: view.node)),
            ttlMillis: view.ttlMillis)
    }
}

/// A stored record with its own bytes.
struct Record: Hashable {
    var nameSpace: ByteString
    var map: ByteString
    var key: ByteString
    var record: LWWRecord
    var tail: [UInt8]

    init(_ stored: StoredRecord) {
        nameSpace = ByteString(copying: stored.nameSpace)
        map = ByteString(copying: stored.map)
        key = ByteString(copying: stored.key)
        record = LWWRecord(
            value: Payload(copying: stored.value),
            timestamp: Timestamp(
                millis: stored.millis, counter: stored.counter, node: ByteString(copying: stored.node)),
            ttlMillis: stored.ttlMillis)
        tail = Array(stored.tail)
    }

    init(nameSpace: ByteString, map: ByteString, view: RecordView) {
        self.nameSpace = nameSpace
        self.map = map
        key = ByteString(copying: view.key)
        record = LWWRecord(view)
        tail = Array(view.tail)
    }

    init(nameSpace: ByteString = "", map: ByteString = "map", key: ByteString, record: LWWRecord, tail: [UInt8] = []) {
        self.nameSpace = nameSpace
        self.map = map
        self.key = key
        self.record = record
        self.tail = tail
    }

    func withStored<Failure: Error>(_ body: (StoredRecord) throws(Failure) -> Void) throws(Failure) {
        let sink = ByteSink()
        func view(_ bytes: [UInt8]) -> Range<Int> {
            let start = sink.count
            sink.append(bytes)
            return start..<sink.count
        }
        let parts = [
            nameSpace.bytes, map.bytes, key.bytes, record.timestamp.node.bytes, record.value.bytes, tail,
        ].map { view($0) }
        func bytes(_ part: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: sink.bytes[parts[part]]) }
        try body(
            StoredRecord(
                kind: .lww, nameSpace: bytes(0), map: bytes(1), key: bytes(2), node: bytes(3),
                millis: record.timestamp.millis, counter: record.timestamp.counter, ttlMillis: record.ttlMillis,
                value: bytes(4), tail: bytes(5)))
        withExtendedLifetime(sink) {}
    }
}
