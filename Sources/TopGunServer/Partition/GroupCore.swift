import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunStorage
import TopGunWire

/// What one event loop holds of the data: the partitions' core, the buffer for the log, and the gate.
///
/// ```
///  gateway ──apply──► GroupState ──► outcomes, log, changes
///                                       │       │      │ encoded once
///      tick: one per loop iteration ────┤       ▼      ▼
///                                       ▼     DurabilityGate (acks, events, answers)
///                                  WriteAheadLog ──on disk──► release ──► gateways
/// ```
///
/// Confined to its loop; ``PartitionGroup`` is the actor that owns it. The gateway of the same loop calls it directly,
/// others through the mailbox.
final class GroupCore {
    let index: Int
    let loop: any Loop
    let state: GroupState
    let metrics: LoopMetrics
    var gate = DurabilityGate()
    /// Bytes handed to the log and not yet on disk.
    private(set) var backlogBytes = 0

    let clock: any Clock
    private let log: WriteAheadLog
    private let acknowledgesEarly: Bool
    let checkVisitsPerTurn: Int
    private var crew: [LoopBound<GatewayCore>] = []
    /// By number of the map, and by name for those that have none.
    private var watchers: [[Watcher]] = []
    private var expectant: [MapName: [Watcher]] = [:]
    private var publishedChanges = 0
    private var publishedQueries = 0
    private var isTickScheduled = false
    /// What was hashed for connections, those that asked last at the end.
    var contents: [KeyedContent] = []
    /// When late acknowledgements are looked for next.
    var lookDueMillis: Int64 = .max
    private var isHandOverScheduled = false
    private var spareSinks: [ByteSink] = []
    private var remote: [RemoteEvents?]
    /// Everything that was merged here and logged before it is on disk.
    private(set) var durablePosition: LogPosition

    /// Partitions that take no operations, those of them that nobody rebuilds any more, and how often each was closed.
    var closedPartitions = PartitionSet()
    var lostPartitions = PartitionSet()
    var closings: [Int: Int] = [:]
    /// What waits for all of them to be open, and how many of these can be refused.
    var waiters: [Waiter] = []
    var questionsWaiting = 0
    var isImpatienceScheduled = false
    /// How far the checks of the memory are, and what was found that the supervisor does not know yet.
    var checkCursor = CheckCursor()
    var broken: [BrokenPartition] = []

    /// Who wants the changes of a map: the map as that loop's gateway numbers it.
    struct Watcher: Equatable {
        var loop: UInt8
        var map: Int32
    }

    /// `acknowledgesEarly` lets everything out before it is written: the negative control of the kill test, and nothing
    /// else, sets it.
    init(
        index: Int, loop: any Loop, loops: Int, state: GroupState, log: WriteAheadLog, clock: any Clock,
        metrics: LoopMetrics, checkVisitsPerTurn: Int = Limits.checkVisitsPerTurn, acknowledgesEarly: Bool = false
    ) {
        self.index = index
        self.loop = loop
        self.state = state
        self.log = log
        self.clock = clock
        self.metrics = metrics
        self.checkVisitsPerTurn = checkVisitsPerTurn
        self.acknowledgesEarly = acknowledgesEarly
        self.durablePosition = log.durablePosition
        self.remote = Array(repeating: nil, count: loops)
    }

    /// Introduces the gateways of all loops, in order; once, before anything else.
    func join(_ crew: [LoopBound<GatewayCore>]) {
        self.crew = crew
    }

    var gateway: GatewayCore { crew[index].value }
    /// A reference to itself that may travel with a job.
    private var door: LoopBound<GroupCore> { LoopBound(self, on: loop) }

    var wallMillis: Int64 { clock.wallMillis() }
}

// MARK: - Writing

extension GroupCore {
    /// Why no operation is taken at present, if so.
    var refusal: Refusal? {
        switch log.state {
        case .open: isOverloaded ? .busy : nil
        case .full, .exhausted: .nodeFull
        case .failed, .closed: .notReady
        }
    }

