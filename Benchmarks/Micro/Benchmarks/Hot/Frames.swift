import TopGunModel
import TopGunPartition
import TopGunWire

/// Frames and records of the size that `topgun-bench` uses: 16-byte keys, 128-byte values.
enum Frames {
    static let value = [0xd9, 128] + [UInt8](repeating: 0x61, count: 128)

    static func batch(of count: Int, millis: Int64, firstKey: Int) -> ByteSink {
        let sink = ByteSink(capacity: 1 << 16)
        let writer = MessagePackWriter(sink)
        writer.writeMapHead(2)
        writer.write("type")
        writer.write("OP_BATCH")
        writer.write("payload")
        writer.writeMapHead(1)
        writer.write("ops")
        writer.writeArrayHead(count)
        for index in 0..<count {
            writer.writeMapHead(5)
            writer.write("id")
            writer.write(ByteString(String(index + 1)))
            writer.write("mapName")
            writer.write("bench")
            writer.write("key")
            key(firstKey + index).withUnsafeBytes { writer.writeString($0) }
            writer.write("opType")
            writer.write("PUT")
            writer.write("record")
            writer.writeMapHead(2)
            writer.write("value")
            value.withUnsafeBytes { writer.writeRaw($0) }
            writer.write("timestamp")
            writer.writeMapHead(3)
            writer.write("millis")
            writer.write(millis)
            writer.write("counter")
            writer.write(Int64(index))
            writer.write("nodeId")
            writer.write("bench-node")
        }
        return sink
    }

    static func key(_ number: Int) -> [UInt8] {
        Array(("key:" + String(String(1_000_000_000_000 + number).dropFirst())).utf8)
    }

    /// A record whose parts live as long as the process.
    static func record() -> StoredRecord {
        StoredRecord(
            kind: .lww, nameSpace: still([]), map: still(Array("bench".utf8)),
            key: still(Array("key:000000123456".utf8)),
            node: still(Array("bench-node".utf8)), millis: 1_700_000_000_000, counter: 7, ttlMillis: 0,
            value: still(value),
            tail: still([]))
    }

    static func still(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
        copy.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(copy)
    }
}

/// A key, and what the trees know of its record.
struct KeyedItem {
    let keyHash: UInt32
    private let key: UnsafeRawBufferPointer
    private let record = Frames.record()

    init(number: Int) {
        key = Frames.still(Frames.key(number))
        keyHash = KeyHash.of(key)
    }

    /// The item of the client protocol's tree.
    func item(counter: UInt32) -> UInt32 {
        MerkleTree32.item(keyHash: keyHash, millis: record.millis, counter: counter, node: record.node)
    }

    /// The item of the replicas' tree.
    func replicaItem(counter: UInt32) -> MerkleTree128.Item {
        MerkleTree128.Item(
            kind: .lww, nameSpace: record.nameSpace, map: record.map, key: key, millis: record.millis,
            counter: counter, node: record.node, ttlMillis: 0, value: record.value, isRemoval: false)
    }
}

/// A group that holds all partitions, and batches that overwrite its records with ever newer stamps.
final class Store {
    private let state: GroupState
    private let frames: [ByteSink]
    private var decoded: [[OperationView]] = []
    private var next = 0
    private var millis: Int64 = 1_700_000_000_000
    private var notMerged = 0
    private var logged = 0
    private var spare = ByteSink(capacity: 1 << 16)

    init(records: Int) {
        state = GroupState(
            partitions: (0..<PartitionID.count).map { PartitionID($0) }, clock: HybridLogicalClock(node: "server"),
            hashSeed: 0x5eed)
        frames = stride(from: 0, to: records, by: 64).map { Frames.batch(of: 64, millis: 0, firstKey: $0) }
        decoded = frames.map { frame in
            var operations: [OperationView] = []
            guard (try? OperationDecoder.decode(frame.bytes, into: &operations)) == .operations else {
                preconditionFailure("the benchmark's own frame does not decode")
            }
            for index in operations.indices { operations[index].keyHash = KeyHash.of(operations[index].key) }
            return operations
        }
        for _ in frames { applyNextBatch() }
    }

    /// Steps through the batches in an order that the caches do not like.
    func applyNextBatch() {
        next = (next + 617) % decoded.count
        millis += 1
        for index in decoded[next].indices { decoded[next][index].millis = millis }
        decoded[next].withUnsafeBufferPointer {
            state.apply($0, author: 1, nameSpace: "", rules: [], wallMillis: millis)
        }
        for outcome in state.outcomes where outcome != .merged { notMerged += 1 }
        logged = state.log.count
        spare = state.takeLog(replacingWith: spare).log
    }

    /// The work was done: every operation taken, the last batch logged, and its stamp stands.
    func requireThatEveryBatchWasMerged() {
        precondition(notMerged == 0, "operations were not merged")
        precondition(logged > 64 * Frames.value.count, "the last batch is not in the log")
        guard let map = state.existingMap("bench", in: "") else { preconditionFailure("no map") }
        for operation in decoded[next] {
            let record = state.record(in: map, key: operation.key, keyHash: operation.keyHash)
            precondition(record?.millis == millis, "the last batch does not stand")
        }
        precondition(state.summary(of: map).records == frames.count * 64, "records are missing")
    }
}
