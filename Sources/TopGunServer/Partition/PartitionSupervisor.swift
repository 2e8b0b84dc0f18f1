import TopGunEnvironment
import TopGunModel
import TopGunStorage

/// Looks after the partitions of a node: checkpoints when the log has grown, and expiry.
///
/// Runs on the first event loop; the work itself is done on the partitions' loops and on the threads of the storage.
actor PartitionSupervisor {
    private nonisolated let loop: any Loop
    private let context: NodeContext
    private let log: WriteAheadLog
    private let store: CheckpointStore
    /// Log bytes after which checkpoints are written.
    private let logBytesMax: Int64
    private let groups: [PartitionGroup]
    private let partitions: [Partition]
    private var isStopping = false
    private var sleeper: CheckedContinuation<Void, Never>?
    private var alarm: (any ScheduledJob)?
    private var finished: CheckedContinuation<Void, Never>?
    private var isRunning = false

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

    init(
        context: NodeContext, log: WriteAheadLog, store: CheckpointStore, logBytesMax: Int64,
        groups: [PartitionGroup], partitions: [Partition]
    ) {
        self.loop = context.environment.spawner.loops[0]
        self.context = context
        self.log = log
        self.store = store
        self.logBytesMax = logBytesMax
        self.groups = groups
        self.partitions = partitions
    }

    /// Until ``stop()``, every second or so.
    func run() async {
        isRunning = true
        while !isStopping {
            await sleep(millis: Limits.supervisorTickMillis)
            guard !isStopping else { break }
            for group in groups { await group.expire() }
            if log.retainedBytes > logBytesMax { await checkpoint() }
        }
        isRunning = false
        finished?.resume()
        finished = nil
    }

    /// Ends ``run()`` and waits for a checkpoint that is being written.
    func stop() async {
        isStopping = true
        wake()
        guard isRunning else { return }
        await withCheckedContinuation { finished = $0 }
    }

    /// Writes checkpoints of what keeps the oldest segments of the log, and lets those go.
    func checkpoint() async {
        guard let holding = log.partitionsHoldingBack(store.coverage) else { return }
        for number in holding.members where number < PartitionID.count && !isStopping {
            if let failure = await partitions[number].checkpoint(into: store) {
                context.log.warning(
                    "a checkpoint was given up", [.partition: number, .error: failure, .position: log.durablePosition])
                return
            }
            log.retire(store.coverage)
            await sleep(millis: Limits.checkpointPauseMillis)
        }
    }

    private func sleep(millis: Int64) async {
        await withCheckedContinuation { continuation in
            sleeper = continuation
            alarm = loop.schedule(afterMillis: millis) { [self] in assumeIsolated { $0.wake() } }
        }
    }

    private func wake() {
        alarm?.cancel()
        alarm = nil
        sleeper?.resume()
        sleeper = nil
    }
}
