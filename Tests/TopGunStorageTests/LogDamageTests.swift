import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// Damage is found, named, and never taken for data or for a torn tail.
@Suite struct LogDamageTests {
    /// A closed log of a few segments and all its numbers.
    private func closedLog(seed: UInt64 = 7, groups: Int = 30) throws -> LogRig {
        let rig = LogRig(seed: seed, segmentBytes: 2048)
        try rig.start()
        for group in 1...groups {
            rig.append(1 + group % 3, loop: group % 2)
            if group % 4 == 0 { _ = rig.run(untilDurable: group) }
        }
        #expect(rig.run(untilDurable: groups))
        rig.close()
        return rig
    }

    private func recover(_ disk: SimulatedDisk, covered: CheckpointCoverage = .none) -> Result<[Int], StorageError> {
        Result { () throws(StorageError) in
            let directory = try DataDirectory.open(path: "/data", disk: disk, entropy: SeededEntropy(seed: 1))
            var numbers: [Int] = []
            _ = try WriteAheadLog.recover(in: directory, covered: covered) { record, _ in
                numbers.append(LogRig.number(of: record))
            }
            return numbers
        }
    }

    @Test func `D06 D09: of a closed log no byte can change without being noticed`() throws {
        let rig = try closedLog()
        let all = rig.allNumbers
        var refused = 0
        for path in rig.disk.paths where path.hasSuffix(".log") {
            for offset in 0..<(rig.disk.content(path)?.count ?? 0) {
                let disk = rig.disk.copy(seed: 1)
                disk.flip(path, at: offset, mask: 1 << UInt8(offset % 8))
                switch recover(disk) {
                case .success(let numbers):
                    #expect(numbers == all, "byte \(offset) of \(path)")
                case .failure(let error):
                    refused += 1
                    #expect([.damagedLog, .newerFormat].contains(error.code), "byte \(offset) of \(path): \(error)")
                }
            }
        }
        #expect(refused > 2000)
    }

    @Test func `D09 D02: what one start reads wrongly is nothing that it writes for the next`() throws {
        var refused = 0
        for kind in [SimulatedDisk.WrongRead.flipped, .misdirected] {
            for reads in 0..<60 {
                let rig = LogRig(seed: UInt64(reads), segmentBytes: 2048)
                try rig.start()
                for group in 1...12 {
                    rig.append(1 + group % 3)
                    #expect(rig.run(untilDurable: group))
                }
                let all = rig.durableNumbers
                rig.kill()
                rig.disk.faults.wrongRead = kind
                rig.disk.faults.readsUntilWrong = reads
                let first = Result { try rig.start() }
                rig.disk.faults.readsUntilWrong = nil
                rig.kill()
                let second = try rig.start()
                switch first {
                // What was taken for a torn tail is gone: a node that is alone cannot tell.
                case .success(let numbers): #expect(second == numbers && all.starts(with: numbers))
                case .failure:
                    refused += 1
                    #expect(second == all)
                }
            }
        }
        #expect(refused > 10)
    }

    @Test func `D06: the last group of a closed log is known to have been durable, however full its segment is`() throws
    {
        for valueBytes in stride(from: 1_500, through: 1_960, by: 20) {
            let rig = LogRig(seed: 3, segmentBytes: 2048)
            try rig.start()
            rig.append(1, valueBytes: valueBytes)
            #expect(rig.run(untilDurable: 1))
            rig.close()
            let path = try #require(rig.disk.paths.first { $0.contains("/segment-") })
            let disk = rig.disk.copy(seed: 1)
            disk.flip(path, at: 1_000, mask: 1)
            switch recover(disk) {
            case .success(let numbers): Issue.record("\(valueBytes) bytes: read \(numbers) past the damage")
            case .failure(let error): #expect(error.code == .damagedLog)
            }
        }
    }

    @Test func `D05: after a crash a changed byte costs at most the groups of the last write`() throws {
        let rig = LogRig(seed: 9, segmentBytes: 4096)
        try rig.start()
        for group in 1...12 {
            rig.append(2)
            #expect(rig.run(untilDurable: group))
        }
        rig.kill()
        let path = "/data/log-0/segment-0000000000000001.log"
        let content = try #require(rig.disk.content(path))
        for offset in content.indices {
            let disk = rig.disk.copy(seed: 1)
            disk.flip(path, at: offset, mask: 0x10)
            switch recover(disk) {
            case .success(let numbers):
                let isWhole = numbers == rig.allNumbers
                #expect(isWhole || numbers == Array(rig.allNumbers.dropLast(2)), "byte \(offset)")
            case .failure(let error):
                #expect([.damagedLog, .newerFormat].contains(error.code), "byte \(offset): \(error)")
            }
        }
    }

