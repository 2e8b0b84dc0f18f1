import Synchronization
package import TopGunEnvironment
package import TopGunModel

/// The write-ahead log of a node: what was acknowledged, in the order it happened, on disk.
///
/// ```
///   loops ── append ──> queue ── log thread: frame, write, sync ──> one job per loop with all its completions
///                                    │  segment full                         ^ retire(coverage)
///                                    └──────── next segment <── segment thread: zeros ahead, spares, deletes
/// ```
///
/// - Groups are written in the order they were appended. All that wait are written together and made durable by one
///   sync; then each completion runs on the loop that appended, in order, one job per loop.
/// - The next segment is always made ready ahead, and a reserve beside it. When the disk has no room for either the log
///   is ``State/full``: refuse writes then, but not removals. These, and what was appended anyway, still find room in
///   the current segment and in the reserve; when that is used up too the log is ``State/exhausted``. What is appended
///   even then waits, durable and completed when there is room again.
/// - After an error of the disk nothing completes any more, ever. `onFailure` says so once; the process should end.
/// - Nothing limits the queue: callers refuse writes as busy while ``queuedBytes`` is above ``LogLimits/queuedBytes``.
package final class WriteAheadLog: Sendable {
    package enum State: UInt8, Sendable {
        case open
        /// The disk is full: writes should be refused until it is `.open` again; there is room for removals.
        case full
        /// The disk is full, and so is the reserve: removals should be refused too.
        case exhausted
        /// The disk failed; nothing is written or completed any more.
        case failed
        case closed
    }

    /// Counts since the start, for metrics.
    package struct Statistics: Sendable {
        package var groups = 0
        package var bytes = 0
        package var syncs = 0
        package var syncNanos: Int64 = 0
        package var slowestSyncNanos: Int64 = 0
    }

    let thread: any Loop
    let segmentThread: any Loop
    let progress: LogProgress
    private let queue = Mutex(Queue())
    private let writer: LogWriter
    private let segments: SegmentKeeper

    private struct Queue {
        var groups: [AppendedGroup] = []
        var clockBound: Int64 = 0
        var isDrainScheduled = false
    }

    /// Goes on where a recovery ended. Makes a first segment, which takes a moment; call it where blocking is allowed.
    ///
    /// - Parameters:
    ///   - segmentBytes: the size of a segment; for tests.
    ///   - onFailure: called once, on a thread of the log, when the disk failed.
    package init(
        continuing recovered: RecoveredLog, in directory: DataDirectory, spawner: any Spawner, clock: any Clock,
        segmentBytes: Int? = nil, onFailure: @escaping @Sendable (StorageError) -> Void
    ) throws(StorageError) {
        thread = spawner.thread(named: "topgun-log")
        segmentThread = spawner.thread(named: "topgun-segments")
        progress = LogProgress(clockBound: recovered.clockBound, end: recovered.end, onFailure: onFailure)
        queue.withLock { $0.clockBound = recovered.clockBound }
        segments = SegmentKeeper(
            directory: directory, recovered: recovered, thread: segmentThread, progress: progress,
            segmentBytes: segmentBytes ?? Limits.segmentBytes)
        writer = LogWriter(
            directory: directory, recovered: recovered, thread: thread, segments: segments, progress: progress,
            clock: clock)
        let first = segmentBytes ?? Limits.firstSegmentBytes
        try segments.start(firstBytes: first, recovered: recovered)
        try writer.start()
        // Only now, because until here the writer belonged to this thread. Weak, because the writer holds the segments.
        segments.onChange = { [weak writer, thread] in thread.execute { [weak writer] in writer?.segmentsChanged() } }
        thread.execute { [writer] in writer.begin() }
    }

    // MARK: - Appending

    /// Appends a group of ``StoredRecord``s; it is written as a whole or not at all.
    ///
    /// - Parameters:
    ///   - group: the records. The log owns the sink until it comes back, emptied, through the completion.
    ///   - partitions: the partitions that the records belong to; a segment goes when all of these have checkpoints.
    ///   - loop: where the completion runs.
    ///   - completion: called once the group is durable, with the position behind it; never after a failure.
    package func append(
        _ group: ByteSink, partitions: PartitionSet, from loop: any Loop,
        completion: @escaping @Sendable (_ end: LogPosition, _ recycled: ByteSink) -> Void
    ) {
        progress.queuedBytes.add(group.count, ordering: .relaxed)
        let isFirst = queue.withLock { queue in
            queue.groups.append(
                AppendedGroup(
                    payload: group, partitions: partitions, clockBound: queue.clockBound, loop: loop,
                    completion: completion))
            defer { queue.isDrainScheduled = true }
            return !queue.isDrainScheduled
        }
        if isFirst { thread.execute { [self] in drain() } }
    }

    /// Says that stamps up to `bound` may be handed out from now on: every group appended from here on carries it. A
    /// stamp that leaves the node without such a group must wait for a group of its own, which may be empty.
    package func raiseClockBound(to bound: Int64) {
        queue.withLock { $0.clockBound = max($0.clockBound, bound) }
    }

    private func drain() {
        let groups = queue.withLock { queue in
            queue.isDrainScheduled = false
            let groups = queue.groups
            queue.groups = []
            return groups
        }
        writer.drain(groups)
    }

    // MARK: - Looking at it

    package var state: State { progress.state }

    /// Everything before it is on disk.
    package var durablePosition: LogPosition { LogPosition(progress.durable.load(ordering: .acquiring)) }

    /// Bytes appended and not yet durable.
    package var queuedBytes: Int { progress.queuedBytes.load(ordering: .relaxed) }

    /// Since when, by the monotonic clock, the log thread has been busy with one batch; `nil` if it is not.
    package var busySinceNanos: Int64? {
        let since = progress.busySince.load(ordering: .relaxed)
        return since == 0 ? nil : since
    }

    package var statistics: Statistics { progress.statistics.withLock { $0 } }

    /// Bytes of all segments that are still needed, the current one included.
    package var retainedBytes: Int64 { segments.retainedBytes }

    /// How many segments that are.
    package var retainedSegments: Int { segments.retainedSegments }

    /// The partitions that need a newer checkpoint before ``retire(_:)`` can let more of the log go; `nil` if it can
    /// already let go of everything but the current segment.
    package func partitionsHoldingBack(_ coverage: CheckpointCoverage) -> PartitionSet? {
        segments.partitionsHoldingBack(coverage)
    }

    /// Reads what the disk knows about a partition up to a position that is durable, while the log goes on. No segment
    /// goes until it is closed.
    package func reader(of partition: Int, upTo end: LogPosition) -> PartitionReader {
        precondition(end <= durablePosition, "what is not durable yet cannot be read")
        return segments.reader(of: partition, upTo: end)
    }

    /// Runs a job on the log thread behind everything queued: the watchdog's way to see that it is alive.
    package func ping(from loop: any Loop, _ answer: @escaping @Sendable () -> Void) {
        thread.execute { loop.execute(answer) }
    }

    // MARK: - Letting go

    /// Gives up the segments that the checkpoints cover, in the background.
    package func retire(_ coverage: CheckpointCoverage) {
        segmentThread.execute { [segments] in segments.retire(coverage) }
    }

    /// Closes the files once everything appended so far is durable, with a last word that it was. Appending afterwards
    /// is a mistake. On a full disk it waits for room; ending the process instead loses nothing that was completed.
    package func close(from loop: any Loop, completion: @escaping @Sendable () -> Void) {
        thread.execute { [self] in
            drain()
            writer.close { [segments, segmentThread] in
                segmentThread.execute {
                    segments.close()
                    loop.execute(completion)
                }
            }
        }
    }
}

