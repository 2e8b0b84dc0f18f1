import Testing
import TopGunModel
import TopGunPartition

/// Stamps from the future (design.md rule 7, B19, K07).
@Suite struct RestampTests {
    let wall: Int64 = 1_700_000_000_000
    let ahead: Int64 = 1_700_003_600_000

    private func restamped(_ outcome: Outcome) -> Timestamp? {
        if case .restamped(let millis, let counter) = outcome {
            return Timestamp(millis: millis, counter: counter, node: "server-1")
        }
        return nil
    }

    @Test func `up to a minute ahead is taken as it is`() {
        let group = GroupState.make()
        #expect(group.apply([Write(key: "k", millis: wall + 60_000)], wall: wall) == [.merged])
        #expect(group.stored("k")?.timestamp.millis == wall + 60_000)
    }

    @Test func `a client that understands is told CLOCK_AHEAD and nothing changes`() {
        let group = GroupState.make()
        #expect(
            group.apply([Write(key: "k", millis: wall + 60_001)], rules: .reportsClockAhead, wall: wall)
                == [.refused(.clockAhead)])
        #expect(group.stored("k") == nil)
        #expect(group.log.count == 0)
        #expect(group.clock.millis == 0)
    }

    @Test func `an official client gets our stamp, and its repeats the same one`() throws {
        let group = GroupState.make()
        let write = Write(key: "k", value: [1], millis: ahead, counter: 3)
        let stamp = try #require(restamped(group.apply([write], wall: wall)[0]))
        #expect(stamp.millis == wall)
        #expect(group.stored("k") == LWWRecord(value: Payload([1]), timestamp: stamp))
        #expect(group.apply([write, write], wall: wall + 5).map { restamped($0) } == [stamp, stamp])
        // Somebody else writes, then the late repeat comes: it must not win over the newer write.
        #expect(
            group.apply([Write(key: "k", value: [2], millis: wall + 10, node: "other")], wall: wall + 10) == [.merged])
        #expect(restamped(group.apply([write], wall: wall + 20)[0]) == stamp)
        // Even when its stamp is no longer in the future.
        #expect(restamped(group.apply([write], wall: ahead)[0]) == stamp)
        #expect(group.stored("k")?.value == Payload([2]))
        #expect(group.logged.count == 2)
        // Another write of the same client is judged by itself.
        #expect(group.apply([Write(key: "k", value: [3], millis: wall + 30)], wall: wall + 30) == [.merged])
    }

    @Test func `a restart gives the same answers, from log and from checkpoint`() throws {
        let group = GroupState.make()
        let writes = (0..<50).map {
            Write(key: ByteString("k\($0 % 20)"), value: [UInt8($0)], millis: ahead + Int64($0))
        }
        let stamps = group.apply(writes, wall: wall)
        #expect(stamps.allSatisfy { restamped($0) != nil })
        group.apply([Write(key: "k3", value: [9], millis: wall + 500, node: "other")], wall: wall + 500)
        for source in [group.log, group.checkpoint(bytesLimit: 60)] {
            let restarted = GroupState.make(seed: 99)
            try restarted.load(source)
            #expect(restarted.content == group.content)
            #expect(restarted.apply(writes, wall: wall + 1_000) == stamps)
            #expect(restarted.log.count == 0)
            // And stamps go on above everything that was given out.
            let next = try #require(restamped(restarted.apply([Write(key: "new", millis: ahead)], wall: wall - 99)[0]))
            #expect(next > stamps.compactMap { restamped($0) }.max()!)
        }
    }

    @Test func `pairs are bounded and forgotten after the horizon`() throws {
        var limits = GroupLimits()
        limits.restampsMax = 2
        limits.clientHorizonMillis = 1_000
        let group = GroupState.make(limits: limits)
        let outcomes = group.apply((0..<3).map { Write(key: ByteString("k\($0)"), millis: ahead) }, wall: wall)
        #expect(restamped(outcomes[0]) != nil && restamped(outcomes[1]) != nil)
        #expect(outcomes[2] == .refused(.busy))
        group.expire(wallMillis: wall + 1_000, limit: 10)
        #expect(group.apply([Write(key: "k0", millis: ahead)], wall: wall + 1_000) == [outcomes[0]])
        group.expire(wallMillis: wall + 1_001, limit: 10)
        #expect(restamped(group.apply([Write(key: "k2", millis: ahead)], wall: wall + 1_001)[0]) != nil)
    }

    @Test func `without a higher bound no stamp is given out`() {
        let group = GroupState(
            partitions: GroupState.allPartitions, clock: HybridLogicalClock(node: "server-1", restoredBound: 0),
            hashSeed: 1)
        #expect(group.apply([Write(key: "k", millis: ahead)], wall: wall) == [.refused(.busy)])
        group.clock.raiseBound(to: wall + 10)
        #expect(restamped(group.apply([Write(key: "k", millis: ahead)], wall: wall)[0])?.millis == wall)
    }

    @Test func `dropping a partition forgets its pairs and loading brings them back`() throws {
        let group = GroupState.make()
        let write = Write(key: "k", value: [1], millis: ahead)
        let first = group.apply([write], wall: wall)
        let log = group.takeLog(replacingWith: ByteSink()).log
        group.drop(PartitionID(of: "k"))
        try group.load(log)
        group.open(PartitionID(of: "k"))
        #expect(group.apply([write], wall: wall + 9) == first)
    }
}
