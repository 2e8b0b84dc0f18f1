import TopGunEnvironment
import TopGunReplica
import TopGunStorage

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
    /// A read of the present start brought what does not stand there; and it was what was written last.
    private var wasMisread = false
    private var wasTailMisread = false
    /// What was written last before a process ended went to another place: the next start takes the log for torn there, and
    /// once it has begun a new segment nobody sees what is missing.
    private var isTailLost = false
    private var backup: SimulatedDisk.Image?
    /// The latest that the node's clock said, and whether it may be set back behind that.
    private var latestWall = Int64.min
    private var isClockHeld = false

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
        self.note(kind.rawValue, who, note)
        simulation.reach("fault.\(kind.rawValue)")
    }

    private func note(_ code: String, _ who: String, _ note: String?) {
        var event = simulation.event(.fault, who)
        event.code = code
        event.note = note
        simulation.record(event)
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
        case .cut, .halfOpen, .oneWay, .partition, .slowNetwork, .narrowNetwork, .packetLoss, .frameChaos:
            strikeNetwork(kind)
        case .kill, .powerCut, .pause, .stop, .rot: strikeProcess(kind)
        case .diskFull, .diskSlow, .diskHang, .syncFailure, .writeFailure, .fileShortage, .deathInCall:
            strikeDisk(kind)
        case .wrongBit, .staleRead, .misdirectedRead, .misdirectedWrite, .rollback: strikeQuietly(kind)
        case .partitionRestart:
            guard node.state == .serving else { return }
            note(kind, node.name)
            node.restart(partition: below(kind, 271))
        case .clientClockOffset, .clientClockJump, .clockDrift, .nodeClockJump: strikeClock(kind)
        case .clientCrash, .clientPause, .storeFull, .storeSlow: strikeClient(kind)
        case .storeCopied: copyStore()
        case .stranger:
            note(kind, "stranger")
            simulation.stranger.call()
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
        case .packetLoss:
            host.weather.lossMillionths = 10_000 + below(kind, 400_000)
            later(kind, millisMax: 20_000) { host.weather.lossMillionths = 0 }
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
        case .stop:
            guard node.state == .serving else { return }
            note(kind, node.name)
            node.stop()
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
        case .syncFailure:
            if below(kind, 3) == 0 {
                disk.faults.directorySyncsUntilFailure = below(kind, 3)
            } else {
                disk.faults.syncsUntilFailure = below(kind, 4)
            }
        case .writeFailure: disk.faults.writesUntilFailure = below(kind, 8)
        case .fileShortage:
            disk.faults.openingsUntilFailure = below(kind, 6)
            disk.faults.openingFailures = 1 + below(kind, 3)
        default: disk.faults.callsUntilHalt = below(kind, 20)
        }
    }

    private func strikeClock(_ kind: FaultKind) {
        if kind == .nodeClockJump || kind == .clockDrift && below(kind, 2) == 0 {
            note(kind, node.name)
            return changeNodeClock { clock in
                if kind == .clockDrift {
                    clock.drift(byMillionths: Int64(below(kind, 2_000) - 1_000))
                } else {
                    clock.jump(toOffsetMillis: Int64(below(kind, 7_200_000) - 3_600_000))
                }
            }
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

    /// Once an operator has put a node back together, its clock is not set back behind what it ever said: clients offer again
    /// what a clock that was ahead let in, and for one that stands behind that it would come from the future.
    private func changeNodeClock(_ change: (SimulatedClock) -> Void) {
        simulation.noteWall()
        latestWall = max(latestWall, node.clock.wallMillis())
        change(node.clock)
        holdNodeClock()
        simulation.noteWall()
    }

    private func holdNodeClock() {
        let wall = node.clock.wallMillis()
        guard isClockHeld, wall < latestWall else { return }
        node.clock.advance(byMillis: latestWall - wall)
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

    /// The application is closed for it and opened on both devices, without a network at first, so that no server sets their
    /// clocks right; then the same is done with both at the same moments.
    private func copyStore() {
        let original = device(.storeCopied)
        guard original.process != nil, let copy = simulation.copyDevice(original) else { return }
        note(.storeCopied, original.name, original.storedNode)
        note(.clientCrash, original.name)
        original.crash(tellsNode: true)
        original.start()
        for device in [original, copy] {
            device.host.weather.isUpBlocked = true
            later(.storeCopied, millisMax: 10_000) { device.host.weather.isUpBlocked = false }
        }
        for _ in 0..<4 {
            later(.storeCopied, millisMax: 5_000) { [self] in simulation.act(original, copy) }
        }
    }

    // MARK: - The node comes back

    /// The node's process ends.
    func nodeEnds() {
        isTailLost = isTailLost || node.disk.isTailMisplaced
    }

    /// The node has ended because it was asked to; on another machine it might have more loops, or fewer.
    func nodeStopped() {
        node.changeLoops(to: 1 + below(.stop, 3))
        restart(.stop)
    }

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

    /// The node serves. What was written last, and read as something else, may have been taken for a torn tail, which a node
    /// that is alone cannot tell: who runs it must know that the disk lied, and salvages.
    func nodeStarted() {
        flips = []
        let isTailLost = isTailLost || node.disk.isTailMisplaced
        self.isTailLost = false
        node.disk.forgetMisplaced()
        guard isTailLost || wasTailMisread else {
            if wasMisread { simulation.reach("recovery.misreadHarmless") }
            return forgetMisread()
        }
        simulation.reach("recovery.tailMisread")
        // Not in the middle of a turn of the node.
        simulation.loop.execute { [self] in
            if node.state != .down { simulation.crashNode(power: false) }
            salvage()
            simulation.comeBack()
        }
    }

    /// The node says that its data is damaged. The operator puts back what the disk had, if there is a copy of it and as the
    /// seed says; what was only read wrongly is right the next time; else he keeps what can be read.
    func mend() {
        if !flips.isEmpty, below(.rot, 2) == 0 {
            putBack()
        } else if !flips.isEmpty || node.disk.hasMisplaced {
            salvage()
        } else if wasMisread {
            simulation.reach("recovery.misreadRefused")
        }
        flips = []
        forgetMisread()
    }

    /// The operator has a copy of what rotted.
    private func putBack() {
        for flip in flips { node.disk.flip(flip.path, at: flip.offset, mask: flip.mask) }
        flips = []
    }

    /// It did not start for another reason, such as a file that is not its own as it reads it: the next start reads anew.
    func nodeDidNotStart() {
        if wasMisread { simulation.reach("recovery.misreadRefused") }
        forgetMisread()
    }

    private func forgetMisread() {
        wasMisread = false
        wasTailMisread = false
        node.disk.faults.readsUntilWrong = nil
    }

    // MARK: - Disks that lie

    func noteMisread(isTail: Bool) {
        wasMisread = true
        wasTailMisread = wasTailMisread || isTail
    }

    private func strikeQuietly(_ kind: FaultKind) {
        let disk = node.disk
        switch kind {
        case .wrongBit, .staleRead, .misdirectedRead:
            note(kind, node.name)
            disk.faults.wrongRead = kind == .wrongBit ? .flipped : kind == .staleRead ? .stale : .misdirected
            disk.faults.readsUntilWrong = below(kind, 30)
            // Where everything is read.
            guard node.state == .serving else { return }
            simulation.crashNode(power: below(kind, 2) == 0)
            restart(kind)
        case .misdirectedWrite:
            note(kind, node.name)
            disk.faults.writesUntilMisdirected = below(kind, 4)
        default:
            guard node.state == .serving else { return }
            guard let backup, below(kind, 2) == 0 else {
                // A backup is made of a disk that is well.
                if !disk.hasMisplaced { backup = disk.image }
                return
            }
            note(kind, node.name)
            simulation.crashNode(power: true)
            disk.restore(backup)
            simulation.recountDurable()
            flips = []
            salvage()
            restart(kind)
        }
    }

    /// What the README tells an operator to do after damage or a backup: keep what can be read and raise the restore epoch,
    /// so that clients offer what they have.
    private func salvage() {
        let disk = node.disk
        let faults = disk.faults
        disk.faults = SimulatedDisk.Faults()
        defer {
            disk.faults = faults
            disk.faults.readsUntilWrong = nil
        }
        do throws(StorageError) {
            let report = try Salvage.run(
                path: "/data", disk: disk, entropy: SeededEntropy(seed: UInt64(below(.rollback, 1 << 30))),
                nowMillis: node.clock.wallMillis())
            simulation.reach("operator.salvage")
            if !report.losses.isEmpty || !report.damagedCheckpoints.isEmpty {
                simulation.reach("operator.salvageWithLoss")
            }
            note("salvage", node.name, "\(report.losses.count) stretches lost")
            for folder in report.oldFolders { remove(folder) }
        } catch {
            note("salvage", node.name, "failed: \(error.message)")
        }
        disk.forgetMisplaced()
        isTailLost = false
        flips = []
        forgetMisread()
        isClockHeld = true
        changeNodeClock { _ in }
    }

    /// The old files, which nobody needs any more.
    private func remove(_ folder: String) {
        do throws(DiskError) {
            for name in try node.disk.list(folder) { try node.disk.remove("\(folder)/\(name)") }
            try node.disk.syncDirectory(folder)
        } catch {
            preconditionFailure("a disk without faults does not remove \(folder): \(error)")
        }
    }

    // MARK: - The end of it

    /// Nothing goes wrong from here on; what is broken is as good as new.
    func heal() {
        isOver = true
        isRotDue = false
        simulation.stranger.leaveForGood()
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
        changeNodeClock { clock in
            clock.jump(toOffsetMillis: 0)
            clock.drift(byMillionths: 0)
        }
        node.setPaused(false)
        putBack()
        if node.state == .down { node.start() }
    }

    private func mendDisk() {
        let halt = node.disk.isHalted
        node.disk.faults = SimulatedDisk.Faults()
        node.disk.faults.syncNanosMax = Limits.syncNanosMax
        // A disk that put something to the wrong place is taken out; its data is looked through at the next start.
        if halt || node.disk.hasMisplaced && node.state != .down { simulation.crashNode(power: false) }
    }
}
