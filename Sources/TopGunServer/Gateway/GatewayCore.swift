import Crypto
import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

/// The client connections of one event loop: what came in is decoded, checked and routed; what goes out is written to
/// whoever it concerns.
///
/// Confined to its loop; ``Gateway`` is the actor that owns it. It never looks into a value.
final class GatewayCore {
    let index: Int
    let loop: any Loop
    let terms: GatewayTerms
    let group: GroupCore
    let metrics: LoopMetrics
    let clock: any Clock

    /// The groups of all loops, in order.
    var crew: [LoopBound<GroupCore>] = []

    private var shells: [SessionShell?] = []
    private var freeSlots: [Int] = []
    private var generation: UInt32 = 0
    private(set) var openCount = 0
    var dirty: [SessionShell] = []
    var congested: [SessionShell] = []
    var pausedWriters: [SessionShell] = []
    private var isCongestionSweepSet = false
    private(set) var isDraining = false
    private var sweptMillis: Int64 = 0
    private var drainDone: (() -> Void)?

    var interests = InterestTable()

    // Kept from read to read, for their memory.
    var operations: [OperationView] = []
    var frames: [OperationFrame] = []
    var answers: [OperationAnswer] = []
    let scratch = ByteSink(capacity: 16 * 1_024)

    // Queries.
    var subscriptions: [UInt64: (shell: SessionShell, queryID: ByteString)] = [:]
    var nextSubscription: UInt64 = 0

    /// Questions to the groups that are not answered yet.
    var questionsOut = 0

    // Operations on other loops.
    var mailboxes: [Mailbox?]
    var splitFrames: [UInt64: SplitFrame] = [:]
    var nextSplitFrame: UInt64 = 0
    var forwardedOperations = 0
    /// How many times another loop is yet to tell a writer of this one what stands.
    var correctionsAway = 0

    init(
        index: Int, loop: any Loop, loops: Int, terms: GatewayTerms, group: GroupCore, metrics: LoopMetrics,
        clock: any Clock
    ) {
        self.index = index
        self.loop = loop
        self.terms = terms
        self.group = group
        self.metrics = metrics
        self.clock = clock
        self.mailboxes = Array(repeating: nil, count: loops)
    }

    /// Introduces all loops; once, before the first connection.
    func join(groups: [LoopBound<GroupCore>]) {
        crew = groups
        sweptMillis = nowMillis
        loop.schedule(afterMillis: Limits.sessionSweepMillis) { [door] in door.value.sweepSessions() }
    }

    /// A reference to itself that may travel with a job.
    var door: LoopBound<GatewayCore> { LoopBound(self, on: loop) }

    var nowMillis: Int64 { clock.monotonicNanos() / 1_000_000 }

    func shell(_ id: SessionID) -> SessionShell? {
        guard id.slot < shells.count, let shell = shells[id.slot], shell.id == id else { return nil }
        return shell
    }

    var allShells: [SessionShell] { shells.compactMap { $0 } }
}

/// What a gateway tells and demands, the same on every loop.
struct GatewayTerms: Sendable {
    var session: ClientSession.Terms
    var anonymous: ClientSession.Identity
    /// What an authenticated client may do while there is no policy.
    var mayByDefault: Bool
    var tokenLeewayMillis: Int64 = 0
    var operationsPerSecond: Int
    var operationsBurst: Int
    var tokens: (any TokenVerifier)?
    var spawner: any Spawner
    var entropy: any Entropy
    var devices: DeviceMemory
    var devicesPerLoopMax = Limits.devicesPerLoopMax
    /// What clients are told to dial: the setting, or where it listens for one whose request did not say.
    var advertisedURL: String?
    var listeningURL = ""
    /// The version of the partition map, which grows with every start.
    var mapVersion: Int64 = 1
    /// What cursors of queries are signed with.
    var cursorKey: SymmetricKey
    /// Bytes queued for a connection above which events are dropped.
    var broadcastQueueBytesMax = Limits.broadcastQueueBytesMax
    var clusterID: ByteString
    var serverID: ByteString
    var restoreEpoch: Int64
    /// A number that no other run of any node has.
    var incarnation: UInt64
    var log: ServerLog
}

// MARK: - Connections

extension GatewayCore {
    func opened(_ connection: any ClientConnection, peer: PeerInfo) -> SessionID {
        let slot = freeSlots.popLast() ?? shells.count
        if slot == shells.count { shells.append(nil) }
        generation = generation == 0xff_ffff ? 1 : generation + 1
        let id = SessionID(loop: index, generation: generation, slot: slot)
        let shell = SessionShell(
            id: id, connection: connection, peer: peer,
            core: ClientSession(terms: terms.session, anonymous: terms.anonymous, nowMillis: nowMillis),
            bucket: TokenBucket(
                perSecond: terms.operationsPerSecond, burst: terms.operationsBurst, nowNanos: clock.monotonicNanos()))
        shells[slot] = shell
        openCount += 1
        if isDraining {
            close(shell, code: 1001, reason: "shutting down")
        } else {
            perform(shell.core.opening, for: shell)
            flush()
        }
        return id
    }

