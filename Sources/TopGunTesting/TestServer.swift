import TopGunServer
import TopGunSimulation

/// The server of a world: the node of `topgund`, with its log and checkpoints, on a simulated machine. Without
/// authentication.
///
/// What it acknowledged it keeps, whatever happens to it here. To be used inside ``TopGunWorld/run(seed:_:)``.
public final class TestServer: @unchecked Sendable {
    // Unchecked because every member checks that it is called on the one thread of the world.
    static let address = "ws://server"

    /// What the machine believes the date to be.
    public let clock: MachineClock

    private let node: SimulatedNode
    private let driver: WorldDriver
    private let loop: SimulatedLoop
    private var starting: CheckedContinuation<Void, any Error>?
    private(set) var failureReason: String?

    init(seed: UInt64, driver: WorldDriver, network: SimulatedNetwork) {
        self.driver = driver
        var settings = SimulatedNode.Settings()
        settings.segmentBytes = Limits.segmentBytes
        settings.checkpointLogBytes = Limits.checkpointLogBytes
        node = SimulatedNode(name: Self.address, settings: settings, seed: seed, scheduler: driver.scheduler)
        node.disk.faults.syncNanosMax = Limits.syncNanosMax
        loop = driver.scheduler.makeLoop(named: "world")
        clock = MachineClock(node.clock, driver: driver)
        network.listen(on: Self.address, node)
        node.onServing = { [weak self] in self?.started(nil) }
        node.onRefused = { [weak self] error in
            self?.started(TopGunWorldError(.serverStopped, "the server would not start: \(error.message)"))
        }
        node.onFailed = { [weak self] error in self?.failed(error) }
    }

    // MARK: - Life

    /// Starts the process on what its disk holds, and returns once it serves.
    ///
    /// - Throws: ``TopGunWorldError`` with the code `alreadyRunning`, or `serverStopped` when it would not start or was
    ///   killed meanwhile.
    public func start() async throws {
        driver.check()
        guard node.state == .down || node.state == .failed else {
            throw TopGunWorldError(.alreadyRunning, "the server runs already")
        }
        failureReason = nil
        try await withCheckedThrowingContinuation { continuation in
            starting = continuation
            node.start()
        }
    }

    /// Ends the process at once, in the middle of whatever it did: `kill -9`. Does nothing if it does not run.
    public func kill() {
        crash(power: false)
    }

    /// The machine loses power: of what was written and not synced, parts are kept, lost or torn, as the seed says.
    public func cutPower() {
        crash(power: true)
    }

    /// Whether it takes connections.
    public var isServing: Bool {
        driver.check()
        return node.state == .serving
    }

    /// Why it stopped by itself, as after a failed sync; `nil` if it did not since it was started.
    public var failure: String? {
        driver.check()
        return failureReason
    }

    // MARK: - The disk

    /// Whether the disk has no room left. The server then refuses writes, which clients keep and try again.
    public var isDiskFull: Bool {
        get {
            driver.check()
            return node.disk.faults.capacityBytes != nil
        }
        set {
            driver.check()
            node.disk.faults.capacityBytes = newValue ? node.disk.usedBytes : nil
        }
    }

    /// How long a sync takes at most. Nothing is acknowledged before one.
    public var syncTime: Duration {
        get {
            driver.check()
            return .nanoseconds(node.disk.faults.syncNanosMax)
        }
        set {
            driver.check()
            node.disk.faults.syncNanosMax = newValue.nanos
        }
    }

    /// The next sync fails, which the server does not survive: it stops by itself, says why in ``failure``, and has to be
    /// started again.
    public func failNextSync() {
        driver.check()
        node.disk.faults.syncsUntilFailure = 0
    }

    /// Whether syncs of the disk succeed and do nothing: for the control of tests about power cuts.
    package var syncsDoNothing: Bool {
        get {
            driver.check()
            return node.disk.faults.syncDoesNothing
        }
        set {
            driver.check()
            node.disk.faults.syncDoesNothing = newValue
        }
    }

    // MARK: - The world's side

    var state: String { failureReason.map { "stopped by itself: \($0)" } ?? "\(node.state)" }

    /// Asks it to end, so that nothing of it stays behind.
    func end() {
        node.stop()
    }

    var isDown: Bool { node.state == .down }

    private func crash(power: Bool) {
        driver.check()
        node.crash(power: power)
        started(TopGunWorldError(.serverStopped, "the server was killed while it started"))
    }

    private func started(_ error: TopGunWorldError?) {
        guard let starting else { return }
        self.starting = nil
        if let error { starting.resume(throwing: error) } else { starting.resume() }
    }

    /// The process gives up. It ends in a turn of the world's own, because this is one of its own.
    private func failed(_ error: ServerError) {
        loop.execute { [self] in
            guard node.state != .down else { return }
            failureReason = error.message
            node.crash(power: false)
            started(TopGunWorldError(.serverStopped, "the server stopped by itself: \(error.message)"))
        }
    }
}
