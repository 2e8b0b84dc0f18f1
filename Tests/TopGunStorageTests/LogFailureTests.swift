import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// Full disks are waited for; failing disks end it.
@Suite struct LogFailureTests {
    @Test(arguments: 0..<16)
    func `D01 B13: wherever the disk becomes full, nothing is lost and it goes on when there is room`(part: Int) throws
    {
        for extra in stride(from: part, to: 7000, by: 16 * 5) {
            let rig = LogRig(seed: 3, segmentBytes: 2048)
            rig.disk.faults.capacityBytes = 1024 + 2048 + Int64(extra)
            try rig.start()
            for group in 1...40 {
                rig.append(1 + group % 3, loop: group % 2)
                if group % 5 == 0 { rig.scheduler.run(forMillis: 1) }
            }
            rig.scheduler.run(forMillis: 1000)
            #expect(rig.log?.state == .exhausted, "capacity \(extra)")
            #expect(rig.durable < 40)
            #expect(rig.failures.all.isEmpty, "capacity \(extra): \(rig.failures.all)")

            // What was completed survives a power cut now, and the rest arrives once there is room.
            let copy = LogRig(seed: 4, segmentBytes: 2048, disk: rig.disk.copy(seed: 5))
            copy.disk.faults.capacityBytes = nil
            copy.disk.powerCut()
            let numbers = try copy.start()
            #expect(numbers.starts(with: rig.durableNumbers), "capacity \(extra)")
            #expect(rig.allNumbers.starts(with: numbers), "capacity \(extra)")

            // And a restart while it is still full, if there is room for as much as a start needs.
            let still = LogRig(seed: 6, segmentBytes: 2048, disk: rig.disk.copy(seed: 7))
            still.disk.powerCut()
            var found: [Int]?
            do {
                found = try still.start()
            } catch let error as StorageError {
                #expect(error.code == .noSpace, "capacity \(extra): \(error)")
                still.kill()
                still.disk.faults.capacityBytes = nil
                found = try still.start()
            }
            #expect(found?.starts(with: rig.durableNumbers) == true, "capacity \(extra)")
            still.disk.faults.capacityBytes = nil
            still.append(2)
            #expect(still.run(untilDurable: 1), "capacity \(extra)")

            rig.disk.faults.capacityBytes = nil
            #expect(rig.run(untilDurable: 40), "capacity \(extra)")
            rig.scheduler.run(forMillis: 1000)
            #expect(rig.log?.state == .open)
            rig.close()
            #expect(try rig.start() == rig.allNumbers, "capacity \(extra)")
        }
    }

    @Test func `D01: a disk that is full at the start gives a log that waits`() throws {
        let rig = LogRig(seed: 3, segmentBytes: 4096)
        rig.disk.faults.capacityBytes = 2000
        try rig.start()
        #expect(rig.log?.state == .exhausted)
        rig.append(3)
        rig.scheduler.run(forMillis: 2000)
        #expect(rig.durable == 0)
        rig.disk.faults.capacityBytes = nil
        #expect(rig.run(untilDurable: 1))
        #expect(rig.log?.state == .open)
    }

    @Test func `D01: a first start on a full disk notes where the log begins as soon as there is room`() throws {
        var starts = 0
        for capacity in stride(from: Int64(500), to: 16_000, by: 250) {
            let rig = LogRig(seed: 3, segmentBytes: 4096)
            rig.disk.faults.capacityBytes = capacity
            do {
                try rig.start()
            } catch let error as StorageError {
                #expect(error.code == .noSpace, "capacity \(capacity): \(error)")
                continue
            }
            starts += 1
            rig.append(3)
            rig.scheduler.run(forMillis: 1000)
            rig.disk.faults.capacityBytes = nil
            #expect(rig.run(untilDurable: 1), "capacity \(capacity)")
            rig.scheduler.run(forMillis: 1000)
            #expect(rig.directory?.identity.logStart == .beginning, "capacity \(capacity)")
            #expect(rig.failures.all.isEmpty)

            // A log that is gone is missed from then on.
            rig.cutPower()
            for path in rig.disk.paths where path.contains("/segment-") {
                try rig.disk.remove(path)
            }
            try rig.disk.syncDirectory("/data/log-0")
            #expect(throws: StorageError.self, "capacity \(capacity)") { try rig.start() }
        }
        #expect(starts > 10)
    }

    @Test func `D01: the log says full while a whole segment is still free`() throws {
        let rig = LogRig(seed: 3, segmentBytes: 4096)
        rig.disk.faults.capacityBytes = 1024 + 4096 * 3
        try rig.start()
        rig.append(1)
        #expect(rig.run(untilDurable: 1))
        rig.scheduler.run(forMillis: 10)
        #expect(rig.log?.state == .open)
        while rig.log?.state == .open {
            rig.append(1)
            rig.scheduler.run(forMillis: 1)
        }
        let durable = rig.durable
        for _ in 0..<15 { rig.append(1) }
        #expect(rig.run(untilDurable: durable + 15))
    }