    @Test func `D06 D09: a tail that a checkpoint knows of and that is read wrongly is there when it is read again`()
        throws
    {
        let rig = LogRig(seed: 9, segmentBytes: 4096)
        try rig.start()
        for group in 1...12 {
            rig.append(2)
            #expect(rig.run(untilDurable: group))
        }
        var covered = CheckpointCoverage.none
        // Of a partition that has no record here, so that nothing is left out.
        covered.cover(200, to: try #require(rig.log).durablePosition)
        rig.kill()
        let path = "/data/log-0/segment-0000000000000001.log"
        let content = try #require(rig.disk.content(path))
        var refused = 0
        for offset in content.indices {
            let disk = rig.disk.copy(seed: 1)
            disk.flip(path, at: offset, mask: 0x10)
            guard case .failure(let error) = recover(disk, covered: covered) else { continue }
            #expect([.damagedLog, .newerFormat].contains(error.code), "byte \(offset): \(error)")
            refused += 1
            #expect(disk.content(path)?.count == content.count, "byte \(offset): nothing of it was let go")
            guard disk.content(path)?.count == content.count else { return }
            disk.flip(path, at: offset, mask: 0x10)
            #expect(try recover(disk, covered: covered).get() == rig.allNumbers, "byte \(offset)")
        }
        #expect(refused > 500)
    }

    @Test func `D06: the error says where the log is damaged, how far, and what to do`() throws {
        let rig = try closedLog()
        let place = try #require(rig.places.all.first { $0.range.lowerBound.rawValue > 800 })
        rig.disk.flip(
            "/data/log-0/segment-0000000000000001.log", at: 512 + Int(place.range.lowerBound.rawValue) - 8 + 150,
            mask: 1)
        guard case .failure(let error) = recover(rig.disk) else {
            Issue.record("damage in the middle was not noticed")
            return
        }
        #expect(error.code == .damagedLog)
        #expect(error.message.contains("position \(place.range.lowerBound) to \(place.range.upperBound)"))
        #expect(error.message.contains("topgund salvage --data-dir /data"))
    }

    @Test(arguments: [true, false])
    func `D06: the newest segment is not taken for one that was never used because its beginning is gone`(
        isBlank: Bool
    ) throws {
        let rig = LogRig(seed: 7, segmentBytes: 8192)
        try rig.start()
        for group in 1...40 { rig.append(2, loop: group % 2) }
        #expect(rig.run(untilDurable: 40))
        rig.close()
        let path = "/data/log-0/segment-0000000000000002.log"
        let content = try #require(rig.disk.content(path))
        #expect(content[1024..<2048].contains { $0 != 0 }, "groups stand behind what is going to be damaged")
        for offset in 0..<1024 { rig.disk.flip(path, at: offset, mask: isBlank ? content[offset] : 0xa5) }
        guard case .failure(let error) = recover(rig.disk) else {
            Issue.record("the damage was not noticed")
            return
        }
        #expect(error.code == .damagedLog)
        #expect(error.message.contains("segment-0000000000000002.log"))
    }

    @Test func `D06 B16: a sector that cannot be read is damage, never a tail, and the error says what to do`() throws {
        let rig = LogRig(seed: 9, segmentBytes: 4096)
        try rig.start()
        for group in 1...25 {
            rig.append(2)
            #expect(rig.run(untilDurable: group))
        }
        rig.kill()
        var refused = 0
        for path in rig.disk.paths where path.contains("/segment-") {
            for sector in 0..<(try #require(rig.disk.content(path)).count / 512) {
                let disk = rig.disk.copy(seed: 1)
                disk.wearOut(path, bytes: sector * 512..<sector * 512 + 1)
                switch recover(disk) {
                case .success(let numbers): #expect(numbers == rig.allNumbers, "sector \(sector) of \(path)")
                case .failure(let error):
                    refused += 1
                    #expect(error.code == .damagedLog, "sector \(sector) of \(path): \(error)")
                    #expect(error.message.contains("topgund salvage --data-dir /data"))
                }
            }
        }
        #expect(refused > 10)
    }

    @Test func `D10: a segment of another node is refused`() throws {
        let rig = try closedLog()
        let other = LogRig(seed: 8, segmentBytes: 2048)
        try other.start()
        other.append(3)
        #expect(other.run(untilDurable: 1))
        other.close()
        let path = "/data/log-0/segment-0000000000000001.log"
        try overwrite(path, on: rig.disk, with: try #require(other.disk.content(path)))
        guard case .failure(let error) = recover(rig.disk) else {
            Issue.record("a foreign segment was taken")
            return
        }
        #expect(error.code == .foreign)
    }

    @Test func `D10: an older segment in the place of a newer one is refused`() throws {
        let rig = try closedLog()
        let first = try #require(rig.disk.content("/data/log-0/segment-0000000000000001.log"))
        try overwrite("/data/log-0/segment-0000000000000002.log", on: rig.disk, with: first)
        guard case .failure(let error) = recover(rig.disk) else {
            Issue.record("a stale segment was taken")
            return
        }
        #expect(error.code == .foreign)
    }

    @Test(arguments: 1...3) func `a segment that is gone is noticed`(sequence: Int) throws {
        let rig = try closedLog()
        try rig.disk.remove("/data/log-0/segment-000000000000000\(sequence).log")
        guard case .failure(let error) = recover(rig.disk) else {
            Issue.record("segment \(sequence) was not missed")
            return
        }
        #expect(error.code == .damagedLog)
    }

    @Test func `a log that is gone is noticed`() throws {
        let rig = try closedLog()
        for path in rig.disk.paths where path.hasSuffix(".log") { try rig.disk.remove(path) }
        guard case .failure(let error) = recover(rig.disk) else {
            Issue.record("the log was not missed")
            return
        }
        #expect(error.code == .damagedLog)
    }

    @Test(arguments: ["0000000000000000", "ffffffffffffffff"])
    func `a stray file with the name of a segment that cannot be is none`(digits: String) throws {
        let rig = LogRig(seed: 5, segmentBytes: 2048)
        try rig.start()
        rig.append(2)
        #expect(rig.run(untilDurable: 1))
        rig.kill()
        try overwrite("/data/log-0/segment-\(digits).log", on: rig.disk, with: [])
        #expect(try rig.start() == rig.allNumbers)
        rig.kill()
        let empty = SimulatedDisk(seed: 1)
        try empty.createDirectory("/data")
        try empty.createDirectory("/data/log-0")
        let directory = try DataDirectory.open(path: "/data", disk: empty, entropy: SeededEntropy(seed: 1))
        try overwrite("/data/log-0/segment-\(digits).log", on: empty, with: [])
        let recovered = try WriteAheadLog.recover(in: directory, covered: .none) { _, _ in }
        #expect(recovered.nextSequence == 1)
    }

    /// A checksum is no defence against who knows how to make one; it may end the start, but not by a trap.
    @Test(arguments: [Int64.max, .max - 511, .min, -1])
    func `numbers of a header that nobody counts up to are damage, whatever the checksum says`(number: Int64) throws {
        let path = "/data/log-0/segment-0000000000000001.log"
        for field in 0..<4 {
            let rig = try closedLog(groups: 4)
            var content = try #require(rig.disk.content(path))
            let read = FileHeader.read(.segment, Array(content.prefix(FileHeader.bytes)))
            var header = try read.get()
            switch field {
            case 0: header.position = LogPosition(number)
            case 1: header.number = UInt64(bitPattern: number)
            case 2: header.incarnation = UInt64(bitPattern: number)
            default: header.restoreEpoch = UInt64(bitPattern: number)
            }
            content.replaceSubrange(..<FileHeader.bytes, with: header.encoded())
            try overwrite(path, on: rig.disk, with: content)
            guard case .failure(let error) = recover(rig.disk) else {
                Issue.record("field \(field) was believed")
                return
            }
            #expect(error.code == .damagedLog)
            rig.disk.processKill()
            let report = try Salvage.run(path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 2))
            #expect(report.keptRecords == rig.allNumbers.count, "the groups tell where they stand")
        }
    }

    @Test func `D14: recovery reports how far it is`() throws {
        let rig = try closedLog()
        let directory = try DataDirectory.open(path: "/data", disk: rig.disk, entropy: SeededEntropy(seed: 1))
        var last: RecoveryProgress?
        _ = try WriteAheadLog.recover(in: directory, covered: .none, progress: { last = $0 }) { _, _ in }
        #expect(try #require(last).doneBytes == last?.totalBytes)
    }

    private func overwrite(_ path: String, on disk: SimulatedDisk, with content: [UInt8]) throws {
        if try disk.exists(path) { try disk.remove(path) }
        let file = try disk.open(path, .create)
        try content.withUnsafeBytes { try file.write($0, at: 0) }
        try file.sync()
        try disk.syncDirectory("/data/log-0")
    }
}
