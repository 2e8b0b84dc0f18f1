import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunStorage

/// A server node in one process: its data directory, its log, and the actors of every event loop.
///
/// ```
///   data directory ── checkpoints, then the log ──► GroupState per loop
///   loop i:  Gateway i  ⇄  PartitionGroup i, Partition p (p % loops == i)
///   log thread ── durable ──► gates          supervisor thread: checkpoints, expiry
/// ```
///
/// Made by ``start(_:)`` once everything is recovered. A disk that fails ends it: nothing is acknowledged any more and
/// ``NodeContext/fail`` is told.
package final class Node: ServingNode {
    package let owners: [any ClientConnectionOwner]

    private let context: NodeContext
    private let directory: DataDirectory
    let log: WriteAheadLog
    private let groups: [PartitionGroup]
    private let gateways: [Gateway]
    private let supervisor: PartitionSupervisor
    private let condition: NodeCondition

    private init(
        context: NodeContext, directory: DataDirectory, log: WriteAheadLog, groups: [PartitionGroup],
        gateways: [Gateway], supervisor: PartitionSupervisor, condition: NodeCondition
    ) {
        self.context = context
        self.directory = directory
        self.log = log
        self.groups = groups
        self.gateways = gateways
        self.supervisor = supervisor
        self.condition = condition
        self.owners = gateways
    }
}

// MARK: - Starting

extension Node {
    /// Opens the data directory, recovers it, and returns a node that serves.
    package static func start(_ context: NodeContext) async throws(ServerError) -> any ServingNode {
        try await start(context, options: options(context))
    }

    private static func options(_ context: NodeContext) -> NodeOptions {
        var options = NodeOptions()
        #if DEBUG
        // The kill test's control: a file in the data directory makes a debug build acknowledge before it writes.
        let marker = "\(context.configuration.dataDirectory)/acknowledge-early"
        // A directory that cannot be looked at is refused when it is opened.
        options.acknowledgesEarly = (try? context.environment.disk.exists(marker)) ?? false
        #endif
        return options
    }

    /// The same with what only tests and the simulator set.
    package static func start(_ context: NodeContext, options: NodeOptions) async throws(ServerError) -> Node {
        let recovered = try await NodeRecovery(context: context).run()
        let condition = NodeCondition()
        let thread = context.environment.spawner.thread(named: "topgun-recovery")
        let onFailure: @Sendable (StorageError) -> Void = { error in
            condition.fail(error.message)
            context.fail(ServerError(error))
        }
        let log: WriteAheadLog
        do {
            log = try await thread.run { () throws(StorageError) in
                try WriteAheadLog(
                    continuing: recovered.log, in: recovered.directory, spawner: context.environment.spawner,
                    clock: context.environment.clock, segmentBytes: options.segmentBytes, onFailure: onFailure)
            }
        } catch {
            throw ServerError(error)
        }
        let store = CheckpointStore(
            in: recovered.directory, coverage: recovered.coverage, spawner: context.environment.spawner,
            onFailure: onFailure)
        let crew = Crew(context: context, options: options, recovered: recovered, log: log)
        await crew.join()
        let supervisor = PartitionSupervisor(
            context: context, log: log, store: store, logBytesMax: options.checkpointLogBytes, groups: crew.groups,
            partitions: crew.partitions)
        context.environment.spawner.spawn("partition supervisor") { await supervisor.run() }
        let identity = recovered.directory.identity
        context.log.info(
            "serving",
            [
                .node: identity.nodeID, .records: recovered.records, .directory: recovered.directory.path,
                .position: recovered.log.end,
            ])
        return Node(
            context: context, directory: recovered.directory, log: log, groups: crew.groups, gateways: crew.gateways,
            supervisor: supervisor, condition: condition)
    }
}

/// What only tests set: small sizes, so that a short run reaches what otherwise takes gigabytes, and misbehaviour, so
/// that a test can show that it would notice.
package struct NodeOptions: Sendable {
    /// Lets acknowledgements out before their write: the negative control of the kill test.
    package var acknowledgesEarly = false
    /// Bytes of a log segment.
    package var segmentBytes: Int?
    /// Log bytes after which checkpoints are written.
    package var checkpointLogBytes = Limits.checkpointLogBytes
    /// Table entries whose memory is checked in one turn of a loop.
    package var checkVisitsPerTurn = Limits.checkVisitsPerTurn
    /// Bytes queued for a connection above which events are dropped.
    package var broadcastQueueBytesMax = Limits.broadcastQueueBytesMax
    /// Devices that one loop keeps.
    var devicesPerLoopMax = Limits.devicesPerLoopMax

    package init() {}
}

// MARK: - Serving

