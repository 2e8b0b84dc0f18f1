import Testing
import TopGunModel
import TopGunPartition

/// What a group knows of changes since a moment (protocol.md 16, `delta`).
@Suite struct MarkTests {
    private func changed(_ group: GroupState, _ map: MapID, since mark: LeafMark) -> Set<Int> {
        var found: Set<Int> = []
        var next = group.nextLeaf(of: map, from: 0, changedSince: mark)
        while let leaf = next {
            found.insert(leaf)
            next = group.nextLeaf(of: map, from: leaf + 1, changedSince: mark)
        }
        return found
    }

    private func leaf(_ key: ByteString) -> Int { MerkleTree32.leaf(ofKeyHash: KeyHash.of(key)) }

    private func built(_ group: GroupState) throws -> MapID {
        let map = try group.map("map", in: "")
        #expect(group.buildLeaves(of: map, records: .max))
        return map
    }

    @Test func `exactly the leaves of what was written after a moment have changed since`() throws {
        let group = GroupState.make()
        group.apply((0..<100).map { Write(key: ByteString("k\($0)"), value: [1], millis: 1) })
        let map = try built(group)
        let first = group.mark(map)
        #expect(changed(group, map, since: first).isEmpty)
        group.apply([Write(key: "k1", value: [2], millis: 2), Write(key: "new", value: [1], millis: 1)])
        let second = group.mark(map)
        group.apply([
            Write(key: "k2", value: [UInt8](repeating: 9, count: 900), millis: 2), Write(key: "k3", millis: 2),
            Write(key: "k4", value: [7], millis: 0),
        ])
        #expect(changed(group, map, since: first) == Set(["k1", "new", "k2", "k3"].map(leaf)))
        #expect(changed(group, map, since: second) == Set(["k2", "k3"].map(leaf)), "k4 lost to what stands")
        #expect(group.knowsChanges(of: map, since: first) && group.knowsChanges(of: map, since: second))
    }

    @Test func `what was before the map is the beginning, and all of it has changed since`() throws {
        let group = GroupState.make()
        group.apply([Write(key: "a", value: [1], millis: 1)])
        let map = try built(group)
        #expect(group.knowsChanges(of: map, since: .beginning))
        #expect(changed(group, map, since: .beginning) == [leaf("a")])
    }

    @Test func `a moment before leaves were let go, or one that has not come yet, is not known`() throws {
        let group = GroupState.make()
        group.apply([Write(key: "a", value: [1], millis: 1)])
        let map = try built(group)
        let before = group.mark(map)
        group.releaseLeaves(of: map)
        #expect(!group.knowsChanges(of: map, since: before), "there are no leaves")
        #expect(group.buildLeaves(of: map, records: .max))
        #expect(!group.knowsChanges(of: map, since: before))
        let now = group.mark(map)
        #expect(group.knowsChanges(of: map, since: now))
        #expect(!group.knowsChanges(of: map, since: LeafMark(generation: now.generation, revision: now.revision + 1)))
        let sink = ByteSink()
        let partition = PartitionID(hash: KeyHash.of("a"))
        _ = group.slice(partition, from: nil, bytesLimit: .max / 2, into: sink)
        group.drop(partition)
        #expect(!group.knowsChanges(of: map, since: now))
    }

    @Test func `what is loaded into a group that serves has changed too`() throws {
        let (group, other) = (GroupState.make(), GroupState.make(node: "server-2"))
        let map = try built(group)
        let mark = group.mark(map)
        other.apply([Write(key: "a", value: [1], millis: 1)])
        let sink = ByteSink()
        _ = other.slice(PartitionID(hash: KeyHash.of("a")), from: nil, bytesLimit: .max / 2, into: sink)
        try group.load(sink)
        #expect(changed(group, map, since: mark) == [leaf("a")])
    }
}
