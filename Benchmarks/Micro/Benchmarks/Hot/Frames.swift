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
            writer.write(ByteString("key:" + String(String(1_000_000_000_000 + firstKey + index).dropFirst())))
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

    /// A record whose parts live as long as the process.
    static func record() -> StoredRecord {
        StoredRecord(
            kind: .lww, nameSpace: still([]), map: still(Array("bench".utf8)),
            key: still(Array("key:000000123456".utf8)),
            node: still(Array("bench-node".utf8)), millis: 1_700_000_000_000, counter: 7, ttlMillis: 0,
            value: still(value),
            tail: still([]))
    }

    private static func still(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
        copy.copyBytes(from: bytes)
        return UnsafeRawBufferPointer(copy)
    }
}

/// A group that holds all partitions, and batches that overwrite its records with ever newer stamps.
final class Store {
    private let state: GroupState
    private let frames: [ByteSink]
    private var decoded: [[OperationView]] = []
    private var next = 0
    private var millis: Int64 = 1_700_000_000_000
    private var spare = ByteSink(capacity: 1 << 16)

    init(records: Int) {
        state = GroupState(
            partitions: (0..<PartitionID.count).map { PartitionID(UInt16($0)) },
            clock: HybridLogicalClock(node: "server"),
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
        spare = state.takeLog(replacingWith: spare).log
        spare.removeAll()
    }
}
