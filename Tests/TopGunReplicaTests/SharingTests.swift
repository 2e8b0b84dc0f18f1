import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// Two processes over one store (C05): an app that syncs and a widget that does not.
@Suite struct SharingTests {
    /// Two replicas whose stores are the same one.
    final class Pair {
        let app: TestClient
        let widget: TestClient
        let appMap: MapID
        let widgetMap: MapID

        init() throws {
            app = try TestClient(node: "app")
            appMap = try app.open("todos")
            widget = try TestClient(box: app.box, role: .follower, node: "widget")
            widgetMap = try widget.open("todos")
        }

        /// The widget's work reaches the app, or the other way round: the store is one, the news of it come now.
        func tell(_ reader: TestClient) throws {
            while true {
                let state = (reader.state.storeSequence, reader.state.lastOperationID)
                let changes = try reader.store.changes(since: state.0, operationsAfter: state.1, limit: 2)
                let fates = try reader.store.fates(of: reader.state.outstandingOperations)
                reader.state.storeChanged(changes, fates: fates, at: reader.now)
                reader.settle()
                if !changes.isCut { break }
            }
        }

        /// The other process is gone.
        func lead(_ client: TestClient) throws {
            let store = client.store
            client.state.lead(
                identity: try #require(try store.identity()), maps: try store.maps(),
                operations: try store.operations(after: 0, limit: 99),
                setAside: try store.setAside(after: 0, limit: 99),
                at: client.now)
            client.settle()
        }
    }

    @Test func `a follower writes through the store and the leader sends it`() throws {
        let pair = try Pair()
        pair.app.connect()
        pair.app.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        let writes = try (0..<5).map { try pair.widget.set(ByteString("k\($0)"), $0, in: pair.widgetMap) }
        #expect(pair.widget.connections.isEmpty, "it never connects")
        #expect(writes.allSatisfy { pair.widget.outcomes(of: $0) == [.stored] })
        _ = pair.app.takeSent()
        try pair.tell(pair.app)
        #expect(pair.app.contents(of: pair.appMap).count == 5)
        let sent = pair.app.takeSent().operations
        #expect(sent.compactMap(\.id) == [1, 2, 3, 4, 5])
        #expect(sent.compactMap(\.record).allSatisfy { $0.timestamp.node == "widget" })
        let results = sent.compactMap(\.id).map { OperationResult(id: $0, level: .replicated) }
        pair.app.receive(.acknowledgement(Acknowledgement(lastID: 5, results: results)))
        try pair.tell(pair.widget)
        #expect(writes.allSatisfy { pair.widget.outcomes(of: $0).last == .reached(.replicated) })
        #expect(pair.widget.pendingCount == 0)
    }

    @Test func `what changes while a follower reads a map from the store is not missed`() throws {
        let pair = try Pair()
        for key in ["a", "b", "c", "d"] as [ByteString] { try pair.app.set(key, 1, in: pair.appMap) }
        let late = try TestClient(box: pair.app.box, role: .follower, node: "late")
        let map = try late.state.open("todos", at: late.now)
        let effects = late.state.takeEffects(at: late.now)
        #expect(effects.loads == [map])
        let first = try late.store.entries(ofMap: "todos", after: nil, limit: 2)
        late.state.loaded(map: map, entries: first, isLast: false, at: late.now)
        // Of keys that were read already, of one before them all, and of one still to be read.
        for key in ["a", "A", "d"] as [ByteString] { try pair.app.set(key, 2, in: pair.appMap) }
        try pair.app.remove("b", in: pair.appMap)
        try pair.tell(late)
        let rest = try late.store.entries(ofMap: "todos", after: first.last?.key, limit: 9)
        late.state.loaded(map: map, entries: rest, isLast: true, at: late.now)
        late.settle()
        #expect(late.contents(of: map).mapValues(\.int) == ["A": 2, "a": 2, "c": 1, "d": 2])
    }

