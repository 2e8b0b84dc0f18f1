import Testing
import TopGunModel

@testable import TopGunPartition

/// Checks of the memory (promises.md D09): whole memory passes at any time, and what is said twice cannot change unseen.
@Suite struct CheckTests {
    private static let keys = 300

    private func filled(leaves: Bool = true) throws -> (group: GroupState, map: MapID) {
        let group = GroupState.make()
        let map = try group.map("a", in: "")
        if leaves { _ = group.buildLeaves(of: map, records: .max) }
        for number in 0..<Self.keys {
            group.apply([
                Write(
                    map: number % 3 == 0 ? "b" : "a", key: ByteString("key-\(number)"),
                    value: number % 10 == 9 ? [0xc0] : [0xc4, 40] + [UInt8](repeating: 7, count: 40),
                    millis: Int64(1 + number), counter: UInt32(number % 4),
                    node: number % 2 == 0 ? "node-a" : "node-b", ttlMillis: number % 5 == 0 ? 900_000 : 0)
            ])
        }
        return (group, map)
    }

    /// Everything that one round finds.
    private func round(_ group: GroupState, visits: Int = 1_000) -> CheckFindings {
        var cursor = CheckCursor()
        var all = CheckFindings()
        for _ in 0..<100_000 {
            let findings = group.check(&cursor, visits: visits)
            all.broken += findings.broken
            all.breakage += findings.breakage
            all.leavesReleased += findings.leavesReleased
            if findings.isRoundDone { return all }
        }
        Issue.record("a round has no end")
        return all
    }

