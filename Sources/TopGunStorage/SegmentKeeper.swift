import Synchronization
import TopGunEnvironment
import TopGunModel

/// The segment thread's part of the log: makes the next segment ready ahead of time, keeps the reserve for removals, and
/// lets covered segments go.
///
/// ```
///   retired segment ──rename──> spare ──blank the header, rename──> next segment
///   new file, zeros, synced ──────────────────────rename──────────> next segment
///                       └─────rename──> reserve ──no room, rename─> next segment, while the log is full
/// ```
///
/// Every rename is made durable before the next step, so that at any moment the segments on disk are a whole stretch of
/// the log. Zeros are written ahead because a sync of blocks that exist costs a third of one that allocates.
final class SegmentKeeper: Sendable {
    private let directory: DataDirectory
    private let folder: LogFolder
    private let thread: any Loop
    private let progress: LogProgress
    let segmentBytes: Int
    private let state: Mutex<State>

    /// The next segment: on disk under its name, header blank.
    struct NextSegment: Sendable {
        var sequence: UInt64
        var file: any DiskFile
        var bytes: Int64
    }

    private struct State {
        var next: NextSegment?
        /// The segment that is still to be made ready.
        var wanted: (sequence: UInt64, bytes: Int)?
        /// Whether the reserve is on disk under its own name.
        var hasReserve = false
        var isRetryScheduled = false
        /// The segment that groups go to now; its partitions are known when it is closed.
        var current: (sequence: UInt64, start: LogPosition)?
        /// Readers that need every segment there is, and what is to be let go once they are done.
        var holds = 0
        var heldBack: CheckpointCoverage?
        /// Closed segments, oldest first.
        var retained: [RetainedSegment]
        var spares: [UInt64]
        var onChange: (@Sendable () -> Void)?
    }

    init(
        directory: DataDirectory, recovered: RecoveredLog, thread: any Loop, progress: LogProgress, segmentBytes: Int
    ) {
        self.directory = directory
        folder = LogFolder(path: directory.logPath)
        self.thread = thread
        self.progress = progress
        self.segmentBytes = max(segmentBytes, FileHeader.bytes + GroupHeader.bytes)
        state = Mutex(State(retained: recovered.segments, spares: recovered.spares))
    }

    /// Called on the segment thread when a segment became ready or could not be made, and when the disk failed.
    var onChange: (@Sendable () -> Void)? {
        get { state.withLock { $0.onChange } }
        set { state.withLock { $0.onChange = newValue } }
    }

    var reserveBytes: Int { min(Limits.removalReserveBytes, segmentBytes) }

    // MARK: - The next segment

    /// Makes the first segment of this start; a full disk leaves the log without one for now.
    func start(firstBytes: Int, recovered: RecoveredLog) throws(StorageError) {
        state.withLock { $0.wanted = (recovered.nextSequence, firstBytes) }
        try makeReady()
    }

    func prepare(_ sequence: UInt64) {
        thread.execute { [self] in
            state.withLock { $0.wanted = (sequence, segmentBytes) }
            makeReadyOrFail()
        }
    }

    var isReady: Bool { state.withLock { $0.next != nil } }

    /// Bytes for groups in the next segment, if it is there.
    var nextCapacity: Int { state.withLock { $0.next.map { Int($0.bytes) - FileHeader.bytes } ?? 0 } }

    func takeNext() -> NextSegment? {
        state.withLock { state in
            defer { state.next = nil }
            return state.next
        }
    }

    func giveBack(_ next: NextSegment) {
        state.withLock { $0.next = next }
    }

    func clearFullIfReady() {
        if state.withLock({ $0.next != nil && $0.hasReserve }) { progress.setFull(false) }
    }

    private func makeReadyOrFail() {
        do throws(StorageError) {
            try makeReady()
        } catch {
            fail(error)
        }
    }

    /// The disk failed. The log thread hears of it, too: a close may be waiting there.
    private func fail(_ error: StorageError) {
        progress.fail(error)
        onChange?()
    }

    /// Makes the reserve and the segment that is wanted. Without room for both the log is full, tries again later, and
    /// goes on with what needs no room.
    private func makeReady() throws(StorageError) {
        guard progress.isRunning else { return }
        do throws(DiskError) {
            try makeReserve()
            try makeNext { (sequence, bytes) throws(DiskError) in try filled(sequence, bytes: bytes) }
            progress.setFull(false)
        } catch  where error.code == .noSpace {
            progress.setFull(true)
            try makeDo()
            scheduleRetry()
        } catch  where error.code == .tooManyFiles {
            // Nothing is refused for that: the current segment grows meanwhile.
            scheduleRetry()
        } catch {
            throw StorageError(error)
        }
        onChange?()
    }

