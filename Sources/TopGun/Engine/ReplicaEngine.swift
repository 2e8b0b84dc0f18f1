import Logging
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunReplica

/// The shell around ``ReplicaState``: it owns time, threads, the store and the socket, and takes no decision.
///
/// ```
///   any thread            loop (sockets, timers, observers)        store thread (SQLite)
///   ──────────            ─────────────────────────────────        ─────────────────────
///   set, remove ──┐                     ┌── received, timers
///                 └──> [ lock: core ] <─┘<──────────────── committed, loaded, changed elsewhere
///                          │    │   └────────────────────> transaction, pages of a map
///                          │    └──> frames, receipts, observers, timer (in order, one flush)
///                          └──> caches of decoded values, before the lock is let go
/// ```
///
/// The core is behind a lock and not on the loop, because a read or a write of the application must neither wait for a
/// loop to come round nor be `async`: an uncontended lock costs 20 ns, a hop 10-60 us. What the core wants done is put
/// into queues while the lock is held, so it is done in the order in which it was decided, and outside the lock.
///
/// Group commit: the core hands out one transaction at a time; every write that arrives while one is being synced goes
/// into the next.
final class ReplicaEngine: Sendable {
    let environment: Environment
    let loop: any Loop
    let storeThread: any Loop
    let logger: Logger
    let server: String?
    let tokens: TokenSource?
    let configuration: ReplicaConfiguration

    let core: Mutex<Core>
    let store: Mutex<ClientStore>
    let sharing: Mutex<StoreSharing>
    let outside: Mutex<Outside>
    let receipts = Mutex(ReceiptBook())
    let syncStates: SyncStateHub
    let lostWrites = LostWriteBook()

    /// What the lock guards.
    struct Core: ~Copyable {
        var replica: ReplicaState
        /// Decided, and not yet carried out on the loop.
        var decided: [ReplicaEffects] = []
        var isLoopCalled = false
        /// Messages came whose effects have not been taken yet.
        var hasEvents = false
        var sinks: [Int: [any MapSink]] = [:]
        var querySinks: [QueryID: any QuerySink] = [:]
        var loadWaiters: [MapID: [CheckedContinuation<MapID, any Error>]] = [:]
        /// When the core wants to be called, and when it will be.
        var wantedMillis = Int64.max
        var armedMillis = Int64.max
        var isCommitting = false
        var idleWaiters: [CheckedContinuation<Void, Never>] = []
        /// Who waits for a turn of the loop or of the store's thread, by number: turns that are dropped wake nobody.
        var turnWaiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var lastTurn = 0
        var isClosed = false
        /// The process is said to have died: its loop and threads do nothing any more.
        var isAbandoned = false

        /// In the order in which the queries were asked.
        var orderedQuerySinks: [any QuerySink] {
            querySinks.sorted { $0.key.number < $1.key.number }.map { $0.value }
        }
    }

    /// What only the loop touches; the lock is never contended and only there for the compiler.
    struct Outside {
        var link: ServerLink?
        var timer: (any ScheduledJob)?
        var state = TopGunReplica.SyncState.offline
        var problem: SyncProblem?
        var isAskingForToken = false
        var tokenRetryMillis = Limits.tokenRetryMillisMin
    }

    init(
        environment: Environment, loop: any Loop, storeThread: any Loop, logger: Logger, server: String?,
        tokens: TokenSource?, configuration: ReplicaConfiguration, store: sending ClientStore, sharing: StoreSharing,
        replica: consuming ReplicaState
    ) {
        self.environment = environment
        self.loop = loop
        self.storeThread = storeThread
        self.logger = logger
        self.server = server
        self.tokens = tokens
        self.configuration = configuration
        self.store = Mutex(store)
        self.sharing = Mutex(sharing)
        self.outside = Mutex(Outside())
        self.syncStates = SyncStateHub(.offline(server == nil ? .notWanted : nil))
        self.core = Mutex(Core(replica: replica))
    }