    @Test(arguments: 0..<8) func `whole memory passes, whatever was done to it meanwhile`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let group = GroupState.make()
        let map = try group.map("a", in: "")
        var cursor = CheckCursor()
        var rounds = 0
        for step in 0..<4_000 {
            group.apply([
                Write(
                    map: ["a", "b"].randomElement(using: &random)!,
                    key: ByteString("k\(Int.random(in: 0..<400, using: &random))"),
                    value: Int.random(in: 0..<8, using: &random) == 0
                        ? [0xc0] : random.bytes(Int.random(in: 2...400, using: &random)),
                    millis: Int64(step), ttlMillis: [0, 0, 50, 3_000].randomElement(using: &random)!)
            ])
            if step % 7 == 0 { group.expire(wallMillis: Int64(step), limit: 3) }
            if step % 500 == 100 { _ = group.buildLeaves(of: map, records: 60) }
            if step % 900 == 899 {
                let partition = PartitionID(Int.random(in: 0..<PartitionID.count, using: &random))
                let sink = ByteSink()
                _ = group.slice(partition, from: nil, bytesLimit: .max / 2, into: sink)
                group.drop(partition)
                try group.load(sink)
                group.open(partition)
            }
            let findings = group.check(&cursor, visits: Int.random(in: 1...900, using: &random))
            rounds += findings.isRoundDone ? 1 : 0
            #expect(findings.broken == [] && findings.leavesReleased == 0, "seed \(seed), step \(step)")
        }
        #expect(rounds > 20)
        #expect(!group.hasBroken)
    }

    @Test(arguments: 0..<48) func `D09: no bit of a record's header can change without being noticed`(offset: Int)
        throws
    {
        for bit in 0..<8 {
            let (group, map) = try filled()
            let key: ByteString = "key-10"
            #expect(group.damage(key, in: map, at: offset, mask: 1 << UInt8(bit)))
            let findings = round(group)
            #expect(findings.broken == [PartitionID(of: key)], "byte \(offset), bit \(bit)")
            // Nothing that it says is believed when it is forgotten.
            group.drop(PartitionID(of: key))
            expectCounted(group, without: PartitionID(of: key))
            #expect(round(group) == CheckFindings(), "byte \(offset), bit \(bit)")
        }
    }

    /// What is left is counted as if the partition had never been there.
    private func expectCounted(_ group: GroupState, without partition: PartitionID) {
        let names: [ByteString] = ["a", "b"]
        for name in names {
            guard let map = group.existingMap(name, in: "") else { continue }
            let kept = (0..<Self.keys).filter {
                ($0 % 3 == 0) == (name == "b") && PartitionID(of: ByteString("key-\($0)")) != partition
            }
            #expect(group.summary(of: map).records == kept.count)
            #expect(group.summary(of: map).liveRecords == kept.count { $0 % 10 != 9 })
        }
    }

    @Test func `D09: no byte of a key or of a slot's tag can change without being noticed`() throws {
        for offset in 48..<54 {
            let (group, map) = try filled(leaves: false)
            #expect(group.damage("key-10", in: map, at: offset, mask: 0x10))
            #expect(round(group).breakage == [.key], "byte \(offset)")
        }
        for offset in 6..<8 {
            let (group, map) = try filled(leaves: false)
            #expect(group.damageSlot(of: "key-10", in: map, at: offset, mask: 0x10))
            #expect(round(group).breakage == [.unreachable], "byte \(offset)")
        }
    }

    @Test func `D09: a record that its table has lost is found missing, and no leaf keeps it`() throws {
        let (group, map) = try filled()
        let right = group.merkleTree(of: map)
        let partition = PartitionID(of: "key-10")
        let sink = ByteSink()
        #expect(group.slice(partition, from: nil, bytesLimit: .max / 2, into: sink) == nil)
        #expect(group.damageSlot(of: "key-10", in: map, at: 0, mask: 0x04))
        #expect(round(group).breakage == [.address])
        group.drop(partition)
        expectCounted(group, without: partition)
        #expect(round(group) == CheckFindings())
        try group.load(sink)
        group.open(partition)
        #expect(group.merkleTree(of: map) == right)
        #expect(round(group) == CheckFindings())
    }

    @Test func `D09: a partition that counts what is not there is broken`() throws {
        let (group, _) = try filled(leaves: false)
        group.damageCounts(of: PartitionID(of: "key-10"))
        let findings = round(group)
        #expect(findings.broken == [PartitionID(of: "key-10")])
        #expect(findings.breakage == [.counts])
    }

    @Test func `D09: leaves that are wrong are let go, and built anew from the records`() throws {
        let (group, map) = try filled()
        let right = group.merkleTree(of: map)
        #expect(group.damageLeaf(of: "key-10", in: map))
        #expect(group.merkleTree(of: map) != right)
        #expect(round(group).leavesReleased == 1)
        #expect(group.merkleTree(of: map) == right)
        #expect(round(group) == CheckFindings())
    }

    @Test func `a write that meets a broken record is not taken, and the partition shows to be broken`() throws {
        let (group, map) = try filled(leaves: false)
        #expect(group.damage("key-10", in: map, at: 17, mask: 0x10))
        #expect(
            group.apply([Write(map: "a", key: "key-11", millis: 900), Write(map: "a", key: "key-10", millis: 900)])
                == [.merged, .refused(.notReady)])
        #expect(group.hasBroken)
        let broken = try #require(group.takeBroken())
        #expect(broken.0 == PartitionID(of: "key-10") && broken.1 == .key)
        #expect(!group.hasBroken)
    }

    @Test func `no checkpoint is written of a broken record`() throws {
        let (group, map) = try filled(leaves: false)
        let partition = PartitionID(of: "key-10")
        #expect(group.damage("key-10", in: map, at: 24, mask: 0x01))
        let sink = ByteSink()
        #expect(group.slice(partition, from: nil, bytesLimit: .max / 2, into: sink) == nil)
        #expect(group.takeBroken()?.1 == .lengths)
        var offset = 0
        while let record = StoredRecord(in: sink.bytes, at: &offset) {
            #expect(ByteString(copying: record.key) != "key-10")
        }
    }
}
