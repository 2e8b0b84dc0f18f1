import TopGunEnvironment
package import TopGunModel
package import TopGunReplica

/// A client's machine: what outlives the process of the application on it.
package final class SimulatedDevice: @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    package let name: String
    package let host: SimulatedHost
    package let clock: SimulatedClock
    package var store = SimulatedStore()
    /// How long a commit takes at most.
    package var commitNanosMax = Limits.commitNanosMax
    package var configuration: ReplicaConfiguration
    package private(set) var process: ClientProcess?
    /// Each operation that was ever in the log, under every stamp that it had.
    package var logged: [UInt64: [LoggedWrite]] = [:]
    /// Up to which operation a node without `results` was heard to have taken all.
    package var coveredID: UInt64 = 0

    let scheduler: SimulatedScheduler
    let maps: [ByteString]
    let record: (HistoryEvent) -> Void
    let onNotice: (ReplicaNotice) -> Void
    private let entropy: SeededEntropy
    private var generator: SeededGenerator

    package init(
        name: String, host: SimulatedHost, scheduler: SimulatedScheduler, maps: [ByteString], seed: UInt64,
        configuration: ReplicaConfiguration = ReplicaConfiguration(),
        onNotice: @escaping (ReplicaNotice) -> Void = { _ in },
        record: @escaping (HistoryEvent) -> Void
    ) {
        self.name = name
        self.host = host
        self.scheduler = scheduler
        self.maps = maps
        self.configuration = configuration
        self.record = record
        self.onNotice = onNotice
        clock = SimulatedClock(scheduler: scheduler)
        entropy = SeededEntropy(seed: seed)
        generator = SeededGenerator(seed: seed ^ 0x5eed)
    }

    package func start() {
        precondition(process == nil, "\(name) runs already")
        process = ClientProcess(device: self, uuid: entropy.uuid(), seed: (entropy.next(), entropy.next()))
        process?.begin()
    }

    /// Begins with what another device has stored so far, its operations included, and with its time.
    func begin(as original: SimulatedDevice) {
        precondition(process == nil, "\(name) runs")
        store = original.store
        store.failure = nil
        logged = original.logged
        coveredID = original.coveredID
        clock.setTime(of: original.clock)
    }

    /// The node id that is in the store, if any is by now.
    var storedNode: String? {
        do throws(StoreError) {
            return try store.identity()?.node.string
        } catch {
            preconditionFailure("a simulated store could not be read: \(error.message)")
        }
    }

    /// The process ends at once, in the middle of whatever it did.
    package func crash(tellsNode: Bool) {
        process?.stop()
        process = nil
        host.crash(tells: tellsNode)
    }

    /// The process is stopped by the system and later goes on.
    package func setPaused(_ isPaused: Bool) {
        process?.setPaused(isPaused)
    }

    func commitNanos() -> Int64 {
        100_000 + Int64(generator.below(Int(commitNanosMax)))
    }

    func event(_ kind: HistoryEvent.Kind) -> HistoryEvent {
        HistoryEvent(kind, name, at: scheduler.nowNanos)
    }
}