    @Test func `D01 B13: a full disk has room for removals until the reserve is used up, which is filled first`() throws
    {
        let rig = LogRig(seed: 3, segmentBytes: 4096)
        rig.disk.faults.capacityBytes = 1024 + 4096 * 3
        try rig.start()
        #expect(rig.disk.content("/data/log-0/reserve.log")?.count == 4096)
        while rig.log?.state == .open {
            rig.append(1)
            rig.scheduler.run(forMillis: 1)
        }
        var removals = 0
        while rig.log?.state == .full {
            rig.append(1)
            rig.scheduler.run(forMillis: 1)
            removals += 1
        }
        #expect(rig.log?.state == .exhausted)
        #expect(rig.durable == rig.groups.count, "what was taken is on disk")
        #expect(removals * 150 > 4096, "only \(removals)")
        #expect(rig.disk.content("/data/log-0/reserve.log") == nil)
        // What was on its way when it was used up still fits.
        rig.append(1)
        #expect(rig.run(untilDurable: rig.groups.count))

        // Neither a crash in that state nor one after it loses anything.
        let copy = LogRig(seed: 4, segmentBytes: 4096, disk: rig.disk.copy(seed: 5))
        copy.disk.powerCut()
        #expect(try copy.start() == rig.durableNumbers)

        // Room for one more segment becomes the reserve, not a place for writes.
        rig.disk.faults.capacityBytes = rig.disk.usedBytes + 4096
        rig.scheduler.run(forMillis: 1000)
        #expect(rig.log?.state == .full)
        rig.append(1)
        #expect(rig.run(untilDurable: rig.groups.count))
        rig.disk.faults.capacityBytes = nil
        rig.scheduler.run(forMillis: 1000)
        #expect(rig.log?.state == .open)
        #expect(rig.disk.content("/data/log-0/reserve.log")?.count == 4096)
        rig.cutPower()
        #expect(try rig.start() == rig.allNumbers)
    }

    @Test(arguments: 0..<30)
    func `D01 D03: a write that finds no room is tried again at the same place`(writes: Int) throws {
        let rig = LogRig(seed: UInt64(writes), segmentBytes: 2048)
        try rig.start()
        rig.disk.faults.writeFailure = .noSpace
        rig.disk.faults.writesUntilFailure = writes
        for group in 1...25 {
            rig.append(2)
            if group % 3 == 0 { rig.scheduler.run(forMillis: 1) }
        }
        #expect(rig.run(untilDurable: 25))
        #expect(rig.failures.all.isEmpty)
        rig.disk.faults = SimulatedDisk.Faults()
        rig.cutPower()
        #expect(try rig.start() == rig.allNumbers)
    }

    @Test(arguments: 0..<30)
    func `D02 B15: after a failed sync nothing completes any more`(syncs: Int) throws {
        let rig = LogRig(seed: UInt64(syncs), segmentBytes: 2048)
        try rig.start()
        rig.disk.faults.syncsUntilFailure = syncs
        for _ in 1...60 where rig.log?.state != .failed {
            rig.append(2)
            rig.scheduler.run(forMillis: 1)
        }
        let durable = rig.durable
        #expect(rig.log?.state == .failed)
        #expect(rig.failures.all.count == 1)
        #expect(rig.failures.all.first?.cause?.operation == "fdatasync")
        rig.append(1)
        rig.scheduler.run(forMillis: 5000)
        #expect(rig.durable == durable)
        #expect(rig.failures.all.count == 1)

        // Started again by hand: the page cache may pretend, so what is read must be brought to the disk anew.
        rig.kill()
        let numbers = try rig.start()
        #expect(rig.adopt(numbers), "\(numbers)")
        rig.cutPower()
        #expect(try rig.start() == numbers)
    }

    @Test(arguments: [DiskError.Code.noSpace, .tooManyFiles, .other(122)])
    func `D02: a sync that fails is a failure of the disk, whatever it gives as the reason`(reason: DiskError.Code)
        throws
    {
        // In the path of a group, at a new segment's header, and in the recovery of the start after it.
        for syncs in 0..<8 {
            let rig = LogRig(seed: UInt64(syncs), segmentBytes: 2048)
            try rig.start()
            rig.scheduler.run(forMillis: 10)
            rig.disk.faults.syncFailure = reason
            while rig.log?.state == .open {
                rig.disk.faults.syncsUntilFailure = rig.disk.faults.syncsUntilFailure ?? syncs
                rig.append(2)
                rig.scheduler.run(forMillis: 1)
            }
            guard rig.log?.state == .failed else { continue }
            #expect(rig.failures.all.map(\.code) == [.disk])
            rig.kill()
            // One is for the identity, the next for what the recovery writes once more.
            rig.disk.faults.syncsUntilFailure = 1
            let error = #expect(throws: StorageError.self) { try rig.start() }
            #expect(error?.code == .disk)
        }
    }

