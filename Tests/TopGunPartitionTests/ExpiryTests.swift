import Testing
import TopGunModel
import TopGunPartition

/// Lifetimes (protocol.md 9.4).
@Suite struct ExpiryTests {
    private func group() -> GroupState {
        var limits = GroupLimits()
        limits.expiryGraceMillis = 10
        return GroupState.make(limits: limits)
    }

    @Test func `an expired record becomes a tombstone after the grace, at the end of its lifetime`() {
        let group = group()
        group.apply([Write(key: "k", value: [1], millis: 100, counter: 5, node: "zzz", ttlMillis: 50)], wall: 100)
        #expect(group.nextExpiryMillis == 161)
        #expect(group.expire(wallMillis: 160, limit: 10) == 0)
        #expect(group.stored("k")?.ttlMillis == 50)
        #expect(group.expire(wallMillis: 161, limit: 10) == 1)
        let tombstone = LWWRecord(value: .tombstone, timestamp: Timestamp(millis: 150, counter: 0, node: "server-1"))
        #expect(group.stored("k") == tombstone)
        #expect(group.logged.last == Record(key: "k", record: tombstone))
        #expect(group.nextExpiryMillis == nil)
        #expect(group.expire(wallMillis: .max / 2, limit: 10) == 0)
        // It beats a repeat of the expired record and nothing newer.
        #expect(
            group.apply([Write(key: "k", value: [1], millis: 100, counter: 5, node: "zzz", ttlMillis: 50)], wall: 200)
                == [.superseded])
        #expect(group.apply([Write(key: "k", value: [2], millis: 151)], wall: 200) == [.merged])
    }

    @Test func `a record written again lives as long as its last write says`() {
        let group = group()
        group.apply(
            [
                Write(key: "longer", value: [1], millis: 100, ttlMillis: 50),
                Write(key: "shorter", value: [1], millis: 100, ttlMillis: 500),
                Write(key: "forever", value: [1], millis: 100, ttlMillis: 50),
                Write(kind: .remove, key: "gone", millis: 99, ttlMillis: 50),
            ], wall: 100)
        group.apply(
            [
                Write(key: "longer", value: [1], millis: 110, ttlMillis: 500),
                Write(key: "shorter", value: [1], millis: 110, ttlMillis: 5),
                Write(key: "forever", value: [1], millis: 110),
            ], wall: 110)
        #expect(group.expire(wallMillis: 200, limit: 10) == 1)
        #expect(group.stored("shorter")?.isTombstone == true)
        #expect(group.stored("longer")?.isTombstone == false)
        #expect(group.expire(wallMillis: 630, limit: 10) == 1)
        #expect(group.stored("longer")?.isTombstone == true)
        #expect(group.stored("forever")?.value == Payload([1]))
        #expect(group.stored("gone")?.timestamp.millis == 99)
    }

    @Test(arguments: 0..<10) func `expiry equals a naive model`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let group = group()
        var model: [ByteString: LWWRecord] = [:]
        for now in stride(from: Int64(1_000), to: 1_400, by: 4) {
            let writes = (0..<20).map { _ in
                Write(
                    key: ByteString("k\(Int.random(in: 0..<60, using: &random))"),
                    value: Int.random(in: 0..<6, using: &random) == 0
                        ? [0xc0] : random.bytes(Int.random(in: 2...90, using: &random)),
                    millis: now + Int64.random(in: -3...3, using: &random),
                    ttlMillis: [0, 1, 7, 60, 200].randomElement(using: &random)!)
            }
            group.apply(writes, wall: now)
            for write in writes {
                let record = LWWRecord(
                    value: Payload(write.value),
                    timestamp: Timestamp(millis: write.millis, counter: 0, node: write.node),
                    ttlMillis: write.ttlMillis)
                if let old = model[write.key], !record.replaces(old, tie: .repeatChangesNothing) { continue }
                model[write.key] = record
            }
            if seed % 2 == 0, now % 40 == 0 {
                let partition = PartitionID(of: "k7")
                let sink = ByteSink()
                _ = group.slice(partition, from: nil, bytesLimit: .max / 2, into: sink)
                group.drop(partition)
                try group.load(sink)
                group.open(partition)
            }
            if now % 3 == 0 {
                while let next = group.nextExpiryMillis, next <= now { group.expire(wallMillis: now, limit: 3) }
                for (key, record) in model where record.ttlMillis > 0 && !record.isTombstone {
                    let end = record.timestamp.millis + record.ttlMillis
                    guard end + 10 < now else { continue }
                    model[key] = LWWRecord(
                        value: .tombstone, timestamp: Timestamp(millis: end, counter: 0, node: "server-1"))
                }
                for (key, record) in model { #expect(group.stored(key) == record, "seed \(seed)") }
            }
        }
    }

    @Test func `writing again and again does not pile up in the queue`() {
        let group = group()
        for round in 0..<20_000 {
            // Ever earlier ends, the worst case.
            group.apply(
                [Write(key: "k", value: [1], millis: Int64(round), ttlMillis: Int64(1_000_000 - 20 * round))], wall: 0)
            if round % 100 == 0 { group.expire(wallMillis: 0, limit: 100) }
        }
        #expect(group.expiryQueueCount <= 1_200)
    }

    /// K04: the wall steps back after a lifetime ended; what we stamp then still wins over the removal.
    @Test func `a stamp given out after an expiry is later than the removal`() {
        let group = group()
        group.apply([Write(key: "k", value: [1], millis: 1_000, ttlMillis: 50_000)], wall: 1_000)
        #expect(group.expire(wallMillis: 100_000, limit: 1) == 1)
        let outcome = group.apply([Write(key: "k", value: [2], millis: 900_000)], wall: 2_000)[0]
        guard case .restamped(let millis, _) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(millis >= 51_000)
        #expect(group.stored("k")?.value == Payload([2]))
    }
}
