import Logging
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunReplica

// Opening and closing.

extension ReplicaEngine {
    static func open(
        environment: Environment, logger: Logger, server: String?, tokens: TokenSource?, location: StoreLocation
    ) async throws(TopGunError) -> ReplicaEngine {
        let storeThread = environment.spawner.thread(named: "topgun-store")
        let opened: Result<ReplicaEngine, TopGunError> = await withCheckedContinuation { continuation in
            storeThread.execute {
                continuation.resume(
                    returning: Result { () throws(TopGunError) in
                        try openBlocking(environment, storeThread, logger, server, tokens, location)
                    })
            }
        }
        return try opened.get()
    }

    private static func openBlocking(
        _ environment: Environment, _ storeThread: any Loop, _ logger: Logger, _ server: String?,
        _ tokens: TokenSource?, _ location: StoreLocation
    ) throws(TopGunError) -> ReplicaEngine {
        var sharing = StoreSharing()
        let store: ClientStore
        switch location.kind {
        case .memory:
            store = .memory(InMemoryStore())
        case .device(let device):
            store = .device(try device.open())
        case .file(let path):
            let lockPath = path + "-lock"
            sharing.lockPath = lockPath
            do throws(DiskError) {
                sharing.lock = try environment.disk.lock(lockPath)
            } catch {
                guard error.code == .locked else {
                    throw TopGunError(.storage, "the lock beside the store cannot be taken", cause: error)
                }
            }
            let file = try SQLiteStore(path: path)
            store = .file(file)
            sharing.version = (try? file.otherProcessVersion()) ?? 0  // Read again at the first poll.
        }
        let content: StoreContent
        let sequence: Int64
        do throws(StoreError) {
            content = try store.readAll()
            sequence = try store.changes(since: .max, operationsAfter: .max, limit: 1).sequence
        } catch {
            throw TopGunError(.storage, "the store cannot be read: \(error.message)", cause: error)
        }

        sharing.readOperation = content.operations.last?.id ?? 0
        let role: ReplicaRole = sharing.lockPath == nil || sharing.lock != nil ? .leader : .follower
        var identity = content.identity ?? StoredIdentity(node: ByteString(environment.entropy.uuid()))
        if role == .follower { identity.node = ByteString(environment.entropy.uuid()) }
        let configuration = ReplicaConfiguration()
        let seed = (environment.entropy.next(), environment.entropy.next())
        let engine = ReplicaEngine(
            environment: environment, loop: environment.spawner.loops[0], storeThread: storeThread, logger: logger,
            server: server, tokens: tokens, configuration: configuration, store: store, sharing: sharing,
            replica: ReplicaState(configuration, identity: identity, role: role, seed: seed))
        engine.begin(content, sequence: sequence)
        return engine
    }

    private func begin(_ content: StoreContent, sequence: Int64) {
        let token: String? = if case .fixed(let token)? = tokens?.kind { token } else { nil }
        let role = core.withLock { $0.replica.role }
        if server == nil {
            showProblem(.notWanted)
        } else if role == .follower {
            showProblem(.otherProcessSyncs)
        }
        tell { replica, now in
            if server == nil { replica.setOnline(false, at: now) }
            replica.restore(maps: content.maps)
            // Those of the log are the business of the process that syncs.
            if role == .leader { replica.restore(operations: content.operations) }
            replica.restore(setAside: content.setAside)
            lostWrites.restore(content.setAside)
            replica.start(token: token, storeSequence: sequence, at: now)
        }
        pollStore()
    }

    func setOnline(_ isOnline: Bool) {
        guard server != nil, !core.withLock({ $0.isClosed }) else { return }
        if !isOnline { loop.execute { [self] in showProblem(.notWanted) } }
        tell { replica, now in replica.setOnline(isOnline, at: now) }
    }

    var info: ReplicaInfo {
        core.withLock { core in
            ReplicaInfo(
                nodeID: core.replica.node.string, clusterID: core.replica.identity.clusterID?.string,
                userID: core.replica.identity.userID?.string, isSyncing: core.replica.role == .leader)
        }
    }