struct AppendedGroup: Sendable {
    var payload: ByteSink
    var partitions: PartitionSet
    var clockBound: Int64
    var loop: any Loop
    var completion: @Sendable (LogPosition, ByteSink) -> Void
}

/// What every thread may see of the log.
final class LogProgress: Sendable {
    let durable: Atomic<Int64>
    let queuedBytes = Atomic<Int>(0)
    let busySince = Atomic<Int64>(0)
    let statistics = Mutex(WriteAheadLog.Statistics())
    private let stateValue = Atomic<UInt8>(WriteAheadLog.State.open.rawValue)
    private let onFailure: @Sendable (StorageError) -> Void

    init(clockBound: Int64, end: LogPosition, onFailure: @escaping @Sendable (StorageError) -> Void) {
        durable = Atomic(end.rawValue)
        self.onFailure = onFailure
    }

    var state: WriteAheadLog.State {
        guard let state = WriteAheadLog.State(rawValue: stateValue.load(ordering: .acquiring)) else {
            preconditionFailure("no such state of the log")
        }
        return state
    }

    var isRunning: Bool {
        switch state {
        case .open, .full, .exhausted: true
        case .failed, .closed: false
        }
    }

    func setFull(_ isFull: Bool) {
        if isFull {
            change(.open, to: .full)
        } else {
            change(.exhausted, to: .full)
            change(.full, to: .open)
        }
    }

    /// Whether a full disk still has room for removals; means nothing while the disk is not full.
    func setExhausted(_ isExhausted: Bool) {
        if isExhausted { change(.full, to: .exhausted) } else { change(.exhausted, to: .full) }
    }

    private func change(_ old: WriteAheadLog.State, to new: WriteAheadLog.State) {
        _ = stateValue.compareExchange(expected: old.rawValue, desired: new.rawValue, ordering: .acquiringAndReleasing)
    }

    func close() {
        if isRunning { stateValue.store(WriteAheadLog.State.closed.rawValue, ordering: .releasing) }
    }

    /// The end of it; only the first failure is told.
    func fail(_ error: StorageError) {
        let old = stateValue.exchange(WriteAheadLog.State.failed.rawValue, ordering: .acquiringAndReleasing)
        if old != WriteAheadLog.State.failed.rawValue { onFailure(error) }
    }
}
