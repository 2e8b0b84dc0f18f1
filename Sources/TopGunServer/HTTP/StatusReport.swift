import Hummingbird
import Synchronization
package import TopGunEnvironment

/// Everything the HTTP routes can tell: the state of the node, the door, the counters.
package final class StatusReport: Sendable {
    /// The version that `topgund --version` and `/api/status` show.
    package static let version = "0.1.0"

    let door: ClientDoor
    let requiresAuthentication: Bool
    private let metrics: ServerMetrics
    private let clock: any Clock
    private let startedNanos: Int64
    private let tokens: (any TokenVerifier)?
    private let source = Mutex<(any ServingNode)?>(nil)

    /// - Parameter tokens: who decides about what only an administrator may do; without it, whoever reaches the address.
    package init(
        door: ClientDoor, metrics: ServerMetrics, requiresAuthentication: Bool, clock: any Clock,
        tokens: (any TokenVerifier)? = nil
    ) {
        self.tokens = tokens
        self.door = door
        self.metrics = metrics
        self.requiresAuthentication = requiresAuthentication
        self.clock = clock
        self.startedNanos = clock.monotonicNanos()
    }

    /// From now on the node speaks for itself.
    package func watch(_ source: any ServingNode) {
        self.source.withLock { $0 = source }
    }

    package func health() async -> NodeHealth {
        guard let source = source.withLock({ $0 }) else {
            return NodeHealth(state: .starting, detail: "reading the log")
        }
        var health = await source.health()
        if health.state == .ready, door.isDraining {
            health.state = .draining
            health.detail = "letting clients go"
        }
        return health
    }

    /// Whether a request may do what only an administrator may: with a token that has the role `admin`, or, without
    /// authentication, from a program of this machine. A page in a browser, which names its origin, may not.
    func mayAdminister(bearer: String?, origin: String?) async -> Bool {
        guard requiresAuthentication else { return origin == nil }
        guard let tokens, let bearer, case .success(let principal) = await tokens.verify(bearer) else { return false }
        return principal.roles.contains("admin")
    }

    /// Restarts a partition; `nil` while there is no node.
    func restart(partition: Int) async -> Bool? {
        guard let node = source.withLock({ $0 }) else { return nil }
        return await node.restart(partition: partition)
    }

    var uptimeSeconds: Int { Int((clock.monotonicNanos() - startedNanos) / 1_000_000_000) }

    var connections: Int {
        let total = metrics.total
        return max(0, total.connectionsOpened - total.connectionsClosed)
    }

    var operations: Int { metrics.total.operationsReceived }

    func prometheus() async -> String {
        let health = await health()
        var page = PrometheusText()
        page.add(
            state: health.state.rawValue, of: NodeHealth.State.allCases.map(\.rawValue), "topgun_state",
            "What the node is doing.")
        page.add(.gauge, "topgun_uptime_seconds", "Since the process began.", Double(uptimeSeconds))
        page.add(.gauge, "topgun_connections", "Client connections that are open.", Double(connections))
        page.add(
            .gauge, "topgun_partitions_closed", "Partitions that take no operations.",
            Double(health.closedPartitions.count))
        page.add(
            .gauge, "topgun_partitions_lost", "Partitions that broke too often and are not being rebuilt.",
            Double(health.lostPartitions.count))
        page.add(
            .gauge, "topgun_operations_in_flight", "Operations taken and not yet answered.",
            Double(health.operationsInFlight))
        for gauge in health.gauges { page.add(.gauge, gauge.name, gauge.help, gauge.value) }
        page.add(metrics.total)
        let process = ProcessFigures.read()
        if let bytes = process.residentBytes {
            page.add(.gauge, "process_resident_memory_bytes", "Memory of the process.", Double(bytes))
        }
        if let files = process.openFiles {
            page.add(.gauge, "process_open_fds", "File descriptors in use.", Double(files))
        }
        return page.text
    }
}
