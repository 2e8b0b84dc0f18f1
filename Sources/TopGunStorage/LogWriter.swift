import Synchronization
import TopGunEnvironment
import TopGunModel

/// The log thread's part of the log: frames groups, writes, syncs, completes.
///
/// ```
///   waiting ──frame──> buffer ──write──> unsynced bytes ──sync──> framed groups complete
///      │                  └ no room: kept, tried again at the same place
///      └ segment full: sync, then the next segment; none there yet: wait for the segment thread
/// ```
///
/// Unchecked because it is touched on the log thread only, once `start` has returned; whoever calls that gives the thread
/// nothing to do with it before, ``begin()`` first.
final class LogWriter: @unchecked Sendable {
    private let directory: DataDirectory
    private let identity: Identity
    private let thread: any Loop
    private let segments: SegmentKeeper
    private let progress: LogProgress
    private let clock: any Clock

    private var active: ActiveSegment?
    /// The end of the last framed group.
    private var end: LogPosition
    private var chain: UInt64
    private var clockBound: Int64
    private var durable: LogPosition
    private var nextSequence: UInt64
    /// Where the log begins, while the directory does not say so; and whether that was tried to be noted.
    private var beginning: LogPosition?
    private var isBeginningTried = false

    private var waiting: [AppendedGroup] = []
    private var waitingIndex = 0
    /// What is framed and not yet written, behind what is already written of the block it begins in: the log is written
    /// in whole blocks, past the system's cache, which it would only fill. `bufferOffset` is where the block lies.
    private let buffer = ByteSink(capacity: DiskBlock.bytes, alignment: DiskBlock.bytes)
    private var bufferOffset: Int64 = 0
    private var hasUnwrittenBytes = false
    private var framed: [FramedGroup] = []
    private var hasUnsyncedBytes = false
    private var isBegun = false
    /// Set while the start found no room and nothing may be scheduled yet.
    private var isWaitingForRoom = false
    private var isRetryScheduled = false
    private var isSealed = true
    private var isSealScheduled = false
    /// Set while a close waits for the last groups.
    private var onClosed: (@Sendable () -> Void)?

    private struct FramedGroup {
        var group: AppendedGroup
        var end: LogPosition
        var bytes: Int
    }

    init(
        directory: DataDirectory, recovered: RecoveredLog, thread: any Loop, segments: SegmentKeeper,
        progress: LogProgress, clock: any Clock
    ) {
        self.directory = directory
        identity = directory.identity
        self.thread = thread
        self.segments = segments
        self.progress = progress
        self.clock = clock
        end = recovered.end
        durable = recovered.end
        chain = recovered.chain
        clockBound = recovered.clockBound
        nextSequence = recovered.nextSequence
        beginning = identity.logStart == .zero ? recovered.segments.first?.start ?? recovered.end : nil
    }

    /// Takes the first segment, if the disk has room for one.
    func start() throws(StorageError) {
        defer { noteRoom() }
        _ = try takeSegment()
    }

    /// Notes in the directory where the log begins, so that a log that is gone is missed. Where the disk has no room for
    /// that it is tried until there is: a start on a full disk should not fail.
    private func recordBeginning() throws(StorageError) {
        guard let beginning else { return }
        do throws(StorageError) {
            // The segment thread moves it when it lets segments go.
            try directory.update { if $0.logStart == .zero { $0.logStart = beginning } }
            self.beginning = nil
        } catch  where error.isPassing {
            thread.schedule(afterMillis: Limits.fullDiskRetryMillis) { [self] in
                guard progress.isRunning else { return }
                do throws(StorageError) {
                    try recordBeginning()
                } catch {
                    fail(error)
                }
            }
        }
    }

    /// The first job on the log thread: takes notice of what became of the segments meanwhile.
    func begin() {
        isBegun = true
        if isWaitingForRoom { waitForRoom() }
        segmentsChanged()
    }

    // MARK: - The path of a group

    func drain(_ groups: [AppendedGroup]) {
        guard progress.isRunning else { return letGo() }
        waiting.append(contentsOf: groups)
        guard waitingIndex < waiting.count || hasUnwrittenBytes else { return }
        defer { noteRoom() }
        progress.busySince.store(max(clock.monotonicNanos(), 1), ordering: .relaxed)
        do {
            if try process() { scheduleSeal() }
        } catch {
            fail(error)
        }
        guard isIdle else { return }
        progress.busySince.store(0, ordering: .relaxed)
        if let onClosed { close(onClosed) }
    }

    /// Whether everything that was appended is durable.
    private var isIdle: Bool { framed.isEmpty && waitingIndex == waiting.count && !hasUnwrittenBytes }

    /// Brings as much to disk as it can; `false` if something has to wait for room.
    private func process() throws(StorageError) -> Bool {
        while true {
            guard try write() else { return false }
            guard waitingIndex < waiting.count else { break }
            if !fits(waiting[waitingIndex]) {
                try sync()
                guard try takeSegment() else { return false }
            }
            frameSome()
        }
        waiting.removeAll(keepingCapacity: true)
        waitingIndex = 0
        try sync()
        return true
    }

