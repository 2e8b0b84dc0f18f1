import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// Crashes and power cuts: what was completed is there, what was not may be, in order, and nothing else is.
@Suite struct LogSurvivalTests {
    @Test func `what was appended comes back in order`() throws {
        let rig = LogRig(seed: 1)
        #expect(try rig.start().isEmpty)
        for count in 1...40 { rig.append(count % 5 + 1, loop: count % 2) }
        #expect(rig.run(untilDurable: 40))
        rig.close()
        #expect(try rig.start() == rig.allNumbers)
        #expect(rig.recovered?.hadTornTail == false)
    }

    @Test func `a log of many segments is read with one of them open at a time`() throws {
        let rig = LogRig(seed: 1, segmentBytes: 2048)
        try rig.start()
        for count in 1...100 {
            rig.append(3)
            #expect(rig.run(untilDurable: count))
        }
        rig.cutPower()
        let disk = CountingDisk(rig.disk)
        let directory = try DataDirectory.open(
            path: "/data", disk: disk, entropy: SeededEntropy(seed: 1), nodeID: "node-1")
        _ = disk.takeMostOpen()
        var numbers: [Int] = []
        let recovered = try WriteAheadLog.recover(in: directory, covered: .none) { record, _ in
            numbers.append(LogRig.number(of: record))
        }
        #expect(numbers == rig.allNumbers)
        #expect(recovered.segments.count > 10)
        // One more is the lock.
        #expect(disk.takeMostOpen() == 2)
        directory.close()
    }

    @Test(arguments: 0..<20)
    func `B01 B03 P01 D05 D07 D08: a crash at any moment loses nothing that was completed`(block: Int) throws {
        for seed in UInt64(block * 50)..<UInt64(block * 50 + 50) {
            let failure = survivalFailure(seed: seed, syncDoesNothing: false)
            #expect(failure == nil, "seed \(seed): \(failure ?? "")")
        }
    }

    /// The control: the same check must notice a disk that only pretends to sync.
    @Test func `without the sync the survival check fails`() {
        let failures = (0..<200).count { survivalFailure(seed: UInt64($0), syncDoesNothing: true) != nil }
        #expect(failures > 20)
    }

    /// Several lives of one log, each ended at a random moment. Returns what went wrong.
    private func survivalFailure(seed: UInt64, syncDoesNothing: Bool) -> String? {
        let rig = LogRig(seed: seed, segmentBytes: 2048)
        rig.disk.faults.syncDoesNothing = syncDoesNothing
        for _ in 0..<6 {
            if rig.generator.chance(1, in: 2) { rig.disk.faults.callsUntilHalt = rig.generator.below(60) }
            do {
                let numbers = try rig.start()
                if !rig.adopt(numbers) {
                    return "read back \(numbers), expected \(rig.durableNumbers) and maybe more of \(rig.allNumbers)"
                }
                live(rig)
            } catch let error as StorageError where !rig.disk.isHalted {
                return "\(error)"
            } catch {
                // The process died while it started.
            }
            if let error = rig.failures.all.first { return "\(error)" }
            if rig.generator.chance(1, in: 3) { rig.kill() } else { rig.cutPower() }
        }
        return nil
    }

    private func live(_ rig: LogRig) {
        for _ in 0..<rig.generator.below(30) {
            let value = rig.generator.chance(1, in: 10) ? 1500 : 8 + rig.generator.below(200)
            rig.append(1 + rig.generator.below(3), valueBytes: value, loop: rig.generator.below(2))
            for _ in 0..<rig.generator.below(12) where !rig.disk.isHalted { rig.scheduler.runOne() }
            if rig.disk.isHalted { return }
        }
    }
}
