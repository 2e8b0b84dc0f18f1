import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// What acknowledgements do to the log: they retire by name, at the retire level, and nothing else ever does.
@Suite struct AcknowledgementTests {
    /// A connected client with an open map, and the ids of what it has sent.
    private func connected(
        features: FeatureSet = ServerIdentity.test().features
    ) throws -> (client: TestClient, map: MapID) {
        let client = try TestClient()
        let map = try client.open("todos")
        client.connect(to: .test(features: features))
        client.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        _ = client.takeSent()
        return (client, map)
    }

    private func officialLike() throws -> (client: TestClient, map: MapID) {
        let client = try TestClient()
        let map = try client.open("todos")
        client.state.connected(at: client.now)
        client.settle()
        client.receive(.deviceAcknowledged(Greeting()))
        _ = client.takeSent()
        return (client, map)
    }

    private static func result(_ id: UInt64, _ level: WriteConcern = .replicated) -> OperationResult {
        OperationResult(id: id, level: level)
    }

    private static func refusal(_ id: UInt64, _ refusal: Refusal, serverTime: Int64? = nil) -> OperationResult {
        var result = OperationResult(id: id, level: .fireAndForget)
        result.refusal = refusal
        result.serverTime = serverTime
        return result
    }

    private static func ack(_ results: OperationResult...) -> ServerMessage {
        .acknowledgement(Acknowledgement(lastID: results.map(\.id).max() ?? 0, results: results))
    }

    // MARK: Retiring

    @Test func `an operation leaves the log only at the retire level, whatever lower level was reached (B05)`() throws {
        let (client, map) = try connected()
        let write = try client.set("a", 1, in: map)
        client.receive(Self.ack(Self.result(1, .applied)))
        #expect(client.pendingCount == 1)
        client.receive(.levelUp([LevelUp(id: 1, level: .replicated)]))
        #expect(client.pendingCount == 0)
        #expect(client.outcomes(of: write) == [.stored, .reached(.applied), .reached(.replicated)])
        #expect(client.transactions.last?.retired == [1])
        client.receive(.levelUp([LevelUp(id: 1, level: .persisted)]))
        #expect(client.outcomes(of: write).last == .reached(.persisted))
    }

    @Test(
        arguments: [
            (features: [.results, .levels], asked: .memory), ([.results], .replicated), ([.levels], .replicated),
            ([], .replicated),
        ] as [(features: FeatureSet, asked: WriteConcern)])
    func `only where higher levels are told is less asked for than the retire level (B05)`(
        features: FeatureSet, asked: WriteConcern
    ) throws {
        var configuration = ReplicaConfiguration()
        configuration.concern = .memory
        let client = try TestClient(configuration: configuration)
        let map = try client.open("todos")
        client.connect(to: .test(features: features))
        try client.set("a", 1, in: map)
        #expect(client.takeSent().concerns == [asked])
    }

    @Test func `a level that was reported is never taken back`() throws {
        let (client, map) = try connected()
        let write = try client.set("a", 1, in: map)
        client.receive(Self.ack(Self.result(1, .applied)))
        client.receive(Self.ack(Self.result(1, .memory)))
        client.receive(.levelUp([LevelUp(id: 1, level: .memory)]))
        #expect(client.outcomes(of: write) == [.stored, .reached(.applied)])
    }

    @Test func `lastId alone retires nothing when the server has results (mutant 25)`() throws {
        let (client, map) = try connected()
        for value in 1...3 { try client.set("k", value, in: map) }
        client.receive(.acknowledgement(Acknowledgement(lastID: 3, level: .persisted)))
        #expect(client.pendingCount == 3)
        client.receive(Self.ack(Self.result(2)))
        #expect(client.transactions.last?.retired == [2], "out of order, one by one")
        #expect(client.pendingCount == 2)
    }