    /// Frames groups until one write is full, or the segment is, or none is left.
    private func frameSome() {
        while buffer.count < Limits.writeBytes, waitingIndex < waiting.count, fits(waiting[waitingIndex]) {
            frame(waiting[waitingIndex])
            waitingIndex += 1
        }
    }

    /// Whether a group goes into the current segment. One that is larger than a whole segment goes into an empty one.
    /// While the next segment is late, the current one grows past what was written ahead: slower, but no standstill.
    private func fits(_ group: AppendedGroup) -> Bool {
        guard let active else { return false }
        let groupEnd = end + GroupHeader.totalBytes(payload: group.payload.count)
        let limit = active.start + active.capacity
        if end == active.start || groupEnd <= limit { return true }
        return groupEnd <= limit + segments.segmentBytes && progress.state == .open && !segments.isReady
    }

    private func frame(_ group: AppendedGroup) {
        guard let active else { return }
        let payload = group.payload.bytes
        clockBound = max(clockBound, group.clockBound)
        let header = GroupHeader(
            payloadBytes: payload.count, number: active.sequence, position: end, durableBefore: durable,
            clockBound: clockBound, partitions: group.partitions,
            payloadChecksum: GroupHeader.checksum(ofPayload: payload, salt: identity.salt), chain: chain)
        chain = buffer.append(group: payload, header: header, salt: identity.salt)
        hasUnwrittenBytes = true
        end = header.end
        self.active?.partitions.formUnion(group.partitions)
        framed.append(FramedGroup(group: group, end: end, bytes: payload.count))
        group.payload.removeAll()
    }

    /// Writes the buffer; `false` if there is no room, in which case it is kept and tried again at the same place, so
    /// that whatever part of it got into the file is overwritten by the same bytes.
    private func write() throws(StorageError) -> Bool {
        guard hasUnwrittenBytes, let active else { return true }
        let used = buffer.count
        let ofLastBlock = used % DiskBlock.bytes
        // Nothing but zeros lies behind the last group, or a former use of the segment that nobody misses; the file is not
        // made longer for it.
        let isRoundedUp =
            bufferOffset + Int64(used - ofLastBlock + DiskBlock.bytes) <= Int64(FileHeader.bytes + active.capacity)
        if ofLastBlock > 0, isRoundedUp { buffer.append(zeros: DiskBlock.bytes - ofLastBlock) }
        do {
            try active.file.write(buffer.bytes, at: bufferOffset)
        } catch  where error.code == .noSpace {
            buffer.truncate(to: used)
            waitForRoom()
            return false
        } catch {
            throw StorageError(error)
        }
        buffer.truncate(to: used)
        buffer.removeFirst(used - ofLastBlock)
        bufferOffset += Int64(used - ofLastBlock)
        hasUnwrittenBytes = false
        hasUnsyncedBytes = true
        return true
    }

    private func sync() throws(StorageError) {
        guard hasUnsyncedBytes, let active else { return }
        let started = clock.monotonicNanos()
        try active.file.syncForGood()
        let nanos = clock.monotonicNanos() - started
        // The segment thread may have found the disk failing meanwhile.
        guard progress.isRunning else { return }
        hasUnsyncedBytes = false
        durable = end
        isSealed = framed.isEmpty
        progress.durable.store(end.rawValue, ordering: .releasing)
        complete(syncNanos: nanos)
    }

    private func complete(syncNanos: Int64) {
        var bytes = 0
        var byLoop: [(loop: any Loop, groups: [FramedGroup])] = []
        for group in framed {
            bytes += group.bytes
            if let index = byLoop.firstIndex(where: { $0.loop === group.group.loop }) {
                byLoop[index].groups.append(group)
            } else {
                byLoop.append((group.group.loop, [group]))
            }
        }
        progress.queuedBytes.subtract(bytes, ordering: .relaxed)
        progress.statistics.withLock { statistics in
            statistics.groups += framed.count
            statistics.bytes += bytes
            statistics.syncs += 1
            statistics.syncNanos += syncNanos
            statistics.slowestSyncNanos = max(statistics.slowestSyncNanos, syncNanos)
        }
        framed.removeAll(keepingCapacity: true)
        for (loop, groups) in byLoop {
            loop.execute {
                for group in groups { group.group.completion(group.end, group.group.payload) }
            }
        }
    }

    // MARK: - Segments

