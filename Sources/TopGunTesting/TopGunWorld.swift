import Synchronization
import TopGunSimulation

/// A small world for the tests of an application: one server, devices, and a network, clocks and disks that fail when they
/// are told to. In one process, in virtual time, from a seed.
///
/// ```swift
/// @Test(arguments: UInt64(1)...20) func `the list survives a bad network`(seed: UInt64) async throws {
///     try await TopGunWorld.run(seed: seed) { world in
///         try await world.server.start()
///         world.network.loss = 0.3
///         let phone = try await world.device("phone").launch()  // an ordinary TopGunClient
///         …
///         try await world.settle()
///     }
/// }
/// ```
///
/// Everything in it is the product: the server is the node of `topgund`, clients are those that applications use. Only
/// what lies below them is simulated.
///
/// ## What the seed fixes
///
/// The test, the server and all clients take turns on one thread, and the seed decides who goes next, how long everything
/// takes and what gets lost. The same seed gives the same steps, which ``fingerprint`` tells, as long as the test and what it
/// calls stay in the world: `async` functions, actors without an executor of their own, `async let` and task groups do by
/// themselves; a `Task` does with `Task(executorPreference: world.executor)`; real timers are replaced by ``clock``.
/// The main actor, a plain `Task`, a real timer and everything else outside work too, but when they come back is up to the
/// machine: virtual time goes on meanwhile, by at most ten minutes.
///
/// Dictionaries of the application are iterated in an order that differs from one process to the next, as ever.
///
/// ## Where it may be used
///
/// A world, its server and its devices are used inside ``run(seed:_:)`` only, by tasks of the world; anything else traps
/// with a text that says so. Clients, maps and ``clock`` may be used from anywhere.
public final class TopGunWorld: @unchecked Sendable {
    // Unchecked because every member checks that it is called on the one thread of the world.

    /// What the world was made from.
    public let seed: UInt64
    /// The server. It does not run until ``TestServer/start()``.
    public let server: TestServer
    /// True time, for application code that is handed a `Clock`.
    public let clock: WorldClock
    /// Where the test runs: for tasks that are no children of it.
    public let executor: any TaskExecutor

    let driver: WorldDriver
    private let simulatedNetwork: SimulatedNetwork
    private var devices: [TestDevice] = []
    private var conditions = NetworkConditions()

    private init(seed: UInt64, standstillMillis: Int64) {
        self.seed = seed
        driver = WorldDriver(seed: seed, standstillMillis: standstillMillis)
        executor = WorldExecutor(driver)
        clock = WorldClock(driver: driver)
        simulatedNetwork = SimulatedNetwork(seed: seed ^ 0x6e65_7477_6f72_6b00, scheduler: driver.scheduler)
        server = TestServer(seed: seed ^ 0x7365_7276_6572_0000, driver: driver, network: simulatedNetwork)
        driver.report.withLock { $0 = { [weak self] in self?.state ?? "" } }
    }

    // MARK: - Running

    /// Makes a world, runs the test in it, and takes it down.
    ///
    /// The test runs on the thread of the world, not on the caller's actor. When it returns or throws, applications and
    /// server end; its clients must not be used afterwards.
    ///
    /// - Throws: what the test throws; ``TopGunWorldError`` with the code `stuck` when it waits for something that does not
    ///   come: after ten minutes of virtual time in which nothing of it ran the world stands still, and after twenty
    ///   seconds of that the test is cancelled. Waiting in calls of the world is not counted.
    public static func run<Value: Sendable>(
        seed: UInt64, _ test: @escaping @Sendable (TopGunWorld) async throws -> Value
    ) async throws -> Value {
        try await run(seed: seed, standstillMillis: Limits.standstillMillisMax, test)
    }

    /// The same with a patience of one's own, for tests of that.
    package static func run<Value: Sendable>(
        seed: UInt64, standstillMillis: Int64, _ test: @escaping @Sendable (TopGunWorld) async throws -> Value
    ) async throws -> Value {
        let world = TopGunWorld(seed: seed, standstillMillis: standstillMillis)
        let outcome = await withTaskGroup(of: Outcome<Value>.self) { group in
            group.addTask { .verdict(await world.driver.verdict()) }
            group.addTask(executorPreference: world.executor) {
                defer { world.driver.end() }
                do {
                    return .test(.success(try await test(world)))
                } catch {
                    return .test(.failure(error))
                }
            }
            var outcome: Result<Value, any Error>?
            for await end in group {
                switch end {
                case .test(let end): if outcome == nil { outcome = end }
                case .verdict(.stuck(let text)):
                    outcome = .failure(TopGunWorldError(.stuck, "the test waits for what does not come\n\(text)"))
                case .verdict(.over): break
                }
                // The first one ends the other.
                group.cancelAll()
            }
            return outcome
        }
        await world.driver.perform { world.end() }
        guard let outcome else { preconditionFailure("a test has ended without an end") }
        return try outcome.get()
    }

