import GoldenVectors
import TopGunModel
import TopGunReplica
import TopGunWire

extension FuzzTarget {
    /// A replica whose server is hostile, or out of its mind.
    ///
    /// Nothing it sends traps. A pending operation leaves the log only for an answer that names it, on a connection that
    /// carried it; the application sees its own writes at once; what is sent is what servers can read. In the end the
    /// process starts anew from its store, meets an honest server, and everything that was pending gets through.
    ///
    /// ```
    /// u8 flags: 1 a token, 2 greeted by an honest server, 4 by one without features      steps
    /// u8 kind   what the kind needs
    /// ```
    static let replica = FuzzTarget(
        name: "replica", lengthMax: 16_384,
        seeds: {
            let frames = try vectors("frames-server")
            let greeted = frames.map { [2, 4, 1, 5, 0, 0] + FuzzInput.piece($0) + [4, 1, 9] }
            let bare = frames.map { [0, 4, 1, 5, 0] + FuzzInput.piece($0) + [6, 0xff, 0xff] }
            let acknowledged = (UInt8(0)..<24).map { choice in
                [choice & 7, 4, 0, 1, 4, 1, 2, 8, 0, 9, 2, choice % 6, 2, 1, choice, 2, choice >> 2, 10, 1, choice % 6]
                    + [11, 1, 7, 13, 6, 0x10, 0x27]
            }
            let batch = bytes(hex: try document("batch")["toClient"]["frame"].text)
            return greeted + bare + acknowledged + [[6, 4, 0, 1, 0] + FuzzInput.piece(batch)]
        },
        words: words(
            "type", "payload", "OP_ACK", "lastId", "achievedLevel", "results", "opId", "success", "final", "code",
            "superseded", "serverTime", "LEVEL_UP", "OP_REJECTED", "SERVER_EVENT", "mapName", "eventType", "key",
            "record",
            "SYNC_RESP_ROOT", "rootHash", "syncCursor", "SYNC_RESP_BUCKETS", "SYNC_RESP_LEAF", "records", "path",
            "MERKLE_PULL",
            "DEVICE_ACK", "AUTH_ACK", "AUTH_REQUIRED", "AUTH_FAIL", "ERROR", "details", "retryAfterMs", "RESYNC",
            "PONG",
            "GC_PRUNE", "restoreEpoch", "features", "clusterId", "hashKey", "CLOCK_AHEAD", "BUSY", "UPGRADE_REQUIRED"),
        body: { bytes in
            var input = FuzzInput(bytes)
            var device = HostileWorld(flags: input.byte())
            var steps = 0
            while !input.isAtEnd, steps < 200 {
                device.step(&input)
                steps += 1
            }
            device.checkEnd()
        })
}

/// A replica with its store and its clock, and the frames it gets.
private struct HostileWorld: ~Copyable {
    private var state: ReplicaState
    private var store: InMemoryStore
    private var now = ReplicaTime(wallMillis: 1_700_000_000_000, steadyMillis: 1_000)
    private var timerMillis: Int64?
    private var isOpening = false
    private var isSocketOpen = false
    private var failsCommits = false
    private var map: MapID?
    /// Operations that the connection carried, and what both ends of it know.
    private var carried: Set<UInt64> = []
    private var token: String?
    /// Messages for an honest server.
    private var outbox: [ClientMessage] = []
    private var isTokenNeeded = false

    private static let honest: FeatureSet = [.results, .levels, .clock, .delta, .seq, .pull, .binary, .flow, .hash128]

    init(flags: UInt8) {
        store = InMemoryStore()
        token = flags & 1 == 0 ? nil : "token"
        state = ReplicaState(
            ReplicaConfiguration(), identity: StoredIdentity(node: "client-a"), role: .leader, seed: (1, 2))
        state.start(token: token, storeSequence: 0, at: now)
        settle()
        open()
        connectIfAsked()
        if flags & 2 != 0 { greet(flags & 4 == 0 ? Self.honest : []) }
    }

    /// A process that starts on what the store has.
    private init(store: InMemoryStore, now: ReplicaTime, token: String?) throws(StoreError) {
        let identity = try store.identity() ?? StoredIdentity(node: "client-b")
        let (maps, operations) = (try store.maps(), try store.operations(after: 0, limit: .max))
        let setAside = try store.setAside(after: 0, limit: .max)
        let changes = try store.changes(since: .max, operationsAfter: .max, limit: 1)
        self.store = store
        self.now = now
        self.token = token
        state = ReplicaState(ReplicaConfiguration(), identity: identity, role: .leader, seed: (3, 4))
        state.restore(maps: maps)
        state.restore(operations: operations)
        state.restore(setAside: setAside)
        state.start(token: token, storeSequence: changes.sequence, at: now)
        settle()
    }

    // MARK: Steps