    @Test func `acknowledgements for unknown, never sent and future ids are faults and retire nothing (C10)`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        for id: UInt64 in [0, 2, 1_000_000, .max] {
            client.notices = []
            client.receive(Self.ack(Self.result(id)))
            #expect(client.notices == [.protocolError(.unknownOperation)])
            client.notices = []
            client.receive(.levelUp([LevelUp(id: id, level: .persisted)]))
            #expect(client.notices == [.protocolError(.unknownOperation)])
        }
        #expect(client.pendingCount == 1)
        client.disconnect()
        client.reconnect()
        // A level that comes before the decision waits for it.
        client.receive(.levelUp([LevelUp(id: 1, level: .replicated)]))
        #expect(client.pendingCount == 1)
        client.receive(Self.ack(Self.result(1, .applied)))
        #expect(client.pendingCount == 0)
    }

    @Test func `an acknowledgement of what only another connection carried is a fault (C10)`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        client.disconnect()
        client.reconnect()
        client.receive(.error(ErrorMessage(code: 503, message: "not yet")))
        try client.set("b", 2, in: map)
        client.notices = []
        client.receive(Self.ack(Self.result(2)))
        #expect(client.notices == [.protocolError(.unknownOperation)], "it waits here, unsent")
        #expect(client.pendingCount == 2)
    }

    @Test func `what ends the greeting answers nothing, as nothing was sent before it (C10)`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        try client.set("a", 1, in: map)
        let acknowledgement = ServerMessage.acknowledgement(Acknowledgement(lastID: 1, level: .persisted))
        let inside = ByteSink()
        acknowledgement.encode(into: inside)
        let content = ByteSink()
        BatchContent.append(forClient: [inside.bytes], to: content)
        let batch = Batch(count: 1, data: withExtendedLifetime((inside, content)) { Array(content.bytes) })
        for answer in [
            acknowledgement, .operationRejected(operationID: 1, reason: "", code: 403),
            .levelUp([LevelUp(id: 1, level: .persisted)]), .batch(batch),
        ] {
            while !client.connections.contains(.open) { client.pass(10) }
            client.connections = []
            client.state.connected(at: client.now)
            client.settle()
            client.notices = []
            client.receive(answer)
            #expect(client.notices.contains(.protocolError(.unknownOperation)), "\(answer)")
            #expect(client.pendingCount == 1, "\(answer)")
            client.disconnect()
        }
    }

    @Test func `a repeated acknowledgement is no fault`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        client.receive(Self.ack(Self.result(1)))
        client.notices = []
        client.receive(Self.ack(Self.result(1)))
        #expect(client.notices.isEmpty)
    }

    @Test func `with a server without results a numeric lastId retires what was sent up to it`() throws {
        let (client, map) = try officialLike()
        for value in 1...3 { try client.set("k", value, in: map) }
        client.receive(.acknowledgement(Acknowledgement(lastID: 2, level: .applied)))
        #expect(client.pendingCount == 1)
        client.receive(.acknowledgement(Acknowledgement(lastID: 99, level: .applied)))
        #expect(client.pendingCount == 1, "never sent, so it means nothing (C10)")
        client.receive(.acknowledgement(Acknowledgement(lastID: 3, level: .applied)))
        #expect(client.pendingCount == 0)
    }

    @Test func `a lastId that is no number never means everything (C10)`() throws {
        let (client, map) = try officialLike()
        try client.set("a", 1, in: map)
        client.receive(frame: Array(Frames.acknowledgementOfUnknown))
        #expect(client.pendingCount == 1)
        #expect(client.notices.contains(.protocolError(.unknownOperation)))
    }

    // MARK: Refusals

    @Test func `a refused write is set aside and the key shows what the server holds (C09, C11)`() throws {
        let (client, map) = try connected()
        client.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "b", record: .server(7, 1))))
        let good = try client.set("a", 1, in: map)
        let bad = try client.set("b", 2, in: map)
        let alsoGood = try client.set("c", 3, in: map)
        let losing = try #require(client.record("b", in: map))
        client.receive(Self.ack(Self.result(1), Self.refusal(2, .forbidden), Self.result(3)))
        #expect(client.outcomes(of: good).last == .reached(.replicated))
        #expect(client.outcomes(of: alsoGood).last == .reached(.replicated))
        #expect(client.outcomes(of: bad) == [.stored, .refused(code: "FORBIDDEN", losing: losing)])
        #expect(client.value("b", in: map) == 7, "rolled back")
        #expect(client.setAside.map(\.operation.record) == [losing], "and the value is not gone")
        let again = try TestClient(store: client.store)
        #expect(again.setAside == client.setAside)
        let reopened = try again.open("todos")
        #expect(again.value("b", in: reopened) == 7)
        again.state.forgetSetAside(2)
        again.settle()
        #expect(try again.store.setAside(after: 0, limit: 10).isEmpty)
    }

    @Test func `a refused write of an earlier run is rolled back to what the server sends (TOO_OLD, C07)`() throws {
        let offline = try TestClient()
        let todos = try offline.open("todos")
        try offline.set("a", 1, in: todos)
        let client = try TestClient(store: offline.store)
        let map = try client.open("todos")
        client.connect()
        #expect(client.takeSent().operationIDs == [1])
        client.receive(Self.ack(Self.refusal(1, .tooOld)))
        #expect(client.value("a", in: map) == nil)
        #expect(client.takeSent().syncedMaps.count == 1, "what the server has is asked for")
        client.receive(
            .syncLeaf(
                SyncLeaf(
                    mapName: "todos", path: .root, records: [KeyedRecord(key: "a", record: .server(9, -1_000_000))])))
        #expect(client.value("a", in: map) == 9)
        #expect(client.setAside.map(\.code) == ["TOO_OLD"])
    }

    @Test func `later writes of a key stand when an earlier one is refused`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        try client.set("a", 2, in: map)
        client.receive(Self.ack(Self.refusal(1, .tooLarge)))
        #expect(client.value("a", in: map) == 2)
        client.receive(Self.ack(Self.refusal(2, .tooLarge)))
        #expect(client.value("a", in: map) == nil)
        #expect(client.contents(of: map).isEmpty)
        let again = try TestClient(store: client.store)
        let reopened = try again.open("todos")
        #expect(again.contents(of: reopened).isEmpty)
    }

    @Test func `BUSY, NODE_FULL and NOT_READY keep the operation and wait longer each time (B13, B14)`() throws {
        for code in [Refusal.busy, .nodeFull, .notReady] {
            let (client, map) = try connected()
            try client.set("a", 1, in: map)
            #expect(client.takeSent().operationIDs == [1])
            var waits: [Int64] = []
            for _ in 0..<4 {
                client.receive(Self.ack(Self.refusal(1, code)))
                #expect(client.pendingCount == 1)
                #expect(client.takeSent().operationIDs.isEmpty, "not at once")
                let refused = client.now.steadyMillis
                while client.sent.operationIDs.isEmpty { client.pass(10) }
                #expect(client.takeSent().operationIDs == [1], "the same id")
                waits.append(client.now.steadyMillis - refused)
            }
            #expect(waits[3] > waits[0])
            client.receive(Self.ack(Self.result(1)))
            #expect(client.pendingCount == 0)
        }
    }

    @Test func `an expired token or an old client costs no operation (C08)`() throws {
        for code in [Refusal.unauthenticated, .upgradeRequired] {
            let (client, map) = try connected()
            try client.set("a", 1, in: map)
            try client.set("b", 2, in: map)
            client.receive(Self.ack(Self.refusal(1, code), Self.refusal(2, code)))
            #expect(client.pendingCount == 2 && client.setAside.isEmpty)
            #expect(client.notices.contains(code == .unauthenticated ? .tokenNeeded : .upgradeRequired))
            #expect(client.syncState == .offline)
        }
    }

    // MARK: Superseded

    @Test func `a superseded write brings the losing value and the winner (K08)`() throws {
        let (client, map) = try connected()
        let write = try client.set("a", 1, in: map)
        let losing = try #require(client.record("a", in: map))
        var result = Self.result(1)
        result.isSuperseded = true
        client.receive(Self.ack(result))
        #expect(client.outcomes(of: write) == [.stored, .reached(.replicated)], "the winner is not here yet")
        let winning = LWWRecord.server(2, 5_000)
        client.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: winning)))
        #expect(client.outcomes(of: write).last == .superseded(losing: losing, winning: winning))
        #expect(client.value("a", in: map) == 2)
    }

    @Test func `who overwrites his own write is not told so`() throws {
        let (client, map) = try connected()
        let write = try client.set("a", 1, in: map)
        try client.set("a", 2, in: map)
        var result = Self.result(1)
        result.isSuperseded = true
        client.receive(Self.ack(result, Self.result(2)))
        #expect(client.outcomes(of: write) == [.stored, .reached(.replicated)])
    }

    // MARK: Stamps and identities

    /// A device whose clock was an hour ahead while it was offline, after a restart: one write, in the log and the store.
    private func ahead(loadsAtOnce: Bool) throws -> TestClient {
        let time = ReplicaTime(wallMillis: TestClient.start.wallMillis + 3_600_000, steadyMillis: 1)
        let offline = try TestClient(now: time)
        try offline.set("a", 1, in: try offline.open("todos"))
        let client = try TestClient(store: offline.store, now: time)
        client.loadsAtOnce = loadsAtOnce
        return client
    }

    @Test func `no page of the store brings an old stamp back: new ones wait for maps that are being read (B19)`()
        throws
    {
        let client = try ahead(loadsAtOnce: false)
        let map = try client.open("todos")
        let page = try client.store.entries(ofMap: "todos", after: nil, limit: 9)
        client.connect()
        #expect(client.takeSent().operationIDs == [1])
        client.receive(Self.ack(Self.refusal(1, .clockAhead, serverTime: TestClient.start.wallMillis)))
        #expect(client.takeSent().operationIDs.isEmpty)
        client.state.loaded(map: map, entries: page, isLast: true, at: client.now)
        client.settle()
        let again = client.takeSent().operations.compactMap(\.record)
        #expect(again.count == 1 && again[0].timestamp.millis <= TestClient.start.wallMillis + 60_000)
        #expect(client.record("a", in: map) == again.first)
    }

    @Test(arguments: [true, false])
    func `no page of the store brings a refused write back`(isCommitted: Bool) throws {
        let offline = try TestClient()
        try offline.set("a", 1, in: try offline.open("todos"))
        let client = try TestClient(store: offline.store)
        client.loadsAtOnce = false
        let map = try client.open("todos")
        let page = try client.store.entries(ofMap: "todos", after: nil, limit: 9)
        #expect(page.map(\.isOwn) == [true])
        client.connect()
        client.commitsAtOnce = isCommitted
        client.receive(Self.ack(Self.refusal(1, .forbidden)))
        client.state.loaded(map: map, entries: page, isLast: true, at: client.now)
        client.settle()
        #expect(client.record("a", in: map) == nil)
        client.commitsAtOnce = true
        client.commit()
        client.settle()
        #expect(try client.store.entries(ofMap: "todos", after: nil, limit: 9).isEmpty)
        #expect(client.setAside.count == 1 && client.pendingCount == 0)
    }

    @Test func `a refusal that could not be stored yet stands above what is stored`() throws {
        let offline = try TestClient()
        try offline.set("a", 1, in: try offline.open("todos"))
        let client = try TestClient(store: offline.store)
        client.connect()
        client.store.failure = StoreError(code: .full, message: "no space")
        client.receive(Self.ack(Self.refusal(1, .forbidden)))
        let map = try client.open("todos")
        #expect(client.record("a", in: map) == nil)
        client.store.failure = nil
        client.answersPings = true
        client.pass(2_000)
        #expect(client.record("a", in: map) == nil && client.isSaved)
        #expect(try client.store.entries(ofMap: "todos", after: nil, limit: 9).isEmpty)
        #expect(try client.store.setAside(after: 0, limit: 9).count == 1)
    }

    @Test func `a refused write leaves the store together with its operation`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        client.store.failure = StoreError(code: .full, message: "no space")
        // More than one transaction holds, in front of the refusal.
        let records = (0..<ReplicaLimits.transactionEntriesMax).map {
            KeyedRecord(key: ByteString("k\($0)"), record: .server($0, 1))
        }
        client.receive(.syncLeaf(SyncLeaf(mapName: "todos", path: .root, records: records)))
        client.receive(Self.ack(Self.refusal(1, .forbidden)))
        client.store.failure = nil
        client.commitsAtOnce = false
        client.advance(1_100)
        client.settle()
        let transaction = try #require(client.transaction)
        #expect(transaction.setAside.map(\.operation.id) == [1])
        #expect(transaction.entries.first?.key == "a" && transaction.entries.first?.record == nil)
    }

    @Test func `operations that wait for new stamps do not wait for the end of a pause`() throws {
        let (client, map) = try connected()
        for value in 1...3 { try client.set("a", value, in: map) }
        _ = client.takeSent()
        client.answersPings = true
        client.receive(
            Self.ack(
                Self.refusal(1, .clockAhead, serverTime: TestClient.start.wallMillis), Self.refusal(2, .busy)))
        client.pass(5_000)
        #expect(client.takeSent().operations.isEmpty, "the third is undecided")
        client.receive(Self.ack(Self.result(3)))
        #expect(client.takeSent().operationIDs == [1, 2])
    }

    @Test func `patience that was asked for is over while new stamps wait, and no timer rings for it`() throws {
        let client = try ahead(loadsAtOnce: false)
        client.answersPings = true
        try client.open("todos")
        client.connect()
        client.receive(Self.ack(Self.refusal(1, .clockAhead, serverTime: TestClient.start.wallMillis)))
        client.receive(.error(ErrorMessage(code: 429, message: "busy", details: ErrorDetails(refusal: .busy))))
        client.pass(20_000)
        #expect(client.pendingCount == 1)
        #expect(client.timerMillis.map { $0 > client.now.steadyMillis } ?? true)
    }

    @Test func `a new stamp that could not be stored yet stands above the stored one (B19)`() throws {
        let client = try ahead(loadsAtOnce: true)
        client.connect()
        client.store.failure = StoreError(code: .full, message: "full")
        client.receive(Self.ack(Self.refusal(1, .clockAhead, serverTime: TestClient.start.wallMillis)))
        let map = try client.open("todos")
        client.store.failure = nil
        client.pass(5_000)
        let again = client.takeSent().operations.compactMap(\.record)
        #expect(again.count == 2 && again[1].timestamp.millis <= TestClient.start.wallMillis + 60_000)
        #expect(client.record("a", in: map) == again.last)
    }

    @Test func `a clock ahead is corrected: new stamps in log order under the same ids (B19, K07)`() throws {
        for ahead: Int64 in [3_600_000, 315_360_000_000, 9_007_199_254_740_991 - 1_700_000_000_000] {
            let time = ReplicaTime(wallMillis: TestClient.start.wallMillis + ahead, steadyMillis: 1)
            let offline = try TestClient(now: time)
            let todos = try offline.open("todos")
            for value in 1...3 { try offline.set("a", value, in: todos) }
            try offline.set("b", 4, in: todos)
            let old = try #require(offline.record("b", in: todos)).timestamp
            let client = try TestClient(store: offline.store, now: time)
            let map = try client.open("todos")
            client.connect()
            #expect(client.takeSent().operationIDs == [1, 2, 3, 4])
            let serverTime = TestClient.start.wallMillis
            client.receive(
                .acknowledgement(
                    Acknowledgement(
                        lastID: 0,
                        results: (1...4).map { Self.refusal($0, .clockAhead, serverTime: serverTime) })))
            let again = client.takeSent().operations
            #expect(again.compactMap(\.id) == [1, 2, 3, 4])
            let stamps = again.compactMap(\.record).map(\.timestamp)
            #expect(stamps == stamps.sorted())
            #expect(stamps.allSatisfy { $0.millis <= serverTime + 60_000 && $0.millis >= serverTime })
            #expect(stamps.allSatisfy { $0.node != old.node }, "no stamp of the old node is given out twice")
            #expect(client.value("a", in: map) == 3 && client.value("b", in: map) == 4)
            #expect(client.record("a", in: map)?.timestamp == stamps[2])
            client.receive(Self.ack(Self.result(1), Self.result(2), Self.result(3), Self.result(4)))
            #expect(client.pendingCount == 0)
            try client.set("c", 5, in: map)
            #expect(try #require(client.record("c", in: map)).timestamp > stamps[3])
            #expect(try #require(client.record("c", in: map)).timestamp.millis <= serverTime + 60_000)
        }
    }

    @Test func `restamping waits until everything on its way is decided`() throws {
        let (client, map) = try connected()
        for value in 1...3 { try client.set("a", value, in: map) }
        _ = client.takeSent()
        client.receive(Self.ack(Self.refusal(3, .clockAhead, serverTime: TestClient.start.wallMillis)))
        try client.set("a", 4, in: map)
        #expect(client.takeSent().operations.isEmpty, "neither the new one nor the old ones")
        client.receive(Self.ack(Self.result(1), Self.result(2)))
        #expect(client.takeSent().operationIDs == [3, 4])
        #expect(client.value("a", in: map) == 4)
    }

    @Test(arguments: [true, false])
    func `what may have been taken with its old stamp keeps it, whoever gives up waiting for the answer`(
        isServerBusy: Bool
    ) throws {
        let (client, map) = try connected()
        for value in 1...3 { try client.set("a", value, in: map) }
        let first = client.takeSent().operations
        client.answersPings = true
        client.receive(Self.ack(Self.refusal(3, .clockAhead, serverTime: TestClient.start.wallMillis)))
        if isServerBusy {
            client.receive(.error(ErrorMessage(code: 429, message: "busy", details: ErrorDetails(refusal: .busy))))
        } else {
            client.pass(31_000)
        }
        #expect(client.takeSent().operations.isEmpty)
        try #require(client.connections.contains(.close(code: 1000)))
        client.reconnect()
        #expect(client.takeSent().operations == first)
    }

    @Test func `an answer to a copy with the old stamp says nothing of the new one`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        client.answersPings = true
        client.pass(31_000)
        #expect(client.takeSent().operationIDs == [1, 1], "sent again, because nobody answered")
        let ahead = Self.ack(Self.refusal(1, .clockAhead, serverTime: client.now.wallMillis))
        client.receive(ahead)
        let again = client.takeSent().operations
        #expect(again.compactMap(\.id) == [1])
        client.receive(ahead)
        #expect(client.takeSent().operations.isEmpty, "not stamped once more")
        client.receive(Self.ack(Self.result(1)))
        #expect(client.pendingCount == 0 && client.record("a", in: map) == again.first?.record)
    }

    // MARK: The window

    @Test func `the log is unbounded, what is on its way is not (C12)`() throws {
        var configuration = ReplicaConfiguration()
        configuration.batchOperations = 10
        configuration.windowOperations = 25
        let client = try TestClient(configuration: configuration)
        let map = try client.open("todos")
        for value in 0..<1000 { try client.set(ByteString("k\(value)"), value, in: map) }
        client.connect()
        var expected: UInt64 = 1
        var highest: UInt64 = 0
        while client.pendingCount > 0 {
            let ids = client.takeSent().operationIDs
            #expect(client.pendingCount == 1000 - Int(expected) + 1)
            if let first = ids.first { #expect(first == highest + 1, "nothing twice") }
            highest = max(highest, ids.last ?? 0)
            #expect(highest - expected < 25)
            client.receive(Self.ack(Self.result(expected)))
            expected += 1
        }
        #expect(expected == 1001)
    }

    @Test func `what nobody answers is sent again in time, with the same id and stamp`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        let first = client.takeSent().operations
        client.answersPings = true
        client.pass(29_000)
        #expect(client.takeSent().operations.isEmpty)
        client.pass(2_000)
        #expect(client.takeSent().operations == first)
    }

    @Test func `after a reconnect everything not retired is sent again, what was applied included`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        try client.set("b", 2, in: map)
        let first = client.takeSent().operations
        client.receive(Self.ack(Self.result(1, .applied)))
        client.disconnect()
        client.reconnect()
        #expect(client.takeSent().operations == first)
    }
    @Test func `an answer that a level takes longer leaves the operation as it is (D04)`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        client.connect()
        try client.set("a", 1, in: map)
        _ = client.takeSent()
        var late = OperationResult(id: 1, level: .memory)
        late.isSuccess = false
        late.isFinal = false
        client.receive(.acknowledgement(Acknowledgement(lastID: 0, level: .memory, results: [late])))
        #expect(client.takeSent().operations.isEmpty, "it is not sent again")
        #expect(client.pendingCount == 1 && client.setAside.isEmpty)
        try client.set("b", 2, in: map)
        #expect(client.takeSent().operationIDs == [2], "and holds up no other")
        client.receive(
            .acknowledgement(Acknowledgement(lastID: 1, results: [OperationResult(id: 1, level: .replicated)])))
        #expect(client.pendingCount == 1)
        #expect(try client.store.operations(after: 0, limit: 9).map(\.id) == [2])
    }
}

/// Frames that no encoder of ours would write.
enum Frames {
    /// `{type: "OP_ACK", payload: {lastId: "unknown"}}`
    static let acknowledgementOfUnknown: [UInt8] =
        [0x82, 0xa4] + Array("type".utf8) + [0xa6] + Array("OP_ACK".utf8) + [0xa7] + Array("payload".utf8)
        + [0x81, 0xa6] + Array("lastId".utf8) + [0xa7] + Array("unknown".utf8)
}
