import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// Connecting, being recognised, staying connected (protocol.md 2, 11, 16).
@Suite struct ConnectionTests {
    private func opened(_ client: TestClient) -> [ClientMessage] {
        client.state.connected(at: client.now)
        client.settle()
        return client.takeSent()
    }

    // MARK: Without a token

    @Test func `without a token DEVICE_HELLO announces version and features`() throws {
        let client = try TestClient()
        #expect(client.connections == [.open])
        #expect(client.syncState == .connecting)
        guard case .deviceHello(let hello)? = opened(client).first else {
            Issue.record("no DEVICE_HELLO")
            return
        }
        #expect(hello.protocolVersion == 3)
        #expect(hello.features.isSuperset(of: [.results, .levels, .clock, .seq, .pull]))
        #expect(client.syncState == .authenticating)
        client.receive(.deviceAcknowledged(Greeting(deviceID: "d", deviceToken: "d.t", server: .test())))
        #expect(client.syncState == .live)
        let again = try TestClient(store: client.store)
        guard case .deviceHello(let later)? = opened(again).first else {
            Issue.record("no DEVICE_HELLO")
            return
        }
        #expect(later.deviceToken == "d.t")
    }

    @Test func `a server that never greets is an official one: after 500 ms the client goes on`() throws {
        let client = try TestClient()
        try client.open("todos")
        _ = opened(client)
        client.pass(499)
        #expect(client.takeSent().isEmpty)
        client.pass(2)
        #expect(client.takeSent().syncedMaps == ["todos"])
    }

    @Test func `any message but a demand for a token ends the wait`() throws {
        let client = try TestClient()
        try client.open("todos")
        _ = opened(client)
        client.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        #expect(client.takeSent().syncedMaps == ["todos"])
    }

    @Test func `a client that knows its cluster never goes on without a greeting`() throws {
        let known = try TestClient()
        known.connect()
        let client = try TestClient(store: known.store)
        try client.open("todos")
        _ = opened(client)
        client.pass(5_000)
        #expect(client.takeSent().isEmpty)
        client.pass(6_000)
        #expect(client.connections.contains(.close(code: 1000)))
    }

    // MARK: With a token

    @Test func `a token goes out once per connection, whatever the server repeats`() throws {
        let client = try TestClient(token: "jwt")
        guard case .authenticate(let authentication)? = opened(client).first else {
            Issue.record("no AUTH")
            return
        }
        #expect(authentication.token == "jwt" && authentication.protocolVersion == 3)
        client.receive(.authenticationRequired)
        client.receive(.authenticationRequired)
        #expect(client.takeSent().isEmpty)
        client.receive(.authenticationAcknowledged(Greeting(userID: "u", server: .test())))
        #expect(client.syncState == .live)
        client.receive(.authenticationAcknowledged(Greeting(userID: "u", server: .test())))
        #expect(client.syncState == .live)
    }