    // MARK: Closing

    func close() async {
        guard !core.withLock({ $0.isAbandoned }) else { return }
        endConnection()
        await withCheckedContinuation { continuation in
            let isIdle = core.withLock { core in
                guard core.isCommitting else { return true }
                core.idleWaiters.append(continuation)
                return false
            }
            if isIdle { continuation.resume() }
        }
        guard !core.withLock({ $0.isAbandoned }) else { return }
        // What was decided before this is done before it: receipts hear of the last commit.
        await turn(of: loop)
        await turn(of: storeThread) { [self] in finish() }
    }

    /// Waits until a loop has done all that it was given before, and then `work`; or until the process is said to have
    /// died, which its loops do not tell.
    private func turn(of loop: any Loop, _ work: @escaping @Sendable () -> Void = {}) async {
        await withCheckedContinuation { continuation in
            let number: Int? = core.withLock { core in
                guard !core.isAbandoned else { return nil }
                core.lastTurn += 1
                core.turnWaiters[core.lastTurn] = continuation
                return core.lastTurn
            }
            guard let number else { return continuation.resume() }
            loop.execute { [self] in
                work()
                let waiter = core.withLock { $0.turnWaiters.removeValue(forKey: number) }
                waiter?.resume()
            }
        }
    }

    /// The same without waiting: what is not stored yet is stored first.
    func shutDown() {
        endConnection()
        finishWhenIdle()
    }

    private func finishWhenIdle() {
        storeThread.execute { [self] in
            guard !core.withLock({ $0.isCommitting }) else { return finishWhenIdle() }
            // By way of the loop, which tells the receipts of the last commit: somebody may still wait for them.
            loop.execute { [self] in storeThread.execute { [self] in finish() } }
        }
    }

    private func endConnection() {
        core.withLock { $0.isClosed = true }
        tell { replica, now in replica.setOnline(false, at: now) }
    }

    /// The process is said to have died: nothing is stored or sent any more, and whoever waits is told that the client is
    /// gone. For a simulated one, whose loop and threads have ended already.
    func abandon() {
        let waiters = core.withLock { core in
            core.isClosed = true
            core.isAbandoned = true
            defer { (core.idleWaiters, core.turnWaiters) = ([], [:]) }
            return core.idleWaiters + core.turnWaiters.sorted { $0.key < $1.key }.map(\.value)
        }
        for waiter in waiters { waiter.resume() }
        // Nobody will tell the link that it is closed, and it holds this.
        outside.withLock { $0.link = nil }
        finish()
    }

    /// Ends every sequence, closes the store and lets another process sync; on the store's thread.
    private func finish() {
        let (sinks, queries, waiters) = core.withLock { core in
            defer {
                core.sinks = [:]
                core.querySinks = [:]
                core.loadWaiters = [:]
            }
            return (
                core.sinks.sorted { $0.key < $1.key }.flatMap { $0.value }, core.orderedQuerySinks,
                core.loadWaiters.sorted { $0.key.index < $1.key.index }.flatMap { $0.value }
            )
        }
        for sink in sinks { sink.finish() }
        for query in queries { query.finish() }
        for waiter in waiters { waiter.resume(throwing: TopGunError(.closed, "the client was closed")) }
        syncStates.finish()
        lostWrites.finish()
        for progress in receipts.withLock({ $0.takeAll() }) {
            progress.failed(TopGunError(.closed, "the client was closed"))
        }
        store.withLock { $0 = .memory(InMemoryStore()) }
        sharing.withLock { sharing in
            sharing.lock?.close()
            sharing.lock = nil
            sharing.lockPath = nil
        }
        let timer = outside.withLock { outside in
            defer { outside.timer = nil }
            return outside.timer
        }
        timer?.cancel()
    }
}

// MARK: - Maps

