import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// Checkpoints replace the log without a moment in which a record is in neither.
@Suite struct CheckpointTests {
    /// The node around a log: what its partitions hold in memory, and their checkpoints.
    private final class Node {
        let rig: LogRig
        var store: CheckpointStore?
        var memory: [Set<Int>] = Array(repeating: [], count: LogRig.partitions)

        init(seed: UInt64) {
            rig = LogRig(seed: seed, segmentBytes: 2048)
        }

        /// Starts as a node does: checkpoints, then the rest of the log.
        func start() throws(StorageError) {
            do {
                memory = Array(repeating: [], count: LogRig.partitions)
                let directory = try DataDirectory.open(
                    path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 1), nodeID: "node-1")
                let coverage = try CheckpointStore.load(from: directory) { memory[$0].insert(LogRig.number(of: $1)) }
                directory.close()
                for record in try rig.startWithRecords(covered: coverage) {
                    memory[record.partition].insert(record.number)
                }
                store = CheckpointStore(in: rig.directory!, coverage: coverage, spawner: rig.currentSpawner) {
                    [failures = rig.failures, disk = rig.disk] in
                    if !disk.isHalted { failures.append($0) }
                }
            } catch let error as StorageError {
                throw error
            } catch {
                preconditionFailure("\(error)")
            }
        }

        func append(_ count: Int) {
            for number in rig.append(count, loop: rig.generator.below(2)) {
                memory[number % LogRig.partitions].insert(number)
            }
        }

        /// Begins a checkpoint of what the partition holds now, in slices of three records.
        func checkpoint(_ partition: Int, completion: @escaping @Sendable (StorageError?) -> Void = { _ in }) {
            guard let store, let log = rig.log else { return }
            let writer = store.begin(partition: partition, covering: log.durablePosition)
            var rest = memory[partition].sorted()[...]
            while !rest.isEmpty {
                let sink = ByteSink()
                for number in rest.prefix(3) {
                    LogRig.append(number, partition: partition, valueBytes: 40, to: sink)
                }
                rest = rest.dropFirst(3)
                writer.append(sink, from: rig.loop) { _, _ in }
            }
            writer.commit(from: rig.loop, completion: completion)
        }

        func retire() {
            if let store { rig.log?.retire(store.coverage) }
        }

        /// One round of what a node does when its log has grown.
        func supervise() {
            guard let store, let log = rig.log else { return }
            retire()
            for partition in log.partitionsHoldingBack(store.coverage)?.members ?? [] {
                checkpoint(partition)
                rig.scheduler.run(forMillis: 10)
                retire()
            }
            rig.scheduler.run(forMillis: 10)
        }