    var now: ReplicaTime {
        ReplicaTime(
            wallMillis: environment.clock.wallMillis(),
            steadyMillis: environment.clock.monotonicNanos() / 1_000_000)
    }
}

// MARK: - Events

extension ReplicaEngine {
    /// Hands the core one event, and sees to it that what it decides is done.
    @discardableResult
    func step<Result: Sendable>(
        _ body: (inout ReplicaState, ReplicaTime) throws(ReplicaError) -> Result
    ) throws(ReplicaError) -> Result {
        let now = now
        return try core.withLock { core throws(ReplicaError) in
            let result = try body(&core.replica, now)
            takeEffects(of: &core, at: now)
            return result
        }
    }

    /// The same for events that cannot fail.
    func tell(_ body: (inout ReplicaState, ReplicaTime) -> Void) {
        let now = now
        core.withLock { core in
            body(&core.replica, now)
            takeEffects(of: &core, at: now)
        }
    }

    /// The same for one of many events of one turn of the loop: the effects are taken at its end.
    func tellSoon(_ body: (inout ReplicaState, ReplicaTime) -> Void) {
        let now = now
        core.withLock { core in
            body(&core.replica, now)
            core.hasEvents = true
            callLoop(&core)
        }
    }

    /// Puts what the core wants done into the queues; the lock is held.
    func takeEffects(of core: inout Core, at now: ReplicaTime) {
        core.hasEvents = false
        var effects = core.replica.takeEffects(at: now)
        if let transaction = effects.transaction {
            core.isCommitting = true
            effects.transaction = nil
            storeThread.execute { [self] in commit(transaction) }
        }
        for map in effects.loads {
            storeThread.execute { [self] in load(map, after: nil) }
        }
        effects.loads = []
        var isObserved = false
        for change in effects.changes {
            for sink in core.sinks[change.map.index] ?? [] {
                sink.invalidate(change.key)
                if sink.isObserved { isObserved = true }
            }
        }
        if !isObserved { effects.changes = [] }
        core.wantedMillis = effects.timerMillis ?? .max
        let isWorkForLoop =
            isObserved || !effects.frames.isEmpty || !effects.connection.isEmpty || !effects.results.isEmpty
            || !effects.queryChanges.isEmpty || effects.syncState != nil || !effects.notices.isEmpty
        if isWorkForLoop { core.decided.append(effects) }
        if isWorkForLoop || core.wantedMillis < core.armedMillis { callLoop(&core) }
    }

    private func callLoop(_ core: inout Core) {
        guard !core.isLoopCalled else { return }
        core.isLoopCalled = true
        loop.execute { [self] in carryOut() }
    }
}

// MARK: - The loop's turn

extension ReplicaEngine {
    /// Does on the loop what was decided since its last turn, and flushes the socket once.
    private func carryOut() {
        let now = now
        let (decided, timer) = core.withLock { core in
            core.isLoopCalled = true
            if core.hasEvents { takeEffects(of: &core, at: now) }
            core.isLoopCalled = false
            var decided: [ReplicaEffects] = []
            swap(&decided, &core.decided)
            var timer: Int64?
            // A closed client has nothing left to do in time, and must not be kept for it.
            if core.wantedMillis < core.armedMillis, !core.isClosed {
                core.armedMillis = core.wantedMillis
                timer = core.wantedMillis
            }
            return (decided, timer)
        }
        for effects in decided { carryOut(effects) }
        outside.withLock { $0.link }?.flush()
        if let timer { arm(timer, at: now) }
    }

    private func carryOut(_ effects: ReplicaEffects) {
        let link = outside.withLock { $0.link }
        for frame in effects.frames { link?.send(frame) }
        for connection in effects.connection { carryOut(connection) }
        for result in effects.results { note(result) }
        if !effects.changes.isEmpty { deliver(effects.changes) }
        if !effects.queryChanges.isEmpty { deliver(effects.queryChanges) }
        for notice in effects.notices { note(notice) }
        if let state = effects.syncState { note(state) }
    }

