package import TopGunEnvironment

/// What a node can say about itself at any time, from anywhere.
package protocol HealthSource: Sendable {
    func health() async -> NodeHealth
}

/// The state of a node, in the words that people and probes read.
package struct NodeHealth: Sendable {
    package enum State: String, Sendable, CaseIterable {
        /// Reading its log; no client is let in.
        case starting
        case ready
        /// Told to stop; finishes what it owes.
        case draining
        /// It will not serve again in this process.
        case failed
    }

    package var state: State
    /// One sentence for people: what it is doing, or why it failed; ``serving`` if there is nothing to say.
    package var detail: String
    /// Operations taken and not yet answered.
    package var operationsInFlight: Int
    /// Partitions that take no operations at present; ascending.
    package var closedPartitions: [Int]
    /// Those of them that are not being rebuilt, because their memory broke again and again; ascending.
    package var lostPartitions: [Int]
    /// Numbers of the moment for `/metrics`: records, bytes, log positions.
    package var gauges: [Gauge]

    package static let serving = "serving"

    package init(
        state: State, detail: String, operationsInFlight: Int = 0, closedPartitions: [Int] = [],
        lostPartitions: [Int] = [], gauges: [Gauge] = []
    ) {
        self.state = state
        self.detail = detail
        self.operationsInFlight = operationsInFlight
        self.closedPartitions = closedPartitions
        self.lostPartitions = lostPartitions
        self.gauges = gauges
    }
}

/// One number of the moment, as `/metrics` shows it.
package struct Gauge: Sendable {
    /// In the form of Prometheus, with the unit at its end: `topgun_records`, `topgun_log_bytes`.
    package var name: String
    /// One sentence for people.
    package var help: String
    package var value: Double

    package init(name: String, help: String, value: Double) {
        self.name = name
        self.help = help
        self.value = value
    }
}

/// The part of the server behind the listener: recovered data, and an owner of connections for each event loop.
///
/// Made by a ``NodeStarter`` once the data directory is recovered; from then on it serves.
package protocol ServingNode: HealthSource {
    /// One per event loop, in the order of the spawner's loops.
    var owners: [any ClientConnectionOwner] { get }

    /// Returns once every event loop and the log's thread have run a job that was given to them after the call, or the
    /// latter is known to wait for a slow disk: what feeds the watchdog.
    func pulse() async

    /// Tears a partition down and rebuilds it from the disk while the others go on; `false` if that is under way already,
    /// or if there are no partitions to speak of.
    func restart(partition: Int) async -> Bool

    /// Called after every owner is drained: syncs and closes the log, releases the data directory.
    func stop() async throws(ServerError)
}

/// What a node is given to start with.
package struct NodeContext: Sendable {
    package var configuration: ServerConfiguration
    package var environment: Environment
    package var metrics: ServerMetrics
    package var tokens: (any TokenVerifier)?
    package var log: ServerLog
    /// Tells the process that the node cannot go on, such as after a failed sync of the log. The process ends with the
    /// error's exit code, without draining. Callable from anywhere, more than once.
    package var fail: @Sendable (ServerError) -> Void

    package init(
        configuration: ServerConfiguration, environment: Environment, metrics: ServerMetrics,
        tokens: (any TokenVerifier)?, log: ServerLog, fail: @escaping @Sendable (ServerError) -> Void
    ) {
        self.configuration = configuration
        self.environment = environment
        self.metrics = metrics
        self.tokens = tokens
        self.log = log
        self.fail = fail
    }
}

/// Opens the data directory, recovers it, and returns a node that serves.
package typealias NodeStarter = @Sendable (NodeContext) async throws(ServerError) -> any ServingNode

extension ServingNode {
    package func restart(partition: Int) async -> Bool { false }
}