    @Test func `D02: a segment's header that only the cache has is brought to the disk by the next start`() throws {
        for seed in UInt64(0)..<40 {
            let rig = LogRig(seed: seed, segmentBytes: 2048)
            try rig.start()
            for _ in 1...3 { rig.append(2) }
            #expect(rig.run(untilDurable: 3))
            rig.kill()
            // The start's identity, its recovery, its zeros; then the header of its segment.
            for syncs in 0..<8 {
                let copy = LogRig(seed: seed, segmentBytes: 2048, disk: rig.disk.copy(seed: seed))
                copy.disk.faults.syncsUntilFailure = syncs
                _ = try? copy.start()
                copy.kill()
                copy.disk.faults.syncsUntilFailure = nil
                #expect(try copy.start() == rig.allNumbers)
                copy.cutPower()
                #expect(try copy.start() == rig.allNumbers, "seed \(seed), sync \(syncs)")
            }
        }
    }

    @Test(arguments: 0..<20)
    func `D03: a failed write ends it like a failed sync`(writes: Int) throws {
        let rig = LogRig(seed: UInt64(writes), segmentBytes: 2048)
        try rig.start()
        rig.disk.faults.writesUntilFailure = writes
        for _ in 1...60 {
            rig.append(2)
            rig.scheduler.run(forMillis: 1)
        }
        #expect(rig.log?.state == .failed)
        #expect(rig.failures.all.count == 1)
        rig.cutPower()
        #expect(rig.adopt(try rig.start()))
    }

    @Test func `closing waits for what was appended, and for room`() throws {
        let rig = LogRig(seed: 5, segmentBytes: 2048)
        try rig.start()
        rig.disk.faults.capacityBytes = rig.disk.usedBytes
        for _ in 1...30 { rig.append(2) }
        let isClosed = Flag()
        rig.log?.close(from: rig.loop) { isClosed.raise() }
        rig.scheduler.run(forMillis: 1000)
        #expect(!isClosed.isRaised)
        rig.disk.faults.capacityBytes = nil
        #expect(rig.scheduler.run { isClosed.isRaised })
        rig.scheduler.runUntilIdle()
        #expect(rig.durable == 30)
        #expect(rig.log?.state == .closed)
    }

    @Test(arguments: 1..<20)
    func `D03: a close that waits for room ends when the disk fails, whichever thread finds that`(groups: Int) throws {
        let rig = LogRig(seed: UInt64(groups), segmentBytes: 2048)
        try rig.start()
        rig.disk.faults.capacityBytes = rig.disk.usedBytes
        for _ in 0..<groups + 20 { rig.append(2) }
        let answers = Counter()
        rig.log?.close(from: rig.loop) { answers.add(1) }
        rig.scheduler.run(forMillis: 1000)
        #expect(answers.value == 0)
        // Room for a file, and not for what goes into it.
        rig.disk.faults.capacityBytes = rig.disk.usedBytes + 1
        rig.disk.faults.writesUntilFailure = 0
        rig.scheduler.run(forMillis: 5000)
        #expect(rig.log?.state == .failed)
        #expect(rig.failures.all.count == 1)
        #expect(answers.value == 1)
    }

    @Test func `a group larger than a segment is written whole`() throws {
        let rig = LogRig(seed: 5, segmentBytes: 2048)
        try rig.start()
        rig.append(1)
        rig.append(3, valueBytes: 5000)
        rig.append(1)
        #expect(rig.run(untilDurable: 3))
        rig.cutPower()
        #expect(try rig.start() == rig.allNumbers)
    }

    @Test func `the clock bound is durable with the group that carries it`() throws {
        let rig = LogRig(seed: 5, segmentBytes: 2048)
        try rig.start()
        rig.log?.raiseClockBound(to: 12_345)
        rig.append(1)
        #expect(rig.run(untilDurable: 1))
        for group in 2...40 {
            rig.append(1)
            #expect(rig.run(untilDurable: group))
        }
        rig.cutPower()
        try rig.start()
        #expect(rig.recovered?.clockBound == 12_345)
    }

    @Test func `many waiting groups are made durable by one sync, and complete with one job per loop`() throws {
        let rig = LogRig(seed: 5, segmentBytes: 1 << 16)
        try rig.start()
        for group in 0..<50 { rig.append(1, loop: group % 2) }
        #expect(rig.run(untilDurable: 50))
        #expect(rig.log?.statistics.syncs == 1)
        #expect(rig.log?.statistics.groups == 50)
        #expect(rig.log?.queuedBytes == 0)
    }
}
