import TopGunEnvironment
import TopGunModel
import TopGunReplica
import TopGunServer
import TopGunWire

/// One run: a node and its clients under the faults of a scenario, then without them until everything has come to rest,
/// then after a last power cut.
///
/// ```
///   load, faults ──heal──> until quiet (or the deadline) ──> what everybody holds ──> power cut ──> what the node holds
/// ```
package final class Simulation: @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    package let scenario: Scenario
    let scheduler: SimulatedScheduler
    /// Where the world itself acts.
    let loop: SimulatedLoop
    let network: SimulatedNetwork
    let node: SimulatedNode
    private(set) var devices: [SimulatedDevice] = []
    private var devicesByName: [String: SimulatedDevice] = [:]
    private var auditors: [SimulatedDevice] = []
    private let maps: [ByteString]
    private let keys: [ByteString]
    /// Over every message that left the node and everything that came to its disk.
    var traffic: UInt64 = 0
    private var injector: FaultInjector?
    var history = History()
    private var reached: [String: Int] = [:]
    /// What came to the platter of the node's disk: values by their tokens, and removals.
    var durable: Set<UInt32> = []
    var durableRemovals: Set<StampMark> = []
    /// Every write that ever was in a client's log, by place.
    var writes: [Place: [LoggedWrite]] = [:]
    /// Keys that are written to once.
    private var onceKeys: [ByteString] = []
    /// Writes that the node last said to have, and which stand or were written over.
    private(set) var standing: [(place: Place, stamp: Stamp)] = []
    private(set) lazy var stranger = Stranger(self)
    /// Tokens that ever left the node.
    var shown: Set<UInt32> = []
    /// The most that was queued for a connection when somebody else's write was told to it.
    private var eventQueuePeak = 0
    private var dice: SeededGenerator
    private var written = 0
    private var nextToken: UInt32 = 0
    private var isHealed = false
    private var healedNanos: Int64 = 0
    /// The latest that the node's clock ever said when somebody changed it.
    private var latestWallMillis = Int64.min / 2

    package struct Outcome: Sendable {
        package var history: History
        package var trace: UInt64
        package var traffic: UInt64
        package var turns: Int
        package var reached: [String: Int]

        /// Two runs of one scenario that differ here are not the same run.
        package var fingerprint: UInt64 { (history.fingerprint &* 31 ^ trace) &* 31 ^ traffic }
    }

    package init(_ scenario: Scenario, mutants: SimulatedMutants = SimulatedMutants()) {
        self.scenario = scenario
        scheduler = SimulatedScheduler(seed: scenario.seed)
        loop = scheduler.makeLoop(named: "world")
        network = SimulatedNetwork(seed: scenario.seed ^ 0x6e65_7477, scheduler: scheduler)
        dice = SeededGenerator(seed: scenario.seed ^ 0x6c6f_6164)
        maps = (0..<scenario.maps).map { ByteString("map\($0)") }
        keys = (0..<scenario.keys).map { ByteString("k\($0)") }
        var settings = SimulatedNode.Settings()
        settings.loops = scenario.nodeLoops
        settings.segmentBytes = scenario.segmentBytes
        settings.checkpointLogBytes = scenario.checkpointLogBytes
        settings.acknowledgesEarly = mutants.acknowledgesBeforeSync
        settings.ignoresSyncFailures = mutants.ignoresSyncFailures
        node = SimulatedNode(
            name: "node-0", settings: settings, seed: scenario.seed ^ 0x6e6f_6465, scheduler: scheduler)
        for index in 0..<scenario.clients { devices.append(makeDevice("client-\(index)", index, mutants)) }
        devicesByName = Dictionary(uniqueKeysWithValues: devices.map { ($0.name, $0) })
        watch()
    }

    private func makeDevice(_ name: String, _ index: Int, _ mutants: SimulatedMutants) -> SimulatedDevice {
        var configuration = ReplicaConfiguration()
        // Small windows, so that a few operations fill them.
        configuration.batchOperations = 1 + dice.below(20)
        configuration.windowOperations = configuration.batchOperations * (1 + dice.below(4))
        drawManner(index, &configuration)
        return makeDevice(name, index, configuration, mutants)
    }

    private func makeDevice(
        _ name: String, _ index: Int, _ configuration: ReplicaConfiguration, _ mutants: SimulatedMutants
    ) -> SimulatedDevice {
        let device = SimulatedDevice(
            name: name, host: SimulatedHost(name: name, network: network), scheduler: scheduler, maps: maps,
            seed: scenario.seed &* 7_919 &+ UInt64(index), configuration: configuration,
            // The simulation holds its devices, so it is there as long as they call it.
            onNotice: { [unowned self] in note($0, of: name) },
            record: { [unowned self] in record($0) })
        device.store.forgetsClockBound = mutants.forgetsClockBound
        return device
    }

    /// Sets up one more device from what is in the store of another one, as its owner does with a new phone; `nil` if there
    /// are enough.
    func copyDevice(_ original: SimulatedDevice) -> SimulatedDevice? {
        guard devices.count < scenario.clients + Limits.copiesMax else { return nil }
        let index = devices.count
        let copy = makeDevice("client-\(index)", index, original.configuration, SimulatedMutants())
        copy.begin(as: original)
        devices.append(copy)
        devicesByName[copy.name] = copy
        copy.start()
        scheduleLoad(copy)
        return copy
    }

    /// How much of our extensions a client speaks, and how early it wants to hear of its writes.
    private func drawManner(_ index: Int, _ configuration: inout ReplicaConfiguration) {
        // Auditors see everything.
        guard index < scenario.clients else { return }
        switch dice.below(4) {
        // Without `clock` a client would have to guess which write of somebody else is its own under another stamp.
        case 0 where scenario.isKindToPlainClients: configuration.features = .clock
        case 1 where scenario.isKindToPlainClients:
            configuration.features.subtract(FeatureSet(rawValue: UInt16(truncatingIfNeeded: dice.next())))
            configuration.features.insert(.clock)
        case 2: configuration.concern = .memory
        default: break
        }
        if !configuration.features.contains(.results) { reach("client.plain") }
    }

    private func watch() {
        node.disk.faults.syncNanosMax = Limits.syncNanosMax
        var witness = SimulatedDisk.Witness()
        // Here and below: the simulation holds the node, its disk and the network, so it outlives what they call.
        witness.onPlatter = { [unowned self] in noteOnPlatter($0) }
        witness.onHalt = { [unowned self] in loop.execute { [self] in nodeHalted() } }
        witness.onFault = { [unowned self] in reach("disk.\($0)") }
        // See above.
        witness.onMisread = { [unowned self] isTail in
            reach("disk.misread")
            injector?.noteMisread(isTail: isTail)
        }
        node.disk.faults.keepsStale = scenario.faults.contains { $0.kind == .staleRead }
        node.disk.watch(witness)
        network.listen(on: node.name, node)
        // See above.
        network.sniffer = { [unowned self] in sniff($1, from: $0) }
        network.onEvent = { [unowned self] in reach("network.\($0.rawValue)") }
        // See above.
        node.onServing = { [unowned self] in nodeServes() }
        node.onBrokenFrame = { [unowned self] in nodeCannotRead() }
        // See above.
        node.onRefused = { [unowned self] error in loop.execute { [self] in nodeRefused(error) } }
        node.onFailed = { [unowned self] error in loop.execute { [self] in nodeFailed(error) } }
        node.onStopped = { [unowned self] in loop.execute { [self] in nodeStopped() } }
    }

    // MARK: - The run

    package func run() -> Outcome {
        node.start()
        for device in devices {
            device.start()
            scheduleLoad(device)
        }
        let injector = FaultInjector(self)
        self.injector = injector
        injector.begin()
        scheduler.run(forMillis: Int64(scenario.loadMillis))
        heal()
        var isQuiet = waitForQuiet(devices, Limits.quietMillisMax)
        if isQuiet, scenario.lifetimes > 0 {
            // What ends by itself ends before anybody is compared with anybody, what was taken when the node's clock was
            // ahead of what it is now included.
            let aheadMillis = max(latestWallMillis - node.clock.wallMillis(), 0) + Limits.aheadMillisMax
            scheduler.run(forMillis: Limits.lifetimeMillisMax + aheadMillis + Limits.expiryMillisMax)
            isQuiet = waitForQuiet(devices, Limits.quietMillisMax)
        }
        if isQuiet {
            tellContents(devices)
            audit("auditor-0")
            crashNode(power: true)
            node.start()
            audit("auditor-1")
        } else {
            tellContents(devices)
        }
        countMetrics()
        countKinds()
        noteBounds()
        return Outcome(
            history: history, trace: scheduler.trace, traffic: traffic, turns: scheduler.turns, reached: reached)
    }

    private func heal() {
        isHealed = true
        healedNanos = scheduler.nowNanos
        injector?.heal()
        var event = event(.healed, "world")
        event.wall = node.clock.wallMillis()
        record(event)
    }

    /// Lets the world go on until all are at rest, and what is on its way has arrived.
    private func waitForQuiet(_ devices: [SimulatedDevice], _ millisMax: Int64) -> Bool {
        let start = scheduler.nowNanos
        var quietFor = 0
        while quietFor < 12 {
            scheduler.run(forMillis: 250)
            let isQuiet = devices.allSatisfy(isAtRest)
            quietFor = isQuiet ? quietFor + 1 : 0
            if quietFor == 1 { noteQuiet(start) }
            if quietFor == 0, scheduler.nowNanos - start > millisMax * 1_000_000 {
                for device in devices where !isAtRest(device) {
                    var event = event(.stuck, device.name)
                    event.note = "node \(node.state), \(device.process?.unrest ?? "not running")\(device.host.unrest)"
                    record(event)
                }
                return false
            }
        }
        return true
    }

    /// Who has not noticed yet that a connection is dead (N08) is not at rest, whatever it believes, nor is who has not
    /// heard yet what was said to it: a path that was narrow has seconds of it under way.
    private func isAtRest(_ device: SimulatedDevice) -> Bool {
        (device.process?.isQuiet ?? false) && !device.host.isDeceived && !device.host.isAwaited
    }

    private func noteQuiet(_ start: Int64) {
        var event = event(.quiet, "world")
        event.count = (scheduler.nowNanos - start) / 1_000_000
        record(event)
    }

    private func tellContents(_ devices: [SimulatedDevice]) {
        for device in devices {
            device.process?.perform { [keys = keys + onceKeys] in $0.tellContent(keys: keys) }
        }
        scheduler.run(forMillis: 1)
    }

    /// A new client with nothing of its own takes everything that the node has.
    private func audit(_ name: String) {
        let auditor = makeDevice(name, 1_000 + auditors.count, SimulatedMutants())
        auditors.append(auditor)
        auditor.start()
        if waitForQuiet([auditor], 60_000) { tellContents([auditor]) }
    }

    // MARK: - The node's life

    func crashNode(power: Bool) {
        // Counters are the process's.
        countMetrics()
        injector?.nodeEnds()
        node.crash(power: power)
    }

    private func nodeServes() {
        reach("node.serving")
        record(event(.serving, node.name))
        injector?.nodeStarted()
    }

    private func nodeRefused(_ error: ServerError) {
        var event = event(.refusedToStart, node.name)
        event.code = "\(error.code)"
        event.note = error.message
        record(event)
        reach("node.refused.\(error.code)")
        crashNode(power: false)
        switch error.code {
        case .damagedData: injector?.mend()
        default: injector?.nodeDidNotStart()
        }
        comeBack()
    }

    /// The process gives up, as after a failed sync: it ends, and an operator starts it again.
    private func nodeFailed(_ error: ServerError) {
        guard node.state == .serving || node.state == .starting || node.state == .stopping else { return }
        var event = event(.failed, node.name)
        event.code = "\(error.code)"
        event.note = error.message
        record(event)
        reach("node.failed.\(error.code)")
        crashNode(power: false)
        comeBack()
    }

    /// It has ended because it was asked to.
    private func nodeStopped() {
        guard node.state == .stopping else { return }
        reach("node.stopped")
        crashNode(power: false)
        if isHealed { comeBack() } else { injector?.nodeStopped() }
    }

    /// Whatever pieces a client's frames come in, they are what a client may send.
    private func nodeCannotRead() {
        var event = event(.failed, node.name)
        event.code = "undecodable"
        record(event)
    }

    private func nodeHalted() {
        guard node.disk.isHalted else { return }
        crashNode(power: dice.chance(1, in: 2))
        comeBack()
    }

    /// Somebody starts the node, after a while.
    func comeBack() {
        if isHealed {
            loop.schedule(afterMillis: 1_000) { [self] in if node.state == .down { node.start() } }
        } else {
            injector?.restart(.deathInCall)
        }
    }

    // MARK: - The load

    private func scheduleLoad(_ device: SimulatedDevice) {
        let perClient = max(scenario.operations / scenario.clients, 1)
        // Bursts of about six writes, spread over the whole load.
        let gap = max(scenario.loadMillis * 6 / perClient, 2)
        var delay = Int64(dice.below(2 * gap))
        if scenario.isLockstep {
            let tick: Int64 = 50
            let millis = scheduler.nowNanos / 1_000_000
            delay = (millis + delay) / tick * tick + tick - millis
        }
        loop.schedule(afterMillis: delay) { [self] in
            guard !isHealed, written < scenario.operations else { return }
            act(device)
            scheduleLoad(device)
        }
    }

    /// A burst of reads and writes; of several devices, the same at the same moment, but for the values.
    func act(_ devices: SimulatedDevice...) {
        let processes = devices.compactMap(\.process)
        guard !isHealed, written < scenario.operations, !processes.isEmpty else { return }
        let count = dice.chance(1, in: 20) ? 40 : 1 + dice.below(10)
        var actions = processes.map { _ in [Action]() }
        for _ in 0..<count {
            let isOnce = processes.count == 1 && dice.below(100) < scenario.onces
            let key = isOnce ? ByteString("once\(nextToken + 1)") : keys[dice.below(keys.count)]
            let map = dice.below(maps.count)
            let isRead = dice.chance(1, in: 3)
            if isOnce, !isRead { onceKeys.append(key) }
            for index in processes.indices {
                if !isRead { actions[index].append(writing(key, map, isOnce: isOnce)) }
                // A reader of its own writes.
                actions[index].append(.read(key, map))
            }
        }
        for (process, actions) in zip(processes, actions) {
            process.perform { process in
                guard process.isReady else { return }
                for action in actions {
                    switch action {
                    case .read(let key, let map): process.read(key, map: map)
                    case .write(let token, let length, let key, let map, let ttlMillis):
                        process.write(token, length: length, key: key, map: map, ttlMillis: ttlMillis)
                    }
                }
            }
        }
    }

    private func writing(_ key: ByteString, _ map: Int, isOnce: Bool) -> Action {
        nextToken += 1
        written += 1
        let isRemoval = !isOnce && dice.below(100) < scenario.removals
        let lifetime =
            !isOnce && dice.below(100) < scenario.lifetimes
            ? 1_000 + Int64(dice.below(Int(Limits.lifetimeMillisMax))) : 0
        return .write(
            isRemoval ? nil : nextToken, length: Token.bytes + dice.below(120), key, map,
            ttlMillis: isRemoval ? 0 : lifetime)
    }

    private enum Action: Sendable {
        case read(ByteString, Int)
        case write(UInt32?, length: Int, ByteString, Int, ttlMillis: Int64)
    }

    /// Asked for with each acknowledgement.
    func device(named name: String) -> SimulatedDevice? { devicesByName[name] }

    // MARK: - The history

    func event(_ kind: HistoryEvent.Kind, _ who: String) -> HistoryEvent {
        HistoryEvent(kind, who, at: scheduler.nowNanos)
    }

    func record(_ event: HistoryEvent) {
        if event.kind == .stored || event.kind == .restamped { noteLogged(event) }
        history.append(event)
    }

    /// Remembers a write for those who would put another in its place; a disk that lies may lose it.
    func noteStanding(_ write: LoggedWrite) {
        guard let place = write.place, !scenario.faults.contains(where: { $0.kind.leadsToSalvage }) else { return }
        if standing.count >= Limits.standingMax { standing.removeFirst() }
        standing.append((place, write.stamp))
    }

    func reach(_ name: String) {
        reached[name, default: 0] += 1
    }

    /// Writes down what the node's clock says, before and after somebody changes it.
    func noteWall() {
        var event = event(.fault, node.name)
        event.code = "wall"
        event.wall = node.clock.wallMillis()
        latestWallMillis = max(latestWallMillis, node.clock.wallMillis())
        record(event)
    }

    private func note(_ notice: ReplicaNotice, of client: String) {
        switch notice {
        case .protocolError(let fault):
            reach("client.\(fault)")
            guard fault == .undecodable else { return }
            var event = event(.failed, client)
            event.code = "\(fault)"
            record(event)
        case .storeFailed: reach("client.storeFailed")
        case .serverError(let code): reach("client.error.\(code)")
        default: break
        }
    }

    private func noteBounds() {
        for host in devices.map(\.host) + [stranger.host] {
            var event = event(.bound, host.name)
            event.note = "bytes queued for a connection"
            event.count = Int64(host.queuedBytesPeak)
            event.limit = Limits.queuedBytesMax
            record(event)
        }
        var queue = event(.bound, node.name)
        queue.note = "bytes queued for a reader that is sent more events"
        queue.count = Int64(eventQueuePeak)
        queue.limit = Int64(node.settings.broadcastQueueBytesMax)
        record(queue)
        var event = event(.bound, node.name)
        event.note = "bytes on the disk"
        event.count = node.disk.usedBytes
        // The log up to where checkpoints begin, segments that are open, ready or spare, and one checkpoint a partition.
        event.limit = scenario.checkpointLogBytes + Int64(8 * scenario.segmentBytes) + Limits.checkpointBytesMax
        record(event)
    }

    /// What clients came to, as far as they say so.
    private func countKinds() {
        for event in history.events {
            switch event.kind {
            case .restamped: reach("client.restamped")
            case .notStored: reach("client.notStored")
            case .clockAhead: reach("client.clockAhead")
            default: break
            }
        }
    }

    private func countMetrics() {
        for loop in node.metrics.loops {
            let counts = loop.counts
            eventQueuePeak = max(eventQueuePeak, loop.broadcastQueueBytesPeak)
            for (name, count) in [
                ("node.superseded", counts.operationsSuperseded), ("node.repeated", counts.operationsRepeated),
                ("node.checkpoint", counts.checkpointsWritten), ("node.expired", counts.recordsExpired),
                ("node.forwarded", counts.operationsForwarded), ("node.merkle", counts.merkleAnswers),
                ("node.eventDropped", counts.eventsDropped), ("node.late", counts.operationsLate),
                ("node.delta", counts.deltasSent), ("node.partitionRebuilt", counts.partitionsRebuilt),
                ("node.pulled", counts.recordsPulled),
            ] where count > 0 {
                reached[name, default: 0] += count
            }
        }
    }
}
