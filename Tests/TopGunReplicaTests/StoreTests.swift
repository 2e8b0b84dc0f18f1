import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// What a store that fails, or is shared, means for the replica above it.
@Suite struct StoreTests {
    private static let full = StoreError(code: .full, message: "no space")

    @Test func `a write that the store refuses did not happen, and says so (C03)`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        try client.set("a", 1, in: map)
        let standing = client.record("a", in: map)
        client.store.failure = Self.full
        let write = try client.set("a", 2, in: map)
        #expect(client.value("a", in: map) == 1, "undone")
        #expect(client.record("a", in: map) == standing)
        guard case .notStored(Self.full, let losing)? = client.outcomes(of: write).last else {
            Issue.record("\(client.outcomes(of: write))")
            return
        }
        #expect(losing.value.int == 2)
        #expect(client.pendingCount == 1, "the older operation is still there")
        client.store.failure = nil
        try client.set("b", 3, in: map)
        #expect(try client.store.operations(after: 0, limit: 9).map(\.record.value.int) == [1, 3])
        let again = try TestClient(store: client.store)
        let reopened = try again.open("todos")
        #expect(again.contents(of: reopened).mapValues(\.int) == ["a": 1, "b": 3])
    }

    @Test func `writes above one that failed stand on what stood before it (C03)`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        client.commitsAtOnce = false
        client.store.failure = Self.full
        let failed = try client.set("a", 1, in: map)
        let good = try client.set("a", 2, in: map)
        client.commit()
        client.store.failure = nil
        client.settle()
        client.commit()
        client.settle()
        #expect(client.outcomes(of: good) == [.stored])
        #expect(client.outcomes(of: failed).count == 1)
        #expect(client.value("a", in: map) == 2)
        #expect(try client.store.operations(after: 0, limit: 9).map(\.record.value.int) == [2])
    }

    @Test(arguments: [Refusal.forbidden, .replicaIDConflict])
    func `of a map that is not here, only what was refused leaves the store (C09)`(refusal: Refusal) throws {
        let offline = try TestClient()
        let map = try offline.open("todos")
        offline.connect()
        try offline.set("a", 1, in: map)
        try offline.set("b", 2, in: map)
        let newer = LWWRecord.server(3, 60_000)
        offline.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "b", record: newer)))
        let client = try TestClient(store: offline.store)
        client.connect()
        var results = [OperationResult(id: 1, level: .fireAndForget), OperationResult(id: 2, level: .fireAndForget)]
        for index in results.indices { results[index].refusal = refusal }
        client.receive(.acknowledgement(Acknowledgement(lastID: 2, results: results)))
        #expect(client.isSaved)
        let entries = try client.store.entries(ofMap: "todos", after: nil, limit: 9)
        #expect(entries.map(\.key) == (refusal == .forbidden ? ["b"] : ["a", "b"]))
        #expect(entries.last?.record == newer)
        #expect(entries.allSatisfy { $0.record?.timestamp.node != "client-a" })
    }

    @Test func `an acknowledgement whose retiring cannot be stored costs a repeat, not an operation (C03)`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        client.connect()
        try client.set("a", 1, in: map)
        client.store.failure = Self.full
        let result = OperationResult(id: 1, level: .replicated)
        client.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [result])))
        #expect(try client.store.fates(of: [1]) == [.pending])
        client.store.failure = nil
        client.answersPings = true
        client.pass(2_000)
        #expect(try client.store.operations(after: 0, limit: 9).isEmpty)
    }

    @Test func `a deadline that is over does not ring again and again while the store takes its time`() throws {
        let rings = { (client: TestClient) in client.timerMillis.map { $0 <= client.now.steadyMillis } ?? false }
        let first = try TestClient()
        try first.set("a", 1, in: try first.open("todos"))
        // A map that is long in coming.
        let slow = try TestClient(store: first.store)
        slow.loadsAtOnce = false
        slow.answersPings = true
        try slow.open("todos")
        slow.connect()
        slow.pass(20_000)
        #expect(!rings(slow))
        // A write that was given back, after which there is nothing to store.
        let full = try TestClient()
        full.answersPings = true
        let map = try full.open("todos")
        full.connect()
        full.store.failure = Self.full
        try full.set("a", 1, in: map)
        full.store.failure = nil
        full.pass(20_000)
        #expect(full.pendingCount == 0 && !rings(full))
    }

    @Test func `a map that could not be read is not open, and is read when it is opened again`() throws {
        let first = try TestClient()
        try first.set("a", 1, in: try first.open("todos"))
        let client = try TestClient(store: first.store)
        client.connect()
        let map = try client.state.open("todos", at: client.now)
        client.state.loadFailed(map: map)
        #expect(throws: ReplicaError.self) { try client.set("b", 2, in: map) }
        #expect(client.syncState == .live, "it waits for no map")
        try client.open("todos")
        #expect(client.value("a", in: map) == 1)
        try client.set("b", 2, in: map)
        #expect(client.pendingCount == 2)
    }

    @Test func `a crash before the commit forgets the write, after it sends it once more (B20, C01)`() throws {
        for isCommitted in [false, true] {
            let client = try TestClient()
            let map = try client.open("todos")
            client.commitsAtOnce = false
            let write = try client.set("a", 1, in: map)
            if isCommitted { client.commit() }
            client.settle()
            #expect(client.outcomes(of: write) == (isCommitted ? [.stored] : []), "never told saved before it is")
            let again = try TestClient(store: client.store)
            let reopened = try again.open("todos")
            again.connect()
            #expect(again.value("a", in: reopened) == (isCommitted ? 1 : nil))
            #expect(again.takeSent().operationIDs == (isCommitted ? [1] : []))
        }
    }

    @Test func `a store that was evicted starts as another replica (C04)`() throws {
        let first = try TestClient(node: "first")
        try first.set("a", 1, in: try first.open("todos"))
        let evicted = try TestClient(node: "second")
        let map = try evicted.open("todos")
        #expect(evicted.node == "second" && evicted.contents(of: map).isEmpty)
        evicted.connect()
        evicted.receive(
            .syncLeaf(SyncLeaf(mapName: "todos", path: .root, records: [KeyedRecord(key: "a", record: .server(1, 1))])))
        #expect(evicted.value("a", in: map) == 1, "server state is read again")
    }
}
