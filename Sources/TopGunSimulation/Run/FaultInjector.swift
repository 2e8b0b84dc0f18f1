import TopGunReplica

/// Makes things go wrong until it is told to stop, each kind of fault on a schedule of its own: taking one away leaves
/// the others where they were.
final class FaultInjector: @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    private let simulation: Simulation
    private var dice: [FaultKind: SeededGenerator] = [:]
    private var isOver = false
    /// Bits that were turned over since the node last started, to be put right by an operator.
    private var flips: [(path: String, offset: Int, mask: UInt8)] = []
    private var isRotDue = false

    init(_ simulation: Simulation) {
        self.simulation = simulation
        for (index, kind) in FaultKind.allCases.enumerated() {
            dice[kind] = SeededGenerator(seed: simulation.scenario.seed &* 31 &+ UInt64(index) &* 1_000_003)
        }
    }

    private var node: SimulatedNode { simulation.node }

    func begin() {
        for fault in simulation.scenario.faults { schedule(fault) }
    }

    private func schedule(_ fault: Scenario.Fault) {
        let delay = Int64(below(fault.kind, 2 * fault.everyMillis) + 1)
        simulation.loop.schedule(afterMillis: delay) { [self] in
            guard !isOver else { return }
            strike(fault.kind)
            schedule(fault)
        }
    }

    private func below(_ kind: FaultKind, _ bound: Int) -> Int {
        dice[kind, default: SeededGenerator(seed: 0)].below(bound)
    }

    private func note(_ kind: FaultKind, _ who: String, _ note: String? = nil) {
        var event = simulation.event(.fault, who)
        event.code = kind.rawValue
        event.note = note
        simulation.record(event)
        simulation.reach("fault.\(kind.rawValue)")
    }

    /// Something that ends by itself, unless everything does before.
    private func later(_ kind: FaultKind, millisMax: Int, _ body: @escaping @Sendable () -> Void) {
        let delay = Int64(100 + below(kind, millisMax))
        simulation.loop.schedule(afterMillis: delay) { [self] in
            if !isOver { body() }
        }
    }

    // MARK: - Striking

    private func strike(_ kind: FaultKind) {
        switch kind {
        case .cut, .halfOpen, .oneWay, .partition, .slowNetwork, .narrowNetwork, .frameChaos: strikeNetwork(kind)
        case .kill, .powerCut, .pause, .rot: strikeProcess(kind)
        case .diskFull, .diskSlow, .diskHang, .syncFailure, .writeFailure, .deathInCall: strikeDisk(kind)
        case .clientClockOffset, .clientClockJump, .clockDrift, .nodeClockJump: strikeClock(kind)
        case .clientCrash, .clientPause, .storeFull, .storeSlow: strikeClient(kind)
        }
    }

    private func device(_ kind: FaultKind) -> SimulatedDevice {
        simulation.devices[below(kind, simulation.devices.count)]
    }

    private func strikeNetwork(_ kind: FaultKind) {
        let device = device(kind)
        let host = device.host
        note(kind, device.name)
        switch kind {
        case .cut:
            for link in host.links { link.cut(tellsClient: true, tellsNode: true) }
        case .halfOpen:
            let who = below(kind, 3)
            for link in host.links { link.cut(tellsClient: who == 1, tellsNode: who == 2) }
        case .oneWay:
            if below(kind, 2) == 0 { host.weather.isUpBlocked = true } else { host.weather.isDownBlocked = true }
            later(kind, millisMax: 25_000) {
                host.weather.isUpBlocked = false
                host.weather.isDownBlocked = false
            }
        case .partition:
            host.weather.isUpBlocked = true
            host.weather.isDownBlocked = true
            later(kind, millisMax: 40_000) {
                host.weather.isUpBlocked = false
                host.weather.isDownBlocked = false
            }
        case .slowNetwork:
            host.weather.latencyNanosMax = 500_000_000
            later(kind, millisMax: 20_000) { host.weather.latencyNanosMax = Weather().latencyNanosMax }
        case .narrowNetwork:
            host.weather.bytesPerSecond = 8_000
            later(kind, millisMax: 20_000) { host.weather.bytesPerSecond = nil }
        default:
            host.weather.isChaotic = true
            // What was lost is found at the next connection, so chaos ends with one.
            later(kind, millisMax: 20_000) { [self] in calm(host) }
        }
    }

    private func calm(_ host: SimulatedHost) {
        guard host.weather.isChaotic else { return }
        host.weather.isChaotic = false
        for link in host.links { link.cut(tellsClient: true, tellsNode: true) }
    }

    private func strikeProcess(_ kind: FaultKind) {
        switch kind {
        case .kill, .powerCut:
            guard node.state != .down else { return }
            note(kind, node.name)
            simulation.crashNode(power: kind == .powerCut)
            restart(kind)
        case .pause:
            note(kind, node.name)
            node.setPaused(true)
            let paused = node
            later(kind, millisMax: 30_000) { paused.setPaused(false) }
        default:
            isRotDue = true
        }
    }

    private func strikeDisk(_ kind: FaultKind) {
        let disk = node.disk
        note(kind, node.name)
        switch kind {
        case .diskFull:
            disk.faults.capacityBytes = disk.usedBytes + Int64(below(kind, 20_000))
            later(kind, millisMax: 15_000) { disk.faults.capacityBytes = nil }
        case .diskSlow:
            disk.faults.syncNanosMax = 2_000_000_000
            later(kind, millisMax: 15_000) { disk.faults.syncNanosMax = Limits.syncNanosMax }
        case .diskHang: disk.faults.hangNanos = Int64(1 + below(kind, 30)) * 1_000_000_000
        case .syncFailure: disk.faults.syncsUntilFailure = below(kind, 4)
        case .writeFailure: disk.faults.writesUntilFailure = below(kind, 8)
        default: disk.faults.callsUntilHalt = below(kind, 20)
        }
    }

    private func strikeClock(_ kind: FaultKind) {
        if kind == .nodeClockJump || kind == .clockDrift && below(kind, 2) == 0 {
            note(kind, node.name)
            simulation.noteWall()
            if kind == .clockDrift {
                node.clock.drift(byMillionths: Int64(below(kind, 2_000) - 1_000))
            } else {
                node.clock.jump(toOffsetMillis: Int64(below(kind, 7_200_000) - 3_600_000))
            }
            return simulation.noteWall()
        }
        let device = device(kind)
        note(kind, device.name)
        switch kind {
        case .clientClockOffset:
            // A clock that is simply wrong: an hour, a minute or so, and once in a while out of this world.
            let offsets: [Int64] = [3_600_000, -3_600_000, 59_000, 61_000, -61_000, 315_360_000_000, -1 << 52, 1 << 52]
            device.clock.jump(toOffsetMillis: offsets[below(kind, offsets.count)])
        case .clientClockJump:
            device.clock.jump(toOffsetMillis: Int64(below(kind, 20_000) - 10_000))
        default:
            device.clock.drift(byMillionths: Int64(below(kind, 2_000) - 1_000))
        }
    }

    private func strikeClient(_ kind: FaultKind) {
        let device = device(kind)
        switch kind {
        case .clientCrash:
            guard device.process != nil else { return }
            note(kind, device.name)
            device.crash(tellsNode: below(kind, 2) == 0)
            later(kind, millisMax: 10_000) { [self] in
                guard device.process == nil else { return }
                device.start()
                // An application that writes as soon as it is there, whatever has been read by then.
                simulation.act(device)
            }
        case .clientPause:
            note(kind, device.name)
            device.setPaused(true)
            later(kind, millisMax: 60_000) { device.setPaused(false) }
        case .storeFull:
            note(kind, device.name)
            device.store.failure = StoreError(code: below(kind, 2) == 0 ? .full : .io, message: "simulated")
            later(kind, millisMax: 10_000) { device.store.failure = nil }
        default:
            note(kind, device.name)
            device.commitNanosMax = 5_000_000_000
            later(kind, millisMax: 20_000) { device.commitNanosMax = Limits.commitNanosMax }
        }
    }

    // MARK: - The node comes back

    /// The node's process has ended; somebody will start it.
    func restart(_ kind: FaultKind) {
        if isRotDue { rot() }
        later(kind, millisMax: 8_000) { [self] in
            if node.state == .down { node.start() }
        }
    }

    /// Turns a bit over in a segment that is closed: whatever stands there was durable long ago.
    private func rot() {
        isRotDue = false
        let segments = node.disk.paths.filter { $0.contains("/log-") && $0.contains("/segment-") }
        guard segments.count > 2 else { return }
        let path = segments[below(.rot, segments.count - 2)]
        guard let size = node.disk.content(path)?.count, size > 0 else { return }
        let flip = (path: path, offset: below(.rot, size), mask: UInt8(1 << below(.rot, 8)))
        node.disk.flip(flip.path, at: flip.offset, mask: flip.mask)
        flips.append(flip)
        note(.rot, node.name, "\(path) at \(flip.offset)")
    }

    func nodeStarted() {
        flips = []
    }

    /// The node says that its data is damaged: the operator puts back what the disk had.
    func mend() {
        for flip in flips { node.disk.flip(flip.path, at: flip.offset, mask: flip.mask) }
        flips = []
    }

    // MARK: - The end of it

    /// Nothing goes wrong from here on; what is broken is as good as new.
    func heal() {
        isOver = true
        isRotDue = false
        mendDisk()
        for device in simulation.devices {
            device.store.failure = nil
            device.commitNanosMax = Limits.commitNanosMax
            device.clock.jump(toOffsetMillis: 0)
            device.clock.drift(byMillionths: 0)
            device.setPaused(false)
            calm(device.host)
            device.host.weather = Weather()
            if device.process == nil { device.start() }
        }
        simulation.noteWall()
        node.clock.jump(toOffsetMillis: 0)
        node.clock.drift(byMillionths: 0)
        node.setPaused(false)
        mend()
        if node.state == .down { node.start() }
    }

    private func mendDisk() {
        let halt = node.disk.isHalted
        node.disk.faults = SimulatedDisk.Faults()
        node.disk.faults.syncNanosMax = Limits.syncNanosMax
        if halt { simulation.crashNode(power: false) }
    }
}