    private enum Outcome<Value: Sendable>: Sendable {
        case test(Result<Value, any Error>)
        case verdict(WorldDriver.Verdict)
    }

    private func end() {
        for device in devices { device.end() }
        server.end()
        driver.cancelSleeps()
        // Tasks that wait for anything of the world hear that it is over.
        if !driver.scheduler.run(turnsMax: Limits.endTurnsMax, until: { server.isDown }) { server.kill() }
        driver.scheduler.runUntilIdle()
    }

    // MARK: - What there is

    /// The device of that name; made when it is first asked for.
    public func device(_ name: String) -> TestDevice {
        driver.check()
        if let known = devices.first(where: { $0.name == name }) { return known }
        // By its name, so that another device more or less changes nothing for this one.
        let own = name.utf8.reduce(seed ^ 0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
        let device = TestDevice(name, seed: own, driver: driver, network: simulatedNetwork, conditions: conditions)
        devices.append(device)
        return device
    }

    /// What the way to the server is like, for every device; setting it replaces what single devices had.
    public var network: NetworkConditions {
        get {
            driver.check()
            return conditions
        }
        set {
            driver.check()
            conditions = newValue
            for device in devices { device.network = newValue }
        }
    }

    /// A number over every step so far: which part of the world took its turn, and when. Equal for two runs that were the
    /// same.
    public var fingerprint: UInt64 {
        driver.check()
        return driver.scheduler.trace
    }

    // MARK: - Time

    /// Lets virtual time pass.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(for duration: Duration) async throws {
        driver.check()
        try await driver.sleep(forNanos: duration.nanos)
    }

    /// Lets time pass until everything that can happen without further faults or writes has happened, and a second more.
    ///
    /// Then every client that can reach the server has nothing left that is not acknowledged, is `live`, and holds the same
    /// records of each map as every other such client that has the map open; and all clients have stored what they hold. A
    /// client that cannot reach the server, because its device is offline, it was told to stay offline or the server was
    /// killed, keeps its pending writes and is only waited for to store them. A suspended application is not waited for.
    ///
    /// - Parameter limit: how much virtual time it may take. A client that finds the server gone tries again after 1 to 30
    ///   seconds.
    /// - Throws: ``TopGunWorldError`` with the code `notSettled` and what is not at rest; `serverStopped` when the server
    ///   has stopped by itself; `CancellationError` when the task is cancelled.
    public func settle(within limit: Duration = .seconds(300)) async throws {
        driver.check()
        let begin = driver.scheduler.nowNanos
        var calmNanos: Int64?
        while true {
            if let failure = server.failure {
                throw TopGunWorldError(
                    .serverStopped, "the server stopped by itself (\(failure)): start() it again before settling")
            }
            let now = driver.scheduler.nowNanos
            let unrest = unrest
            if !unrest.isEmpty {
                calmNanos = nil
            } else if now - (calmNanos ?? now) >= Limits.calmNanosMin {
                return
            } else if calmNanos == nil {
                calmNanos = now
            }
            if now - begin > limit.nanos, !unrest.isEmpty {
                throw TopGunWorldError(
                    .notSettled, "after \(limit): \(unrest.joined(separator: "\n"))\nThe state of all:\n\(state)")
            }
            try await driver.sleep(forNanos: Limits.lookNanos)
        }
    }

    private var unrest: [String] {
        let serves = server.isServing
        var found = devices.compactMap { $0.unrest(serverServes: serves) }
        guard serves else { return found }
        var first: [String: (device: String, root: UInt32)] = [:]
        for device in devices {
            for map in device.syncedMaps {
                let known = first[map.name] ?? (device.name, map.root)
                first[map.name] = known
                if known.root != map.root {
                    found.append("\(known.device) and \(device.name) hold different records of the map \(map.name)")
                }
            }
        }
        return found
    }

    /// What a person wants to know about a world in which nothing goes on.
    private var state: String {
        (["server: \(server.state)"] + devices.map(\.state)).joined(separator: "\n")
    }
}