extension ReplicaEngine {
    func openMap(_ name: ByteString) async throws(TopGunError) -> MapID {
        let now = now
        let id: MapID
        do {
            id = try await withCheckedThrowingContinuation { continuation in
                // Told to wait under the same lock under which the map is asked for, or its news could come earlier.
                let outcome: Result<MapID, any Error>? = core.withLock { core in
                    guard !core.isClosed else { return .failure(TopGunError(.closed, "the client was closed")) }
                    do throws(ReplicaError) {
                        let id = try core.replica.open(name, at: now)
                        core.replica.watch(id, true)
                        let isLoaded = core.replica.isLoaded(id)
                        if !isLoaded { core.loadWaiters[id, default: []].append(continuation) }
                        takeEffects(of: &core, at: now)
                        return isLoaded ? .success(id) : nil
                    } catch {
                        return .failure(TopGunError(error))
                    }
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } catch let error as TopGunError {
            throw error
        } catch {
            throw TopGunError(.storage, "a map cannot be read", cause: error)
        }
        // What opening it means for the sync state is told before the application can ask: a state of before would say
        // that the map is as the server's.
        await turn(of: loop)
        return id
    }

    func register(_ sink: any MapSink, for map: MapID) {
        let isClosed = core.withLock { core in
            if !core.isClosed { core.sinks[map.index, default: []].append(sink) }
            return core.isClosed
        }
        // Closed since the map was opened.
        if isClosed { sink.finish() }
    }

    /// Makes one write. `whileLocked` runs after everybody's decoded value of the key is gone, and before anybody else can
    /// touch the core; it must return at once.
    func write(
        _ body: (inout ReplicaState, ReplicaTime) throws(ReplicaError) -> WriteID, whileLocked: () -> Void
    ) throws(TopGunError) -> WriteReceipt {
        let progress = WriteProgress()
        let now = now
        do throws(ReplicaError) {
            let isClosed = try core.withLock { core throws(ReplicaError) in
                if core.isClosed { return true }
                let write = try body(&core.replica, now)
                // Before the lock is let go, or its first result could come earlier.
                receipts.withLock { $0.add(progress, for: write) }
                takeEffects(of: &core, at: now)
                whileLocked()
                return false
            }
            if isClosed { throw ReplicaError(.unknownMap) }
        } catch {
            if core.withLock({ $0.isClosed }) { throw TopGunError(.closed, "the client was closed") }
            throw TopGunError(error)
        }
        return WriteReceipt(progress: progress)
    }

    /// The visible value of a key, and whether it will stay what it is until it is changed.
    func payload(_ key: ByteString, _ map: MapID) -> (payload: Payload, isLasting: Bool)? {
        core.withLock { core in
            guard let record = core.replica.record(of: key, in: map), !record.isTombstone else { return nil }
            guard record.ttlMillis > 0 else { return (record.value, true) }
            return core.replica.value(of: key, in: map, at: now).map { ($0, false) }
        }
    }

}

extension TopGunError {
    init(_ error: ReplicaError) {
        switch error.code {
        case .badMapName: self.init(.invalidArgument, "a map needs a name of 1 to 256 bytes without colon or NUL")
        case .keyTooLong: self.init(.tooLarge, "a key has at most \(ReplicaLimits.keyBytesMax) bytes")
        case .badKey: self.init(.invalidArgument, "a key holds no NUL")
        case .badValue: self.init(.invalidValue, "a value nests too deep, or is not exactly one")
        case .valueTooLarge: self.init(.tooLarge, "a value has at most \(ReplicaLimits.valueBytesMax) bytes")
        case .badLifetime: self.init(.invalidArgument, "a lifetime must be positive and end before the year 285,000")
        case .tooManyMaps: self.init(.tooLarge, "at most \(ReplicaLimits.openMapsMax) maps can be open")
        case .tooManyQueries: self.init(.tooLarge, "at most \(ReplicaLimits.queriesMax) live queries can be open")
        case .badQuery: self.init(.invalidArgument, "the query makes no sense")
        case .unknownMap: self.init(.closed, "the map is not open")
        case .clockExhausted: self.init(.storage, "the clock of this replica is at the end of time")
        }
    }
}
