import Logging
public import TopGun
import TopGunEnvironment
import TopGunReplica
import TopGunSimulation

/// A device of a world: what an application runs on, and what stays when it ends. A store, a clock, and a way to the server.
///
/// To be used inside ``TopGunWorld/run(seed:_:)``; the clients that it makes may be used from any thread.
public final class TestDevice: @unchecked Sendable {
    // Unchecked because every member checks that it is called on the one thread of the world.

    /// What it is called in the texts of errors.
    public let name: String
    /// What the device believes the date to be.
    public let clock: MachineClock

    private let driver: WorldDriver
    private let host: SimulatedHost
    private let simulatedClock: SimulatedClock
    private let entropy: SeededEntropy
    private let pace: StorePace
    private let store: DeviceStore
    private var spawners: [SimulatedSpawner] = []
    private weak var client: TopGunClient?
    /// Ends the client that was launched last, which the application may have let go.
    private var abandonClient: (@Sendable () -> Void)?
    private var isLaunching = false
    private var isPaused = false
    private var hasNetwork = true
    private var conditions: NetworkConditions

    init(_ name: String, seed: UInt64, driver: WorldDriver, network: SimulatedNetwork, conditions: NetworkConditions) {
        self.name = name
        self.driver = driver
        self.conditions = conditions
        host = SimulatedHost(name: name, network: network)
        host.weather = conditions.weather
        simulatedClock = SimulatedClock(scheduler: driver.scheduler)
        clock = MachineClock(simulatedClock, driver: driver)
        entropy = SeededEntropy(seed: seed)
        let pace = StorePace(seed: seed &+ 1, scheduler: driver.scheduler)
        self.pace = pace
        store = DeviceStore { pace.spend() }
    }

    // MARK: - The application

    /// Starts the application: opens the store with whatever it holds, and begins to sync.
    ///
    /// The client is an ordinary one. The application is in the foreground (``isSuspended`` is `false`). An earlier one of this device must have been closed, let go or killed.
    ///
    /// - Throws: `TopGunError` as the client's own initialiser; ``TopGunWorldError`` with the code `alreadyRunning`.
    public func launch() async throws -> TopGunClient {
        driver.check()
        try await waitForStore()
        abandonClient = nil
        isLaunching = true
        defer { isLaunching = false }
        let spawner = SimulatedSpawner(node: name, loops: 1, scheduler: driver.scheduler)
        isPaused = false
        spawners.append(spawner)
        let environment = Environment(
            clock: simulatedClock, disk: SimulatedDisk(seed: 0), network: host, entropy: entropy, spawner: spawner)
        let client = try await TopGunClient(
            server: TestServer.address, store: .device(store), token: nil,
            logger: Logger(label: name) { _ in SwiftLogNoOpLogHandler() }, environment: environment)
        self.client = client
        abandonClient = client.abandonment
        return client
    }

    /// A client that was let go or is being closed still writes what it has to write.
    private func waitForStore() async throws {
        let begin = driver.scheduler.nowNanos
        while isLaunching || store.isOpen {
            let isLate = driver.scheduler.nowNanos - begin > Limits.storeFreeNanosMax
            if isLate || isLaunching || client.map({ !$0.standing.isClosed }) ?? false {
                throw TopGunWorldError(.alreadyRunning, inUse)
            }
            try await driver.sleep(forNanos: 1_000_000)
        }
    }

    private var inUse: String { "an application on \(name) has the store open: close its client, or kill() it first" }

    /// Ends the application at once, in the middle of whatever it did. What was stored stays, for the next ``launch()``.
    ///
    /// Its client is dead from then on: what it has in memory can still be read, its sequences end, and everything else
    /// throws the code `closed`. Does nothing if no application runs.
    public func kill() {
        driver.check()
        precondition(!isLaunching, "\(name) is killed while launch() is under way: wait for that first")
        for spawner in spawners { spawner.crash() }
        spawners = []
        host.crash(tells: hasNetwork)
        abandonClient?()
        abandonClient = nil
        client = nil
    }

    /// Whether the system has stopped the application, as it does in the background: it hears nothing, sends nothing and
    /// stores nothing until it goes on.
    public var isSuspended: Bool {
        get {
            driver.check()
            return isPaused
        }
        set {
            driver.check()
            isPaused = newValue
            for spawner in spawners { spawner.setPaused(newValue) }
        }
    }

