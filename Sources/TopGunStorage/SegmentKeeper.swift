import Synchronization
import TopGunEnvironment
import TopGunModel

/// The segment thread's part of the log: makes the next segment ready ahead of time and lets covered ones go.
///
/// ```
///   retired segment ──rename──> spare ──blank the header, rename──> next segment
///   new file, zeros, synced ──────────────────────rename──────────> next segment
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
    struct Reserve: Sendable {
        var sequence: UInt64
        var file: any DiskFile
        var bytes: Int64
    }

    private struct State {
        var reserve: Reserve?
        /// Closed segments, oldest first.
        var retained: [RetainedSegment]
        var spares: [UInt64]
        var onReady: (@Sendable () -> Void)?
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

    /// Called on the segment thread when a reserve became ready.
    var onReady: (@Sendable () -> Void)? {
        get { state.withLock { $0.onReady } }
        set { state.withLock { $0.onReady = newValue } }
    }

    // MARK: - The next segment

    /// Makes the first segment of this start; a full disk leaves the log without one for now.
    func start(firstBytes: Int, recovered: RecoveredLog) throws(StorageError) {
        try makeReserve(recovered.nextSequence, bytes: firstBytes)
    }

    func prepare(_ sequence: UInt64) {
        thread.execute { [self] in
            do throws(StorageError) {
                try makeReserve(sequence, bytes: segmentBytes)
            } catch {
                progress.fail(error)
            }
        }
    }

    var isReady: Bool { state.withLock { $0.reserve != nil } }

    func takeReserve() -> Reserve? {
        state.withLock { state in
            defer { state.reserve = nil }
            return state.reserve
        }
    }

    func giveBack(_ reserve: Reserve) {
        state.withLock { $0.reserve = reserve }
    }

    func clearFullIfReady() {
        if isReady { progress.setFull(false) }
    }

    private func makeReserve(_ sequence: UInt64, bytes: Int) throws(StorageError) {
        guard progress.isRunning else { return }
        do throws(DiskError) {
            let reserve = try readyMade(sequence, bytes: bytes)
            let onReady = state.withLock { state in
                state.reserve = reserve
                return state.onReady
            }
            progress.setFull(false)
            onReady?()
        } catch  where error.code == .noSpace {
            progress.setFull(true)
            thread.schedule(afterMillis: Limits.fullDiskRetryMillis) { [self] in prepare(sequence) }
        } catch {
            throw StorageError(error)
        }
    }

    private func readyMade(_ sequence: UInt64, bytes: Int) throws(DiskError) -> Reserve {
        if let reserve = try existing(sequence) { return reserve }
        if let reserve = try recycled(as: sequence) { return reserve }
        return try filled(sequence, bytes: bytes)
    }

    /// A segment that an earlier start made ready and did not use.
    private func existing(_ sequence: UInt64) throws(DiskError) -> Reserve? {
        guard try directory.disk.exists(folder.segment(sequence)) else { return nil }
        let file = try directory.disk.open(folder.segment(sequence), .readWrite)
        return Reserve(sequence: sequence, file: file, bytes: max(try file.size(), Int64(FileHeader.bytes)))
    }

    private func recycled(as sequence: UInt64) throws(DiskError) -> Reserve? {
        while let spare = state.withLock({ $0.spares.popLast() }) {
            let path = folder.spare(spare)
            let file = try directory.disk.open(path, .readWrite)
            let size = try file.size()
            guard size >= segmentBytes else {
                file.close()
                try directory.disk.remove(path)
                continue
            }
            try file.write([UInt8](repeating: 0, count: FileHeader.bytes), at: 0)
            try file.sync()
            try directory.disk.rename(path, to: folder.segment(sequence))
            try directory.disk.syncDirectory(folder.path)
            return Reserve(sequence: sequence, file: file, bytes: size)
        }
        return nil
    }

    private func filled(_ sequence: UInt64, bytes: Int) throws(DiskError) -> Reserve {
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
        try disk.rename(folder.preparing, to: folder.segment(sequence))
        try disk.syncDirectory(folder.path)
        return Reserve(sequence: sequence, file: file, bytes: Int64(bytes))
    }

    func close() {
        takeReserve()?.file.close()
    }

    // MARK: - Old segments

    var retainedBytes: Int64 {
        state.withLock { $0.retained.reduce(0) { $0 + $1.bytes } } + Int64(segmentBytes)
    }

    func retain(_ segment: RetainedSegment) {
        state.withLock { $0.retained.append(segment) }
    }

    func partitionsHoldingBack(_ coverage: CheckpointCoverage) -> PartitionSet? {
        state.withLock { state in
            guard let oldest = state.retained.first else { return nil }
            return PartitionSet(oldest.partitions.members.filter { coverage.positions[$0] < oldest.end })
        }
    }

    /// Lets go what the checkpoints cover, oldest first, up to the first segment that is still needed.
    func retire(_ coverage: CheckpointCoverage) {
        guard progress.isRunning else { return }
        let covered = state.withLock { state in
            state.retained.prefix { coverage.covers($0.partitions, to: $0.end) }
        }
        guard let last = covered.last else { return }
        do throws(StorageError) {
            // First the log says that it begins later and what it relies on for the rest, then the files go.
            try directory.update { identity in
                identity.logStart = last.end
                identity.checkpointed.formUnion(coverage.partitions)
            }
            for segment in covered { try letGo(segment) }
        } catch {
            progress.fail(error)
        }
    }

    private func letGo(_ segment: RetainedSegment) throws(StorageError) {
        let disk = directory.disk
        let isSpare = state.withLock { state in
            state.retained.removeFirst()
            return state.spares.count < Limits.spareSegments && segment.bytes >= Int64(segmentBytes)
        }
        try onDisk { () throws(DiskError) in
            if isSpare {
                try disk.rename(folder.segment(segment.sequence), to: folder.spare(segment.sequence))
            } else {
                try disk.remove(folder.segment(segment.sequence))
            }
            try disk.syncDirectory(folder.path)
        }
        if isSpare { state.withLock { $0.spares.append(segment.sequence) } }
    }
}
