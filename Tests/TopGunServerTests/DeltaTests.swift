import Testing
import TopGunModel
import TopGunPartition
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

@Suite struct SyncCursorTests {
    @Test func `a cursor is read back by the process and the number of loops that wrote it, and by no other`() {
        let cursor = SyncCursor(marks: [.beginning, LeafMark(generation: 3, revision: .max)])
        let text = cursor.text(incarnation: 0xabc)
        #expect(SyncCursor(text, incarnation: 0xabc, loops: 2) == cursor)
        #expect(SyncCursor(text, incarnation: 0xabd, loops: 2) == nil)
        #expect(SyncCursor(text, incarnation: 0xabc, loops: 3) == nil)
    }

    @Test(arguments: [
        "", "-", "abc", "abc-", "abc-1", "abc-1.", "abc-1.2.3", "abc-1.-2", "abc-1.4294967296", "abc-é.1",
    ])
    func `what nobody made is none`(_ text: String) {
        #expect(SyncCursor(ByteString(text), incarnation: 0xabc, loops: 1) == nil)
    }
}

/// What changed since a client last compared a map (protocol.md 16, `delta`).
@Suite struct DeltaTests {
    /// A client's copy of the map, as far as these tests need one.
    private struct Copy {
        var records: [ByteString: LWWRecord] = [:]
        /// The cursor of the last root that was equal, and of the last root.
        var cursor: ByteString?
        var offered: ByteString?
        /// Of the last sync.
        var received = 0
        var isEqual = false

        var root: UInt32 {
            var tree = MerkleTree32()
            for (key, record) in records { tree.add(item: record.merkleItem(key: key), keyHash: KeyHash.of(key)) }
            return tree.root
        }

        mutating func take(_ messages: [ServerMessage]) {
            received = 0
            isEqual = false
            for message in messages {
                switch message {
                case .syncLeaf(let leaf):
                    received += leaf.records.count
                    for keyed in leaf.records { records[keyed.key] = keyed.record }
                case .syncRoot(let root):
                    isEqual = root.rootHash == self.root
                    offered = root.syncCursor
                    if isEqual { cursor = root.syncCursor }
                default: break
                }
            }
        }
    }

    private func write(_ server: SimulatedServer, _ operations: [ClientOperation]) {
        let writer = server.connect(hello: .hello([.results]))
        for start in stride(from: 0, to: operations.count, by: 500) {
            let batch = Array(operations[start..<min(start + 500, operations.count)])
            writer.send(.operations(OperationBatch(operations: batch)))
        }
        server.settle()
        writer.cut()
        server.settle()
    }

    /// One connection that syncs the map with the cursor that the copy has, and walks nothing.
    private func sync(_ copy: inout Copy, with server: SimulatedServer, features: FeatureSet = [.results, .delta]) {
        let client = server.connect(hello: .hello(features))
        _ = client.received()
        client.send(
            .syncStart(
                SyncStart(
                    mapName: "todos", lastSyncTimestamp: copy.records.isEmpty ? 0 : 5, syncCursor: copy.cursor)))
        server.settle()
        copy.take(client.received())
        client.cut()
        server.settle()
    }

    /// The whole map, walked from the root.
    private func fetch(_ copy: inout Copy, from server: SimulatedServer) {
        let client = server.connect(hello: .hello([.results, .delta]))
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.settle()
        client.send(.merkleRequest(MapPath(mapName: "todos", path: .root)))
        server.settle()
        copy.take(client.received())
        client.cut()
        server.settle()
    }

    @Test(arguments: [1, 3])
    func `a client that comes back is sent the leaves that changed, and nothing if none did`(_ loops: Int) {
        let server = SimulatedServer(loops: loops)
        server.start()
        write(server, (0..<6_000).map { Make.put(UInt64($0 + 1), "key-\($0)", 1) })
        var copy = Copy()
        fetch(&copy, from: server)
        #expect(copy.isEqual && copy.cursor != nil && copy.records.count == 6_000)
        sync(&copy, with: server)
        #expect(copy.isEqual && copy.received == 0)
        var removal = Make.put(2, "key-2", 0, millis: 2_000_000)
        removal.change = .put(
            LWWRecord(value: .tombstone, timestamp: Timestamp(millis: 2_000_000, counter: 0, node: "n1")))
        write(server, [Make.put(1, "key-1", 2, millis: 2_000_000), removal, Make.put(3, "new", 3)])
        sync(&copy, with: server)
        #expect(copy.isEqual)
        #expect(copy.records["key-2"]?.isTombstone == true)
        #expect(copy.records["new"] != nil)
        #expect(copy.received > 0 && copy.received < 100, "leaves, not the map: \(copy.received)")
    }

    @Test(arguments: 0..<30)
    func `no change is ever missed, however old the cursor and whatever the order of the stamps`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let server = SimulatedServer(seed: seed, loops: 1 + generator.below(3))
        server.start()
        // Two of them come before the map is there at all.
        var copies = (0..<4).map { _ in Copy() }
        for who in 0..<2 { sync(&copies[who], with: server) }
        for step in 0..<40 {
            if generator.chance(2, in: 3) {
                // Late old edits as well: the stamp says nothing of when a write arrived.
                write(
                    server,
                    (0..<(1 + generator.below(30))).map { index in
                        Make.put(
                            UInt64(index + 1), "k\(generator.below(200))", Int64(step),
                            millis: Int64(1 + generator.below(1_000)), counter: UInt32(step))
                    })
            }
            let who = generator.below(copies.count)
            let hasCursor = copies[who].cursor != nil
            sync(&copies[who], with: server)
            if !hasCursor, !copies[who].isEqual { fetch(&copies[who], from: server) }
            let isEqual = copies[who].isEqual
            #expect(isEqual, "seed \(seed) step \(step)")
        }
    }

    @Test func `after a restart, and for what is no cursor, the client walks`() {
        let server = SimulatedServer()
        server.start()
        write(server, (0..<1_000).map { Make.put(UInt64($0 + 1), "key-\($0)", 1) })
        var copy = Copy()
        fetch(&copy, from: server)
        #expect(copy.isEqual)
        let old = copy.cursor
        server.kill()
        server.start()
        write(server, [Make.put(1, "key-1", 2, millis: 2_000_000)])
        for cursor in [old, "nonsense", ""] {
            copy.cursor = cursor
            sync(&copy, with: server)
            #expect(!copy.isEqual && copy.received == 0, "only the root: a walk follows")
            #expect(copy.offered != nil && copy.offered != old)
        }
    }

    @Test func `a client without the feature gets no cursor and has none taken`() {
        let server = SimulatedServer()
        server.start()
        write(server, [Make.put(1, "a", 1)])
        var copy = Copy()
        fetch(&copy, from: server)
        #expect(copy.cursor != nil)
        write(server, [Make.put(1, "a", 2, millis: 2_000_000)])
        sync(&copy, with: server, features: [.results])
        #expect(copy.offered == nil && copy.received == 0 && !copy.isEqual)
        sync(&copy, with: server)
        #expect(copy.isEqual)
    }
}
