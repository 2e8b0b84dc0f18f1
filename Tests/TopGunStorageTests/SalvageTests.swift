import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// A salvage keeps whatever can be read, and its report accounts for the rest to the byte.
@Suite struct SalvageTests {
    private func closedLog(seed: UInt64) throws -> LogRig {
        let rig = LogRig(seed: seed, segmentBytes: 2048)
        try rig.start()
        rig.log?.raiseClockBound(to: 99)
        for group in 1...40 {
            rig.append(1 + group % 3, loop: group % 2)
            if rig.generator.chance(1, in: 3) { _ = rig.run(untilDurable: group) }
        }
        #expect(rig.run(untilDurable: 40))
        rig.close()
        return rig
    }

    private func salvage(_ disk: SimulatedDisk) throws(StorageError) -> SalvageReport {
        try Salvage.run(path: "/data", disk: disk, entropy: SeededEntropy(seed: 2))
    }

    @Test func `B17 O04: a backup that is salvaged again gets an epoch that nobody has heard of`() throws {
        let rig = try closedLog(seed: 3)
        let backup = rig.disk.image
        var epochs: [UInt64] = []
        for nowMillis in [1_000, 1_001] {
            rig.disk.processKill()
            rig.disk.restore(backup)
            let report = try Salvage.run(
                path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 2), nowMillis: Int64(nowMillis))
            epochs.append(report.restoreEpoch)
        }
        #expect(epochs == [1_000, 1_001])
        // A clock that stands before the last salvage does not take the epoch back.
        let report = try Salvage.run(path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 2), nowMillis: 7)
        #expect(report.restoreEpoch == 1_002)
        #expect(try rig.start().count == report.keptRecords)
    }

    @Test func `what a salvage that found no room left behind is out of the way of the next one`() throws {
        let rig = try closedLog(seed: 3)
        func salvage(_ nowMillis: Int64) throws(StorageError) -> SalvageReport {
            defer { rig.disk.processKill() }
            return try Salvage.run(
                path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 2), nowMillis: nowMillis)
        }
        let before = rig.disk.usedBytes
        let whole = rig.disk.copy(seed: 1)
        let report = try Salvage.run(path: "/data", disk: whole, entropy: SeededEntropy(seed: 2), nowMillis: 1)
        let needed = whole.usedBytes - before
        // Besides the records there is the new identity.
        #expect(needed > 4_096)
        rig.disk.faults.capacityBytes = before + needed / 2
        #expect(throws: StorageError.self) { try salvage(1_000) }
        #expect(rig.disk.usedBytes > before)
        rig.disk.faults.capacityBytes = before + needed + 1_024
        #expect(try salvage(2_000).keptRecords == report.keptRecords)
        #expect(!rig.disk.paths.contains { $0.contains("-1000/") })
    }

    @Test(arguments: UInt64(0)..<60)
    func `D06: what is not reported lost is kept, after any damage`(seed: UInt64) throws {
        let rig = try closedLog(seed: seed)
        let logs = rig.disk.paths.filter { $0.hasSuffix(".log") }
        for _ in 0...rig.generator.below(4) {
            let path = logs[rig.generator.below(logs.count)]
            if rig.generator.chance(1, in: 8) {
                try? rig.disk.remove(path)
            } else {
                let offset = rig.generator.below(2048)
                for byte in 0...rig.generator.below(300) { rig.disk.flip(path, at: offset + byte, mask: 0xa5) }
            }
        }
        let report = try salvage(rig.disk)
        let kept = Set(try rig.start())
        #expect(kept.count == report.keptRecords)
        #expect(kept.isSubset(of: rig.allNumbers))
        for place in rig.places.all where !kept.isSuperset(of: place.numbers) {
            // Groups at the very end may look as if they had never been; the rest is accounted for.
            let isReported = report.losses.contains {
                $0.from < place.range.upperBound && place.range.lowerBound < $0.to
            }
            let isTail = rig.places.all.allSatisfy {
                $0.range.lowerBound < place.range.lowerBound || kept.isDisjoint(with: $0.numbers)
            }
            #expect(isReported || isTail, "\(place) is missing and not reported")
        }
        for loss in report.losses {
            for place in rig.places.all where loss.from <= place.range.lowerBound && place.range.upperBound <= loss.to {
                #expect(kept.isDisjoint(with: place.numbers), "\(place) is reported lost and there")
            }
        }
    }

    @Test func `an undamaged log is kept whole, with the clock bound and a new restore epoch`() throws {
        let rig = try closedLog(seed: 1)
        let report = try salvage(rig.disk)
        #expect(report.losses.isEmpty)
        #expect(report.restoreEpoch == 1)
        #expect(try rig.start() == rig.allNumbers)
        #expect(rig.directory?.identity.restoreEpoch == 1)
        #expect(rig.recovered?.clockBound == 99)
        let last = try #require(rig.places.all.last)
        #expect(try #require(rig.recovered).end > last.range.upperBound)
        // Life goes on in the new epoch.
        rig.append(3)
        #expect(rig.run(untilDurable: 41))
        rig.cutPower()
        #expect(try rig.start() == rig.allNumbers)
        rig.close()
        #expect(try salvage(rig.disk).restoreEpoch == 2)
        #expect(try rig.start() == rig.allNumbers)
    }

    @Test func `the report names file, positions and partitions`() throws {
        let rig = try closedLog(seed: 1)
        let place = rig.places.all[2]
        let path = "/data/log-0/segment-0000000000000001.log"
        // In the payload, so that the header still says what is lost.
        rig.disk.flip(path, at: 512 + Int(place.range.lowerBound.rawValue) - 8 + GroupHeader.bytes + 3, mask: 1)
        let report = try salvage(rig.disk)
        #expect(
            report.losses == [
                SalvageReport.Loss(
                    file: path, from: place.range.lowerBound, to: place.range.upperBound,
                    partitions: PartitionSet(place.numbers.map { $0 % LogRig.partitions }))
            ])
        #expect(report.keptRecords == rig.allNumbers.count - place.numbers.count)
        #expect(
            report.lines.contains { $0.contains("positions \(place.range.lowerBound) to \(place.range.upperBound)") })
    }

    @Test func `a salvage that is interrupted anywhere can be started again`() throws {
        let rig = try closedLog(seed: 1)
        rig.disk.flip("/data/log-0/segment-0000000000000002.log", at: 900, mask: 1)
        let expected = try salvage(rig.disk.copy(seed: 1))
        for call in 0..<200 {
            let disk = rig.disk.copy(seed: UInt64(call))
            disk.faults.callsUntilHalt = call
            let first = try? salvage(disk)
            disk.powerCut()
            let report = try salvage(disk)
            #expect(report.keptRecords == expected.keptRecords, "call \(call)")
            if let first {
                #expect(first.restoreEpoch == 1)
                #expect(report.restoreEpoch == 2)
                break
            }
            #expect(call < 199, "the salvage never came to its end")
        }
    }

    @Test func `D09 B16: a sector that cannot be read costs what is in it, and not the salvage`() throws {
        let rig = try closedLog(seed: 1)
        var lossy = 0
        for path in rig.disk.paths where path.contains("/segment-") {
            for sector in 0..<(try #require(rig.disk.content(path)).count / 512) {
                let disk = rig.disk.copy(seed: 1)
                disk.wearOut(path, bytes: sector * 512..<sector * 512 + 1)
                let report = try salvage(disk)
                let copy = LogRig(seed: 2, segmentBytes: 2048, disk: disk)
                let kept = Set(try copy.start())
                #expect(kept.count == report.keptRecords)
                let missing = rig.places.all.filter { !kept.isSuperset(of: $0.numbers) }
                #expect(missing.count <= 4, "sector \(sector) of \(path)")
                for place in missing {
                    lossy += 1
                    let isReported = report.losses.contains {
                        $0.from < place.range.upperBound && place.range.lowerBound < $0.to
                    }
                    #expect(isReported, "sector \(sector) of \(path): \(place) is missing and not reported")
                }
            }
        }
        #expect(lossy > 20)
    }

    @Test func `B16: a disk that gives back too little is a failure of the disk, not a loss that is accepted`() throws {
        let rig = LogRig(seed: 1, segmentBytes: 4 << 20)
        try rig.start()
        rig.append(1, valueBytes: 3 << 20)
        #expect(rig.run(untilDurable: 1))
        rig.close()
        let path = "/data/log-0/segment-0000000000000001.log"
        rig.disk.wearOut(path, bytes: 1024..<1024 + 512 * (Limits.unreadableSectorsMax + 1))
        let error = #expect(throws: StorageError.self) { try self.salvage(rig.disk) }
        #expect(error?.code == .disk)
        #expect(rig.disk.content("/data/log-1/segment-0000000000000001.log") != nil)
        let directory = try DataDirectory.open(path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 1))
        #expect(directory.identity.restoreEpoch == 0)
    }

    @Test func `what is no data directory is not salvaged, nor made one`() throws {
        let disk = SimulatedDisk(seed: 1)
        try disk.createDirectory("/empty")
        for path in ["/typo", "/empty"] {
            let error = #expect(throws: StorageError.self) {
                try Salvage.run(path: path, disk: disk, entropy: SeededEntropy(seed: 2))
            }
            #expect(error?.code == .missing)
            #expect(error?.message.contains("--data-dir") == true)
        }
        #expect(disk.paths.isEmpty)
        #expect(try !disk.exists("/typo"))
        // Data without an identity is another matter.
        let rig = try closedLog(seed: 1)
        try rig.disk.remove("/data/identity")
        let error = #expect(throws: StorageError.self) { try self.salvage(rig.disk) }
        #expect(error?.code == .damagedIdentity)
    }

    @Test func `a full disk stops a salvage and leaves everything as it was`() throws {
        let rig = try closedLog(seed: 1)
        rig.disk.flip("/data/log-0/segment-0000000000000002.log", at: 900, mask: 1)
        let expected = try salvage(rig.disk.copy(seed: 1)).keptRecords
        rig.disk.faults.capacityBytes = rig.disk.usedBytes + 2000
        let error = #expect(throws: StorageError.self) { try self.salvage(rig.disk) }
        #expect(error?.code == .noSpace)
        rig.disk.faults.capacityBytes = nil
        #expect(try salvage(rig.disk).keptRecords == expected)
    }
}