    // MARK: - The network

    /// Whether the device has a network. Without one its connection breaks at once, as in flight mode; the server is not
    /// told.
    public var isOnline: Bool {
        get {
            driver.check()
            return hasNetwork
        }
        set {
            driver.check()
            guard newValue != hasNetwork else { return }
            hasNetwork = newValue
            adjustWeather()
            guard !newValue else { return }
            for link in host.links { link.cut(tellsClient: true, tellsNode: false) }
        }
    }

    /// What the way to the server is like; see also ``TopGunWorld/network``.
    public var network: NetworkConditions {
        get {
            driver.check()
            return conditions
        }
        set {
            driver.check()
            conditions = newValue
            adjustWeather()
        }
    }

    /// Breaks the connection, if there is one. The client connects again by itself, after about a second.
    public func cutConnection() {
        driver.check()
        for link in host.links { link.cut(tellsClient: true, tellsNode: true) }
    }

    private func adjustWeather() {
        var weather = conditions.weather
        weather.isUpBlocked = !hasNetwork
        weather.isDownBlocked = !hasNetwork
        host.weather = weather
    }

    // MARK: - The store

    /// Whether the device has no room left. Writes then fail with the code `storage` and are undone.
    public var isStoreFull: Bool {
        get {
            driver.check()
            return store.failure != nil
        }
        set {
            driver.check()
            store.failure = newValue ? StoreError(code: .full, message: "the device is full") : nil
        }
    }

    /// How long a commit, or reading a page, takes at most; each takes as long as the seed says.
    public var storeTime: Duration {
        get {
            driver.check()
            return .nanoseconds(pace.nanosMax)
        }
        set {
            driver.check()
            pace.nanosMax = newValue.nanos
        }
    }

    /// Deletes everything that the application stored, as when it is deleted and installed anew. No application may run.
    ///
    /// - Throws: ``TopGunWorldError`` with the code `alreadyRunning`.
    public func eraseStore() throws {
        driver.check()
        guard !store.isOpen else {
            throw TopGunWorldError(.alreadyRunning, inUse)
        }
        store.erase()
    }
}

// MARK: - The world's side

extension TestDevice {
    /// What is still to be done here that can be done as things stand; `nil` for nothing.
    func unrest(serverServes: Bool) -> String? {
        guard let client, !isPaused else { return nil }
        let standing = client.standing
        guard !standing.isClosed else { return nil }
        let state = client.syncState.current
        var reasons: [String] = []
        if serverServes, hasNetwork, standing.isOnlineWanted {
            if standing.pendingCount > 0 {
                reasons.append("pending: \(standing.pendingCount), not acknowledged by the server yet")
            }
            if state != .live { reasons.append("not in step with the server: \(state)") }
        }
        let unread = standing.maps.filter { !$0.isLoaded }.map(\.name)
        if !unread.isEmpty { reasons.append("still reads \(unread.joined(separator: ", ")) from its store") }
        if !standing.isSaved, !isStoreFull { reasons.append("has not stored everything yet") }
        return reasons.isEmpty ? nil : "\(name): " + reasons.joined(separator: "; ")
    }

    /// The open maps of a client that hears of every change, with a number that is equal where the records are.
    var syncedMaps: [(name: String, root: UInt32)] {
        guard let client, !isPaused, hasNetwork else { return [] }
        let standing = client.standing
        guard !standing.isClosed, standing.isOnlineWanted else { return [] }
        return standing.maps.map { ($0.name, $0.root) }
    }

    /// One line about everything here, for whoever asks why nothing happens.
    var state: String {
        guard let client else { return "\(name): no application runs" }
        let standing = client.standing
        var words = ["\(client.syncState.current)", "pending: \(standing.pendingCount)"]
        if !hasNetwork { words.append("isOnline is false") }
        if isPaused { words.append("isSuspended is true") }
        if isStoreFull { words.append("isStoreFull is true") }
        if conditions.loss >= 1 { words.append("its network loses everything") }
        if standing.isClosed { words.append("its client is closed") }
        if !standing.isSaved { words.append("not everything stored") }
        return "\(name): " + words.joined(separator: ", ")
    }

    /// The world ends.
    func end() {
        isLaunching = false
        kill()
    }
}
