import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// What clients read: greetings, sync, queries, and what happens to those that do not read.
@Suite struct GatewayReadingTests {
    private func server(loops: Int = 1) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        return server
    }

    private func fill(_ server: SimulatedServer, _ count: Int, map: String = "todos") {
        let writer = server.connect(hello: .hello([.results]))
        var number = 0
        while number < count {
            let operations = (number..<min(number + 500, count)).map {
                Make.put(UInt64($0 + 1), "key-\($0)", Int64($0), map: map)
            }
            writer.send(.operations(OperationBatch(operations: operations)))
            number += 500
        }
        server.settle()
        writer.cut()
        server.settle()
    }

    // MARK: Greetings

    private struct OneToken: TokenVerifier {
        func verify(_ token: String) async -> Result<Principal, AuthFailure> {
            token == "header.payload.signature"
                ? .success(Principal(subject: "user-1", expiresAtMillis: .max / 2)) : .failure(AuthFailure(.signature))
        }
    }

    private func guarded(_ access: ServerConfiguration.Access) -> SimulatedServer {
        let server = SimulatedServer()
        server.configuration.authentication = .token(TokenRules(key: .text("unused")))
        server.configuration.defaultAccess = access
        server.tokens = OneToken()
        server.start()
        return server
    }

    @Test func `connect with a token, as the official client does: twice, and then everything`() {
        let server = guarded(.allow)
        let client = server.connect(hello: nil)
        #expect(client.received() == [.authenticationRequired])
        #expect(!client.connection.isAdmitted)
        let authentication = ClientMessage.authenticate(Authentication(token: "header.payload.signature"))
        client.send(authentication)
        client.send(authentication)
        server.settle()
        let answers = client.received()
        #expect(answers.count == 1)
        #expect(client.connection.isAdmitted)
        guard case .authenticationAcknowledged(let greeting) = answers.first else {
            Issue.record("no greeting")
            return
        }
        #expect(greeting.userID == "user-1" && greeting.server == nil)
        client.send(Make.batch(Make.put(1, "x", 1)))
        server.settle()
        #expect(client.received() == [.acknowledgement(Acknowledgement(lastID: 1, level: .replicated))])
    }

    private struct EndlessToken: TokenVerifier {
        func verify(_ token: String) async -> Result<Principal, AuthFailure> {
            .success(Principal(subject: "user-1", expiresAtMillis: .max))
        }
    }

    @Test func `a token that never ends is as good as any`() {
        let server = SimulatedServer()
        server.configuration.authentication = .token(TokenRules(key: .text("unused")))
        server.configuration.defaultAccess = .allow
        server.tokens = EndlessToken()
        server.start()
        let client = server.connect(hello: .authenticate(Authentication(token: "header.payload.signature")))
        server.run(millis: 3 * Limits.sessionSweepMillis)
        _ = client.received()
        client.send(Make.batch(Make.put(1, "x", 1)))
        server.settle()
        #expect(client.received() == [.acknowledgement(Acknowledgement(lastID: 1, level: .replicated))])
        #expect(client.connection.closeCode == nil)
    }

    @Test func `M02 a wrong token is told nothing and sent away, and a device is not answered`() {
        let server = guarded(.allow)
        let device = server.connect()
        #expect(device.received() == [.authenticationRequired])
        device.send(Make.batch(Make.put(1, "x", 1)))
        device.send(.ping(timestamp: 1))
        server.settle()
        #expect(device.received().count == 1)
        let client = server.connect(hello: .authenticate(Authentication(token: "wrong")))
        #expect(
            client.received()
                == [
                    .authenticationRequired, .authenticationFailed(error: "Authentication failed", code: 401),
                ])
        #expect(client.connection.closeCode == 1008)
    }

    @Test func `without a policy an authenticated client may do nothing, and the refusal says why`() {
        let server = guarded(.deny)
        let client = server.connect(
            hello: .authenticate(
                Authentication(token: "header.payload.signature", protocolVersion: 3, features: [.results])))
        _ = client.received()
        client.send(Make.batch(Make.put(1, "x", 1)))
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        client.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        for message in client.received() {
            switch message {
            case .acknowledgement(let message): #expect(message.results?.first?.refusal == .forbidden)
            case .error(let error):
                #expect(error.code == 403)
                #expect(error.message.contains("--default-access"))
            case .queryResponse(let response): #expect(response.code == "FORBIDDEN")
            default: Issue.record("unexpected \(message)")
            }
        }
    }

    @Test func `an official client without access is shown nothing in place of what it wrote`() {
        let server = guarded(.deny)
        let client = server.connect(hello: .authenticate(Authentication(token: "header.payload.signature")))
        _ = client.received()
        client.send(Make.batch(Make.put(1, "x", 1, millis: 5_000)))
        server.settle()
        let messages = client.received()
        let events = messages.compactMap { if case .event(let event) = $0 { event } else { nil } }
        #expect(events.map(\.key) == ["x"])
        #expect(events.first?.record?.isTombstone == true)
        #expect(events.first?.record?.timestamp.millis == 5_000)
        #expect(events.first?.record?.timestamp.counter == 1)
    }

    @Test func `every request for what the server does not have is answered`() {
        let server = server()
        let client = server.connect()
        _ = client.received()
        for _ in 0..<3 { client.send(.topicSubscribe(topic: "news")) }
        server.settle()
        let errors = client.received().compactMap { if case .error(let error) = $0 { error.code } else { nil } }
        #expect(errors == [501, 501, 501])
    }

    @Test func `a client with features learns who it speaks to`() {
        let server = server()
        let client = server.connect(hello: .hello([.results, .delta, .seq, .locks]))
        guard case .deviceAcknowledged(let greeting) = client.received().first else {
            Issue.record("no greeting")
            return
        }
        #expect(greeting.protocolVersion == 3)
        #expect(greeting.server?.features == [.results, .delta, .seq])
        #expect(greeting.server?.restoreEpoch == 0)
        #expect(greeting.server.map { abs($0.serverTime - server.clock.wallMillis()) < 1_000 } == true)
    }

    // MARK: Sync

    @Test(arguments: [1, 3])
    func `a client that has nothing is sent everything in bounded pieces`(_ loops: Int) {
        let server = server(loops: loops)
        fill(server, 6_000)
        let client = server.connect(hello: .hello([.results]))
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.settle()
        client.send(.merkleRequest(MapPath(mapName: "todos", path: .root)))
        server.settle()
        var keys: Set<ByteString> = []
        var roots: [UInt32] = []
        for message in client.received() {
            switch message {
            case .syncLeaf(let leaf): for record in leaf.records { keys.insert(record.key) }
            case .syncRoot(let root): roots.append(root.rootHash)
            default: break
            }
        }
        #expect(keys.count == 6_000)
        #expect(roots.count == 2 && roots[0] == roots[1])
    }

    @Test(arguments: [1, 3])
    func `a walk leads to exactly the records that differ`(_ loops: Int) {
        let server = server(loops: loops)
        fill(server, 6_000)
        // The client holds all but two of them.
        var tree = MerkleTree32()
        let node = ByteString("n1")
        for number in 0..<6_000 where number != 17 && number != 4_711 {
            let key = ByteString("key-\(number)")
            let item = key.bytes.withUnsafeBytes { key in
                node.bytes.withUnsafeBytes { MerkleTree32.item(key: key, millis: 1_000_000, counter: 0, node: $0) }
            }
            tree.add(item: item, keyHash: KeyHash.of(key))
        }
        let client = server.connect()
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 5)))
        server.settle()
        _ = client.received()
        var asking: [MerklePath] = [.root]
        var found: Set<ByteString> = []
        var leaves = 0
        while let path = asking.popLast() {
            client.send(.merkleRequest(MapPath(mapName: "todos", path: path)))
            server.settle()
            for message in client.received() {
                switch message {
                case .syncBuckets(let buckets):
                    for bucket in buckets.buckets {
                        let child = path.child(Int(bucket.digit))
                        if tree.hash(at: child) != bucket.hash { asking.append(child) }
                    }
                case .syncLeaf(let leaf):
                    leaves += 1
                    for record in leaf.records { found.insert(record.key) }
                default: break
                }
            }
        }
        #expect(found.isSuperset(of: ["key-17", "key-4711"]))
        // One for each loop that has records there.
        #expect(leaves <= 2 * loops)
        #expect(found.count <= 2 * Limits.leafAtOnceRecordsMax)
    }

    @Test func `an official client is offered the root of a map it opened later, once`() {
        let server = server()
        let client = server.connect()
        _ = client.received()
        client.send(Make.batch(Make.put(1, "a", 1)))
        server.run(millis: Limits.unaskedRootDelayMillis + 100)
        client.send(Make.batch(Make.put(2, "b", 1)))
        server.run(millis: Limits.unaskedRootDelayMillis + 100)
        let roots = client.received().filter { if case .syncRoot = $0 { true } else { false } }
        #expect(roots.count == 1)
    }

    // MARK: Queries

    @Test(arguments: [1, 3])
    func `a window stays exact: it is answered anew when a row in it changes`(_ loops: Int) {
        let server = server(loops: loops)
        fill(server, 50)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        client.send(
            .querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest(limit: 3))))
        server.settle()
        func keys() -> [[ByteString]] {
            client.received().compactMap {
                if case .queryResponse(let response) = $0 { response.results.map(\.key) } else { nil }
            }
        }
        #expect(keys() == [["key-0", "key-1", "key-10"]])
        client.send(
            .operations(
                OperationBatch(operations: [
                    ClientOperation(
                        id: 1, mapName: "todos", key: "key-1",
                        change: .put(
                            LWWRecord(value: .tombstone, timestamp: Timestamp(millis: 2_000_000, counter: 0, node: "z"))
                        ))
                ])))
        server.run(millis: 200)
        #expect(keys().last == ["key-0", "key-10", "key-11"])
    }

    @Test func `a query with fields shows those of each value, in answers and updates, and filters by all`() {
        let server = server()
        let writer = server.connect(hello: .hello([.results]))
        func put(_ id: UInt64, _ b: Int64) {
            let sink = ByteSink()
            let value = MessagePackWriter(sink)
            value.writeMapHead(3)
            for (name, number) in [("a", Int64(id)), ("b", b), ("c", 9)] as [(ByteString, Int64)] {
                value.write(name)
                value.write(number)
            }
            writer.send(
                .operations(
                    OperationBatch(operations: [
                        ClientOperation(
                            id: id, mapName: "todos", key: "k",
                            change: .put(
                                LWWRecord(
                                    value: Payload(copying: sink.bytes),
                                    timestamp: Timestamp(millis: Int64(id), counter: 0, node: "n"))))
                    ])))
            server.settle()
        }
        put(1, 5)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        client.send(
            .querySubscribe(
                QuerySubscription(
                    queryID: "q", mapName: "todos",
                    query: QueryRequest(equals: Payload([0x81, 0xa1, 0x62, 0x05])), fields: ["a", "none"])))
        server.settle()
        put(2, 5)
        put(3, 6)
        var heard: [[UInt8]] = []
        var changes: [ChangeType] = []
        for message in client.received() {
            switch message {
            case .queryResponse(let response): heard += response.results.map(\.value.bytes)
            case .queryUpdate(let update):
                heard.append(update.value.bytes)
                changes.append(update.change)
            default: break
            }
        }
        #expect(heard == [[0x81, 0xa1, 0x61, 0x01], [0x81, 0xa1, 0x61, 0x02], [0xc0]])
        #expect(changes == [.update, .leave])
    }

    @Test func `an answer that was cut at the most rows is kept exact like a window`() {
        let server = server()
        fill(server, Limits.queryRowsMax + 1)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        client.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        guard case .queryResponse(let first) = client.received().last else {
            Issue.record("no answer")
            return
        }
        #expect(first.results.count == Limits.queryRowsMax)
        #expect(first.hasMore == true)
        #expect(first.results.last?.key == "key-9998")
        client.send(Make.batch(Make.put(1, "key-9999", -1, millis: 2_000_000)))
        server.run(millis: 200)
        let updates = client.received().filter { if case .queryUpdate = $0 { true } else { false } }
        #expect(updates == [])
        client.send(
            .operations(
                OperationBatch(operations: [
                    ClientOperation(
                        id: 2, mapName: "todos", key: "key-0",
                        change: .put(
                            LWWRecord(value: .tombstone, timestamp: Timestamp(millis: 2_000_000, counter: 0, node: "z"))
                        ))
                ])))
        server.run(millis: 200)
        guard case .queryResponse(let last) = client.received().last else {
            Issue.record("no new answer")
            return
        }
        #expect(last.results.count == Limits.queryRowsMax)
        #expect(last.hasMore == false)
        #expect(last.results.last?.key == "key-9999")
    }

    @Test(arguments: 0..<30)
    func `the answer of a query comes before its updates and both lead to the truth`(_ seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        let server = SimulatedServer(seed: seed, loops: 3)
        server.start()
        let writer = server.connect(hello: .hello([.results]))
        let reader = server.connect(to: 1, hello: .hello([.results]))
        _ = reader.received()
        var truth: [ByteString: Int64] = [:]
        for step in 1...60 {
            if step == 30 {
                reader.send(
                    .querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
            }
            let key = "k\(generator.below(12))"
            writer.send(Make.batch(Make.put(UInt64(step), key, Int64(step), millis: Int64(step))))
            truth[ByteString(key)] = Int64(step)
            for _ in 0..<generator.below(12) { server.scheduler.runOne() }
        }
        server.settle()
        var rows: [ByteString: Int64]?
        for message in reader.received() {
            switch message {
            case .queryResponse(let response):
                rows = Dictionary(uniqueKeysWithValues: response.results.map { ($0.key, Make.number($0.value)!) })
            case .queryUpdate(let update):
                #expect(rows != nil, "seed \(seed): an update came before the answer")
                rows?[update.key] = update.change == .leave ? nil : Make.number(update.value)
            default: break
            }
        }
        #expect(rows == truth, "seed \(seed)")
    }

    // MARK: Not reading

    @Test func `C13 a client with flow that does not read costs bounded memory and is told what it missed`() {
        let server = server()
        let slow = server.connect(hello: .hello([.flow, .seq]))
        slow.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.settle()
        _ = slow.received()
        slow.connection.isStuck = true
        flood(server, megabytes: 12)
        #expect(slow.connection.peakBytes <= Limits.broadcastQueueBytesMax + 1_024 * 1_024)
        #expect(slow.connection.closeCode == nil)
        #expect(!slow.isReading)
        slow.drain()
        server.settle()
        #expect(slow.isReading)
        #expect(slow.received().contains { if case .resync("todos") = $0 { true } else { false } })
        server.run(millis: 10)
        flood(server, megabytes: 1)
        #expect(slow.received().contains { if case .event = $0 { true } else { false } })
    }

    @Test func `C13 an official client that does not read is sent away and disturbs nobody`() {
        let server = server()
        let slow = server.connect()
        slow.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.settle()
        slow.connection.isStuck = true
        flood(server, megabytes: 8)
        #expect(slow.connection.closeCode == 1013)
        #expect(slow.connection.peakBytes <= Limits.broadcastQueueBytesMax + 1_024 * 1_024)
    }

    @Test func `M20 a client that asks and never reads is not read either, and is closed in the end`() {
        let server = server()
        fill(server, 5_000)
        let slow = server.connect(hello: .hello([.flow]))
        slow.connection.isStuck = true
        for number in 0..<40 where slow.isReading {
            slow.send(
                .querySubscribe(
                    QuerySubscription(queryID: ByteString("q\(number)"), mapName: "todos", query: QueryRequest())))
            server.settle()
        }
        #expect(!slow.isReading)
        #expect(slow.connection.peakBytes <= Limits.answerQueueBytesMax + 1_024 * 1_024)
        server.run(millis: Limits.stalledMillisMax + 5_000)
        #expect(slow.connection.closeCode == 1013)
    }

    @Test func `M20 a flood is slowed by not reading it`() {
        let server = SimulatedServer()
        server.configuration.operationsPerSecond = 1_000
        server.configuration.operationsBurst = 1_000
        server.start()
        let client = server.connect(hello: .hello([.results]))
        let operations = (1...1_500).map { Make.put(UInt64($0), "k\($0)", 1) }
        client.send(.operations(OperationBatch(operations: operations)))
        server.settle()
        #expect(!client.isReading)
        server.run(millis: 600)
        #expect(client.isReading)
        let results = client.received().compactMap {
            if case .acknowledgement(let message) = $0 { message.results?.count } else { nil }
        }
        #expect(results == [1_500])
    }

    @Test func `a drain lets out what is owed and says goodbye`() {
        let server = server()
        let client = server.connect()
        _ = client.received()
        client.send(Make.batch(Make.put(1, "a", 1)))
        let done = Shared(false)
        let owner = server.node?.owners[0]
        server.spawn { [owner] in
            await owner?.drain()
            done.with { $0 = true }
        }
        server.settle()
        #expect(client.received().contains(.acknowledgement(Acknowledgement(lastID: 1, level: .replicated))))
        #expect(client.connection.closeCode == 1001)
        client.cut()
        server.settle()
        #expect(done.with { $0 })
    }

    /// Writes by another client, of values of 8 KiB.
    private func flood(_ server: SimulatedServer, megabytes: Int) {
        let writer = server.connect(hello: .hello([.results]))
        let value = Payload([0xda, 0x20, 0x00] + Array(repeating: 0x61, count: 8_192))
        for number in 0..<megabytes * 128 {
            let stamp = Timestamp(millis: server.clock.wallMillis(), counter: UInt32(number), node: "flood")
            writer.send(
                .operations(
                    OperationBatch(operations: [
                        ClientOperation(
                            id: UInt64(number + 1), mapName: "todos", key: ByteString("k\(number % 20)"),
                            change: .put(LWWRecord(value: value, timestamp: stamp)))
                    ])))
            if number % 32 == 31 { server.settle() }
        }
        server.settle()
        writer.cut()
        server.settle()
    }
}