    func closed(_ id: SessionID) {
        guard let shell = shell(id) else { return }
        shell.isClosing = true
        shell.core.close()
        leave(shell)
        forgetContents(of: shell)
        forget(shell)
        shells[id.slot] = nil
        freeSlots.append(id.slot)
        openCount -= 1
        if isDraining, openCount == 0 { finishDrain() }
    }

    /// Ends a connection; what was queued for it is still sent.
    func close(_ shell: SessionShell, code: UInt16, reason: String) {
        guard !shell.isClosing else { return }
        shell.isClosing = true
        shell.core.close()
        shell.connection.close(code: code, reason: reason)
    }

    private func forget(_ shell: SessionShell) {
        loseInterest(shell)
        dropQueries(shell)
        shell.streams.removeAll()
        dirty.removeAll { $0 === shell }
        congested.removeAll { $0 === shell }
        pausedWriters.removeAll { $0 === shell }
    }

    private func sweepSessions() {
        let now = nowMillis
        let wall = clock.wallMillis()
        // A loop that was itself held up has words of its clients still to read: it blames nobody this time.
        let wasHeldUp = now - sweptMillis > 3 * Limits.sessionSweepMillis
        sweptMillis = now
        for shell in shells where !wasHeldUp {
            guard let shell, !shell.isClosing else { continue }
            perform(shell.core.timePassed(nowMillis: now, wallMillis: wall), for: shell)
        }
        flush()
        loop.schedule(afterMillis: Limits.sessionSweepMillis) { [door] in door.value.sweepSessions() }
    }
}

// MARK: - Receiving

extension GatewayCore {
    /// Every message of one read. Operations are collected and merged in one pass; anything else takes its turn among
    /// them, so that the order of the connection holds.
    func received(_ id: SessionID, messages: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        guard let shell = shell(id), !shell.isClosing else { return }
        let nanos = clock.monotonicNanos()
        shell.core.heard(nowMillis: nanos / 1_000_000)
        var cost = 0
        for message in messages {
            cost += take(message, from: shell, isInner: false)
            if shell.isClosing { break }
        }
        submit(shell)
        if questionsOut > Limits.questionsOutMax { pauseWriter(shell) }
        flush()
        charge(shell, cost, nowNanos: nanos)
    }

    /// Takes what something costs; a connection that owes is not read until it is paid.
    func charge(_ shell: SessionShell, _ cost: Int, nowNanos: Int64) {
        let pause = shell.bucket.take(cost, nowNanos: nowNanos)
        guard pause > 0, !shell.isClosing else { return }
        metrics.counts.readingPaused += 1
        shell.pause(.rate, true)
        loop.schedule(afterMillis: pause) { [door, id = shell.id] in door.value.shell(id)?.pause(.rate, false) }
    }

    /// One message, or one of a BATCH; returns what it costs.
    func take(_ message: UnsafeRawBufferPointer, from shell: SessionShell, isInner: Bool) -> Int {
        if shell.identity != nil {
            let first = operations.count
            do {
                var hasTimeouts = false
                if try OperationDecoder.decode(message, into: &operations, hasTimeouts: &hasTimeouts) == .operations {
                    frames.append(OperationFrame(first: first, end: operations.count, hasTimeouts: hasTimeouts))
                    return max(1, operations.count - first)
                }
            } catch {
                operations.removeLast(operations.count - first)
                refuse(shell, error)
                return 1
            }
        }
        do {
            let decoded = try ClientMessage.decode(message)
            return handle(decoded, from: shell, isInner: isInner)
        } catch {
            if shell.identity != nil { refuse(shell, error) }
            return 1
        }
    }

    /// A frame that is no message: the connection goes on.
    func refuse(_ shell: SessionShell, _ error: WireError) {
        metrics.counts.framesRefused += 1
        if error.requestType == "QUERY_SUB", let queryID = error.requestID {
            let code: ByteString = error.field == nil ? "BAD_REQUEST" : "QUERY_UNSUPPORTED"
            return refuseQuery(shell, queryID, code, error.description)
        }
        sendError(
            shell, code: error.protocolCode, message: error.description, refusal: error.refusal,
            request: error.requestType, requestID: error.requestID)
    }
}

// MARK: - Sending

