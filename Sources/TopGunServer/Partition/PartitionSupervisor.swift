import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunStorage

/// Looks after the partitions of a node: checkpoints when the log has grown, expiry, checks of the memory, and partitions
/// that are torn down and rebuilt while the others go on.
///
/// ```
///   restart ──► kill ──► rebuild ──failed──► after a while, again ──► ... until it is open
///   broken, closed ──┘ ▲
///        └── for the fourth time in ten minutes: stays out until an operator restarts it
/// ```
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
    /// Where partitions are read that are rebuilt.
    private let reading: any Loop
    private var repairs = RepairBook()
    private var isStopping = false
    private var sleeper: CheckedContinuation<Void, Never>?
    private var alarm: (any ScheduledJob)?
    private var isRunning = false
    private var lookedMillis: Int64 = 0

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
        self.reading = context.environment.spawner.thread(named: "topgun-rebuild")
    }

    /// Until ``stop()``, every second or so.
    func run() async {
        isRunning = true
        while !isStopping {
            await sleep(millis: Limits.supervisorTickMillis)
            guard !isStopping else { break }
            await look()
            if log.retainedBytes > logBytesMax || log.retainedSegments > Limits.checkpointSegments {
                await checkpoint()
            }
        }
        isRunning = false
    }

    /// Expires what is due, and checks the next part of the memory.
    private func look() async {
        lookedMillis = nowMillis
        for group in groups {
            await group.expire()
            for broken in await group.check() { await repair(broken) }
        }
    }

    /// Ends ``run()`` and waits for a checkpoint that is being written, unless the log fails: a checkpoint may wait for
    /// what will never be on disk then.
    func stop() async {
        isStopping = true
        wake()
        while isRunning, log.state != .failed { await pause(millis: Limits.stopLookMillis) }
    }

    /// Writes checkpoints of what keeps the oldest segments of the log, and lets those go.
    func checkpoint() async {
        // What is covered may be from an earlier life, and a segment without records needs no checkpoint at all.
        log.retire(store.coverage)
        guard let holding = log.partitionsHoldingBack(store.coverage) else { return }
        for number in holding.members where number < PartitionID.count && !isStopping {
            if let failure = await partitions[number].checkpoint(into: store, of: log, on: reading) {
                context.log.warning(
                    "a checkpoint was given up", [.partition: number, .error: failure, .position: log.durablePosition])
                return
            }
            log.retire(store.coverage)
            // A round takes a while, and is one of the ways to find what is broken.
            for group in groups {
                for broken in await group.takeBroken() { await repair(broken) }
            }
            if nowMillis - lookedMillis >= Limits.supervisorTickMillis { await look() }
            await sleep(millis: Limits.checkpointPauseMillis)
        }
    }

    /// Tears a partition down and rebuilds it from its checkpoint and the log. Returns when it is open again; `false`,
    /// at once, if it is being rebuilt already. A partition that cannot be read stays closed and is tried again.
    ///
    /// One that broke too often, and stays out, is given another chance.
    @discardableResult
    func restart(_ id: PartitionID) async -> Bool {
        let partition = partitions[id.index]
        guard !isStopping else { return false }
        guard await partition.kill() else {
            guard await partition.reconsider() else { return false }
            repairs.forget(id)
            return await rebuild(id)
        }
        context.log.warning("a partition is torn down and rebuilt", [.partition: id.index])
        return await rebuild(id)
    }

    /// Rebuilds a partition whose memory is broken in the background, unless that happened too often of late.
    private func repair(_ broken: BrokenPartition) async {
        let id = broken.partition
        guard !isStopping else { return }
        guard repairs.admits(id, nowMillis: nowMillis) else {
            context.log.error(
                "the memory of a partition broke again and again; it stays out of service",
                [.partition: id.index, .detail: broken.breakage.message, .count: Limits.repairsMax])
            return await partitions[id.index].giveUp()
        }
        context.log.error(
            "the memory of a partition is broken; it is torn down and rebuilt",
            [.partition: id.index, .detail: broken.breakage.message])
        context.environment.spawner.spawn("partition repair") { [self] in _ = await rebuild(id) }
    }

    private func rebuild(_ id: PartitionID) async -> Bool {
        var pauseMillis = Limits.rebuildRetryMillisMin
        while let failure = await partitions[id.index].rebuild(from: log, on: reading) {
            context.log.error(
                "a partition could not be rebuilt; it stays closed and is tried again",
                [.partition: id.index, .error: failure])
            await pause(millis: pauseMillis)
            guard !isStopping else { return false }
            pauseMillis = min(pauseMillis * 2, Limits.rebuildRetryMillisMax)
        }
        context.log.info("a partition is open again", [.partition: id.index])
        return true
    }

    private var nowMillis: Int64 { context.environment.clock.monotonicNanos() / 1_000_000 }

    private func pause(millis: Int64) async {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            loop.schedule(afterMillis: millis) { continuation.resume() }
        }
    }

    /// A pause that ``wake()`` ends.
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
