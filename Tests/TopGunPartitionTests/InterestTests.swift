import Testing
import TopGunModel
import TopGunPartition
import TopGunQuery

@Suite struct InterestTests {
    /// MessagePack of `{"s": n}`.
    private func value(_ number: UInt8, extra: UInt8 = 0) -> [UInt8] { [0x82, 0xa1, 0x73, number, 0xa1, 0x78, extra] }

    private func whereStatus(is number: UInt8) throws -> QueryFilter {
        try ([0x81, 0xa1, 0x73, number] as [UInt8]).withUnsafeBytes { try QueryFilter(whereMap: $0) }
    }

    @Test func `changes are listed for watched maps only, with author and record`() throws {
        let group = GroupState.make()
        let map = try group.map("watched", in: "")
        group.watch(map)
        group.watch(map)
        group.unwatch(map)
        group.apply(
            [
                Write(map: "watched", key: "a", value: [1], millis: 1),
                Write(map: "other", key: "b", value: [1], millis: 1),
                Write(map: "watched", key: "a", value: [1], millis: 1),
                Write(map: "watched", key: "c", value: [2], millis: 1),
            ], author: 42)
        #expect(group.changes.map(\.map) == [map, map])
        #expect(group.changes.map(\.author) == [42, 42])
        #expect(group.changes.map { group.logged(at: $0.offset).key } == ["a", "c"])
        _ = group.takeLog(replacingWith: ByteSink())
        #expect(group.changes.isEmpty)
        group.unwatch(map)
        group.apply([Write(map: "watched", key: "d", value: [1], millis: 1)])
        #expect(group.changes.isEmpty)
    }

    @Test func `a subscription is told of ENTER, UPDATE and LEAVE`() throws {
        let group = GroupState.make()
        let map = try group.map("map", in: "")
        try group.subscribe(7, to: map, filter: whereStatus(is: 1))
        try group.subscribe(9, to: map, filter: .everything)
        func changes(_ write: Write) -> [UInt64: QueryChange.Kind] {
            _ = group.takeLog(replacingWith: ByteSink())
            group.apply([write])
            for change in group.queryChanges { #expect(group.logged(at: change.offset).key == write.key) }
            return Dictionary(uniqueKeysWithValues: group.queryChanges.map { ($0.subscription, $0.kind) })
        }
        #expect(changes(Write(key: "k", value: value(2), millis: 1)) == [9: .enter])
        #expect(changes(Write(key: "k", value: value(1), millis: 2)) == [7: .enter, 9: .update])
        #expect(changes(Write(key: "k", value: value(1, extra: 5), millis: 3)) == [7: .update, 9: .update])
        // The same bytes with a newer stamp: nothing that anybody sees.
        #expect(changes(Write(key: "k", value: value(1, extra: 5), millis: 4)) == [:])
        // A repeat and an older write: nothing at all.
        #expect(changes(Write(key: "k", value: value(2), millis: 4)) == [:])
        #expect(changes(Write(key: "k", value: value(2), millis: 3)) == [:])
        #expect(changes(Write(key: "k", value: value(2), millis: 5)) == [7: .leave, 9: .update])
        #expect(changes(Write(kind: .remove, key: "k", millis: 6)) == [9: .leave])
        #expect(changes(Write(kind: .remove, key: "k", millis: 7)) == [:])
        #expect(changes(Write(map: "else", key: "k", value: value(1), millis: 8)) == [:])
        // The same number again replaces the subscription.
        try group.subscribe(9, to: map, filter: whereStatus(is: 3))
        #expect(changes(Write(key: "l", value: value(1), millis: 9)) == [7: .enter])
        group.unsubscribe(7)
        group.unsubscribe(7)
        #expect(changes(Write(key: "l", value: value(3), millis: 10)) == [9: .enter])
        group.unsubscribe(9)
        #expect(changes(Write(key: "l", value: value(4), millis: 11)) == [:])
    }

    @Test func `the end of a lifetime is a LEAVE`() throws {
        let group = GroupState.make()
        let map = try group.map("map", in: "")
        group.watch(map)
        try group.subscribe(1, to: map, filter: whereStatus(is: 1))
        group.apply(
            [
                Write(key: "k", value: value(1), millis: 100, ttlMillis: 50),
                Write(key: "l", value: value(2), millis: 100, ttlMillis: 50),
            ], wall: 100)
        _ = group.takeLog(replacingWith: ByteSink())
        #expect(group.expire(wallMillis: 10_000, limit: 10) == 2)
        #expect(group.queryChanges.map(\.kind) == [.leave])
        #expect(group.logged(at: group.queryChanges[0].offset).key == "k")
        #expect(group.changes.map(\.author) == [0, 0])
        // Written anew after its end but before it was buried: those who came late do not have it.
        group.apply([Write(key: "m", value: value(1), millis: 100, ttlMillis: 50)], wall: 100)
        _ = group.takeLog(replacingWith: ByteSink())
        group.apply([Write(key: "m", value: value(1), millis: 200)], wall: 200)
        #expect(group.queryChanges.map(\.kind) == [.enter])
    }

    @Test func `subscriptions are limited`() throws {
        var limits = GroupLimits()
        limits.subscriptionsMax = 1
        let group = GroupState.make(limits: limits)
        let map = try group.map("map", in: "")
        try group.subscribe(1, to: map, filter: .everything)
        try group.subscribe(1, to: map, filter: .everything)
        #expect(throws: PartitionError(code: .full)) { try group.subscribe(2, to: map, filter: .everything) }
    }

    /// M19: what is refused for lack of room is not published either.
    @Test func `a refused write leaves no trace`() throws {
        var limits = GroupLimits()
        limits.recordsMax = 0
        let group = GroupState.make(limits: limits)
        let map = try group.map("map", in: "")
        group.watch(map)
        try group.subscribe(1, to: map, filter: .everything)
        #expect(group.apply([Write(key: "k", value: [1], millis: 1)]) == [.refused(.nodeFull)])
        #expect(group.changes.isEmpty && group.queryChanges.isEmpty && group.log.count == 0)
        #expect(group.clock.millis == 0)
    }
}