    /// Whether removals are taken while a full disk refuses all else: the log keeps a reserve for them.
    var takesRemovals: Bool { log.state == .full && !isOverloaded }

    private var isOverloaded: Bool {
        backlogBytes > Limits.logBacklogBytesMax || gate.waitingBytes > Limits.gateBytesMax
    }

    /// Whether connections that write should not be read for a while.
    var isCongested: Bool {
        backlogBytes > Limits.logBacklogBytesPause || gate.waitingBytes > Limits.gateBytesMax / 2
    }

    /// Merges operations; ``GroupState/outcomes`` says what came of them. Put what answers them into the gate, then call
    /// ``publish()``.
    func apply(
        _ operations: UnsafeBufferPointer<OperationView>, author: SessionID, nameSpace: ByteString,
        rules: IngressRules, wallMillis: Int64
    ) {
        reserveStamps(wallMillis: wallMillis)
        state.apply(
            operations, author: author.number, nameSpace: nameSpace, rules: rules, wallMillis: wallMillis)
        if state.hasBroken { loop.execute { [door] in door.value.closeWhatShowed() } }
        scheduleTick()
    }

    /// Puts what changed since the last call into the gate: one encoding for each event, however many read it.
    func publish() {
        meetNewMaps()
        let changes = state.changes
        while publishedChanges < changes.count {
            let change = changes[publishedChanges]
            publishedChanges += 1
            let map = Int(change.map.rawValue)
            guard map < watchers.count, !watchers[map].isEmpty else { continue }
            var start = change.offset
            guard let record = StoredRecord(in: state.log.bytes, at: &start) else {
                preconditionFailure("a change names no record of the log")
            }
            let offset = gate.open.bytes.count
            ServerFrame.event(of: record, into: gate.open.bytes)
            let length = gate.open.bytes.count - offset
            for watcher in watchers[map] {
                #if MUTANTS
                if Mutant.fanOutBeforeSync.isOn, Int(watcher.loop) == index {
                    showEarly(change.author, to: watcher, offset: offset, length: length)
                    continue
                }
                #endif
                gate.open.entries.append(
                    GateEntry(
                        kind: .event, loop: watcher.loop, target: watcher.map, number: change.author, offset: offset,
                        length: length))
            }
        }
        publishQueryChanges()
    }

    private func publishQueryChanges() {
        let changes = state.queryChanges
        while publishedQueries < changes.count {
            let change = changes[publishedQueries]
            publishedQueries += 1
            var start = change.offset
            guard let record = StoredRecord(in: state.log.bytes, at: &start) else {
                preconditionFailure("a change names no record of the log")
            }
            let offset = gate.open.bytes.count
            RowChange.append(change.kind, of: record, to: gate.open.bytes)
            gate.open.entries.append(
                GateEntry(
                    kind: .update, loop: UInt8(SubscriptionNumber(change.subscription).loop),
                    number: change.subscription, offset: offset, length: gate.open.bytes.count - offset))
        }
    }

    /// Makes sure that the clock may stamp: every group from here on carries the higher bound to disk, and nothing that
    /// was stamped leaves before its group is there.
    func reserveStamps(wallMillis: Int64) {
        guard let bound = state.clock.boundToReserve(wallMillis: wallMillis) else { return }
        log.raiseClockBound(to: bound)
        state.clock.raiseBound(to: bound)
    }

    /// Turns what has outlived itself into tombstones, a bounded number at a time; returns whether more is left. Not
    /// while writes are refused: what a full disk still has room for is kept for the removals of clients, and hidden is
    /// what outlived itself in any case.
    func expire() -> Bool {
        guard refusal == nil else { return false }
        let wall = wallMillis
        reserveStamps(wallMillis: wall)
        let expired = state.expire(wallMillis: wall, limit: Limits.expiryBatchMax)
        metrics.counts.recordsExpired += expired
        if expired > 0 {
            publish()
            scheduleTick()
        }
        // Not how many were turned: one that was only put off was looked at, too, and more may be due behind it.
        return state.nextExpiryMillis.map { $0 <= wall } ?? false
    }
}