    private func makeDo() throws(StorageError) {
        do throws(DiskError) {
            try makeNext { (sequence, _) throws(DiskError) in try reserve(as: sequence) }
        } catch  where error.isPassing {
            // Not even a name fits, or no file can be opened. The retry comes back to it.
            return
        } catch {
            throw StorageError(error)
        }
    }

    private func scheduleRetry() {
        let isFirst = state.withLock { state in
            defer { state.isRetryScheduled = true }
            return !state.isRetryScheduled
        }
        guard isFirst else { return }
        thread.schedule(afterMillis: Limits.fullDiskRetryMillis) { [self] in
            state.withLock { $0.isRetryScheduled = false }
            makeReadyOrFail()
        }
    }

    /// Makes the segment that is wanted, if one is: from what is there, or else as `make` does.
    private func makeNext(
        else make: (UInt64, Int) throws(DiskError) -> NextSegment?
    ) throws(DiskError) {
        guard let wanted = state.withLock({ $0.wanted }) else { return }
        var next = try existing(wanted.sequence)
        if next == nil { next = try recycled(as: wanted.sequence) }
        if next == nil { next = try make(wanted.sequence, wanted.bytes) }
        guard let next else { return }
        state.withLock { state in
            state.next = next
            state.wanted = nil
        }
    }

    /// A segment that an earlier start made ready and did not use, or that was renamed when the descriptors ran out.
    private func existing(_ sequence: UInt64) throws(DiskError) -> NextSegment? {
        guard try directory.disk.exists(folder.segment(sequence)) else { return nil }
        try directory.disk.syncDirectory(folder.path)
        let file = try directory.disk.open(folder.segment(sequence), .readWrite)
        return NextSegment(sequence: sequence, file: file, bytes: max(try file.size(), Int64(FileHeader.bytes)))
    }

    private func recycled(as sequence: UInt64) throws(DiskError) -> NextSegment? {
        while let spare = state.withLock({ $0.spares.last }) {
            let path = folder.spare(spare)
            let file = try directory.disk.open(path, .readWrite)
            let size = try file.size()
            guard size >= segmentBytes else {
                file.close()
                try directory.disk.remove(path)
                state.withLock { _ = $0.spares.popLast() }
                continue
            }
            try file.write([UInt8](repeating: 0, count: FileHeader.bytes), at: 0)
            try file.sync()
            try directory.disk.rename(path, to: folder.segment(sequence))
            state.withLock { _ = $0.spares.popLast() }
            try directory.disk.syncDirectory(folder.path)
            return NextSegment(sequence: sequence, file: file, bytes: size)
        }
        return nil
    }

    private func filled(_ sequence: UInt64, bytes: Int) throws(DiskError) -> NextSegment {
        let file = try fill(folder.segment(sequence), bytes: bytes)
        return NextSegment(sequence: sequence, file: file, bytes: Int64(bytes))
    }

    /// Makes a file of zeros that appears under its name when it is whole.
    private func fill(_ path: String, bytes: Int) throws(DiskError) -> any DiskFile {
        let disk = directory.disk
        try disk.removeIfThere(folder.preparing)
        let file = try disk.open(folder.preparing, .create)
        do throws(DiskError) {
            file.bypassCache()
            let zeros = ByteSink(capacity: Limits.fillBytes, alignment: DiskBlock.bytes)
            zeros.append(zeros: min(bytes, Limits.fillBytes))
            var done = 0
            while done < bytes {
                let count = min(bytes - done, zeros.count)
                try file.write(UnsafeRawBufferPointer(rebasing: zeros.bytes[..<count]), at: Int64(done))
                done += count
                if done % Limits.fillSyncBytes == 0 || done == bytes { try file.sync() }
            }
        } catch  where error.code == .noSpace {
            // Give the room back: others need it more than a segment that is not one yet.
            file.close()
            try disk.removeIfThere(folder.preparing)
            throw error
        }
        try disk.rename(folder.preparing, to: path)
        try disk.syncDirectory(folder.path)
        return file
    }

    func close() {
        takeNext()?.file.close()
    }

    // MARK: - The reserve

    private func makeReserve() throws(DiskError) {
        guard !state.withLock({ $0.hasReserve }) else { return }
        if try !directory.disk.exists(folder.reserve) {
            try fill(folder.reserve, bytes: reserveBytes).close()
        }
        state.withLock { $0.hasReserve = true }
    }

