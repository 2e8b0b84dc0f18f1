import NIOCore
import TopGunEnvironment
package import TopGunModel
package import TopGunReplica

/// One run of an application on a device: the client engine and the shell around it, as thin as it can be.
///
/// ```
///   loop: sockets, timers, the application       store loop: commits and pages, each taking its time
///   set, remove, received, tick ──> ReplicaState ──transaction──> commit ──> committed
/// ```
package final class ClientProcess: @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    private let device: SimulatedDevice
    private let loop: SimulatedLoop
    private let storeLoop: SimulatedLoop
    private var replica: ReplicaState
    package private(set) var maps: [MapID] = []
    private var conversation: Conversation?
    private var timer: (any ScheduledJob)?
    private var timerMillis = Int64.max
    private var isStopped = false
    /// The node id that stamps are made with; a new one means that everything not acknowledged has got a new stamp.
    private var node: ByteString

    init(device: SimulatedDevice, uuid: String, seed: (UInt64, UInt64)) {
        self.device = device
        loop = device.scheduler.makeLoop(named: device.name)
        storeLoop = device.scheduler.makeLoop(named: "\(device.name) store")
        let stored = Self.read { () throws(StoreError) in try device.store.identity() }
        let identity = stored ?? StoredIdentity(node: ByteString(uuid))
        node = identity.node
        replica = ReplicaState(device.configuration, identity: identity, role: .leader, seed: seed)
    }

    /// Reads what a process starts with. Reading never fails in this world, so an error is the world's own.
    private static func read<Value>(_ body: () throws(StoreError) -> Value) -> Value {
        do {
            return try body()
        } catch {
            preconditionFailure("a simulated store could not be read: \(error.message)")
        }
    }

    func begin() {
        loop.execute { [self] in
            let store = device.store
            replica.restore(maps: Self.read { () throws(StoreError) in try store.maps() })
            var last: UInt64 = 0
            while true {
                let operations = Self.read { () throws(StoreError) in try store.operations(after: last, limit: 100) }
                guard let newest = operations.last else { break }
                replica.restore(operations: operations)
                last = newest.id
            }
            replica.restore(
                setAside: Self.read { () throws(StoreError) in try store.setAside(after: 0, limit: 10_000) })
            let changes = Self.read { () throws(StoreError) in
                try store.changes(since: .max, operationsAfter: .max, limit: 1)
            }
            replica.start(token: nil, storeSequence: changes.sequence, at: now)
            for name in device.maps {
                do throws(ReplicaError) {
                    maps.append(try replica.open(name, at: now))
                } catch {
                    preconditionFailure("a map of the scenario cannot be opened: \(error)")
                }
            }
            settle()
        }
    }

    func stop() {
        isStopped = true
        loop.stop()
        storeLoop.stop()
        timer = nil
        conversation = nil
    }

    func setPaused(_ isPaused: Bool) {
        loop.setPaused(isPaused)
        storeLoop.setPaused(isPaused)
    }

    private var now: ReplicaTime {
        ReplicaTime(
            wallMillis: device.clock.wallMillis(), steadyMillis: device.clock.monotonicNanos() / 1_000_000)
    }

    // MARK: - The application

    /// Runs a piece of the application on the process's loop.
    package func perform(_ body: @escaping @Sendable (ClientProcess) -> Void) {
        loop.execute { [self] in
            body(self)
            settle()
        }
    }

    package var isReady: Bool { !maps.isEmpty }

    /// Sets a key, or removes it if there is no token.
    package func write(_ token: UInt32?, length: Int, key: ByteString, map: Int, ttlMillis: Int64) {
        let id = maps[map]
        do throws(ReplicaError) {
            let write =
                if let token {
                    try replica.set(
                        Token.payload(token, length: length), for: key, in: id, ttlMillis: ttlMillis, at: now)
                } else {
                    try replica.remove(key, in: id, at: now)
                }
            var event = device.event(.wrote)
            event.write = write.number
            event.map = device.maps[map].string
            event.key = key.string
            event.value = token
            event.stamp = replica.record(of: key, in: id).map { Stamp($0.timestamp) }
            device.record(event)
        } catch {
            preconditionFailure("the engine refused a write of the scenario: \(error)")
        }
    }

    package func read(_ key: ByteString, map: Int) {
        var event = device.event(.read)
        event.map = device.maps[map].string
        event.key = key.string
        if let record = replica.record(of: key, in: maps[map]) {
            event.stamp = Stamp(record.timestamp)
            event.value = Token.of(record.value)
        }
        device.record(event)
    }

    /// Whether nothing is left to do: everything written is safe, everything there is known, everything known is stored.
    package var isQuiet: Bool {
        replica.pendingCount == 0 && replica.syncState == .live && replica.isSaved
            && maps.allSatisfy { replica.isLoaded($0) }
    }

    package var unrest: String {
        "\(replica.syncState), \(replica.pendingCount) operations pending\(replica.isSaved ? "" : ", not saved")"
    }

    /// Every record of a key that may exist, and the roots of the trees.
    package func tellContent(keys: [ByteString]) {
        for (index, map) in maps.enumerated() {
            for key in keys {
                guard let record = replica.record(of: key, in: map) else { continue }
                var event = device.event(.holds)
                event.map = device.maps[index].string
                event.key = key.string
                event.stamp = Stamp(record.timestamp)
                event.value = Token.of(record.value)
                device.record(event)
            }
            var event = device.event(.root)
            event.map = device.maps[index].string
            event.count = Int64(replica.merkleRoot(of: map))
            device.record(event)
        }
    }

    // MARK: - Effects

    /// Carries out what the engine wants done; everything that takes time comes back as an event of its own.
    private func settle() {
        let effects = replica.takeEffects(at: now)
        if replica.node != node {
            node = replica.node
            device.record(device.event(.clockAhead))
        }
        if let transaction = effects.transaction { commit(transaction) }
        for frame in effects.frames { frame.withUnsafeBytes { conversation?.connection?.send(copying: $0) } }
        conversation?.connection?.flush()
        for connection in effects.connection {
            switch connection {
            case .open:
                let new = Conversation(self)
                conversation = new
                device.host.connect(to: "node-0", on: loop, receiver: new)
            case .close(let code):
                conversation?.abandon(code: code)
                conversation = nil
            }
        }
        for map in effects.loads { load(map, after: nil) }
        for result in effects.results { note(result) }
        for notice in effects.notices { device.onNotice(notice) }
        arm(effects.timerMillis)
    }

    private func arm(_ millis: Int64?) {
        let wanted = millis ?? .max
        guard wanted != timerMillis else { return }
        timer?.cancel()
        timer = nil
        timerMillis = wanted
        guard wanted < .max else { return }
        timer = loop.schedule(afterMillis: max(wanted - now.steadyMillis, 0)) { [self] in
            timerMillis = .max
            replica.tick(at: now)
            settle()
        }
    }

    private func note(_ result: WriteResult) {
        switch result.outcome {
        case .stored:
            var event = device.event(.saved)
            event.op = result.id
            device.record(event)
        case .superseded: return
        case .reached(let concern):
            var event = device.event(.reached)
            event.op = result.id
            event.level = Level(concern)
            device.record(event)
        case .refused(let code, _):
            var event = device.event(.refused)
            event.op = result.id
            event.code = code.string
            device.record(event)
        case .notStored(_, let losing):
            var event = device.event(.notStored)
            event.write = result.write?.number
            event.map = result.map.string
            event.key = result.key.string
            event.stamp = Stamp(losing.timestamp)
            device.record(event)
        }
    }

    // MARK: - The store

    private func commit(_ transaction: StoreTransaction) {
        storeLoop.execute { [self] in
            device.scheduler.block(forNanos: device.commitNanos())
            do throws(StoreError) {
                let outcome = try device.store.commit(transaction)
                noteStored(transaction, outcome)
                loop.execute { [self] in
                    replica.committed(outcome, at: now)
                    settle()
                }
            } catch {
                loop.execute { [self] in
                    replica.commitFailed(error, at: now)
                    settle()
                }
            }
        }
    }

    private func noteStored(_ transaction: StoreTransaction, _ outcome: CommitOutcome) {
        // All of it comes true at once, in the order in which it was stamped: what is offered again has a newer id than what
        // was written over it, and an older stamp.
        var noted = transaction.restamped.map { event(.restamped, $0.id, $0.map, $0.key, $0.record) }
        for (index, operation) in transaction.newOperations.enumerated() {
            let id = outcome.firstOperationID + UInt64(index)
            noted.append(event(.stored, id, operation.map, operation.key, operation.record))
        }
        noted.sort { left, right in
            guard let left = left.stamp, let right = right.stamp else { return false }
            return left < right
        }
        for event in noted {
            device.logged[event.op ?? 0, default: []].append(LoggedWrite(event))
            device.record(event)
        }
    }

    private func event(
        _ kind: HistoryEvent.Kind, _ id: UInt64, _ map: ByteString, _ key: ByteString, _ record: LWWRecord
    ) -> HistoryEvent {
        var event = device.event(kind)
        event.op = id
        event.map = map.string
        event.key = key.string
        event.stamp = Stamp(record.timestamp)
        event.value = Token.of(record.value)
        event.ttl = record.ttlMillis > 0 ? record.ttlMillis : nil
        return event
    }

    private func load(_ map: MapID, after key: ByteString?) {
        let name = replica.name(of: map)
        storeLoop.execute { [self] in
            device.scheduler.block(forNanos: device.commitNanos())
            let entries = Self.read { () throws(StoreError) in
                try device.store.entries(ofMap: name, after: key, limit: Limits.pageEntries)
            }
            let isLast = entries.count < Limits.pageEntries
            loop.execute { [self] in
                replica.loaded(map: map, entries: entries, isLast: isLast, at: now)
                settle()
                if !isLast { load(map, after: entries.last?.key) }
            }
        }
    }

    // MARK: - The socket

    fileprivate func connected(_ conversation: Conversation) {
        guard self.conversation === conversation, !isStopped else { return }
        replica.connected(at: now)
        settle()
    }

    fileprivate func received(_ message: ByteBuffer, _ conversation: Conversation) {
        guard self.conversation === conversation, !isStopped else { return }
        message.withUnsafeReadableBytes { replica.received($0, at: now) }
        settle()
    }

    fileprivate func closed(_ conversation: Conversation) {
        guard self.conversation === conversation, !isStopped else { return }
        self.conversation = nil
        replica.disconnected(at: now)
        settle()
    }
}

/// One attempt to reach a node and the connection it became.
private final class Conversation: MessageReceiver, @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    private let process: ClientProcess
    private(set) var connection: (any MessageConnection)?
    private var isAbandoned = false

    init(_ process: ClientProcess) {
        self.process = process
    }

    func abandon(code: UInt16) {
        isAbandoned = true
        connection?.close(code: code, reason: "")
        connection = nil
    }

    func connected(_ connection: any MessageConnection) {
        if isAbandoned { return connection.close(code: 1000, reason: "") }
        self.connection = connection
        process.connected(self)
    }

    func received(_ message: ByteBuffer) {
        process.received(message, self)
    }

    func closed(reason: String) {
        connection = nil
        process.closed(self)
    }
}

extension Stamp {
    init(_ timestamp: Timestamp) {
        self.init(millis: timestamp.millis, counter: timestamp.counter, node: timestamp.node.string)
    }
}

extension Level {
    package init(_ concern: WriteConcern) {
        switch concern {
        case .fireAndForget: self = .none
        case .memory: self = .memory
        case .applied: self = .applied
        case .replicated: self = .replicated
        case .persisted: self = .persisted
        }
    }
}