    mutating func step(_ input: inout FuzzInput) {
        switch input.byte() % 14 {
        case 0, 1, 2, 3: receive(input.piece())
        case 4: write(key: input.choice(6), value: input.byte())
        case 5: write(key: input.choice(6), value: nil)
        case 6: pass(Int64(input.word()))
        case 7: reconnect()
        case 8: look(input.byte())
        case 9: receive(Self.acknowledgement(&input))
        case 10:
            receive(
                .levelUp([LevelUp(id: UInt64(input.byte()), level: Self.level(&input))]))
        case 11: receive(.operationRejected(operationID: UInt64(input.byte()), reason: "", code: 403))
        case 12: failsCommits = input.byte() & 1 != 0
        default: greet(Self.honest)
        }
    }

    private static func level(_ input: inout FuzzInput) -> WriteConcern {
        let levels: [WriteConcern] = [.fireAndForget, .memory, .applied, .replicated, .persisted]
        return levels[input.choice(levels.count)]
    }

    private static func acknowledgement(_ input: inout FuzzInput) -> ServerMessage {
        var acknowledgement = Acknowledgement(lastID: UInt64(input.byte()), level: level(&input))
        let count = input.choice(4)
        if count < 3 {
            acknowledgement.results = (0..<count).map { _ in
                var result = OperationResult(id: UInt64(input.byte()), level: level(&input))
                let how = input.byte()
                result.isSuccess = how & 1 == 0
                result.isSuperseded = how & 2 != 0
                result.isFinal = how & 4 == 0 ? nil : how & 8 == 0
                let codes: [ByteString?] = [
                    nil, "CLOCK_AHEAD", "BUSY", "FORBIDDEN", "REPLICA_ID_CONFLICT", "UNAUTHENTICATED",
                ]
                result.code = codes[Int(how >> 4) % codes.count]
                return result
            }
        }
        return .acknowledgement(acknowledgement)
    }

    private mutating func receive(_ message: ServerMessage) {
        let sink = ByteSink()
        message.encode(into: sink)
        receive(sink.bytes)
    }

    private mutating func receive(_ frame: UnsafeRawBufferPointer) {
        guard isSocketOpen else { return }
        let before = Set(state.outstandingOperations)
        state.received(frame, at: now)
        let gone = before.subtracting(state.outstandingOperations)
        if !gone.isEmpty {
            expect(gone.isSubset(of: carried), "operations \(gone) were never sent here, and left the log")
            expect(gone.isSubset(of: named(in: frame)), "operations \(gone) left the log, and nobody spoke of them")
        }
        settle()
    }

    /// The operations that a frame says anything of.
    private func named(in frame: UnsafeRawBufferPointer) -> Set<UInt64> {
        do throws(WireError) {
            switch try ServerMessage.decode(frame) {
            case .acknowledgement(let acknowledgement):
                let last = acknowledgement.lastID ?? 0
                return Set((acknowledgement.results ?? []).map(\.id)).union(carried.filter { $0 <= last })
            case .levelUp(let rises): return Set(rises.map(\.id))
            case .operationRejected(let id, _, _): return [id]
            case .batch(let batch):
                var all: Set<UInt64> = []
                batch.data.withUnsafeBytes { data in
                    do throws(WireError) {
                        for message in try BatchContent.messages(fromServer: data) { all.formUnion(named(in: message)) }
                    } catch {}
                }
                return all
            default: return []
            }
        } catch {
            return []
        }
    }

    // MARK: The application

    private mutating func open() {
        do throws(ReplicaError) {
            let map = try state.open("todos", at: now)
            state.watch(map, true)
            self.map = map
        } catch {
            fatalError("a map cannot be opened: \(error)")
        }
        settle()
    }

    private mutating func write(key: Int, value: UInt8?) {
        guard let map else { return }
        let key = ByteString("key-\(key)")
        let payload = value.map { Payload([0xcc, $0]) } ?? .tombstone
        do throws(ReplicaError) {
            if value == nil {
                _ = try state.remove(key, in: map, at: now)
            } else {
                _ = try state.set(payload, for: key, in: map, at: now)
            }
            expect(state.record(of: key, in: map)?.value == payload, "a write is not seen by who made it")
        } catch {
            expect(error.code == .clockExhausted, "a write was refused: \(error)")
        }
        settle()
    }

    private mutating func look(_ choice: UInt8) {
        guard let map else { return }
        do throws(ReplicaError) {
            switch choice % 4 {
            case 0: _ = try state.subscribe(map, whereMap: nil, at: now)
            case 1: _ = try state.subscribe(map, whereMap: Payload([0x81, 0xa1, 0x61, 1]), at: now)
            case 2: _ = try state.open(ByteString("map-\(choice)"), at: now)
            default: state.setToken("another", at: now)
            }
        } catch {
            expect(error.code == .tooManyQueries, "\(error)")
        }
        settle()
    }

    // MARK: Time and the socket

    private mutating func pass(_ millis: Int64) {
        let end = now.steadyMillis + millis
        var ticks = 0
        while let timer = timerMillis, timer <= end {
            advance(max(timer - now.steadyMillis, 0))
            state.tick(at: now)
            let before = timerMillis
            settle()
            connectIfAsked()
            if timerMillis == before { advance(1) }
            ticks += 1
            expect(ticks < 5_000, "a timer that rings without end")
            if now.steadyMillis > end { return }
        }
        advance(end - now.steadyMillis)
    }