        var held: Set<Int> { memory.reduce(into: []) { $0.formUnion($1) } }
    }

    @Test func `a checkpoint comes back and the log before it goes`() throws {
        let node = Node(seed: 1)
        try node.start()
        for group in 1...60 {
            node.append(2)
            if group % 6 == 0 { #expect(node.rig.run(untilDurable: group)) }
        }
        #expect(node.rig.run(untilDurable: 60))
        let before = try #require(node.rig.log?.retainedBytes)
        for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
        node.rig.scheduler.run(forMillis: 10)
        node.retire()
        node.rig.scheduler.run(forMillis: 10)
        #expect(try #require(node.rig.log?.retainedBytes) < before / 2)
        node.rig.cutPower()
        try node.start()
        #expect(node.held == Set(node.rig.allNumbers))
        #expect(try #require(node.rig.recovered).records < 120)
    }

    @Test func `a segment that nothing was written to does not keep the log for ever`() throws {
        let node = Node(seed: 1)
        try node.start()
        node.rig.close()
        try node.start()
        for group in 1...60 {
            node.append(2)
            #expect(node.rig.run(untilDurable: group))
        }
        let before = try #require(node.rig.log?.retainedBytes)
        for _ in 0..<30 { node.supervise() }
        #expect(try #require(node.rig.log?.retainedBytes) < before / 2)
        node.rig.cutPower()
        try node.start()
        #expect(node.held == Set(node.rig.allNumbers))
    }

    @Test func `what was covered when the process died goes in its next life`() throws {
        let node = Node(seed: 1)
        try node.start()
        for group in 1...60 {
            node.append(2)
            #expect(node.rig.run(untilDurable: group))
        }
        for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
        node.rig.scheduler.run(forMillis: 10)
        node.rig.kill()
        try node.start()
        let before = try #require(node.rig.log?.retainedBytes)
        node.supervise()
        #expect(try #require(node.rig.log?.retainedBytes) < before / 2)
        node.rig.cutPower()
        try node.start()
        #expect(node.held == Set(node.rig.allNumbers))
    }

    @Test func `D01 D13: the last segment stays until there is room for another`() throws {
        let node = Node(seed: 1)
        let rig = node.rig
        try node.start()
        rig.kill()
        _ = try Salvage.run(path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 3), nowMillis: 5)
        rig.disk.processKill()
        // Room for another identity, and for no segment.
        rig.disk.faults.capacityBytes = rig.disk.usedBytes + 1_000
        try node.start()
        #expect(rig.log?.state != .open)
        node.supervise()
        rig.scheduler.run(forMillis: 10)
        rig.kill()
        rig.disk.faults.capacityBytes = nil
        try node.start()
        #expect(node.held.isEmpty && rig.log?.state == .open)
        // Then it goes, as any other.
        node.append(2)
        #expect(rig.run(untilDurable: 1))
        node.supervise()
        rig.scheduler.run(forMillis: 10)
        rig.kill()
        try node.start()
        #expect(node.held == Set(rig.allNumbers))
    }

    @Test(arguments: 0..<12)
    func `D08 D13: a checkpoint whose name was not synced is, before the log goes that it covers`(seed: Int) throws {
        for call in 0..<60 {
            let node = Node(seed: UInt64(seed))
            let rig = node.rig
            try node.start()
            for group in 1...30 {
                node.memory[0].formUnion(rig.append(2, partition: 0))
                #expect(rig.run(untilDurable: group))
            }
            rig.scheduler.run(forMillis: 200)
            rig.disk.faults.callsUntilHalt = call
            node.checkpoint(0)
            rig.scheduler.run(forMillis: 10)
            rig.kill()
            try node.start()
            node.retire()
            rig.scheduler.run(forMillis: 10)
            rig.cutPower()
            try node.start()
            #expect(node.held == Set(rig.allNumbers), "call \(call)")
        }
    }

    @Test func `one partition without a checkpoint holds the log back, and is named`() throws {
        let node = Node(seed: 1)
        try node.start()
        for group in 1...60 {
            node.append(2)
            #expect(node.rig.run(untilDurable: group))
        }
        for partition in 0..<LogRig.partitions where partition != 3 { node.checkpoint(partition) }
        node.rig.scheduler.run(forMillis: 10)
        let store = try #require(node.store)
        let log = try #require(node.rig.log)
        let before = log.retainedBytes
        #expect(log.partitionsHoldingBack(store.coverage) == PartitionSet([3]))
        node.retire()
        node.rig.scheduler.run(forMillis: 10)
        #expect(log.retainedBytes == before)
        node.checkpoint(3)
        node.rig.scheduler.run(forMillis: 10)
        node.retire()
        node.rig.scheduler.run(forMillis: 10)
        #expect(log.retainedBytes < before)
        #expect(log.partitionsHoldingBack(store.coverage) == nil)
    }

    @Test(arguments: 0..<21)
    func `a partition is read whole while the log goes on, and no segment goes meanwhile`(seed: Int) throws {
        let node = Node(seed: UInt64(seed))
        let rig = node.rig
        try node.start()
        for group in 1...(20 + seed * 3) {
            node.append(2)
            if group % 6 == 0 { #expect(rig.run(untilDurable: group)) }
            if group % 17 == 0 {
                node.checkpoint(rig.generator.below(LogRig.partitions))
                rig.scheduler.run(forMillis: 5)
            }
        }
        #expect(rig.run(untilDurable: rig.groups.count))
        let log = try #require(rig.log)
        let partition = seed % LogRig.partitions
        let expected = node.memory[partition]
        let reader = log.reader(of: partition, upTo: log.durablePosition)
        var found: Set<Int> = []
        var isMore = true
        while isMore {
            let sink = ByteSink()
            isMore = try reader.read(into: sink, bytesLimit: 500) { LogRig.partition(of: $0) == partition }
            var offset = 0
            while offset < sink.count, let record = StoredRecord(in: sink.bytes, at: &offset) {
                found.insert(LogRig.number(of: record))
            }
            node.append(2)
            #expect(rig.run(untilDurable: rig.groups.count))
            for other in 0..<LogRig.partitions where other != partition { node.checkpoint(other) }
            rig.scheduler.run(forMillis: 10)
            let before = log.retainedBytes
            node.retire()
            rig.scheduler.run(forMillis: 10)
            #expect(log.retainedBytes == before)
        }
        #expect(found == expected)
        node.checkpoint(partition)
        rig.scheduler.run(forMillis: 10)
        node.retire()
        rig.scheduler.run(forMillis: 10)
        let before = log.retainedBytes
        reader.close()
        rig.scheduler.run(forMillis: 10)
        if before > 4 * 2048 { #expect(log.retainedBytes < before) }
        #expect(rig.failures.all.isEmpty)
    }

    @Test(arguments: 0..<60)
    func `a lack of file descriptors at any call passes: nothing fails, nothing is lost`(openings: Int) throws {
        let node = Node(seed: 1)
        try node.start()
        let rig = node.rig
        rig.disk.faults.openingsUntilFailure = openings
        rig.disk.faults.openingFailures = 1 + openings % 3
        for group in 1...60 {
            node.append(2)
            if group % 6 == 0 { #expect(rig.run(untilDurable: group)) }
            if group % 20 == 0 {
                for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
                rig.scheduler.run(forMillis: 10)
                node.retire()
            }
        }
        #expect(rig.run(untilDurable: 60))
        rig.scheduler.run(forMillis: 2_000)
        #expect(rig.failures.all.isEmpty, "\(rig.failures.all)")
        #expect(rig.log?.state == .open)
        rig.disk.faults = SimulatedDisk.Faults()
        rig.cutPower()
        try node.start()
        #expect(node.held == Set(rig.allNumbers))
    }

    @Test(arguments: 0..<12)
    func `a start that finds no file descriptor says so, and the next one goes well`(openings: Int) throws {
        let node = Node(seed: 2)
        try node.start()
        node.append(5)
        #expect(node.rig.run(untilDurable: 1))
        node.rig.kill()
        node.rig.disk.faults.openingsUntilFailure = openings
        do throws(StorageError) {
            try node.start()
        } catch {
            #expect(error.code == .tooManyFiles, "\(error)")
            node.rig.kill()
            node.rig.disk.faults.openingsUntilFailure = nil
            try node.start()
        }
        #expect(node.held == Set(node.rig.allNumbers))
        #expect(node.rig.failures.all.isEmpty)
    }

    @Test(arguments: 0..<10)
    func `D13: checkpoints, retired segments and crashes at any step never lose a record`(block: Int) {
        for seed in UInt64(block * 40)..<UInt64(block * 40 + 40) {
            let failure = failure(seed: seed)
            #expect(failure == nil, "seed \(seed): \(failure ?? "")")
        }
    }

    private func failure(seed: UInt64) -> String? {
        let node = Node(seed: seed)
        let rig = node.rig
        var mustHold: Set<Int> = []
        for _ in 0..<6 {
            if rig.generator.chance(1, in: 2) { rig.disk.faults.callsUntilHalt = rig.generator.below(250) }
            do throws(StorageError) {
                try node.start()
                if !mustHold.isSubset(of: node.held) { return "lost \(mustHold.subtracting(node.held).sorted())" }
                if !node.held.isSubset(of: Set(rig.allNumbers)) { return "found what nobody wrote" }
                live(node)
                mustHold.formUnion(rig.places.all.flatMap(\.numbers))
            } catch {
                if !rig.disk.isHalted { return "\(error)" }
            }
            if let error = rig.failures.all.first { return "\(error)" }
            if rig.generator.chance(1, in: 3) { rig.kill() } else { rig.cutPower() }
        }
        return nil
    }

    private func live(_ node: Node) {
        let rig = node.rig
        for _ in 0..<rig.generator.below(60) where !rig.disk.isHalted {
            switch rig.generator.below(6) {
            case 0: node.checkpoint(rig.generator.below(LogRig.partitions))
            case 1: node.retire()
            case 2: for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
            default: node.append(1 + rig.generator.below(3))
            }
            for _ in 0..<rig.generator.below(20) where !rig.disk.isHalted { rig.scheduler.runOne() }
        }
    }

    // MARK: - Damage

    /// A node whose log relies on its checkpoints.
    private func retiredNode() throws -> Node {
        let node = Node(seed: 5)
        try node.start()
        for group in 1...40 {
            node.append(2)
            #expect(node.rig.run(untilDurable: group))
        }
        for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
        node.rig.scheduler.run(forMillis: 10)
        node.retire()
        node.rig.scheduler.run(forMillis: 10)
        node.rig.close()
        return node
    }

    @Test func `D09: of a checkpoint that is needed no byte can change without being noticed`() throws {
        let node = try retiredNode()
        let path = "/data/checkpoints-0/partition-002.checkpoint"
        var refused = 0
        for offset in 0..<(try #require(node.rig.disk.content(path)).count) {
            let disk = node.rig.disk.copy(seed: 1)
            disk.flip(path, at: offset, mask: 1 << UInt8(offset % 8))
            let directory = try DataDirectory.open(path: "/data", disk: disk, entropy: SeededEntropy(seed: 1))
            var held: Set<Int> = []
            do throws(StorageError) {
                _ = try CheckpointStore.load(from: directory) { held.insert(LogRig.number(of: $1)) }
                // Only the padding between slices says nothing.
                #expect(held == node.held, "byte \(offset)")
            } catch {
                refused += 1
                #expect([.damagedCheckpoint, .newerFormat].contains(error.code), "byte \(offset)")
            }
        }
        #expect(refused > 1500)
    }

    @Test func `D09: a checkpoint that is gone is noticed once the log relies on it`() throws {
        let node = try retiredNode()
        try node.rig.disk.remove("/data/checkpoints-0/partition-002.checkpoint")
        let error = #expect(throws: StorageError.self) { try node.start() }
        #expect(error?.code == .damagedCheckpoint)
        #expect(error?.message.contains("partition 2") == true)
        #expect(error?.message.contains("topgund salvage") == true)
    }

    @Test func `D09: a damaged checkpoint is done without while the log still has everything`() throws {
        let node = Node(seed: 5)
        try node.start()
        for _ in 1...10 { node.append(2) }
        #expect(node.rig.run(untilDurable: 10))
        for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
        node.rig.scheduler.run(forMillis: 10)
        node.rig.close()
        node.rig.disk.flip("/data/checkpoints-0/partition-002.checkpoint", at: 700, mask: 1)
        try node.start()
        #expect(node.held == Set(node.rig.allNumbers))
    }

    @Test func `D09: a damaged checkpoint is done without after a salvage too, which leaves everything in the log`()
        throws
    {
        let node = try retiredNode()
        let expected = node.held
        _ = try Salvage.run(path: "/data", disk: node.rig.disk, entropy: SeededEntropy(seed: 2))
        try node.start()
        #expect(node.held == expected)
        for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
        node.rig.scheduler.run(forMillis: 10)
        node.rig.close()
        node.rig.disk.flip("/data/checkpoints-1/partition-002.checkpoint", at: 700, mask: 1)
        try node.start()
        #expect(node.held == expected)
        // A partition that is rebuilt while the node runs does without it as well.
        let log = try #require(node.rig.log)
        let reader = log.reader(of: 2, upTo: log.durablePosition)
        let sink = ByteSink()
        while try reader.read(into: sink, bytesLimit: .max, where: { LogRig.partition(of: $0) == 2 }) {}
        reader.close()
        var found: Set<Int> = []
        var offset = 0
        while offset < sink.count, let record = StoredRecord(in: sink.bytes, at: &offset) {
            found.insert(LogRig.number(of: record))
        }
        #expect(found == node.memory[2])
    }

    @Test func `D09: a checkpoint with a sector that cannot be read is damaged, and salvaged around it`() throws {
        let node = try retiredNode()
        let path = "/data/checkpoints-0/partition-002.checkpoint"
        let content = try #require(node.rig.disk.content(path))
        for offset in stride(from: 0, to: content.count, by: 512) {
            let disk = node.rig.disk.copy(seed: 1)
            disk.wearOut(path, bytes: offset..<offset + 1)
            let directory = try DataDirectory.open(path: "/data", disk: disk, entropy: SeededEntropy(seed: 1))
            let error = #expect(throws: StorageError.self) {
                try CheckpointStore.load(from: directory) { _, _ in }
            }
            #expect(error?.code == .damagedCheckpoint)
            directory.close()
            let report = try Salvage.run(path: "/data", disk: disk, entropy: SeededEntropy(seed: 2))
            #expect(Set(report.damagedCheckpoints.map(\.partition)) == [2])
            let copy = LogRig(seed: 2, segmentBytes: 2048, disk: disk)
            let kept = Set(try copy.start())
            #expect(kept.isSubset(of: node.held))
            // Slices of three records, of which a sector touches three at most; the header is none of them.
            #expect(node.held.count - kept.count <= (offset == 0 ? 0 : 9), "byte \(offset)")
        }
    }

    @Test func `D10: the checkpoint of another partition is refused`() throws {
        let node = try retiredNode()
        let disk = node.rig.disk
        try disk.rename(
            "/data/checkpoints-0/partition-003.checkpoint", to: "/data/checkpoints-0/partition-002.checkpoint")
        let error = #expect(throws: StorageError.self) { try node.start() }
        #expect(error?.code == .foreign)
    }

    @Test func `a log that ends before a checkpoint does is damaged`() throws {
        let node = Node(seed: 5)
        try node.start()
        for group in 1...30 {
            node.append(2)
            #expect(node.rig.run(untilDurable: group))
        }
        for partition in 0..<LogRig.partitions { node.checkpoint(partition) }
        node.rig.scheduler.run(forMillis: 10)
        node.rig.kill()
        let last = try #require(
            node.rig.disk.paths.last { path in
                path.hasSuffix(".log") && node.rig.disk.content(path)?.prefix(8).allSatisfy { $0 == 0 } == false
            })
        for path in node.rig.disk.paths where path.hasSuffix(".log") && path >= last { try node.rig.disk.remove(path) }
        let error = #expect(throws: StorageError.self) { try node.start() }
        #expect(error?.code == .damagedLog)
    }

    @Test func `D01: a full disk gives up the checkpoint and keeps the one before`() throws {
        let node = Node(seed: 5)
        try node.start()
        for _ in 1...10 { node.append(3) }
        #expect(node.rig.run(untilDurable: 10))
        node.checkpoint(1)
        node.rig.scheduler.run(forMillis: 10)
        let old = try #require(node.rig.disk.content("/data/checkpoints-0/partition-001.checkpoint"))
        for _ in 1...10 { node.append(3) }
        #expect(node.rig.run(untilDurable: 20))
        let covered = try #require(node.store).coverage.positions[1]
        node.rig.disk.faults.capacityBytes = node.rig.disk.usedBytes + 700
        let answered = Flag()
        node.checkpoint(1) { error in
            answered.raise()
            if error?.code != .noSpace { Issue.record("\(String(describing: error))") }
        }
        node.rig.scheduler.run(forMillis: 10)
        #expect(answered.isRaised)
        #expect(node.rig.failures.all.isEmpty)
        #expect(node.rig.disk.content("/data/checkpoints-0/partition-001.checkpoint") == old)
        #expect(node.rig.disk.content("/data/checkpoints-0/partition-001.new") == nil)
        #expect(try #require(node.store).coverage.positions[1] == covered)
    }

    @Test func `D01: a checkpoint whose sync finds the disk full leaves nothing behind`() throws {
        let node = Node(seed: 5)
        try node.start()
        for _ in 1...10 { node.append(3) }
        #expect(node.rig.run(untilDurable: 10))
        node.rig.scheduler.run(forMillis: 10)
        node.rig.disk.faults.syncFailure = .noSpace
        node.rig.disk.faults.syncsUntilFailure = 0
        let failures = FailureList()
        node.checkpoint(1) { if let error = $0 { failures.append(error) } }
        node.rig.scheduler.run(forMillis: 10)
        #expect(failures.all.map(\.code) == [.noSpace])
        #expect(node.rig.failures.all.isEmpty)
        #expect(node.rig.disk.content("/data/checkpoints-0/partition-001.new") == nil)
        #expect(node.rig.disk.content("/data/checkpoints-0/partition-001.checkpoint") == nil)
    }

    @Test func `D02: a checkpoint that cannot be synced is a failure of the node`() throws {
        let node = Node(seed: 5)
        try node.start()
        node.append(3)
        #expect(node.rig.run(untilDurable: 1))
        node.rig.scheduler.run(forMillis: 10)
        node.rig.disk.faults.syncsUntilFailure = 0
        node.checkpoint(1)
        node.checkpoint(2)
        node.rig.scheduler.run(forMillis: 10)
        #expect(node.rig.failures.all.count == 1)
        #expect(try #require(node.store).coverage.partitions.isEmpty)
    }
}