// MARK: - The tick

extension GroupCore {
    /// Asks for one ``tick()`` after everything that this iteration of the loop brings.
    func scheduleTick() {
        guard !isTickScheduled else { return }
        isTickScheduled = true
        loop.execute { [door] in door.value.tick() }
    }

    /// Runs a job once everything it may have seen is on disk, in order with all else that leaves.
    func afterGate(_ job: @escaping () -> Void) {
        let batch = gate.open
        batch.entries.append(GateEntry(kind: .job, target: Int32(batch.jobs.count)))
        batch.jobs.append(job)
        scheduleTick()
    }

    /// Hands the log its share of this iteration, and lets go what waits for nothing.
    private func tick() {
        isTickScheduled = false
        publish()
        gateway.sendMailboxes()
        let now = nowMillis
        gate.open.sinceMillis = now
        lookWithin(Limits.concernTimeoutMillis, nowMillis: now)
        if state.log.count == 0 {
            _ = gate.close(logged: false)
        } else if acknowledgesEarly {
            _ = gate.close(logged: false)
            handOverSoon()
        } else if gate.open.isEmpty, state.log.count < Limits.patientLogBytesMax {
            handOverSoon()
        } else {
            handOver()
        }
        release(upTo: acknowledgesEarly ? gate.handedOver : gate.reached)
    }

    /// Nobody waits for what is to be logged: it was acknowledged at `MEMORY` or not at all. A moment later it goes with
    /// whatever else there is by then, in one write and one sync instead of one for each iteration of the loop.
    private func handOverSoon() {
        guard !isHandOverScheduled else { return }
        isHandOverScheduled = true
        loop.schedule(afterMillis: Limits.patientLogMillis) { [door] in
            door.value.isHandOverScheduled = false
            door.value.handOverRest()
        }
    }

    /// Hands the log whatever was merged and is still here.
    func handOverRest() {
        guard state.log.count > 0 else { return }
        handOver()
    }

    private func handOver() {
        gate.open.sinceMillis = nowMillis
        let ticket = gate.close(logged: true)
        let (group, partitions) = state.takeLog(replacingWith: spareSinks.popLast() ?? ByteSink(capacity: 64 * 1_024))
        publishedChanges = 0
        publishedQueries = 0
        let bytes = group.count
        backlogBytes += bytes
        metrics.counts.logTickets += 1
        metrics.counts.logBytes += bytes
        log.append(group, partitions: partitions, from: loop) { [door] end, recycled in
            door.value.logged(ticket: ticket, bytes: bytes, end: end, recycled: recycled)
        }
    }

    private func logged(ticket: Int64, bytes: Int, end: LogPosition, recycled: ByteSink) {
        backlogBytes -= bytes
        if spareSinks.count < Limits.gateSpareBatchesMax, bytes <= Limits.gateBufferBytesKept {
            recycled.removeAll()
            spareSinks.append(recycled)
        }
        durablePosition = end
        release(upTo: max(ticket, gate.reached))
        gateway.flush()
        if !isCongested { gateway.resumeWriters() }
    }
}

// MARK: - Leaving

extension GroupCore {
    private func release(upTo ticket: Int64) {
        let batches = gate.release(upTo: ticket)
        guard !batches.isEmpty else { return }
        let gateway = gateway
        for batch in batches {
            let bytes = batch.bytes.bytes
            for entry in batch.entries {
                let slice = UnsafeRawBufferPointer(rebasing: bytes[entry.offset..<entry.offset + entry.length])
                switch entry.kind {
                case .acknowledgement: gateway.acknowledge(entry.session, lastID: entry.number, frame: slice)
                case .answer: gateway.answer(entry.session, frame: slice)
                case .event, .echo, .update:
                    if Int(entry.loop) == index {
                        gateway.deliver(entry, bytes: slice)
                    } else {
                        collect(entry, bytes: slice)
                    }
                case .job:
                    sendRemoteEvents()
                    batch.jobs[Int(entry.target)]()
                }
            }
            for events in remote { events?.endBatch() }
            gate.recycle(batch)
        }
        sendRemoteEvents()
        gateway.flush()
    }