    @Test func `a follower sees what the leader merges, and what it rolls back`() throws {
        let pair = try Pair()
        pair.app.connect()
        pair.app.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        pair.app.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: .server(1, 1))))
        pair.widget.state.watch(pair.widgetMap, true)
        try pair.tell(pair.widget)
        #expect(pair.widget.value("a", in: pair.widgetMap) == 1)
        #expect(pair.widget.changes.map(\.key) == ["a"])
        let write = try pair.widget.set("a", 2, in: pair.widgetMap)
        try pair.tell(pair.app)
        #expect(pair.app.value("a", in: pair.appMap) == 2)
        var refusal = OperationResult(id: 1)
        refusal.refusal = .forbidden
        pair.app.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [refusal])))
        #expect(pair.app.value("a", in: pair.appMap) == 1, "the leader knows what the server holds")
        try pair.tell(pair.widget)
        #expect(pair.widget.value("a", in: pair.widgetMap) == 1)
        guard case .refused("FORBIDDEN", let losing)? = pair.widget.outcomes(of: write).last else {
            Issue.record("\(pair.widget.outcomes(of: write))")
            return
        }
        #expect(losing.value.int == 2)
    }

    @Test func `a follower's write stays when the leader stores what is older before it hears of it (C05)`() throws {
        let pair = try Pair()
        pair.app.connect()
        pair.app.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        try pair.widget.set("a", 2, in: pair.widgetMap)
        let write = try #require(pair.widget.record("a", in: pair.widgetMap))
        pair.app.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: .server(1, -9))))
        try pair.tell(pair.widget)
        #expect(pair.widget.record("a", in: pair.widgetMap) == write)
        try pair.tell(pair.app)
        #expect(pair.app.record("a", in: pair.appMap) == write)
        let newer = LWWRecord.server(3, 60_000)
        pair.app.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: newer)))
        try pair.tell(pair.widget)
        #expect(pair.widget.record("a", in: pair.widgetMap) == newer, "who is newer is shown at once")
        pair.app.receive(
            .acknowledgement(Acknowledgement(lastID: 1, results: [OperationResult(id: 1, level: .replicated)])))
        try pair.tell(pair.widget)
        #expect(pair.widget.record("a", in: pair.widgetMap) == newer && pair.widget.pendingCount == 0)
        #expect(try pair.app.store.entries(ofMap: "todos", after: nil, limit: 9).map(\.record) == [newer])
    }

    @Test func `a follower's write stands when it is retired by a leader that never wrote its record again (C05)`()
        throws
    {
        let pair = try Pair()
        let write = try pair.widget.set("a", 2, in: pair.widgetMap)
        // Another run of the app: it finds record and operation in the store.
        let app = try TestClient(box: pair.app.box)
        try app.open("todos")
        app.connect()
        app.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [OperationResult(id: 1, level: .replicated)])))
        try pair.tell(pair.widget)
        #expect(pair.widget.outcomes(of: write).last == .reached(.replicated) && pair.widget.pendingCount == 0)
        #expect(pair.widget.value("a", in: pair.widgetMap) == 2)
    }

    @Test func `a follower whose commit fails shows what the leader stored meanwhile (C03, C05)`() throws {
        let pair = try Pair()
        pair.app.connect()
        pair.app.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        pair.app.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: .server(1, -9))))
        try pair.tell(pair.widget)
        pair.widget.commitsAtOnce = false
        let write = try pair.widget.set("a", 2, in: pair.widgetMap)
        pair.app.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: .server(3, -8))))
        try pair.tell(pair.widget)
        #expect(pair.widget.value("a", in: pair.widgetMap) == 2)
        pair.widget.store.failure = StoreError(code: .full, message: "no space")
        pair.widget.commit()
        pair.widget.settle()
        #expect(pair.widget.outcomes(of: write).count == 1)
        #expect(pair.widget.value("a", in: pair.widgetMap) == 3)
    }

    @Test(arguments: [true, false])
    func `who takes over still knows what the other was told by the servers (C05)`(isRefused: Bool) throws {
        let pair = try Pair()
        pair.app.connect()
        pair.app.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        try pair.widget.set("a", 2, in: pair.widgetMap)
        let newer = LWWRecord.server(3, 60_000)
        pair.app.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: newer)))
        try pair.tell(pair.widget)
        try pair.lead(pair.widget)
        pair.widget.connect()
        var result = OperationResult(id: 1, level: isRefused ? .fireAndForget : .replicated)
        if isRefused { result.refusal = .forbidden }
        pair.widget.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [result])))
        #expect(pair.widget.pendingCount == 0 && pair.widget.record("a", in: pair.widgetMap) == newer)
        #expect(try pair.widget.store.entries(ofMap: "todos", after: nil, limit: 9).map(\.record) == [newer])
    }

    @Test func `the two never stamp alike, and the later write stands on both`() throws {
        let pair = try Pair()
        for value in 0..<10 {
            try pair.app.set("k", value, in: pair.appMap)
            try pair.tell(pair.widget)
            try pair.widget.set("k", 100 + value, in: pair.widgetMap)
            try pair.tell(pair.app)
        }
        #expect(pair.app.record("k", in: pair.appMap) == pair.widget.record("k", in: pair.widgetMap))
        #expect(pair.app.value("k", in: pair.appMap) == 109)
        let stamps = try pair.app.store.operations(after: 0, limit: 99).map(\.record.timestamp)
        #expect(Set(stamps).count == 20 && stamps == stamps.sorted())
    }

    @Test func `a follower that takes over sends everything, its own and the other's`() throws {
        let pair = try Pair()
        try pair.app.set("a", 1, in: pair.appMap)
        try pair.app.set("a", 2, in: pair.appMap)
        try pair.tell(pair.widget)
        try pair.widget.set("b", 3, in: pair.widgetMap)
        try pair.lead(pair.widget)
        #expect(pair.widget.connections == [.open])
        pair.widget.connect()
        #expect(pair.widget.takeSent().operationIDs == [1, 2, 3])
        var refusal = OperationResult(id: 2)
        refusal.refusal = .forbidden
        pair.widget.receive(
            .acknowledgement(
                Acknowledgement(lastID: 2, results: [OperationResult(id: 1, level: .replicated), refusal])))
        #expect(pair.widget.value("a", in: pair.widgetMap) == 1)
        // The next run goes on with the node id of this one, above all its stamps.
        try pair.widget.set("c", 4, in: pair.widgetMap)
        let last = try #require(pair.widget.record("c", in: pair.widgetMap)).timestamp
        let next = try TestClient(store: pair.widget.store, now: TestClient.start)
        let map = try next.open("todos")
        #expect(next.node == "widget")
        try next.set("d", 5, in: map)
        #expect(try #require(next.record("d", in: map)).timestamp > last)
    }

    @Test func `a leader that is demoted stops sending and never stamps with the shared node id again`() throws {
        let pair = try Pair()
        pair.app.connect()
        pair.app.connections = []
        let node = pair.app.node
        pair.app.state.follow(at: pair.app.now)
        pair.app.settle()
        #expect(pair.app.connections == [.close(code: 1000)])
        _ = pair.app.takeSent()
        try pair.app.set("a", 1, in: pair.appMap)
        #expect(pair.app.takeSent().isEmpty && pair.app.node != node)
        #expect(try pair.app.store.operations(after: 0, limit: 9).count == 1)
        #expect(try #require(try pair.app.store.identity()).node != pair.app.node)
    }

    @Test func `a refusal that the leader's application has dealt with is still told to its author (B.1)`() throws {
        let pair = try Pair()
        pair.app.connect()
        let write = try pair.widget.set("a", 2, in: pair.widgetMap)
        try pair.tell(pair.app)
        var refusal = OperationResult(id: 1)
        refusal.refusal = .forbidden
        pair.app.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [refusal])))
        pair.app.state.forgetSetAside(1)
        pair.app.settle()
        try pair.tell(pair.widget)
        let losing = try #require(pair.app.results.compactMap(\.losing).first)
        #expect(pair.widget.outcomes(of: write) == [.stored, .refused(code: "FORBIDDEN", losing: losing)])
    }

    @Test func `of a write whose fate nobody knows any more no level is reported (B.1)`() throws {
        let pair = try Pair()
        let write = try pair.widget.set("a", 2, in: pair.widgetMap)
        pair.widget.state.storeChanged(
            StoreChanges(sequence: 0, entries: [], operations: [], isCut: false), fates: [.unknown],
            at: pair.widget.now)
        pair.widget.settle()
        #expect(pair.widget.pendingCount == 0)
        #expect(pair.widget.outcomes(of: write) == [.stored])
    }

    @Test func `a follower hears of every level that its leader was told, and of none above (B.1)`() throws {
        let pair = try Pair()
        pair.app.connect(to: .test(features: [.levels]))
        let official = try pair.widget.set("a", 1, in: pair.widgetMap)
        try pair.tell(pair.app)
        pair.app.receive(.acknowledgement(Acknowledgement(lastID: 1, level: .applied)))
        try pair.tell(pair.widget)
        #expect(pair.widget.outcomes(of: official) == [.stored, .reached(.applied)])

        pair.app.disconnect()
        pair.app.reconnect()
        for isTogether in [false, true] {
            let write = try pair.widget.set("a", 2, in: pair.widgetMap)
            try pair.tell(pair.app)
            let id = pair.widget.state.outstandingOperations[0]
            let result = OperationResult(id: id, level: .replicated)
            pair.app.receive(.acknowledgement(Acknowledgement(lastID: id, results: [result])))
            if !isTogether {
                try pair.tell(pair.widget)
                #expect(pair.widget.outcomes(of: write) == [.stored, .reached(.replicated)])
            }
            pair.app.receive(.levelUp([LevelUp(id: id, level: .persisted)]))
            for _ in 0..<2 { try pair.tell(pair.widget) }
            #expect(pair.widget.outcomes(of: write).last == .reached(.persisted))
            #expect(pair.widget.outcomes(of: write).count == (isTogether ? 2 : 3), "each once")
        }
        #expect(pair.app.results.allSatisfy { $0.write != nil }, "they are not the leader's own")
    }

    @Test func `a follower whose commit failed has nothing left to wait for`() throws {
        let pair = try Pair()
        pair.widget.store.failure = StoreError(code: .full, message: "no space")
        let write = try pair.widget.set("a", 1, in: pair.widgetMap)
        #expect(pair.widget.outcomes(of: write).count == 1)
        pair.widget.store.failure = nil
        pair.widget.pass(2_000)
        #expect(pair.widget.timerMillis == nil)
        #expect(pair.widget.contents(of: pair.widgetMap).isEmpty && pair.widget.isSaved)
    }

    @Test func `what others changed, read before a refusal, does not bring the write back`() throws {
        let pair = try Pair()
        pair.app.connect()
        // Between the leader's changes lies one that it has not heard of, so that it will be told of its own as well.
        try pair.widget.set("other", 1, in: pair.widgetMap)
        try pair.app.set("a", 2, in: pair.appMap)
        let late = try pair.app.store.changes(
            since: pair.app.state.storeSequence, operationsAfter: pair.app.state.lastOperationID, limit: 9)
        #expect(late.entries.map(\.key) == ["other", "a"])
        var refusal = OperationResult(id: 2)
        refusal.refusal = .forbidden
        pair.app.receive(.acknowledgement(Acknowledgement(lastID: 2, results: [refusal])))
        pair.app.state.storeChanged(late, fates: [], at: pair.app.now)
        pair.app.settle()
        #expect(pair.app.contents(of: pair.appMap).mapValues(\.int) == ["other": 1])
        try pair.tell(pair.app)
        #expect(pair.app.contents(of: pair.appMap).mapValues(\.int) == ["other": 1])
    }

    @Test func `what others changed, read before a reset is stored, does not bring back what it took away (C07)`()
        throws
    {
        let pair = try Pair()
        pair.app.connect()
        pair.app.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        // Between the leader's changes lies one that it has not heard of, so that it will be told of its own as well.
        try pair.widget.set("other", 1, in: pair.widgetMap)
        pair.app.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: .server(2, 1))))
        pair.app.commitsAtOnce = false
        pair.app.receive(.syncResetRequired(mapName: "todos", reason: "gone"))
        #expect(pair.app.contents(of: pair.appMap).isEmpty)
        try pair.tell(pair.app)
        #expect(pair.app.contents(of: pair.appMap).mapValues(\.int) == ["other": 1])
        pair.app.commitsAtOnce = true
        pair.app.commit()
        pair.app.settle()
        try pair.tell(pair.app)
        #expect(pair.app.contents(of: pair.appMap).mapValues(\.int) == ["other": 1])
        #expect(try pair.app.store.entries(ofMap: "todos", after: nil, limit: 9).map(\.key) == ["other"])
    }

    @Test func `rows with a lifetime that another process wrote leave when it ends`() throws {
        let pair = try Pair()
        let query = try pair.app.state.subscribe(pair.appMap, whereMap: nil, at: pair.app.now)
        try pair.widget.set("a", 1, in: pair.widgetMap, ttlMillis: 500)
        try pair.tell(pair.app)
        #expect(pair.app.state.rows(of: query).map(\.key) == ["a"])
        pair.app.queryChanges = []
        pair.app.pass(600)
        #expect(pair.app.queryChanges == [QueryChange(query: query, key: "a", value: nil)])
    }

    @Test func `who takes over tells of what only the store knew`() throws {
        let pair = try Pair()
        pair.widget.state.watch(pair.widgetMap, true)
        try pair.app.set("a", 1, in: pair.appMap)
        try pair.lead(pair.widget)
        #expect(pair.widget.value("a", in: pair.widgetMap) == 1)
        #expect(pair.widget.changes.map(\.key) == ["a"])
    }

    @Test func `no stamp is made twice after taking over without a write (K04)`() throws {
        let pair = try Pair()
        pair.app.connect()
        try pair.widget.set("a", 1, in: pair.widgetMap)
        let last = try #require(pair.widget.record("a", in: pair.widgetMap)).timestamp
        // Neither the log nor an open map holds the stamp when the next run starts.
        try pair.tell(pair.app)
        let result = OperationResult(id: 1, level: .replicated)
        pair.app.receive(.acknowledgement(Acknowledgement(lastID: 1, results: [result])))
        try pair.tell(pair.widget)
        try pair.lead(pair.widget)
        let back = ReplicaTime(wallMillis: TestClient.start.wallMillis - 3_600_000, steadyMillis: 1)
        let next = try TestClient(store: pair.widget.store, now: back)
        #expect(next.node == "widget")
        let map = try next.open("notes")
        try next.set("b", 2, in: map)
        #expect(try #require(next.record("b", in: map)).timestamp > last)
    }

    @Test(arguments: 0..<30) func `app and widget converge with the server (C05)`(seed: Int) throws {
        var dice = Dice(state: UInt64(seed))
        let server = ModelServer(wallMillis: TestClient.start.wallMillis)
        let pair = try Pair()
        pair.app.connect()
        pair.app.frames = []
        let session = server.connect()
        try server.receive(Self.hello, from: session)
        _ = server.takeFrames(session)
        func talk() throws {
            for frame in pair.app.frames { try server.receive(frame, from: session) }
            pair.app.frames = []
            for frame in server.takeFrames(session) { pair.app.receive(frame: frame) }
        }
        server.refuse = { operation in
            guard case .put(let record) = operation.change, let value = record.value.int else { return nil }
            return value % 7 == 0 ? .forbidden : nil
        }
        pair.app.state.setOnline(true, at: pair.app.now)
        for value in 1...60 {
            for client in [pair.app, pair.widget] { client.advance(Int64(dice.below(5))) }
            let key = ByteString("k\(dice.below(5))")
            if dice.oneIn(2) {
                try pair.app.set(key, value, in: pair.appMap)
            } else {
                try pair.widget.set(key, value, in: pair.widgetMap)
            }
            if dice.oneIn(2) { try pair.tell(pair.app) }
            if dice.oneIn(2) { try pair.tell(pair.widget) }
            if dice.oneIn(2) {
                try talk()
            }
        }
        for _ in 0..<20 {
            try pair.tell(pair.app)
            for _ in 0..<5 { try talk() }
            try pair.tell(pair.widget)
        }
        let expected = (server.maps["todos"] ?? [:]).mapValues(\.value)
        #expect(pair.app.contents(of: pair.appMap) == expected, "seed \(seed)")
        #expect(pair.widget.contents(of: pair.widgetMap) == expected, "seed \(seed)")
        #expect(pair.app.pendingCount == 0 && pair.widget.pendingCount == 0, "seed \(seed)")
        #expect(server.effects.values.allSatisfy { $0 <= 1 }, "seed \(seed)")
    }

    private static let hello: [UInt8] = {
        let sink = ByteSink()
        ClientMessage.deviceHello(DeviceHello(protocolVersion: 3, features: [.results, .levels])).encode(into: sink)
        return Array(sink.bytes)
    }()
}

extension WriteResult {
    /// The value of a refused write.
    fileprivate var losing: LWWRecord? {
        if case .refused(_, let losing) = outcome { losing } else { nil }
    }
}
