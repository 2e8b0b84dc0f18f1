import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// Comparing maps with the servers (protocol.md 4) and everything that they send unasked.
@Suite struct SyncTests {
    private func root(_ hash: UInt32, _ millis: Int64 = 0) -> ServerMessage {
        .syncRoot(SyncRoot(mapName: "todos", rootHash: hash, timestamp: .server(millis)))
    }

    private func leaf(_ path: MerklePath, _ records: [KeyedRecord]) -> ServerMessage {
        .syncLeaf(SyncLeaf(mapName: "todos", path: path, records: records))
    }

    private func event(_ key: ByteString, _ record: LWWRecord, sequence: Int64? = nil) -> ServerMessage {
        .event(ServerEvent(mapName: "todos", kind: .put, key: key, record: record, sequence: sequence))
    }

    private func connected() throws -> (client: TestClient, map: MapID) {
        let client = try TestClient()
        let map = try client.open("todos")
        client.connect()
        return (client, map)
    }

    private func live() throws -> (client: TestClient, map: MapID) {
        let (client, map) = try connected()
        client.receive(root(client.state.merkleRoot(of: map)))
        _ = client.takeSent()
        return (client, map)
    }

    @Test func `equal roots need one exchange`() throws {
        let (client, _) = try connected()
        #expect(client.takeSent().syncedMaps == ["todos"])
        #expect(client.syncState == .syncing)
        client.receive(root(0))
        #expect(client.takeSent().isEmpty)
        #expect(client.syncState == .live)
    }

    @Test func `a map opened while connected is synced at once`() throws {
        let (client, _) = try live()
        try client.open("notes")
        #expect(client.takeSent().syncedMaps == ["notes"])
    }

    @Test func `only what differs is walked`() throws {
        let (client, map) = try connected()
        let server = ModelServer(wallMillis: client.now.wallMillis)
        server.leafItems = 0
        server.features.remove(.delta)
        for index in 0..<50 { server.merge(.server(index, Int64(index)), "todos", ByteString("k\(index)")) }
        let session = server.connect()
        let walked = try converse(client, server, session)
        #expect(client.contents(of: map).count == 50)
        #expect(client.syncState == .live)
        #expect(walked > 50)
        client.disconnect()
        server.disconnect(session)
        server.merge(.server(99, 99), "todos", "k7")
        client.reconnect()
        let again = try converse(client, server, server.connect())
        #expect(client.value("k7", in: map) == 99)
        #expect(again == 4, "root, two nodes and a leaf")
    }

    @Test func `a map that was compared before is told what changed since, and not walked`() throws {
        let (client, map) = try connected()
        let server = ModelServer(wallMillis: client.now.wallMillis)
        server.leafItems = 0
        for index in 0..<50 { server.merge(.server(index, Int64(index)), "todos", ByteString("k\(index)")) }
        var session = server.connect()
        #expect(try converse(client, server, session) > 50)
        for round in 0..<3 {
            client.disconnect()
            server.disconnect(session)
            for index in 0..<round { server.merge(.server(100 + round, 99), "todos", ByteString("k\(index)-\(round)")) }
            session = server.connect()
            client.reconnect()
            #expect(try converse(client, server, session) == 0, "round \(round)")
            #expect(client.syncState == .live)
            #expect(client.contents(of: map).count == server.maps["todos"]?.count)
        }
        // Another server, or the same after a restart, does not know the cursor: the walk finds everything.
        client.disconnect()
        server.disconnect(session)
        server.merge(.server(7, 200), "todos", "k7")
        server.restore(to: server.maps)
        client.reconnect()
        #expect(try converse(client, server, server.connect()) > 0)
        #expect(client.value("k7", in: map) == 7)
    }

    @Test func `one stamp with two values is found by content, and what the server keeps stands (M17)`() throws {
        for comparesContent in [true, false] {
            let client = try TestClient()
            let map = try client.open("todos")
            let server = ModelServer(wallMillis: client.now.wallMillis)
            server.leafItems = 0
            if comparesContent { server.features.insert(.hash128) }
            for index in 0..<50 { server.merge(.server(index, Int64(index)), "todos", ByteString("k\(index)")) }
            let session = server.connect()
            client.state.connected(at: client.now)
            client.settle()
            _ = try converse(client, server, session)
            #expect(client.contents(of: map).count == 50 && client.syncState == .live)
            // As after a cloned node id: the 32-bit hashes are over stamps and see no difference.
            server.maps["todos"]?["k7"] = .server(700, 7)
            client.receive(.resync(mapName: "todos"))
            _ = try converse(client, server, session)
            #expect(client.syncState == .live)
            #expect(client.value("k7", in: map) == (comparesContent ? 700 : 7))
        }
    }