extension GatewayCore {
    /// Queues a frame that answers something; never dropped. A client that does not read its answers is not read either.
    func answer(_ shell: SessionShell, frame: UnsafeRawBufferPointer) {
        guard !shell.isClosing else { return }
        shell.connection.send(copying: frame)
        touch(shell)
        if shell.connection.queuedBytes > Limits.answerQueueBytesMax { congest(shell) }
    }

    func answer(_ id: SessionID, frame: UnsafeRawBufferPointer) {
        guard let shell = shell(id) else { return }
        answer(shell, frame: frame)
    }

    func send(_ shell: SessionShell, _ message: ServerMessage) {
        scratch.removeAll()
        message.encode(into: scratch)
        answer(shell, frame: scratch.bytes)
    }

    func acknowledge(_ id: SessionID, lastID: UInt64, frame: UnsafeRawBufferPointer) {
        guard let shell = shell(id) else { return }
        shell.acknowledgementsWaiting -= 1
        shell.releasedID = max(shell.releasedID, lastID)
        metrics.counts.acknowledgementsSent += 1
        answer(shell, frame: frame)
    }

    func touch(_ shell: SessionShell) {
        guard !shell.isDirty else { return }
        shell.isDirty = true
        dirty.append(shell)
    }

    /// Hands what was queued to the sockets: once for each connection and turn.
    func flush() {
        guard !dirty.isEmpty else { return }
        for shell in dirty {
            shell.isDirty = false
            if !shell.isClosing { shell.connection.flush() }
        }
        dirty.removeAll(keepingCapacity: true)
    }
}

// MARK: - Slow readers

extension GatewayCore {
    /// Stops reading a connection whose queue is long, until it is short again.
    func congest(_ shell: SessionShell) {
        guard !shell.pauses.contains(.congestion), !shell.isClosing else { return }
        metrics.counts.readingPaused += 1
        shell.pause(.congestion, true)
        shell.stalledSinceMillis = nowMillis
        shell.stalledBytes = shell.connection.queuedBytes
        congested.append(shell)
        scheduleCongestionSweep()
    }

    func drained(_ id: SessionID) {
        guard let shell = shell(id) else { return }
        look(at: shell)
        congested.removeAll { !$0.pauses.contains(.congestion) }
        flush()
    }

    private func scheduleCongestionSweep() {
        guard !isCongestionSweepSet else { return }
        isCongestionSweepSet = true
        loop.schedule(afterMillis: Limits.congestionSweepMillis) { [door] in door.value.sweepCongested() }
    }

    private func sweepCongested() {
        isCongestionSweepSet = false
        for shell in congested { look(at: shell) }
        congested.removeAll { !$0.pauses.contains(.congestion) || $0.isClosing }
        if !congested.isEmpty { scheduleCongestionSweep() }
        flush()
    }

    /// Lets a connection go on whose queue has gone down, and gives up one that takes nothing.
    private func look(at shell: SessionShell) {
        guard shell.pauses.contains(.congestion), !shell.isClosing else { return }
        let queued = shell.connection.queuedBytes
        if queued <= Limits.queueBytesResume {
            shell.stalledSinceMillis = nil
            shell.pause(.congestion, false)
            makeUp(shell)
            advanceStreams(shell)
            return
        }
        if queued < shell.stalledBytes {
            shell.stalledBytes = queued
            shell.stalledSinceMillis = nowMillis
        } else if let since = shell.stalledSinceMillis, nowMillis - since > Limits.stalledMillisMax {
            metrics.counts.slowReadersClosed += 1
            close(shell, code: 1013, reason: "not reading")
        }
    }

    /// Connections that were not read because the log was behind, or too many questions were out.
    func resumeWriters() {
        guard !pausedWriters.isEmpty, questionsOut <= Limits.questionsOutMax else { return }
        for shell in pausedWriters { shell.pause(.backlog, false) }
        pausedWriters.removeAll()
    }

    func pauseWriter(_ shell: SessionShell) {
        guard !shell.pauses.contains(.backlog) else { return }
        metrics.counts.readingPaused += 1
        shell.pause(.backlog, true)
        pausedWriters.append(shell)
    }
}

// MARK: - The end

extension GatewayCore {
    /// Takes nothing new, lets out what is owed, says goodbye.
    func drain(_ done: @escaping () -> Void) {
        isDraining = true
        drainDone = done
        // Behind everything that waits at the gate: acknowledgements leave before the goodbye.
        sayGoodbye()
    }

    private func sayGoodbye() {
        group.afterGate { [self] in
            guard splitFrames.isEmpty, correctionsAway == 0 else { return sayGoodbye() }
            for shell in allShells { close(shell, code: 1001, reason: "shutting down") }
            if openCount == 0 { finishDrain() }
        }
    }

    private func finishDrain() {
        drainDone?()
        drainDone = nil
    }
}
