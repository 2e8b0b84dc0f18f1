import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// A replica with a store and a clock in the test's hands: carries out every effect at once, but what the test keeps back.
final class TestClient {
    var state: ReplicaState
    let box: StoreBox
    var store: InMemoryStore {
        get { box.store }
        set { box.store = newValue }
    }
    var now: ReplicaTime
    /// Whether transactions are committed as they come, or wait in ``transaction`` for the test.
    var commitsAtOnce = true
    /// Whether maps are read from the store as they are asked for, or when the test does it.
    var loadsAtOnce = true
    /// Whether a server is there that answers PING.
    var answersPings = false
    private(set) var transaction: StoreTransaction?
    /// Transactions handed out so far.
    private(set) var transactions: [StoreTransaction] = []

    // What the effects brought, since the test last took it.
    var sent: [ClientMessage] = []
    var frames: [[UInt8]] = []
    var connections: [ConnectionEffect] = []
    var results: [WriteResult] = []
    var changes: [MapChange] = []
    var queryChanges: [QueryChange] = []
    var notices: [ReplicaNotice] = []
    var timerMillis: Int64?

    init(
        store: InMemoryStore = InMemoryStore(), box: StoreBox? = nil, role: ReplicaRole = .leader,
        node: ByteString = "client-a",
        token: String? = nil, seed: UInt64 = 1, now: ReplicaTime = TestClient.start,
        configuration: ReplicaConfiguration = ReplicaConfiguration()
    ) throws {
        self.box = box ?? StoreBox(store)
        let store = self.box.store
        self.now = now
        var identity = StoredIdentity(node: node)
        if role == .leader, let stored = try store.identity() { identity = stored }
        state = ReplicaState(configuration, identity: identity, role: role, seed: (seed, seed ^ 0x9e37_79b9))
        state.restore(maps: try store.maps())
        if role == .leader {
            var last: UInt64 = 0
            while case let operations = try store.operations(after: last, limit: 3), let newest = operations.last {
                state.restore(operations: operations)
                last = newest.id
            }
        }
        state.restore(setAside: try store.setAside(after: 0, limit: 1000))
        let changes = try store.changes(since: .max, operationsAfter: .max, limit: 1)
        state.start(token: token, storeSequence: changes.sequence, at: now)
        settle()
    }

    static let start = ReplicaTime(wallMillis: 1_700_000_000_000, steadyMillis: 1_000)

    // MARK: Time

    func advance(_ millis: Int64) {
        now.wallMillis += millis
        now.steadyMillis += millis
    }

    /// Moves time on, ringing every timer on the way. Once one has rung, the next must lie ahead: a shell that is called
    /// again at once, and again, does nothing else.
    func pass(_ millis: Int64) {
        let end = now.steadyMillis + millis
        while let timer = timerMillis, timer <= end {
            advance(max(timer - now.steadyMillis, 0))
            state.tick(at: now)
            settle()
            if let next = timerMillis, next <= now.steadyMillis {
                Issue.record("a deadline of \(next) at \(now.steadyMillis)")
                advance(1)
            }
            if now.steadyMillis > end { return }
        }
        advance(end - now.steadyMillis)
    }

    // MARK: Effects

    /// Carries out effects until there are none.
    func settle() {
        while true {
            let effects = state.takeEffects(at: now)
            var isQuiet = true
            if let transaction = effects.transaction {
                #expect(self.transaction == nil, "two transactions at once")
                transactions.append(transaction)
                self.transaction = transaction
            }
            for frame in effects.frames {
                frames.append(frame)
                frame.withUnsafeBytes { bytes in
                    do throws(WireError) {
                        sent.append(try ClientMessage.decode(bytes))
                    } catch {
                        Issue.record("sent what is no message: \(error) \(frame)")
                    }
                }
            }
            connections += effects.connection
            results += effects.results
            changes += effects.changes
            queryChanges += effects.queryChanges
            notices += effects.notices
            timerMillis = effects.timerMillis
            for map in effects.loads where loadsAtOnce {
                load(map)
                isQuiet = false
            }
            if commitsAtOnce, self.transaction != nil {
                commit()
                isQuiet = false
            }
            if answersPings, let last = sent.last, case .ping(let timestamp) = last {
                sent.removeLast()
                let sink = ByteSink()
                ServerMessage.pong(timestamp: timestamp, serverTime: now.wallMillis).encode(into: sink)
                state.received(sink.bytes, at: now)
                isQuiet = false
            }
            if isQuiet { return }
        }
    }

    private func load(_ map: MapID) {
        let name = state.name(of: map)
        var last: ByteString?
        while let entries = try? store.entries(ofMap: name, after: last, limit: 3), let newest = entries.last {
            state.loaded(map: map, entries: entries, isLast: false, at: now)
            last = newest.key
        }
        state.loaded(map: map, entries: [], isLast: true, at: now)
    }

    /// Commits the transaction that waits, as the store sees fit.
    func commit() {
        guard let waiting = transaction else { return }
        transaction = nil
        do throws(StoreError) {
            state.committed(try store.commit(waiting), at: now)
        } catch {
            state.commitFailed(error, at: now)
        }
    }