    @Test func `a demand without a token waits for the application`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        try client.set("a", 1, in: todos)
        _ = opened(client)
        client.receive(.authenticationRequired)
        #expect(client.notices.contains(.tokenNeeded))
        client.pass(5_000)
        #expect(client.takeSent().isEmpty)
        client.state.setToken("jwt", at: client.now)
        client.settle()
        guard case .authenticate? = client.takeSent().first else {
            Issue.record("no AUTH")
            return
        }
        client.receive(.authenticationAcknowledged(Greeting(userID: "u", server: .test())))
        #expect(client.takeSent().operationIDs == [1])
    }

    @Test func `a refused token is forgotten, and asked for`() throws {
        let client = try TestClient(token: "expired")
        _ = opened(client)
        client.receive(.authenticationFailed(error: "Authentication failed", code: 401))
        #expect(client.notices.contains(.authenticationFailed) && client.notices.contains(.tokenNeeded))
        client.connections = []
        while !client.connections.contains(.open) { client.pass(10) }
        guard case .deviceHello? = opened(client).first else {
            Issue.record("no DEVICE_HELLO")
            return
        }
    }

    @Test func `a token that a program fetched after a refusal waits for the next attempt, a person's does not`() throws
    {
        let client = try TestClient(token: "expired")
        var attempts = 0
        for _ in 0..<20 {
            if client.connections.contains(.open) {
                attempts += 1
                _ = opened(client)
                client.receive(.authenticationFailed(error: "Authentication failed", code: 401))
            }
            client.connections = []
            client.state.setToken("expired too", connectsAtOnce: false, at: client.now)
            client.settle()
            client.pass(250)
        }
        #expect(attempts > 1 && attempts < 6, "\(attempts) attempts in five seconds")
        client.connections = []
        client.state.setToken("by hand", at: client.now)
        client.settle()
        #expect(client.connections == [.open])
    }

    @Test func `operations of one user are never sent as another (C08)`() throws {
        let client = try TestClient(token: "of u")
        let todos = try client.open("todos")
        client.connect(userID: "u")
        try client.set("a", 1, in: todos)
        let other = try TestClient(store: client.store, token: "of v")
        try other.open("todos")
        other.state.connected(at: other.now)
        other.settle()
        other.receive(.authenticationAcknowledged(Greeting(userID: "v", server: .test())))
        #expect(other.notices.contains(.otherUser))
        #expect(other.takeSent().operations.isEmpty)
        #expect(other.pendingCount == 1)
        // Nor as whoever the server does not name.
        let unnamed = try TestClient(store: client.store, token: "of nobody")
        try unnamed.open("todos")
        _ = opened(unnamed)
        unnamed.receive(.authenticationAcknowledged(Greeting(server: .test())))
        #expect(unnamed.notices.contains(.otherUser))
        #expect(unnamed.takeSent().isEmpty && unnamed.pendingCount == 1)
        // Nor as nobody.
        let nobody = try TestClient(store: client.store)
        try nobody.open("todos")
        _ = opened(nobody)
        nobody.receive(.deviceAcknowledged(Greeting(server: .test())))
        #expect(nobody.takeSent().isEmpty && nobody.notices.contains(.tokenNeeded))
        nobody.state.setToken("of u", at: nobody.now)
        nobody.settle()
        nobody.receive(.authenticationAcknowledged(Greeting(userID: "u", server: .test())))
        #expect(nobody.takeSent().operationIDs == [1])
    }

    // MARK: Clusters

    @Test func `another cluster is refused and told of`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.connect()
        try client.set("a", 1, in: todos)
        client.disconnect()
        client.reconnect(to: .test(clusterID: "cluster-2"))
        #expect(client.notices.contains(.otherCluster))
        #expect(client.takeSent().operations.isEmpty)
        client.reconnect()
        #expect(client.takeSent().operationIDs == [1])
    }

    @Test func `a restored cluster is offered every own write again, with its old stamp (feature pull)`() throws {
        let first = try TestClient()
        let todos = try first.open("todos")
        first.connect()
        try first.set("a", 1, in: todos)
        try first.set("b", 2, in: todos)
        let result = OperationResult(id: 1, level: .replicated)
        let other = OperationResult(id: 2, level: .replicated)
        first.receive(.acknowledgement(Acknowledgement(lastID: 2, results: [result, other])))
        first.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "c", record: .server(3, 9))))
        let a = try #require(first.record("a", in: todos))
        let b = try #require(first.record("b", in: todos))
        #expect(first.pendingCount == 0)

        // Not even the map has to be open.
        let client = try TestClient(store: first.store)
        client.connect(to: .test(restoreEpoch: 2))
        let offered = client.takeSent().operations
        #expect(offered.compactMap(\.record) == [a, b])
        #expect(offered.compactMap(\.id) == [3, 4])
        client.disconnect()
        let again = try TestClient(store: client.store)
        again.connect(to: .test(restoreEpoch: 2))
        #expect(again.takeSent().operationIDs == [3, 4], "once, and not again")
    }

    @Test(arguments: [Refusal.clockAhead, .replicaIDConflict])
    func `what is offered again to a restored cluster keeps its stamp when others get new ones (B17, B19)`(
        refusal: Refusal
    ) throws {
        let first = try TestClient()
        let todos = try first.open("todos")
        first.connect()
        try first.set("a", 1, in: todos)
        try first.set("b", 2, in: todos)
        let retired = (1...2).map { OperationResult(id: $0, level: .replicated) }
        first.receive(.acknowledgement(Acknowledgement(lastID: 2, results: retired)))
        let a = try #require(first.record("a", in: todos))
        let b = try #require(first.record("b", in: todos))
        first.disconnect()
        first.advance(1_000)
        first.now.wallMillis += refusal == .clockAhead ? 300_000 : 0
        try first.set("b", 3, in: todos)
        let old = try #require(first.record("b", in: todos)).timestamp

        let client = try TestClient(store: first.store, now: first.now)
        let map = try client.open("todos")
        let serverTime = TestClient.start.wallMillis + 1_000
        client.connect(to: .test(restoreEpoch: 2, serverTime: serverTime))
        #expect(client.takeSent().operationIDs == [3, 4])
        client.receive(.acknowledgement(Acknowledgement(lastID: 4, results: [Self.refusal(3, refusal, serverTime)])))
        client.receive(
            .acknowledgement(Acknowledgement(lastID: 4, results: [OperationResult(id: 4, level: .replicated)])))
        let again = client.takeSent().operations
        #expect(again.compactMap(\.id) == [3])
        let new = try #require(again.first?.record)
        #expect(new.timestamp != old && new.timestamp > b.timestamp)
        #expect(client.value("b", in: map) == 3 && client.record("a", in: map) == a)

        // Both were refused for what is said of one of them, so both are asked about again.
        let other = try TestClient(store: first.store, now: first.now)
        let copy = try other.open("todos")
        other.connect(to: .test(restoreEpoch: 2, serverTime: serverTime))
        _ = other.takeSent()
        let refusals = (3...4).map { Self.refusal($0, refusal, serverTime) }
        other.receive(.acknowledgement(Acknowledgement(lastID: 4, results: refusals)))
        #expect(other.takeSent().operationIDs == [3, 4])
        #expect(other.value("b", in: copy) == 3)
    }

    @Test func `what the servers would take as it is keeps its stamp when others are refused as ahead (B17, B19)`()
        throws
    {
        let serverTime = TestClient.start.wallMillis
        var now = TestClient.start
        now.wallMillis += ModelLimits.clientAheadMillisMax / 2
        let first = try TestClient(now: now)
        try first.set("a", 1, in: try first.open("todos"))
        first.connect(to: .test(serverTime: serverTime))
        first.receive(
            .acknowledgement(Acknowledgement(lastID: 1, results: [OperationResult(id: 1, level: .replicated)])))
        now.wallMillis += 3 * ModelLimits.clientAheadMillisMax
        let client = try TestClient(store: first.store, now: now)
        let map = try client.open("todos")
        let a = try #require(client.record("a", in: map))
        #expect(a.timestamp.millis > serverTime)
        try client.set("b", 2, in: map)
        let b = try #require(client.record("b", in: map))
        client.connect(to: .test(restoreEpoch: 2, serverTime: serverTime))
        let ids = Dictionary(
            uniqueKeysWithValues: client.takeSent().operations.map { ($0.record?.timestamp, $0.id ?? 0) })
        let (again, refused) = (try #require(ids[a.timestamp]), try #require(ids[b.timestamp]))
        var results = [again, refused].map { OperationResult(id: $0, level: .replicated) }
        // Neither is decided, so both wait here as the one is refused.
        results[0] = Self.refusal(again, .notReady, serverTime)
        results[1] = Self.refusal(refused, .clockAhead, serverTime)
        client.receive(.acknowledgement(Acknowledgement(lastID: 0, results: results)))
        #expect(client.record("a", in: map) == a)
        #expect(try #require(client.record("b", in: map)).timestamp.millis < b.timestamp.millis)
    }

    private static func refusal(_ id: UInt64, _ refusal: Refusal, _ serverTime: Int64) -> OperationResult {
        var result = OperationResult(id: id, level: .fireAndForget)
        result.refusal = refusal
        result.serverTime = serverTime
        return result
    }

    @Test func `a cluster that was set back behind a restore is offered every own write again too (B17)`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.connect(to: .test(restoreEpoch: 5))
        try client.set("a", 1, in: todos)
        client.receive(
            .acknowledgement(Acknowledgement(lastID: 1, results: [OperationResult(id: 1, level: .replicated)])))
        #expect(client.pendingCount == 0)
        _ = client.takeSent()
        client.disconnect()
        let again = try TestClient(store: client.store)
        again.connect(to: .test(restoreEpoch: 4))
        #expect(again.takeSent().operationIDs == [2])
    }

    @Test func `a client that is too old keeps its log and stops trying`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        client.connect()
        try client.set("a", 1, in: todos)
        client.receive(
            .error(ErrorMessage(code: 426, message: "old", details: ErrorDetails(refusal: .upgradeRequired))))
        #expect(client.notices.contains(.upgradeRequired))
        client.connections = []
        client.pass(600_000)
        #expect(client.connections.isEmpty)
        #expect(client.pendingCount == 1)
    }

    // MARK: Heartbeat and reconnecting

    @Test func `PING goes out every five seconds, and fifteen without PONG end the connection`() throws {
        let client = try TestClient()
        client.connect()
        _ = client.takeSent()
        client.pass(4_999)
        #expect(client.takeSent().isEmpty)
        client.pass(1)
        let pings = client.takeSent()
        #expect(pings == [.ping(timestamp: client.now.wallMillis)])
        client.receive(.pong(timestamp: client.now.wallMillis, serverTime: client.now.wallMillis))
        client.connections = []
        client.pass(14_999)
        #expect(client.connections.isEmpty)
        client.pass(1)
        #expect(client.connections == [.close(code: 1001)])
        #expect(client.syncState == .offline)
    }

    @Test func `the delay doubles up to thirty seconds, times a half to one and a half`() throws {
        for seed: UInt64 in 1...20 {
            let client = try TestClient(seed: seed)
            for attempt in 0..<10 {
                client.state.disconnected(at: client.now)
                client.settle()
                client.connections = []
                let start = client.now.steadyMillis
                let timer = try #require(client.timerMillis)
                let base = min(1000 << Int64(attempt), 30_000)
                #expect(timer - start >= base / 2 && timer - start <= base / 2 + base)
                client.pass(timer - start)
                #expect(client.connections == [.open])
            }
            // A handshake that succeeds starts the count anew.
            client.connect()
            client.disconnect()
            #expect(try #require(client.timerMillis) - client.now.steadyMillis <= 1_500)
        }
    }

    @Test func `a socket that does not open in five seconds is given up`() throws {
        let client = try TestClient()
        client.connections = []
        client.pass(4_999)
        #expect(client.connections.isEmpty)
        client.pass(1)
        #expect(client.connections == [.close(code: 1000)])
    }

    @Test func `offline on purpose stays offline, and online again connects at once`() throws {
        let client = try TestClient()
        client.connect()
        client.connections = []
        client.state.setOnline(false, at: client.now)
        client.settle()
        #expect(client.connections == [.close(code: 1000)])
        client.connections = []
        client.pass(600_000)
        #expect(client.connections.isEmpty)
        client.state.setOnline(true, at: client.now)
        client.settle()
        #expect(client.connections == [.open])
    }

    @Test func `a socket that is given up is closed, also when the next one is wanted before anybody could`() throws {
        let client = try TestClient(token: "old")
        client.connect()
        client.connections = []
        let sink = ByteSink()
        ServerMessage.authenticationFailed(error: "expired", code: 401).encode(into: sink)
        client.state.received(sink.bytes, at: client.now)
        client.state.setToken("new", at: client.now)
        client.settle()
        #expect(client.connections == [.close(code: 1000), .open])
        client.connections = []
        client.state.setOnline(false, at: client.now)
        client.state.setOnline(true, at: client.now)
        client.state.setOnline(false, at: client.now)
        client.settle()
        #expect(client.connections == [.close(code: 1000)], "what nobody began to open need not be closed")
    }

    @Test func `what is pending goes first, then queries, then maps`() throws {
        let client = try TestClient()
        let todos = try client.open("todos")
        _ = try client.state.subscribe(todos, whereMap: nil, at: client.now)
        try client.set("a", 1, in: todos)
        client.connect()
        let kinds = client.takeSent().dropFirst().map { message in
            switch message {
            case .operations: "OP_BATCH"
            case .querySubscribe: "QUERY_SUB"
            case .syncStart: "SYNC_INIT"
            default: "other"
            }
        }
        #expect(Array(kinds) == ["OP_BATCH", "QUERY_SUB", "SYNC_INIT"])
    }

    @Test func `the clock follows the servers' once they told it (K07, K08)`() throws {
        for skew: Int64 in [-3_600_000, 3_600_000] {
            let client = try TestClient(
                now: ReplicaTime(wallMillis: TestClient.start.wallMillis + skew, steadyMillis: 0))
            let todos = try client.open("todos")
            client.connect()
            try client.set("a", 1, in: todos)
            #expect(try #require(client.record("a", in: todos)).timestamp.millis == TestClient.start.wallMillis)
        }
    }
}