    /// Moves on to the next segment; `false` if it is not ready.
    private func takeSegment() throws(StorageError) -> Bool {
        guard let next = segments.takeNext() else { return false }
        let header = FileHeader(
            kind: .segment, incarnation: identity.incarnation, restoreEpoch: identity.restoreEpoch,
            clockBound: clockBound, number: next.sequence, position: end, chain: chain,
            clusterID: identity.clusterID, nodeID: identity.nodeID)
        let encoded = header.encoded()
        do {
            try next.file.write(encoded, at: 0)
        } catch  where error.code == .noSpace {
            segments.giveBack(next)
            waitForRoom()
            return false
        } catch {
            throw StorageError(error)
        }
        // Before any group: so a file with groups behind an unreadable header is known to be damaged.
        try next.file.syncForGood()
        let closed = active.map { active in
            RetainedSegment(
                sequence: active.sequence, start: active.start, end: end, partitions: active.partitions,
                bytes: Int64(FileHeader.bytes + max(active.capacity, end - active.start)))
        }
        segments.moveOn(from: closed, to: next.sequence, start: end)
        active?.file.close()
        active = ActiveSegment(
            sequence: next.sequence, file: next.file, start: end, capacity: Int(next.bytes) - FileHeader.bytes)
        next.file.bypassCache()
        buffer.removeAll()
        buffer.append(encoded)
        bufferOffset = 0
        nextSequence = next.sequence + 1
        segments.prepare(nextSequence)
        if !isBeginningTried {
            isBeginningTried = true
            try recordBeginning()
        }
        return true
    }

    /// The segment thread made something ready, or found no room to.
    func segmentsChanged() {
        drain([])
        noteRoom()
    }

    /// On a full disk: says whether there is still room for removals. Nothing may wait, or they would wait behind it.
    private func noteRoom() {
        switch progress.state {
        case .open, .failed, .closed: return
        case .full, .exhausted: break
        }
        let rest = active.map { max($0.capacity - (end - $0.start), 0) } ?? 0
        let room = rest + segments.nextCapacity
        progress.setExhausted(!isIdle || room < segments.reserveBytes / Limits.removalMarginShare)
    }

    private func waitForRoom() {
        progress.setFull(true)
        isWaitingForRoom = !isBegun
        guard isBegun, !isRetryScheduled else { return }
        isRetryScheduled = true
        thread.schedule(afterMillis: Limits.fullDiskRetryMillis) { [self] in
            isRetryScheduled = false
            drain([])
            if isIdle { segments.clearFullIfReady() }
            noteRoom()
        }
    }

    // MARK: - Quiet times and the end

    /// After a while of silence an empty group says that the last one was durable, so that damage to it can be told
    /// from a torn tail. It is not synced: it only matters if it survives.
    private func scheduleSeal() {
        guard !isSealed, !isSealScheduled else { return }
        isSealScheduled = true
        let sealed = end
        thread.schedule(afterMillis: Limits.sealDelayMillis) { [self] in
            isSealScheduled = false
            guard progress.isRunning, isIdle else { return }
            guard end == sealed else { return scheduleSeal() }
            progress.busySince.store(max(clock.monotonicNanos(), 1), ordering: .relaxed)
            do throws(StorageError) {
                _ = try seal()
            } catch {
                fail(error)
            }
            if isIdle { progress.busySince.store(0, ordering: .relaxed) }
        }
    }

    /// With `growing`, also where the segment has no room written ahead: at the end of a log there is no next group that
    /// would say it instead.
    private func seal(growing: Bool = false) throws(StorageError) -> Bool {
        guard let active, !isSealed else { return false }
        guard growing || end + GroupHeader.bytes <= active.start + active.capacity else { return false }
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        let header = GroupHeader(
            payloadBytes: 0, number: active.sequence, position: end, durableBefore: durable, clockBound: clockBound,
            partitions: PartitionSet(),
            payloadChecksum: GroupHeader.checksum(ofPayload: nothing, salt: identity.salt), chain: chain)
        chain = buffer.append(group: nothing, header: header, salt: identity.salt)
        hasUnwrittenBytes = true
        end = header.end
        isSealed = true
        return try write()
    }

    /// Closes once everything is durable, or at once if it never will be.
    func close(_ completion: @escaping @Sendable () -> Void) {
        guard progress.isRunning else { return completion() }
        guard isIdle else {
            onClosed = completion
            return
        }
        onClosed = nil
        do throws(StorageError) {
            // A seal of a quiet moment is written and not synced: the last word of a log is.
            _ = try seal(growing: true)
            if !hasUnwrittenBytes { try sync() }
        } catch {
            fail(error)
        }
        active?.file.close()
        active = nil
        progress.close()
        completion()
    }

    private func fail(_ error: StorageError) {
        progress.fail(error)
        letGo()
    }

    /// The end of it, which the segment thread may have found: nothing is written any more, and a close waits for nothing.
    private func letGo() {
        active?.file.close()
        active = nil
        waiting = []
        waitingIndex = 0
        framed = []
        buffer.removeAll()
        hasUnwrittenBytes = false
        let completion = onClosed
        onClosed = nil
        completion?()
    }
}

private struct ActiveSegment {
    var sequence: UInt64
    var file: any DiskFile
    var start: LogPosition
    /// Bytes for groups that were written ahead.
    var capacity: Int
    var partitions = PartitionSet()
}