    // MARK: The application

    @discardableResult
    func open(_ name: ByteString) throws -> MapID {
        let map = try state.open(name, at: now)
        settle()
        return map
    }

    @discardableResult
    func set(_ key: ByteString, _ value: Int, in map: MapID, ttlMillis: Int64 = 0) throws -> WriteID {
        let write = try state.set(.int(value), for: key, in: map, ttlMillis: ttlMillis, at: now)
        settle()
        return write
    }

    @discardableResult
    func remove(_ key: ByteString, in map: MapID) throws -> WriteID {
        let write = try state.remove(key, in: map, at: now)
        settle()
        return write
    }

    func value(_ key: ByteString, in map: MapID) -> Int? {
        state.value(of: key, in: map, at: now)?.int
    }

    func record(_ key: ByteString, in map: MapID) -> LWWRecord? {
        state.record(of: key, in: map)
    }

    // What `#expect` cannot ask the state for itself, as it cannot be copied.
    var syncState: SyncState { state.syncState }
    var pendingCount: Int { state.pendingCount }
    var node: ByteString { state.node }
    var isSaved: Bool { state.isSaved }
    var setAside: [SetAsideOperation] { state.setAsideOperations }

    func contents(of map: MapID) -> [ByteString: Payload] {
        var contents: [ByteString: Payload] = [:]
        state.forEach(in: map, at: now) { contents[$0] = $1 }
        return contents
    }

    func isConfirmed(_ query: QueryID) -> Bool { state.isConfirmed(query) }

    func outcomes(of write: WriteID) -> [WriteResult.Outcome] {
        results.filter { $0.write == write }.map(\.outcome)
    }

    // MARK: The other end

    func receive(_ message: ServerMessage) {
        let sink = ByteSink()
        message.encode(into: sink)
        state.received(sink.bytes, at: now)
        settle()
    }

    func receive(frame: [UInt8]) {
        frame.withUnsafeBytes { state.received($0, at: now) }
        settle()
    }

    func takeSent() -> [ClientMessage] {
        defer {
            sent = []
            frames = []
        }
        return sent
    }

    /// Opens the socket and answers the greeting as a server with features does.
    func connect(to server: ServerIdentity = .test(), userID: String? = nil) {
        if case .open? = connections.last { connections.removeLast() }
        state.connected(at: now)
        settle()
        let greeting = Greeting(protocolVersion: 3, userID: userID, server: server)
        let isAuthenticating = sent.contains { if case .authenticate = $0 { true } else { false } }
        receive(isAuthenticating ? .authenticationAcknowledged(greeting) : .deviceAcknowledged(greeting))
    }

    func disconnect() {
        state.disconnected(at: now)
        settle()
    }

    /// Waits for the next attempt and connects again.
    func reconnect(to server: ServerIdentity = .test()) {
        connections = []
        while !connections.contains(.open) { pass(10) }
        _ = takeSent()
        connect(to: server)
    }
}

/// A store that several replicas can have open.
final class StoreBox {
    var store: InMemoryStore

    init(_ store: InMemoryStore) {
        self.store = store
    }
}

extension ServerIdentity {
    static func test(
        clusterID: ByteString = "cluster-1", restoreEpoch: Int64 = 1, serverTime: Int64 = 1_700_000_000_000,
        features: FeatureSet = [.results, .levels, .clock, .delta, .seq, .pull, .binary, .flow]
    ) -> ServerIdentity {
        ServerIdentity(
            features: features, clusterID: clusterID, serverID: "srv-1", restoreEpoch: restoreEpoch,
            serverTime: serverTime)
    }
}

extension Payload {
    /// A whole number as MessagePack.
    static func int(_ value: Int) -> Payload {
        let sink = ByteSink()
        MessagePackWriter(sink).write(value)
        return Payload(copying: sink.bytes)
    }

    var int: Int? {
        bytes.withUnsafeBytes { bytes in
            var reader = MessagePackReader(bytes)
            return (try? reader.readInteger()).map { Int($0) }
        }
    }
}

extension ClientMessage {
    /// The operations of an OP_BATCH.
    var operations: [ClientOperation] {
        if case .operations(let batch) = self { batch.operations } else { [] }
    }
}

extension [ClientMessage] {
    var operations: [ClientOperation] { flatMap(\.operations) }
    var operationIDs: [UInt64] { operations.compactMap(\.id) }
    var concerns: [WriteConcern?] {
        compactMap { if case .operations(let batch) = $0 { .some(batch.concern) } else { nil } }
    }
    var syncedMaps: [ByteString] {
        compactMap { if case .syncStart(let start) = $0 { start.mapName } else { nil } }
    }
    var requestedPaths: [MerklePath] {
        compactMap { if case .merkleRequest(let request) = $0 { request.path } else { nil } }
    }
}

extension ClientOperation {
    var record: LWWRecord? { if case .put(let record) = change { record } else { nil } }
}