    private mutating func advance(_ millis: Int64) {
        now.steadyMillis += millis
        now.wallMillis += millis
    }

    private mutating func connectIfAsked() {
        guard isOpening else { return }
        isOpening = false
        isSocketOpen = true
        carried = []
        state.connected(at: now)
        settle()
    }

    private mutating func reconnect() {
        if isSocketOpen {
            isSocketOpen = false
            state.disconnected(at: now)
            settle()
        }
        state.setOnline(true, at: now)
        settle()
        connectIfAsked()
    }

    private mutating func greet(_ features: FeatureSet) {
        guard isSocketOpen else { return }
        let identity = state.identity
        var server: ServerIdentity?
        if !features.isEmpty || identity.clusterID != nil {
            server = ServerIdentity(
                features: features, clusterID: identity.clusterID ?? "cluster-1", serverID: "srv-1",
                restoreEpoch: identity.restoreEpoch ?? 1, serverTime: now.wallMillis)
        }
        let greeting = Greeting(protocolVersion: 3, userID: identity.userID?.string, server: server)
        receive(token == nil ? .deviceAcknowledged(greeting) : .authenticationAcknowledged(greeting))
    }

    /// Carries out effects until there are none.
    private mutating func settle() {
        var rounds = 0
        while true {
            rounds += 1
            expect(rounds < 1_000, "effects without end")
            let effects = state.takeEffects(at: now)
            timerMillis = effects.timerMillis
            let isQuiet = effects.transaction == nil && effects.loads.isEmpty && effects.frames.isEmpty
            if effects.notices.contains(.tokenNeeded) { isTokenNeeded = true }
            for frame in effects.frames { sent(frame) }
            for connection in effects.connection {
                switch connection {
                case .open: isOpening = true
                case .close: (isOpening, isSocketOpen) = (false, false)
                }
            }
            for map in effects.loads { load(map) }
            if let transaction = effects.transaction { commit(transaction) }
            if isQuiet { return }
        }
    }

    private mutating func sent(_ frame: [UInt8]) {
        frame.withUnsafeBytes { bytes in
            do throws(WireError) {
                let message = try ClientMessage.decode(bytes)
                if case .operations(let batch) = message { carried.formUnion(batch.operations.compactMap(\.id)) }
                outbox.append(message)
            } catch {
                fatalError("what was sent is no message: \(error)")
            }
        }
    }

    private mutating func load(_ map: MapID) {
        do throws(StoreError) {
            let entries = try store.entries(ofMap: state.name(of: map), after: nil, limit: .max)
            state.loaded(map: map, entries: entries, isLast: true, at: now)
        } catch {
            state.loadFailed(map: map)
        }
    }

    private mutating func commit(_ transaction: StoreTransaction) {
        store.failure = failsCommits ? StoreError(code: .full, message: "full") : nil
        do throws(StoreError) {
            state.committed(try store.commit(transaction), at: now)
        } catch {
            state.commitFailed(error, at: now)
        }
    }

    // MARK: The end

    /// What the servers did not take is in the store, and a sane server gets it.
    consuming func checkEnd() {
        failsCommits = false
        if isSocketOpen {
            isSocketOpen = false
            state.disconnected(at: now)
        }
        state.setOnline(false, at: now)
        settle()
        pass(5_000)
        expect(state.isSaved, "something is not in the store")
        do throws(StoreError) {
            let stored = try store.operations(after: 0, limit: .max).map(\.id)
            expect(stored == state.outstandingOperations, "the store has \(stored), not \(state.outstandingOperations)")
            let refused = Set(try store.setAside(after: 0, limit: .max).map(\.operation.id))
            expect(refused.isDisjoint(with: stored), "an operation is refused and pending")
            var next = try HostileWorld(store: store, now: now, token: token)
            next.meetHonestServer()
        } catch {
            fatalError("the store cannot be read: \(error)")
        }
    }

    private mutating func meetHonestServer() {
        var rounds = 0
        while state.pendingCount > 0 {
            rounds += 1
            expect(rounds < 60, "\(state.pendingCount) operations never get through to an honest server")
            if isTokenNeeded {
                isTokenNeeded = false
                token = "token"
                state.setToken(token, at: now)
                settle()
            }
            connectIfAsked()
            let messages = outbox
            outbox = []
            for message in messages { answer(message) }
            pass(1_000)
        }
    }

    private mutating func answer(_ message: ClientMessage) {
        switch message {
        case .deviceHello where state.identity.userID != nil: receive(.authenticationRequired)
        case .deviceHello, .authenticate: greet(Self.honest)
        case .ping(let timestamp): receive(.pong(timestamp: timestamp, serverTime: now.wallMillis))
        case .operations(let batch):
            let results = batch.operations.compactMap(\.id).map { OperationResult(id: $0, level: .replicated) }
            receive(
                .acknowledgement(
                    Acknowledgement(lastID: results.map(\.id).max(), level: .replicated, results: results)))
        default: break
        }
    }
}