    @Test func `content is compared once in a run, not with every reconnect`() throws {
        func announced(_ client: TestClient) -> FeatureSet? {
            for case .deviceHello(let hello) in client.sent { return hello.features }
            return nil
        }
        let client = try TestClient()
        let map = try client.open("todos")
        let features: FeatureSet = [.results, .hash128]
        let key = [UInt8](repeating: 1, count: 16)
        var identity = ServerIdentity.test(features: features)
        identity.hashKey = key
        client.connect(to: identity)
        #expect(announced(client)?.contains(.hash128) == true)
        client.disconnect()
        client.reconnect(to: identity)
        #expect(announced(client)?.contains(.hash128) == true, "cut before anything was compared")
        client.receive(root(client.state.merkleRoot(of: map)))
        #expect(client.syncState == .live)
        client.disconnect()
        client.reconnect(to: identity)
        #expect(announced(client)?.contains(.hash128) == false)
        // What was restored may hold something else under stamps that are here.
        identity.restoreEpoch = 2
        client.disconnect()
        client.reconnect(to: identity)
        #expect(announced(client)?.contains(.hash128) == false && client.connections.last == .close(code: 1000))
        client.reconnect(to: identity)
        #expect(announced(client)?.contains(.hash128) == true && client.connections.last != .close(code: 1000))
    }

    @Test func `a cursor is given back only if the root that came with it was ours too`() throws {
        func root(_ hash: UInt32, _ cursor: ByteString?) -> ServerMessage {
            .syncRoot(SyncRoot(mapName: "todos", rootHash: hash, timestamp: .server(0), syncCursor: cursor))
        }
        func cursor(_ client: TestClient) -> ByteString? {
            client.receive(.resync(mapName: "todos"))
            for case .syncStart(let start) in client.takeSent() { return start.syncCursor }
            return "nothing was asked"
        }
        let (client, map) = try live()
        #expect(cursor(client) == nil)
        client.receive(root(0, "first"))
        #expect(cursor(client) == "first")
        client.receive(root(5, "second"))
        client.receive(leaf(.root, []))
        #expect(cursor(client) == "first", "the walk ended unequal")
        client.receive(root(0, ByteString(Array(repeating: 97, count: ReplicaLimits.cursorBytesMax + 1))))
        #expect(cursor(client) == "first", "too long to keep")
        client.receive(.syncResetRequired(mapName: "todos", reason: "horizon"))
        #expect(client.takeSent().syncedMaps == ["todos"])
        client.receive(root(client.state.merkleRoot(of: map), nil))
        #expect(cursor(client) == nil, "a map that starts anew")
    }

    /// Lets both talk until there is nothing to say; returns how many paths were asked for.
    private func converse(_ client: TestClient, _ server: ModelServer, _ session: Int) throws -> Int {
        var paths = 0
        for frame in client.frames { try server.receive(frame, from: session) }
        _ = client.takeSent()
        while case let frames = server.takeFrames(session), !frames.isEmpty {
            for frame in frames { client.receive(frame: frame) }
            paths += client.sent.requestedPaths.count
            for frame in client.frames { try server.receive(frame, from: session) }
            _ = client.takeSent()
        }
        return paths
    }

    @Test func `requests of a walk are bounded`() throws {
        let (client, _) = try connected()
        client.receive(root(1))
        _ = client.takeSent()
        var open: [MerklePath] = [.root]
        var most = 0
        while let path = open.popLast() {
            let buckets = (0..<16).map { SyncBuckets.Bucket(digit: UInt8($0), hash: 7) }
            client.receive(
                path.isLeaf ? leaf(path, []) : .syncBuckets(SyncBuckets(mapName: "todos", path: path, buckets: buckets))
            )
            open = client.takeSent().requestedPaths + open
            most = max(most, open.count)
        }
        #expect(most == ReplicaLimits.walkRequestsMax)
        #expect(client.syncState == .live, "all 4,369 nodes were walked")
    }