    /// The reserve in the place of a segment that there is no room for.
    private func reserve(as sequence: UInt64) throws(DiskError) -> NextSegment? {
        guard state.withLock({ $0.hasReserve }) else { return nil }
        let file = try directory.disk.open(folder.reserve, .readWrite)
        let size = try file.size()
        try directory.disk.rename(folder.reserve, to: folder.segment(sequence))
        state.withLock { $0.hasReserve = false }
        try directory.disk.syncDirectory(folder.path)
        return NextSegment(sequence: sequence, file: file, bytes: max(size, Int64(FileHeader.bytes)))
    }

    // MARK: - Old segments

    var retainedBytes: Int64 {
        state.withLock { $0.retained.reduce(0) { $0 + $1.bytes } } + Int64(segmentBytes)
    }

    var retainedSegments: Int { state.withLock { $0.retained.count } + 1 }

    /// The log goes on in another segment; the one before is closed and retained.
    func moveOn(from closed: RetainedSegment?, to sequence: UInt64, start: LogPosition) {
        state.withLock { state in
            if let closed { state.retained.append(closed) }
            state.current = (sequence, start)
        }
    }

    /// All segments, oldest first; the current one as if it ended at `end` and held every partition.
    func all(upTo end: LogPosition) -> [RetainedSegment] {
        state.withLock { state in
            guard let current = state.current, current.start < end else { return state.retained }
            let last = RetainedSegment(
                sequence: current.sequence, start: current.start, end: end,
                partitions: PartitionSet(0..<PartitionSet.capacity), bytes: 0)
            return state.retained + [last]
        }
    }

    func reader(of partition: Int, upTo end: LogPosition) -> PartitionReader {
        PartitionReader(directory: directory, segments: self, partition: partition, end: end)
    }

    /// No segment goes from now on until as many ``release()``.
    func hold() {
        state.withLock { $0.holds += 1 }
    }

    func release() {
        let heldBack = state.withLock { state -> CheckpointCoverage? in
            precondition(state.holds > 0, "released without a hold")
            state.holds -= 1
            guard state.holds == 0 else { return nil }
            defer { state.heldBack = nil }
            return state.heldBack
        }
        if let heldBack { thread.execute { [self] in retire(heldBack) } }
    }

    func partitionsHoldingBack(_ coverage: CheckpointCoverage) -> PartitionSet? {
        state.withLock { state in
            let needed = state.retained.first { !coverage.covers($0.partitions, to: $0.end) }
            guard let needed else { return nil }
            return PartitionSet(needed.partitions.members.filter { coverage.positions[$0] < needed.end })
        }
    }

    /// Lets go what the checkpoints cover, oldest first, up to the first segment that is still needed. The last one stays
    /// until the log goes on in another, which a full disk may keep it from: a log without any would be taken for lost.
    func retire(_ coverage: CheckpointCoverage) {
        #if MUTANTS
        if Mutant.logNeverShrinks.isOn { return }
        #endif
        guard progress.isRunning else { return }
        let covered = state.withLock { state -> ArraySlice<RetainedSegment> in
            guard state.holds == 0 else {
                state.heldBack = coverage
                return []
            }
            let covered = state.retained.prefix { coverage.covers($0.partitions, to: $0.end) }
            return state.current == nil && covered.count == state.retained.count ? covered.dropLast() : covered
        }
        guard let last = covered.last else { return }
        do throws(StorageError) {
            // First the log says that it begins later and what it relies on for the rest, then the files go.
            try directory.update { identity in
                identity.logStart = last.end
                identity.checkpointed.formUnion(coverage.partitions)
            }
            for segment in covered { try letGo(segment) }
        } catch  where error.isPassing {
            thread.schedule(afterMillis: Limits.fullDiskRetryMillis) { [self] in retire(coverage) }
        } catch {
            fail(error)
        }
    }

    /// Comes back to a segment that it could not finish with.
    private func letGo(_ segment: RetainedSegment) throws(StorageError) {
        let disk = directory.disk
        let (path, spare) = (folder.segment(segment.sequence), folder.spare(segment.sequence))
        let isWelcome = state.withLock { state in
            state.spares.count < Limits.spareSegments && segment.bytes >= Int64(segmentBytes)
        }
        let isSpare = try onDisk { () throws(DiskError) in
            if try disk.exists(path) {
                if isWelcome { try disk.rename(path, to: spare) } else { try disk.remove(path) }
            }
            try disk.syncDirectory(folder.path)
            return try disk.exists(spare)
        }
        state.withLock { state in
            state.retained.removeFirst()
            if isSpare { state.spares.append(segment.sequence) }
        }
    }
}
