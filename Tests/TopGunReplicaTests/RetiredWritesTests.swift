import Testing
import TopGunModel

@testable import TopGunReplica

@Suite struct RetiredWritesTests {
    @Test func `writes that rise to the database leave nothing behind`() {
        var writes = RetiredWrites()
        for id in 1...UInt64(10 * ReplicaLimits.retiredWritesMax) {
            writes.insert(WriteID(id), id: id, map: "m", key: "k")
            #expect(writes.take(id)?.id == id)
        }
        #expect(writes.orderedCount <= 2 * ReplicaLimits.retiredWritesMax)
    }

    @Test func `of too many the oldest are forgotten`() {
        var writes = RetiredWrites()
        let count = UInt64(ReplicaLimits.retiredWritesMax)
        for id in 1...3 * count { writes.insert(WriteID(id), id: id, map: "m", key: "k") }
        #expect(writes.take(2 * count) == nil)
        #expect(writes.take(2 * count + 1)?.outcome == .reached(.persisted))
        #expect(writes.take(2 * count + 1) == nil)
    }
}