    /// Keeps an event for another loop until the end of this release: one crossing for all of them.
    private func collect(_ entry: GateEntry, bytes: UnsafeRawBufferPointer) {
        let events = remote[Int(entry.loop)] ?? RemoteEvents()
        remote[Int(entry.loop)] = events
        events.append(entry, bytes: bytes)
    }

    private func sendRemoteEvents() {
        for loop in remote.indices {
            guard let events = remote[loop] else { continue }
            remote[loop] = nil
            crew[loop].loop.execute { [target = crew[loop]] in target.value.deliver(events) }
        }
    }
}

// MARK: - Answers

extension GroupCore {
    /// Puts a message for one session behind everything it may have seen.
    func answerAfterGate(_ message: ServerMessage, to session: SessionID) {
        let batch = gate.open
        let offset = batch.bytes.count
        message.encode(into: batch.bytes)
        batch.entries.append(
            GateEntry(kind: .answer, session: session, offset: offset, length: batch.bytes.count - offset))
        scheduleTick()
    }
}

// MARK: - Interest

extension GroupCore {
    /// A gateway wants the changes of a map from now on, whether or not anybody has written to it.
    func watch(_ name: ByteString, in nameSpace: ByteString, by watcher: Watcher) throws(PartitionError) {
        meetNewMaps()
        if let map = state.existingMap(name, in: nameSpace) {
            let index = Int(map.rawValue)
            guard !watchers[index].contains(watcher) else { return }
            watchers[index].append(watcher)
            state.watch(map)
        } else {
            let map = MapName(name: name, nameSpace: nameSpace)
            guard expectant[map]?.contains(watcher) != true else { return }
            try state.watch(name, in: nameSpace)
            expectant[map, default: []].append(watcher)
        }
    }

    func unwatch(_ name: ByteString, in nameSpace: ByteString, by watcher: Watcher) {
        meetNewMaps()
        if let map = state.existingMap(name, in: nameSpace) {
            let index = Int(map.rawValue)
            guard let found = watchers[index].firstIndex(of: watcher) else { return }
            watchers[index].remove(at: found)
            state.unwatch(map)
        } else {
            let map = MapName(name: name, nameSpace: nameSpace)
            guard var waiting = expectant[map], let found = waiting.firstIndex(of: watcher) else { return }
            waiting.remove(at: found)
            expectant[map] = waiting.isEmpty ? nil : waiting
            state.unwatch(name, in: nameSpace)
        }
    }

    /// Who waited for a map finds it under its number once it has one.
    private func meetNewMaps() {
        while watchers.count < state.mapCount {
            guard !expectant.isEmpty else {
                watchers.append([])
                continue
            }
            let (nameSpace, name) = state.name(of: MapID(UInt32(watchers.count)))
            watchers.append(expectant.removeValue(forKey: MapName(name: name, nameSpace: nameSpace)) ?? [])
        }
    }
}

/// Events on their way to the gateway of another loop.
///
/// Unchecked because the loop that fills it gives it away with the job that carries it.
final class RemoteEvents: @unchecked Sendable {
    private(set) var entries: [GateEntry] = []
    private let sink = ByteSink(capacity: 4 * 1_024)
    private var last = (offset: -1, copied: 0)

    /// Copies the bytes, once for all entries in a row that share them.
    func append(_ entry: GateEntry, bytes: UnsafeRawBufferPointer) {
        var entry = entry
        if last.offset != entry.offset {
            last = (entry.offset, sink.count)
            sink.append(bytes)
        }
        entry.offset = last.copied
        entries.append(entry)
    }

    /// Offsets of the next batch have nothing to do with those seen so far.
    func endBatch() {
        last.offset = -1
    }

    func bytes(of entry: GateEntry) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: sink.bytes[entry.offset..<entry.offset + entry.length])
    }
}