    @Test func `a leaf may come unasked, at any path, in pieces`() throws {
        let (client, map) = try connected()
        client.receive(leaf(.root, [KeyedRecord(key: "a", record: .server(1, 1))]))
        #expect(client.value("a", in: map) == 1)
        client.receive(root(5))
        #expect(client.takeSent().requestedPaths == [.root])
        client.receive(leaf(.root, [KeyedRecord(key: "b", record: .server(2, 2))]))
        client.receive(leaf(.root, [KeyedRecord(key: "c", record: .server(3, 3))]))
        #expect(client.contents(of: map).count == 3)
    }

    @Test func `an unasked root starts a walk`() throws {
        let (client, _) = try live()
        client.receive(root(5))
        #expect(client.takeSent().requestedPaths == [.root])
        #expect(client.syncState == .syncing)
    }

    @Test func `a walk that stalls starts over`() throws {
        let (client, _) = try connected()
        _ = client.takeSent()
        client.answersPings = true
        client.pass(29_000)
        #expect(client.takeSent().syncedMaps.isEmpty)
        client.pass(2_000)
        #expect(client.takeSent().syncedMaps == ["todos"])
    }

    @Test func `the cursor moves only after the records it stands for are stored (C03)`() throws {
        let (client, map) = try connected()
        client.store.failure = StoreError(code: .full, message: "no space")
        let records = [KeyedRecord(key: "a", record: .server(1, 1))]
        client.receive(root(7, 50))
        client.receive(leaf(.root, records))
        client.receive(root(client.state.merkleRoot(of: map), 60))
        #expect(client.value("a", in: map) == 1, "shown, though not stored")
        #expect(client.notices.contains { if case .storeFailed = $0 { true } else { false } })
        #expect(try client.store.maps().isEmpty)
        client.store.failure = nil
        client.pass(1_100)
        #expect(try client.store.maps().map(\.lastSyncMillis) == [TestClient.start.wallMillis + 60])
        #expect(try client.store.entries(ofMap: "todos", after: nil, limit: 9).count == 1)
        #expect(client.isSaved)
    }

    @Test func `many records are stored in several transactions, the cursor with the last`() throws {
        let (client, map) = try connected()
        client.commitsAtOnce = false
        let count = ReplicaLimits.transactionEntriesMax + 10
        client.commit()
        client.receive(leaf(.root, (0..<count).map { KeyedRecord(key: ByteString("k\($0)"), record: .server($0, 1)) }))
        client.receive(root(client.state.merkleRoot(of: map), 60))
        while client.transaction != nil {
            client.commit()
            client.settle()
        }
        let filled = client.transactions.filter { !$0.entries.isEmpty }
        #expect(filled.map(\.entries.count) == [ReplicaLimits.transactionEntriesMax, 10])
        #expect(filled.first?.maps.isEmpty == true)
        #expect(filled.last?.maps.map(\.lastSyncMillis) == [TestClient.start.wallMillis + 60])
    }

    @Test func `a gap in the numbers of events makes the client compare again (C13)`() throws {
        let (client, _) = try live()
        client.receive(event("a", .server(1, 1), sequence: 1))
        client.receive(event("a", .server(2, 2), sequence: 2))
        #expect(client.takeSent().isEmpty)
        client.receive(event("a", .server(4, 4), sequence: 4))
        #expect(client.takeSent().syncedMaps == ["todos"])
        client.receive(event("a", .server(3, 3), sequence: 3))
        #expect(client.takeSent().isEmpty, "late is not lost")
    }