extension Node {
    package func health() async -> NodeHealth {
        var records = 0
        var memoryBytes = 0
        var backlogBytes = 0
        for group in groups {
            let size = await group.size
            records += size.records
            memoryBytes += size.memoryBytes
            backlogBytes += size.backlogBytes
        }
        let statistics = log.statistics
        let gauges = [
            Gauge(name: "topgun_records", help: "Records held, tombstones included.", value: Double(records)),
            Gauge(name: "topgun_record_bytes", help: "Memory of records and tables.", value: Double(memoryBytes)),
            Gauge(
                name: "topgun_log_backlog_bytes", help: "Bytes handed to the log and not yet on disk.",
                value: Double(backlogBytes)),
            Gauge(
                name: "topgun_log_retained_bytes", help: "Bytes of log segments that are still needed.",
                value: Double(log.retainedBytes)),
            Gauge(
                name: "topgun_log_position", help: "Everything before it is on disk.",
                value: Double(log.durablePosition.rawValue)),
            Gauge(name: "topgun_log_syncs", help: "Syncs of the log since the start.", value: Double(statistics.syncs)),
            Gauge(
                name: "topgun_log_sync_seconds", help: "Time spent in syncs of the log since the start.",
                value: Double(statistics.syncNanos) / 1e9),
            Gauge(
                name: "topgun_log_slowest_sync_seconds", help: "The slowest sync of the log since the start.",
                value: Double(statistics.slowestSyncNanos) / 1e9),
        ]
        let state = condition.state
        var closed = PartitionSet()
        var lost = PartitionSet()
        for group in groups {
            let here = await group.closed
            closed.formUnion(here.all)
            lost.formUnion(here.lost)
        }
        return NodeHealth(
            state: state.state, detail: detail(state, closed.members, lost.members),
            operationsInFlight: backlogBytes > 0 ? 1 : 0, closedPartitions: closed.members,
            lostPartitions: lost.members, gauges: gauges)
    }

    /// Tears a partition down and rebuilds it while the others go on; `false` if that is under way already.
    package func restart(partition: Int) async -> Bool {
        await supervisor.restart(PartitionID(partition))
    }

    private func detail(
        _ state: (state: NodeHealth.State, detail: String), _ closed: [Int], _ lost: [Int]
    ) -> String {
        guard state.state == .ready else { return state.detail }
        switch log.state {
        case .full: return "the disk is full: reading and removing go on, writes are refused"
        case .exhausted:
            return "the disk is full and so is the reserve: reading goes on, writes and removals are refused"
        case .open, .failed, .closed: break
        }
        if let first = lost.first {
            let subject = lost.count == 1 ? "partition \(first) is" : "\(lost.count) partitions are"
            return "\(subject) out of service: memory broke \(Limits.repairsMax + 1) times within "
                + "\(Limits.repairWindowMillis / 60_000) minutes; suspect this machine's memory, and restart topgund"
        }
        let busyMillis = log.busyMillis(at: context.environment.clock)
        if busyMillis >= Limits.slowDiskMillis {
            return "the disk is slow: what was written \(busyMillis / 1_000) s ago is not on it yet"
        }
        guard let first = closed.first else { return state.detail }
        return closed.count == 1
            ? "partition \(first) is being rebuilt"
            : "\(closed.count) partitions are being rebuilt, \(first) among them"
    }

    package func pulse() async {
        for group in groups { _ = await group.size }
        guard let loop = context.environment.spawner.loops.first else { return }
        await LogPulse.wait(for: log, clock: context.environment.clock, on: loop)
    }

    package func stop() async throws(ServerError) {
        condition.stop()
        await supervisor.stop()
        guard let loop = context.environment.spawner.loops.first else { return }
        let failure = ServerError(.disk, "the disk failed; the log was not closed")
        if log.state == .failed { throw failure }
        for group in groups { await group.handOverRest() }
        await withCheckedContinuation { continuation in
            log.close(from: loop) { continuation.resume() }
        }
        if condition.state.state == .failed { throw failure }
        directory.close()
    }
}

/// What a node says about itself.
final class NodeCondition: Sendable {
    private let current = Mutex<(state: NodeHealth.State, detail: String)>((.ready, NodeHealth.serving))

    var state: (state: NodeHealth.State, detail: String) { current.withLock { $0 } }

    func fail(_ message: String) {
        current.withLock { $0 = (.failed, message) }
    }

    func stop() {
        current.withLock { if $0.state != .failed { $0 = (.draining, "stopping") } }
    }
}

extension ServerError {
    /// What an error of the storage means for the process.
    init(_ error: StorageError) {
        let code: Code =
            switch error.code {
            case .inUse: .locked
            case .missing: .configuration
            case .foreign, .newerFormat, .olderFormat, .damagedIdentity: .foreignData
            case .damagedLog, .damagedCheckpoint: .damagedData
            case .noSpace, .tooManyFiles: .shortage
            case .disk: .disk
            }
        self.init(code, error.message)
    }
}
