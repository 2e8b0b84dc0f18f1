import Testing
import TopGunModel
import TopGunPartition
import TopGunQuery

/// Lifetimes while a partition is torn down and rebuilt: half of what it holds says nothing about the other half.
@Suite struct ExpiryRebuildTests {
    private static let grace: Int64 = 10

    private func group() -> GroupState {
        var limits = GroupLimits()
        limits.expiryGraceMillis = Self.grace
        return GroupState.make(limits: limits)
    }

    /// What two versions of a key look like in a checkpoint and in the log.
    private func versions(_ first: Write, _ second: Write) -> (ByteSink, ByteSink) {
        let source = group()
        source.apply([first], wall: first.millis)
        let checkpoint = source.checkpoint()
        _ = source.takeLog(replacingWith: ByteSink())
        source.apply([second], wall: second.millis)
        let (log, _) = source.takeLog(replacingWith: ByteSink())
        return (checkpoint, log)
    }

    /// The later version is stamped before the end of the earlier one, at it, or after it.
    @Test(arguments: [120, 150, 151, 400] as [Int64])
    func `a record whose later version is not loaded yet is not buried`(later: Int64) throws {
        let (checkpoint, log) = versions(
            Write(key: "k", value: [1], millis: 100, ttlMillis: 50), Write(key: "k", value: [2], millis: later))
        let group = group()
        try group.load(checkpoint)
        try group.load(log)
        let map = try #require(group.existingMap("map", in: ""))
        try group.subscribe(1, to: map, filter: .everything)
        group.watch(map)

        group.drop(PartitionID(of: "k"))
        try group.load(checkpoint)
        #expect(group.expire(wallMillis: 10_000, limit: 10) == 0)
        #expect(group.stored("k")?.isTombstone == false)
        #expect(group.nextExpiryMillis == nil, "there is nothing to do until it is open")
        try group.load(log)
        #expect(group.expire(wallMillis: 10_000, limit: 10) == 0)
        group.open(PartitionID(of: "k"))
        #expect(group.expire(wallMillis: 10_000, limit: 10) == 0)
        #expect(group.stored("k")?.value == Payload([2]))
        #expect(group.queryChanges.isEmpty && group.changes.isEmpty && group.log.count == 0)
    }

    @Test func `what is over when its partition is open again is buried then, and the others meanwhile`() throws {
        let group = group()
        let keys = (0..<200).map { ByteString("k\($0)") }
        group.apply(keys.map { Write(key: $0, value: [1], millis: 100, ttlMillis: 50) }, wall: 100)
        let partition = PartitionID(of: "k7")
        let sink = ByteSink()
        _ = group.slice(partition, from: nil, bytesLimit: .max / 2, into: sink)
        let inside = keys.filter { PartitionID(of: $0) == partition }

        group.drop(partition)
        try group.load(sink)
        #expect(group.expire(wallMillis: 1_000, limit: 1_000) == keys.count - inside.count)
        for key in keys { #expect(group.stored(key)?.isTombstone == (PartitionID(of: key) != partition)) }
        // Torn down again: nothing of the first time is left over.
        group.drop(partition)
        #expect(group.expire(wallMillis: 1_000, limit: 1_000) == 0)
        try group.load(sink)
        group.open(partition)
        #expect(group.nextExpiryMillis.map { $0 <= 1_000 } == true)
        #expect(group.expire(wallMillis: 1_000, limit: 1_000) == inside.count)
        for key in keys { #expect(group.stored(key)?.isTombstone == true) }
        #expect(group.nextExpiryMillis == nil && group.expiryQueueCount == 0)
    }

    @Test func `removing and writing again with the same end does not pile up in the queue`() {
        let group = group()
        let end: Int64 = 10_000_000
        for round in 0..<10_000 {
            let millis = Int64(2 * round)
            group.apply(
                [
                    Write(kind: .remove, key: "k", millis: millis),
                    Write(key: "k", value: [1, 2], millis: millis + 1, ttlMillis: end - millis - 1),
                ], wall: 0)
            if round % 100 == 0 { group.expire(wallMillis: 0, limit: 100) }
        }
        #expect(group.expiryQueueCount <= 1_200)
        #expect(group.expire(wallMillis: end + 11, limit: 10_000) == 1)
        #expect(group.stored("k")?.isTombstone == true)
    }
}