    /// A frame with all of these in it.
    private func batch(_ messages: [ServerMessage]) -> ServerMessage {
        func word(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        var data = word(messages.count)
        for message in messages {
            let sink = ByteSink()
            message.encode(into: sink)
            data += word(sink.bytes.count) + Array(sink.bytes)
        }
        return .batch(Batch(count: nil, data: data))
    }

    @Test func `a server that asks for everything again and again is given it once on a connection`() throws {
        let (client, map) = try live()
        for index in 0..<50 { client.receive(event(ByteString("k\(index)"), .server(index, 1))) }
        let content = client.contents(of: map).count
        let paths = [MerklePath.root] + (0..<16).map { MerklePath.root.child($0) }
        let pulls = paths.map { ServerMessage.merklePull(MapPath(mapName: "todos", path: $0)) }
        func pushed() -> [SyncLeaf] {
            client.takeSent().compactMap { if case .merklePush(let push) = $0 { push } else { nil } }
        }
        _ = client.takeSent()
        client.receive(batch((0..<60).flatMap { _ in pulls }))
        let pushes = pushed()
        #expect(pushes.map(\.path) == paths, "each path once")
        #expect(pushes.map(\.records.count).reduce(0, +) == 2 * content)
        client.receive(batch(pulls))
        #expect(pushed().isEmpty)
        client.disconnect()
        client.reconnect()
        _ = client.takeSent()
        client.receive(pulls[0])
        #expect(pushed().map(\.records.count) == [content], "and again on the next one")
    }

    @Test func `the answer to the root of a large map waits for the servers to read it`() throws {
        let (client, map) = try live()
        let text = Payload([0xda, 0xff, 0xff] + [UInt8](repeating: 0x61, count: 0xffff))
        for index in 0..<50 {
            let record = LWWRecord(value: text, timestamp: .server(1))
            client.receive(event(ByteString("k\(index)"), record))
        }
        _ = client.takeSent()
        client.receive(.merklePull(MapPath(mapName: "todos", path: .root)))
        var keys: [ByteString] = []
        var rounds = 0
        while case let sent = client.takeSent(), !sent.isEmpty {
            rounds += 1
            let pushes = sent.compactMap { if case .merklePush(let push) = $0 { push } else { nil } }
            #expect(pushes.count <= 4)
            keys += pushes.flatMap { $0.records.map(\.key) }
            guard case .ping(let timestamp)? = sent.last else { break }
            #expect(pushes.count == 4)
            // A record that changes meanwhile is not missed, one that comes meanwhile is told too.
            client.receive(event(ByteString("late\(rounds)"), .server(rounds, 2)))
            #expect(client.takeSent().isEmpty)
            client.receive(.pong(timestamp: timestamp, serverTime: client.now.wallMillis))
        }
        #expect(rounds == 4)
        #expect(keys.sorted() == client.contents(of: map).keys.sorted(), "each once")
    }

    @Test func `what a client is asked for while it reads the map it gives once, too`() throws {
        let first = try TestClient()
        let map = try first.open("todos")
        first.connect()
        first.receive(event("a", .server(1, 1)))
        let client = try TestClient(store: first.store)
        client.connect()
        client.loadsAtOnce = false
        let page = try client.store.entries(ofMap: "todos", after: nil, limit: 9)
        let pull = ServerMessage.merklePull(MapPath(mapName: "todos", path: .root))
        _ = client.takeSent()
        client.receive(batch([pull, pull, pull]))
        client.state.loaded(map: map, entries: page, isLast: true, at: client.now)
        client.settle()
        client.receive(pull)
        let pushes = client.takeSent().compactMap { if case .merklePush(let push) = $0 { push } else { nil } }
        #expect(pushes.map(\.records.count) == [1])
    }

    @Test func `however many gaps there are, a map and a query are asked for once at a time`() throws {
        let (client, map) = try live()
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        client.settle()
        client.receive(.queryResponse(QueryResponse(queryID: "q1", results: [])))
        func asked() -> [String] {
            client.takeSent().map { message in
                switch message {
                case .querySubscribe: "QUERY_SUB"
                case .syncStart: "SYNC_INIT"
                default: "other"
                }
            }
        }
        var sequence: Int64 = 1
        func gaps(_ count: Int) -> [ServerMessage] {
            (0..<count).map { _ in
                sequence += 2
                return event("a", .server(Int(sequence), sequence), sequence: sequence)
            }
        }
        client.receive(event("a", .server(1, 1), sequence: 1))
        _ = asked()
        client.receive(batch(gaps(500)))
        #expect(asked() == ["QUERY_SUB", "SYNC_INIT"])
        for _ in 0..<10 { client.receive(batch(gaps(5))) }
        #expect(asked().isEmpty, "the answers are still on their way")
        // What was lost behind the question may lack in its answer.
        client.receive(.queryResponse(QueryResponse(queryID: "q1", results: [])))
        #expect(asked() == ["QUERY_SUB"])
        client.receive(root(client.state.merkleRoot(of: map)))
        #expect(asked() == ["SYNC_INIT"])
        client.receive(.queryResponse(QueryResponse(queryID: "q1", results: [])))
        client.receive(root(client.state.merkleRoot(of: map)))
        #expect(asked().isEmpty && client.syncState == .live && client.isConfirmed(query))
    }

    @Test func `a map that is read for longer than the log may hold it up is compared once it is there`() throws {
        let client = try TestClient()
        client.loadsAtOnce = false
        let map = try client.open("todos")
        client.connect()
        client.answersPings = true
        client.pass(20_000)
        #expect(client.takeSent().syncedMaps.isEmpty)
        client.state.loaded(map: map, entries: [], isLast: true, at: client.now)
        client.settle()
        #expect(client.takeSent().syncedMaps == ["todos"])
    }

    @Test func `RESYNC makes the client compare the map again (C13)`() throws {
        let (client, _) = try live()
        client.receive(.resync(mapName: "todos"))
        #expect(client.takeSent().syncedMaps == ["todos"])
    }

    @Test func `a reset drops everything but what the log holds, and not twice (C07)`() throws {
        let (client, map) = try live()
        client.receive(event("old", .server(1, 1)))
        client.receive(event("both", .server(1, 1)))
        try client.set("both", 2, in: map)
        try client.set("mine", 3, in: map)
        _ = client.takeSent()
        client.receive(.syncResetRequired(mapName: "todos", reason: "horizon"))
        #expect(client.contents(of: map).mapValues(\.int) == ["both": 2, "mine": 3])
        #expect(client.pendingCount == 2)
        guard case .syncStart(let start)? = client.takeSent().last else {
            Issue.record("no SYNC_INIT")
            return
        }
        #expect(start.lastSyncTimestamp == 0)
        client.receive(.syncResetRequired(mapName: "todos", reason: "again"))
        #expect(client.notices.last == .protocolError(.repeatedReset))
        let again = try TestClient(store: client.store)
        let reopened = try again.open("todos")
        #expect(again.contents(of: reopened).mapValues(\.int) == ["both": 2, "mine": 3])
    }

    @Test func `removals that every replica is past are forgotten`() throws {
        let (client, map) = try live()
        client.receive(event("a", LWWRecord(value: .tombstone, timestamp: .server(1))))
        client.receive(event("b", LWWRecord(value: .tombstone, timestamp: .server(9))))
        client.receive(.prune(olderThan: .server(5)))
        #expect(client.record("a", in: map) == nil && client.record("b", in: map) != nil)
        #expect(try client.store.entries(ofMap: "todos", after: nil, limit: 9).map(\.key) == ["b"])
    }

    @Test func `what only this client has is pushed when it is asked for`() throws {
        let (client, map) = try live()
        client.receive(event("a", .server(1, 1)))
        try client.set("mine", 2, in: map)
        _ = client.takeSent()
        client.receive(.merklePull(MapPath(mapName: "todos", path: .root)))
        guard case .merklePush(let push)? = client.takeSent().first else {
            Issue.record("no MERKLE_PUSH")
            return
        }
        #expect(push.records.map(\.key) == ["a"], "writes in the log go their own way")
        client.receive(.merklePull(MapPath(mapName: "unknown", path: .root)))
        guard case .merklePush(let empty)? = client.takeSent().first else {
            Issue.record("no MERKLE_PUSH")
            return
        }
        #expect(empty.records.isEmpty)
    }

    // MARK: Merging

    @Test func `an event is merged by stamp, whatever it says it is`() throws {
        let (client, map) = try live()
        client.receive(event("a", .server(2, 2)))
        client.receive(event("a", .server(1, 1)))
        #expect(client.value("a", in: map) == 2)
        client.receive(
            .event(
                ServerEvent(
                    mapName: "todos", kind: .put, key: "a", record: LWWRecord(value: .tombstone, timestamp: .server(3))
                )))
        #expect(client.value("a", in: map) == nil)
    }

    @Test func `an echo under an earlier stamp of the server is adopted, before or after the acknowledgement`() throws {
        for isBefore in [true, false] {
            let client = try TestClient()
            let map = try client.open("todos")
            client.connect(to: .test(features: [.results, .levels]))
            client.receive(root(client.state.merkleRoot(of: map)))
            try client.set("a", 1, in: map)
            let echo = LWWRecord.server(1, -50)
            let result = OperationResult(id: 1, level: .replicated)
            if isBefore { client.receive(event("a", echo)) }
            client.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [result])))
            if !isBefore { client.receive(event("a", echo)) }
            #expect(client.record("a", in: map) == echo)
            #expect(try client.store.entries(ofMap: "todos", after: nil, limit: 9).map(\.record) == [echo])
        }
    }

    @Test func `where servers keep stamps, an older removal by another is not taken for ours`() throws {
        for isBefore in [true, false] {
            let (client, map) = try live()
            try client.remove("a", in: map)
            let own = client.record("a", in: map)
            let other = LWWRecord(value: .tombstone, timestamp: .server(-50))
            let result = OperationResult(id: 1, level: .replicated)
            if isBefore { client.receive(event("a", other)) }
            client.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [result])))
            if !isBefore { client.receive(event("a", other)) }
            #expect(client.record("a", in: map) == own)
            #expect(try client.store.entries(ofMap: "todos", after: nil, limit: 9).map(\.record) == [own])
        }
    }

    @Test func `a late old value of another is no echo`() throws {
        let (client, map) = try live()
        try client.set("a", 1, in: map)
        let own = client.record("a", in: map)
        client.receive(event("a", .server(2, -50)))
        #expect(client.record("a", in: map) == own)
    }

    @Test func `a server write that lands during a walk stands (C15)`() throws {
        let (client, map) = try connected()
        client.receive(root(5))
        client.receive(event("a", .server(2, 20)))
        client.receive(leaf(.root, [KeyedRecord(key: "a", record: .server(1, 10))]))
        #expect(client.value("a", in: map) == 2)
    }

    // MARK: Hostile servers

    @Test(arguments: 0..<40) func `no frame traps and none retires anything (C10)`(seed: Int) throws {
        var dice = Dice(state: UInt64(seed))
        let (client, map) = try live()
        _ = try client.state.subscribe(map, whereMap: nil, at: client.now)
        for value in 0..<5 { try client.set(ByteString("k\(value)"), value, in: map) }
        let valid = Self.frames(seed: seed)
        for _ in 0..<400 {
            var frame = valid[dice.below(valid.count)]
            for _ in 0..<(1 + dice.below(4)) {
                switch dice.below(4) {
                case 0: frame[dice.below(frame.count)] = UInt8(dice.below(256))
                case 1: frame.removeLast(dice.below(min(frame.count, 8)))
                case 2: frame.insert(UInt8(dice.below(256)), at: dice.below(frame.count))
                default: frame.removeSubrange(dice.below(frame.count)..<frame.count)
                }
                if frame.isEmpty { frame = [0xc0] }
            }
            client.receive(frame: frame)
            if case .close? = client.connections.last {
                client.reconnect()
                client.connections = []
            }
            client.sent = []
            client.notices = []
        }
        #expect(client.pendingCount == 5, "seed \(seed)")
        for value in 0..<5 { #expect(try client.store.fates(of: [UInt64(value + 1)]) == [.pending]) }
    }

    /// Frames without a true acknowledgement of the operations 1...5.
    private static func frames(seed: Int) -> [[UInt8]] {
        let messages: [ServerMessage] = [
            .acknowledgement(Acknowledgement(lastID: 90, results: [OperationResult(id: 90, level: .persisted)])),
            .acknowledgement(Acknowledgement(lastID: 90, level: .persisted)),
            .levelUp([LevelUp(id: 90, level: .persisted)]),
            .event(ServerEvent(mapName: "todos", kind: .put, key: "x", record: .server(1, 1), sequence: .max)),
            .syncRoot(SyncRoot(mapName: "todos", rootHash: 9, timestamp: .server(9_000_000))),
            .syncBuckets(
                SyncBuckets(mapName: "todos", path: .root, buckets: [SyncBuckets.Bucket(digit: 3, hash: 4)])),
            .syncLeaf(
                SyncLeaf(mapName: "todos", path: .root, records: [KeyedRecord(key: "y", record: .server(3, 1 << 52))])),
            .syncResetRequired(mapName: "todos", reason: ""),
            .merklePull(MapPath(mapName: "todos", path: .root)),
            .queryResponse(QueryResponse(queryID: "q1", results: [QueryRow(key: "z", value: .int(1))])),
            .queryUpdate(QueryUpdate(queryID: "q1", key: "z", value: .int(2), change: .update, sequence: .max)),
            .error(ErrorMessage(code: 429, message: "", details: ErrorDetails(retryAfterMillis: .max))),
            .prune(olderThan: .server(1)),
            .pong(timestamp: 0, serverTime: .max),
            .resync(mapName: "todos"),
        ]
        return messages.map { message in
            let sink = ByteSink()
            message.encode(into: sink)
            return Array(sink.bytes)
        }
    }
}
