import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

@Suite struct WritingTests {
    @Test func `a write is read at once, with no server and before the store has it`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.commitsAtOnce = false
        let write = try client.set("a", 1, in: todos)
        #expect(client.value("a", in: todos) == 1)
        #expect(client.outcomes(of: write).isEmpty)
        client.commit()
        client.settle()
        #expect(client.outcomes(of: write) == [.stored])
        #expect(client.syncState == .connecting)
    }

    @Test func `operation, record and clock bound are one transaction`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.commitsAtOnce = false
        try client.set("a", 1, in: todos)
        let transaction = try #require(client.transaction)
        #expect(transaction.newOperations.map(\.key) == ["a"])
        #expect(transaction.entries.map(\.record) == transaction.newOperations.map(\.record))
        let stamp = transaction.newOperations[0].record.timestamp
        #expect(stamp.node == "client-a")
        #expect(try #require(transaction.identity).clockBound >= stamp.millis)
    }

    @Test func `how long an answer of the servers took does not order the writes of two devices with right clocks`()
        throws
    {
        let (slow, quick) = (try TestClient(), try TestClient(node: "client-b"))
        var stamps: [Timestamp] = []
        // The same moment told to both; one of them takes it out of its queue three seconds later.
        for (client, delay) in [(quick, Int64(0)), (slow, 3_000)] {
            let map = try client.open("todos")
            client.connect()
            let told = client.now.wallMillis
            client.advance(delay)
            client.receive(.pong(timestamp: told, serverTime: told))
            client.advance(10_000 - delay + (client === slow ? 1 : 0))
            try client.set("a", 1, in: map)
            stamps.append(try #require(client.record("a", in: map)).timestamp)
        }
        #expect(stamps[0] < stamps[1])
        #expect(stamps[1].millis - stamps[0].millis == 1)
    }

    @Test(arguments: [0, -3_600_000, 3_600_000])
    func `what an answer spent on its way is no difference between clocks (K08)`(skew: Int64) throws {
        let client = try TestClient(
            now: ReplicaTime(wallMillis: TestClient.start.wallMillis + skew, steadyMillis: 0))
        let map = try client.open("todos")
        func check(_ when: Comment) throws {
            try client.set("a", 1, in: map)
            let stamp = try #require(client.record("a", in: map)).timestamp
            #expect(stamp.millis == client.now.wallMillis - skew, when)
        }
        // A greeting that says the time it left at, and arrives nine seconds later.
        client.state.connected(at: client.now)
        client.settle()
        let told = client.now.wallMillis - skew
        if skew == 0 { client.advance(9_000) }
        client.receive(.deviceAcknowledged(Greeting(protocolVersion: 3, server: .test(serverTime: told))))
        try check("after the greeting")
        // Told when it was asked, or when it was answered; on its way for fourteen seconds.
        for wait: Int64 in [0, 14_000] {
            client.pass(5_000)
            let asked = client.now.wallMillis
            client.advance(14_000)
            client.receive(.pong(timestamp: asked, serverTime: asked - skew + wait))
            try check("after a PONG that waited")
        }
        // An hour in which the process did not run.
        let asked = client.now.wallMillis
        client.advance(3_600_000)
        client.receive(.pong(timestamp: asked, serverTime: asked - skew))
        try check("after an hour")
    }

    @Test(arguments: [-1 << 52, 0, 1 << 52])
    func `a clock out of this world is put right by what the servers say`(wallMillis: Int64) throws {
        let client = try TestClient(now: ReplicaTime(wallMillis: wallMillis, steadyMillis: 0))
        let map = try client.open("todos")
        client.connect(to: .test(serverTime: TestClient.start.wallMillis))
        try client.set("a", 1, in: map)
        #expect(try #require(client.record("a", in: map)).timestamp.millis == TestClient.start.wallMillis)
    }

    @Test func `who sets the clock right is believed, and what the servers said of it before is forgotten (K08)`()
        throws
    {
        let skew: Int64 = 3_600_000
        let client = try TestClient(
            now: ReplicaTime(wallMillis: TestClient.start.wallMillis - skew, steadyMillis: 0))
        let map = try client.open("todos")
        client.connect(to: .test(serverTime: TestClient.start.wallMillis))
        client.disconnect()
        try client.set("a", 1, in: map)
        #expect(try #require(client.record("a", in: map)).timestamp.millis == TestClient.start.wallMillis)
        client.now.wallMillis += skew
        client.advance(10)
        try client.set("a", 2, in: map)
        #expect(try #require(client.record("a", in: map)).timestamp.millis == TestClient.start.wallMillis + 10)
        // Asked before the clock was set and answered after it, which says nothing of either.
        client.reconnect(to: .test(serverTime: client.now.wallMillis))
        let asked = client.now.wallMillis
        client.now.wallMillis -= skew
        client.advance(100)
        client.receive(.pong(timestamp: asked, serverTime: asked + 50))
        client.receive(.pong(timestamp: client.now.wallMillis, serverTime: asked + 100))
        try client.set("a", 3, in: map)
        #expect(try #require(client.record("a", in: map)).timestamp.millis == asked + 100)
    }

    @Test func `nothing is sent before the store has it (B20)`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.connect()
        client.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        client.commitsAtOnce = false
        _ = client.takeSent()
        try client.set("a", 1, in: todos)
        #expect(client.takeSent().operations.isEmpty)
        client.commit()
        client.settle()
        #expect(client.takeSent().operationIDs == [1])
    }

    @Test func `writes made while the store is busy share one transaction and one batch`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.connect()
        client.commitsAtOnce = false
        for value in 0..<10 { try client.set("k", value, in: todos) }
        #expect(client.transactions.last?.newOperations.count == 1)
        client.commit()
        client.settle()
        #expect(client.transactions.last?.newOperations.count == 9)
        #expect(client.transactions.last?.entries.count == 1, "a key is written once, as it stands")
        _ = client.takeSent()
        client.commit()
        client.settle()
        #expect(client.takeSent().map { $0.operations.count } == [9])
    }

    @Test func `a removal is a tombstone, and a lifetime ends`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.state.watch(todos, true)
        try client.set("a", 1, in: todos)
        try client.remove("a", in: todos)
        #expect(client.value("a", in: todos) == nil)
        #expect(client.record("a", in: todos)?.isTombstone == true)
        try client.set("b", 2, in: todos, ttlMillis: 1000)
        #expect(client.value("b", in: todos) == 2)
        client.changes = []
        client.pass(999)
        #expect(client.changes.isEmpty)
        client.pass(10)
        #expect(client.value("b", in: todos) == nil)
        #expect(client.changes.map(\.key) == ["b"], "observers are told that it ended")
    }

    @Test func `names, keys and values have limits`() throws {
        let client = try TestClient()
        for name: ByteString in [
            "", "a:b", "a\u{0}b", "_topgun_x", "__TopGun_y", ByteString([UInt8](repeating: 97, count: 300)),
        ] {
            #expect(throws: ReplicaError(.badMapName)) { try client.open(name) }
        }
        let todos = try client.open("todos")
        #expect(throws: ReplicaError(.keyTooLong)) {
            try client.set(ByteString([UInt8](repeating: 97, count: 5000)), 1, in: todos)
        }
        #expect(throws: ReplicaError(.badKey)) { try client.set("a\u{0}b", 1, in: todos) }
        #expect(throws: ReplicaError(.badKey)) { try client.remove("\u{0}", in: todos) }
        #expect(throws: ReplicaError(.valueTooLarge)) {
            _ = try client.state.set(
                Payload([UInt8](repeating: 0, count: 2 << 20)), for: "a", in: todos, at: client.now)
        }
        #expect(throws: ReplicaError(.badLifetime)) { try client.set("a", 1, in: todos, ttlMillis: -1) }
        #expect(client.pendingCount == 0)
    }

    @Test func `what is not exactly one value is refused, for no frame with it in it is one`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        func nested(_ levels: Int) -> [UInt8] { [UInt8](repeating: 0x91, count: levels) + [1] }
        let bad: [[UInt8]] = [
            [], [1, 2], [0x81, 0xa1, 0x61], [0xc1], [0xdb, 0xff, 0xff, 0xff, 0xff],
            nested(ModelLimits.valueDepthMax + 1),
        ]
        for bytes in bad {
            #expect(throws: ReplicaError(.badValue), "\(bytes)") {
                _ = try client.state.set(Payload(bytes), for: "a", in: todos, at: client.now)
            }
        }
        for bytes in [[1], [0x81, 0xa1, 0x61, 1], nested(ModelLimits.valueDepthMax)] {
            _ = try client.state.set(Payload(bytes.map { UInt8($0) }), for: "a", in: todos, at: client.now)
        }
        client.settle()
        client.connect()
        #expect(client.takeSent().operationIDs == [1, 2, 3])
    }

    @Test func `a log with what is no value in it, of an earlier version, holds nothing else up`() throws {
        let offline = try TestClient()
        let todos = try offline.open("todos")
        try offline.set("a", 1, in: todos)
        let broken = LWWRecord(value: Payload([0x81, 0xa1, 0x61]), timestamp: .server(1, node: "client-a"))
        var transaction = StoreTransaction()
        transaction.entries = [StoredEntry(map: "todos", key: "b", record: broken, isOwn: true)]
        transaction.newOperations = [NewOperation(map: "todos", key: "b", record: broken)]
        _ = try offline.store.commit(transaction)
        let client = try TestClient(store: offline.store)
        let map = try client.open("todos")
        client.connect()
        #expect(client.takeSent().operationIDs == [1])
        #expect(client.setAside.map(\.code) == ["BAD_REQUEST"] && client.setAside.map(\.operation.record) == [broken])
        #expect(client.record("b", in: map) == nil)
        #expect(try client.store.operations(after: 0, limit: 9).map(\.id) == [1])
        #expect(try client.store.entries(ofMap: "todos", after: nil, limit: 9).map(\.key) == ["a"])
    }

    @Test func `stamps strictly grow over a restart, even when the wall clock was set back (K04)`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        try client.set("a", 1, in: todos)
        let before = try #require(client.record("a", in: todos)).timestamp
        let back = ReplicaTime(wallMillis: client.now.wallMillis - 3_600_000, steadyMillis: 5)
        let again = try TestClient(store: client.store, now: back)
        let map = try again.open("todos")
        #expect(again.value("a", in: map) == 1)
        try again.set("a", 2, in: map)
        let after = try #require(again.record("a", in: map)).timestamp
        #expect(after > before)
        #expect(after.node == before.node)
    }

    @Test func `the value seen never goes back behind an own write, whatever stamp stands there`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.connect()
        let ahead = LWWRecord(
            value: .int(1), timestamp: Timestamp(millis: client.now.wallMillis + 86_400_000, counter: 0, node: "x"))
        client.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: ahead)))
        #expect(client.value("a", in: todos) == 1)
        try client.set("a", 2, in: todos)
        #expect(client.value("a", in: todos) == 2)
        try client.set("b", 3, in: todos)
    }
}

extension Timestamp {
    /// A stamp of a server, some time after the start of the tests.
    static func server(_ millis: Int64, node: ByteString = "srv-1") -> Timestamp {
        Timestamp(millis: TestClient.start.wallMillis + millis, counter: 0, node: node)
    }
}

extension LWWRecord {
    static func server(_ value: Int, _ millis: Int64, node: ByteString = "srv-1") -> LWWRecord {
        LWWRecord(value: .int(value), timestamp: .server(millis, node: node))
    }
}