    private func arm(_ millis: Int64, at now: ReplicaTime) {
        let timer = loop.schedule(afterMillis: max(millis - now.steadyMillis, 0)) { [self] in
            core.withLock { $0.armedMillis = .max }
            tell { replica, now in replica.tick(at: now) }
        }
        let old = outside.withLock { outside in
            defer { outside.timer = timer }
            return outside.timer
        }
        old?.cancel()
    }

    private func deliver(_ changes: [MapChange]) {
        let sinks = core.withLock { core in
            changes.map { change in (change, core.sinks[change.map.index] ?? []) }
        }
        for (change, sinks) in sinks {
            for sink in sinks { sink.deliver(change.key, isLocal: change.isLocal) }
        }
    }

    private func deliver(_ changes: [QueryChange]) {
        let sinks = core.withLock { core in changes.map { ($0, core.querySinks[$0.query]) } }
        for (change, sink) in sinks { sink?.changed(change.key, change.value) }
    }

    private func note(_ result: WriteResult) {
        if let lost = LostWrite(result) { lostWrites.add(lost) }
        guard let write = result.write else { return }
        switch result.outcome {
        case .superseded: return
        case .stored:
            progress(of: write, isLast: false)?.reached(.stored)
        case .reached(let concern):
            guard let level = WriteReceipt.Level(concern) else { return }
            progress(of: write, isLast: level == .persisted)?.reached(level)
        case .refused(let code, _):
            progress(of: write, isLast: true)?.failed(
                TopGunError(.refused, "the server refused the write for good", refusal: code.string))
        case .notStored(let error, _):
            progress(of: write, isLast: true)?.failed(
                TopGunError(.storage, "the write could not be stored: \(error.message)", cause: error))
        }
    }

    /// The receipt of a write, forgotten with its last news.
    private func progress(of write: WriteID, isLast: Bool) -> WriteProgress? {
        receipts.withLock { $0.find(write, isLast: isLast) }
    }
}

/// The receipts of the writes of this run that there may still be news of.
struct ReceiptBook: Sendable {
    private var receipts: [WriteID: WriteProgress] = [:]
    private var sweepCount = 4096

    mutating func add(_ progress: WriteProgress, for write: WriteID) {
        receipts[write] = progress
        if receipts.count >= sweepCount { sweep() }
    }

    mutating func find(_ write: WriteID, isLast: Bool) -> WriteProgress? {
        isLast ? receipts.removeValue(forKey: write) : receipts[write]
    }

    mutating func takeAll() -> [WriteProgress] {
        defer { receipts = [:] }
        return receipts.sorted { $0.key.number < $1.key.number }.map { $0.value }
    }

    /// Lets go of those whose write is safe and which nobody holds any more: no later news of them matters.
    private mutating func sweep() {
        for write in Array(receipts.keys) {
            guard var progress = receipts.removeValue(forKey: write) else { continue }
            let isSafe = progress.level.map { $0 >= .replicated } ?? false
            if !isSafe || !isKnownUniquelyReferenced(&progress) { receipts[write] = progress }
        }
        sweepCount = max(4096, receipts.count * 2)
    }
}

extension WriteReceipt.Level {
    init?(_ concern: WriteConcern) {
        switch concern {
        case .fireAndForget, .memory: return nil
        case .applied: self = .applied
        case .replicated: self = .replicated
        case .persisted: self = .persisted
        }
    }
}

/// Who wants to know of changes of a map.
protocol MapSink: AnyObject, Sendable {
    /// A key may look different from now on. Called while the core is locked: must return at once and call nobody.
    func invalidate(_ key: ByteString)

    /// Whether anybody wants ``deliver(_:isLocal:)``.
    var isObserved: Bool { get }

    /// The same, on the loop.
    func deliver(_ key: ByteString, isLocal: Bool)

    func finish()
}

/// Who wants to know of changes of a live query; called on the loop.
protocol QuerySink: AnyObject, Sendable {
    func changed(_ key: ByteString, _ value: Payload?)
    func confirmed(_ isConfirmed: Bool)
    func finish()
}
