import AllocationCounter
import Benchmark
import TopGunModel
import TopGunPartition
import TopGunWire

/// What every operation passes through between socket and disk, each step alone. One iteration is one operation.
///
/// Every benchmark looks at what it made afterwards, for a step that did nothing is the fastest of all.
///
/// Allocations come from a counter in front of malloc, because the library's own reads 0 without its interposers, and a
/// run that asks for its `retainCount` crashes. They are held to the thresholds in `Benchmarks/Micro/Thresholds`; times
/// are not, for they are a machine's. The names have no spaces: the library writes the thresholds of such a name to a file
/// that it then does not find.
let benchmarks: @Sendable () -> Void = {
    // Of all operations of a sample, not of one: the library keeps whole numbers, and a tenth of one is worth knowing.
    let allocations = BenchmarkMetric.custom(
        "AllocationsPer1024", polarity: .prefersSmaller, useScalingFactor: false)
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .throughput, allocations], timeUnits: .nanoseconds, scalingFactor: .kilo,
        maxDuration: .seconds(2))

    let before = allocation_count()
    blackHole(ByteSink(capacity: 64).count)
    precondition(allocation_count() > before, "allocations are not counted")

    /// Runs whole batches of 64 until the iterations asked for are done.
    @Sendable func inBatches(_ benchmark: Benchmark, _ body: () -> Void) {
        benchmark.startMeasurement()
        let before = allocation_count()
        for _ in 0..<(benchmark.scaledIterations.count + 63) / 64 { body() }
        let made = allocation_count() - before
        benchmark.stopMeasurement()
        benchmark.measurement(allocations, Int(made))
    }

    Benchmark("decode-batch-of-64") { benchmark in
        let frame = Frames.batch(of: 64, millis: 1_700_000_000_000, firstKey: 0)
        var operations: [OperationView] = []
        operations.reserveCapacity(64)
        inBatches(benchmark) {
            operations.removeAll(keepingCapacity: true)
            if (try? OperationDecoder.decode(frame.bytes, into: &operations)) != .operations { operations = [] }
        }
        precondition(operations.count == 64, "the batch was not decoded")
        precondition(operations.allSatisfy { $0.refusal == nil && $0.value.elementsEqual(Frames.value) })
        precondition(operations[63].key.elementsEqual(Frames.key(63)) && operations[63].id == 64)
    }

    Benchmark("merge-batch-of-64-into-100k") { benchmark in
        let store = Store(records: 100_000)
        inBatches(benchmark) { store.applyNextBatch() }
        store.requireThatEveryBatchWasMerged()
    }

    Benchmark("replace-item-of-32-bit-tree") { benchmark in
        let items = (0..<64).map { KeyedItem(number: $0) }
        var tree = MerkleTree32()
        for item in items { tree.add(item: item.item(counter: 0), keyHash: item.keyHash) }
        var turn: UInt32 = 0
        inBatches(benchmark) {
            for item in items {
                tree.remove(item: item.item(counter: turn), keyHash: item.keyHash)
                tree.add(item: item.item(counter: turn &+ 1), keyHash: item.keyHash)
            }
            turn &+= 1
        }
        var expected = MerkleTree32()
        for item in items { expected.add(item: item.item(counter: turn), keyHash: item.keyHash) }
        precondition(tree == expected && tree.root != 0, "the tree is not that of its items")
    }

    Benchmark("replace-item-of-128-bit-tree") { benchmark in
        let items = (0..<64).map { KeyedItem(number: $0) }
        var tree = MerkleTree128(key: SipHash128.Key(low: 1, high: 2))
        var standing = items.map { tree.contribution(of: $0.replicaItem(counter: 0)) }
        for contribution in standing { tree.add(contribution) }
        var turn: UInt32 = 0
        inBatches(benchmark) {
            turn &+= 1
            for index in items.indices {
                let contribution = tree.contribution(of: items[index].replicaItem(counter: turn))
                tree.remove(standing[index])
                tree.add(contribution)
                standing[index] = contribution
            }
        }
        var expected = MerkleTree128(key: SipHash128.Key(low: 1, high: 2))
        for item in items { expected.add(expected.contribution(of: item.replicaItem(counter: turn))) }
        precondition(tree == expected && tree.root != .zero, "the tree is not that of its items")
    }

    Benchmark("append-record-to-log-buffer") { benchmark in
        let sink = ByteSink(capacity: 1 << 20)
        let record = Frames.record()
        inBatches(benchmark) {
            sink.removeAll()
            for _ in 0..<64 { record.append(to: sink) }
        }
        var offset = 0
        for _ in 0..<64 {
            guard let read = StoredRecord(in: sink.bytes, at: &offset) else { preconditionFailure("no record") }
            precondition(read.key.elementsEqual(record.key) && read.value.elementsEqual(record.value))
        }
        precondition(offset == sink.count, "the log holds something else as well")
    }

    Benchmark("encode-acknowledgement") { benchmark in
        let sink = ByteSink(capacity: 1 << 20)
        inBatches(benchmark) {
            sink.removeAll()
            for id in 0..<64 { ServerFrame.acknowledgement(lastID: UInt64(id), level: .replicated, into: sink) }
        }
        let one = ByteSink()
        ServerFrame.acknowledgement(lastID: 63, level: .replicated, into: one)
        guard case .acknowledgement(let read)? = try? ServerMessage.decode(one.bytes) else {
            preconditionFailure("no acknowledgement")
        }
        precondition(read.lastID == 63, "another operation was acknowledged")
        precondition(sink.bytes.suffix(one.count).elementsEqual(one.bytes), "the last one is missing")
    }

    Benchmark("encode-event") { benchmark in
        let sink = ByteSink(capacity: 1 << 20)
        let record = Frames.record()
        inBatches(benchmark) {
            sink.removeAll()
            for _ in 0..<64 { ServerFrame.event(of: record, into: sink) }
        }
        let one = ByteSink()
        ServerFrame.event(of: record, into: one)
        guard case .event(let read)? = try? ServerMessage.decode(one.bytes) else { preconditionFailure("no event") }
        precondition(read.record?.value.bytes == Frames.value, "the event has another value")
        precondition(sink.count == 64 * one.count && sink.bytes.suffix(one.count).elementsEqual(one.bytes))
    }
}
