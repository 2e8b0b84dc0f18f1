import AllocationCounter
import Benchmark
import TopGunModel
import TopGunPartition
import TopGunWire

/// What every operation passes through between socket and disk, each step alone. One iteration is one operation.
///
/// Allocations come from a counter in front of malloc, because the library's own reads 0 on Linux without jemalloc.
let benchmarks: @Sendable () -> Void = {
    let allocations = BenchmarkMetric.custom("Allocations", polarity: .prefersSmaller, useScalingFactor: true)
    Benchmark.defaultConfiguration = .init(
        metrics: [.wallClock, .cpuTotal, .throughput, allocations], timeUnits: .nanoseconds,
        scalingFactor: .kilo, maxDuration: .seconds(3))

    /// Runs whole batches of 64 until the iterations asked for are done.
    func inBatches(_ benchmark: Benchmark, _ body: () -> Void) {
        let before = allocation_count()
        for _ in 0..<(benchmark.scaledIterations.count + 63) / 64 { body() }
        benchmark.measurement(allocations, Int(allocation_count() - before))
    }

    Benchmark("decode a batch of 64") { benchmark in
        let frame = Frames.batch(of: 64, millis: 1_700_000_000_000, firstKey: 0)
        var operations: [OperationView] = []
        operations.reserveCapacity(64)
        benchmark.startMeasurement()
        inBatches(benchmark) {
            operations.removeAll(keepingCapacity: true)
            guard (try? OperationDecoder.decode(frame.bytes, into: &operations)) == .operations else { return }
            blackHole(operations.count)
        }
        benchmark.stopMeasurement()
    }

    Benchmark("merge a batch of 64 into 100,000 records") { benchmark in
        let store = Store(records: 100_000)
        benchmark.startMeasurement()
        inBatches(benchmark) { store.applyNextBatch() }
        benchmark.stopMeasurement()
    }

    Benchmark("Merkle leaf sums, replace an item") { benchmark in
        var tree = MerkleTree32()
        let before = allocation_count()
        for number in benchmark.scaledIterations {
            let hash = UInt32(truncatingIfNeeded: number) &* 0x9e37_79b9
            tree.add(item: hash, keyHash: hash)
            tree.remove(item: hash, keyHash: hash)
        }
        benchmark.measurement(allocations, Int(allocation_count() - before))
        blackHole(tree.hash(at: .root))
    }

    Benchmark("append a record to the log buffer") { benchmark in
        let sink = ByteSink(capacity: 1 << 20)
        let record = Frames.record()
        inBatches(benchmark) {
            sink.removeAll()
            for _ in 0..<64 { record.append(to: sink) }
        }
        blackHole(sink.count)
    }

    Benchmark("encode an event") { benchmark in
        let sink = ByteSink(capacity: 1 << 20)
        let record = Frames.record()
        inBatches(benchmark) {
            sink.removeAll()
            for _ in 0..<64 { ServerFrame.event(of: record, into: sink) }
        }
        blackHole(sink.count)
    }
}
