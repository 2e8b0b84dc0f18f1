import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunStorage

/// One hosted partition: everything that happens to it now and then, as opposed to with every write.
///
/// Its executor is the loop of its group, whose core holds the records; writes reach them through the group's door and
/// never through this actor.
actor Partition {
    nonisolated let id: PartitionID
    nonisolated let group: LoopBound<GroupCore>

    nonisolated var unownedExecutor: UnownedSerialExecutor { group.loop.executor }

    init(_ id: PartitionID, in group: LoopBound<GroupCore>) {
        self.id = id
        self.group = group
    }

    /// Writes a checkpoint of the partition, slice by slice, while it goes on serving.
    ///
    /// It covers the log up to what was durable when it began: all of that had been merged into memory before it was
    /// logged, and so is in some slice. What is written meanwhile may be in it too; it is in the log as well. None is
    /// written of a partition that is torn down, not even in the middle of it, and none of memory that is broken: every
    /// record is checked on its way.
    func checkpoint(
        into store: CheckpointStore, of log: WriteAheadLog, on thread: any Loop
    ) async -> StorageError? {
        guard group.value.isOpen(id) else {
            guard group.value.lostPartitions.contains(id.index) else { return nil }
            return await checkpointFromDisk(log, into: store, on: thread)
        }
        #if MUTANTS
        if Mutant.awaitBetweenReadAndWrite.isOn { return await checkpointOfThePast(into: store) }
        #endif
        let closings = group.value.closings[id.index]
        let writer = store.begin(partition: id.index, covering: group.value.durablePosition)
        var sink = ByteSink(capacity: Limits.checkpointSliceBytes + 4_096)
        var cursor: CheckpointCursor?
        repeat {
            sink.removeAll()
            cursor = group.value.state.slice(id, from: cursor, bytesLimit: Limits.checkpointSliceBytes, into: sink)
            if group.value.closeWhatShowed() {
                writer.abandon()
                return nil
            }
            guard sink.count > 0 else { continue }
            let (recycled, failure) = await append(sink, to: writer)
            if let failure { return failure }
            guard closings == group.value.closings[id.index] else {
                writer.abandon()
                return nil
            }
            sink = recycled
        } while cursor != nil
        return await commit(writer)
    }

    private func commit(_ writer: CheckpointWriter) async -> StorageError? {
        let failure = await withCheckedContinuation { continuation in
            writer.commit(from: group.loop) { continuation.resume(returning: $0) }
        }
        if failure == nil { group.value.metrics.counts.checkpointsWritten += 1 }
        return failure
    }

    func append(_ slice: ByteSink, to writer: CheckpointWriter) async -> (ByteSink, StorageError?) {
        await withCheckedContinuation { continuation in
            writer.append(slice, from: group.loop) { recycled, failure in
                continuation.resume(returning: (recycled, failure))
            }
        }
    }

    /// Tears the partition down: it forgets everything and answers `NOT_READY` until ``rebuild(from:on:)`` is done.
    /// `false` if it is down already.
    func kill() -> Bool {
        group.value.close(id)
    }

    /// Leaves it closed: whoever waits for it is told so, and whoever asks from now on.
    func giveUp() {
        group.value.giveUp(id)
    }

    /// Whether it was given up; from now on it is waited for again.
    func reconsider() -> Bool {
        guard group.value.lostPartitions.contains(id.index) else { return false }
        group.value.reconsider(id)
        return true
    }

    /// Brings back what was merged before ``kill()``, and opens the partition. Calls may be repeated after a failure.
    func rebuild(from log: WriteAheadLog, on thread: any Loop) async -> PartitionFailure? {
        let failure = await forEachSlice(of: log, on: thread) { slice in
            group.value.load(slice).map { .refused($0) }
        }
        if failure == nil { group.value.open(id) }
        return failure
    }

    /// Writes a checkpoint of a partition that stays out, from what the disk knows of it: nothing is added to it any more,
    /// and it shall not keep the log from shrinking.
    private func checkpointFromDisk(
        _ log: WriteAheadLog, into store: CheckpointStore, on thread: any Loop
    ) async -> StorageError? {
        let writer = store.begin(partition: id.index, covering: log.durablePosition)
        let failure = await forEachSlice(of: log, on: thread) { slice in
            guard slice.count > 0 else { return nil }
            return await append(slice, to: writer).1.map { .unreadable($0) }
        }
        guard failure == nil, group.value.lostPartitions.contains(id.index) else {
            writer.abandon()
            return failure?.cause
        }
        return await commit(writer)
    }

    /// Hands out what the disk knows of the partition, slice by slice, until `take` has something against it.
    ///
    /// Everything the partition logged is waited for first: what was merged and not on disk yet at the moment of its
    /// death is read from there like the rest.
    private func forEachSlice(
        of log: WriteAheadLog, on thread: any Loop, _ take: (ByteSink) async -> PartitionFailure?
    ) async -> PartitionFailure? {
        let id = id
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            group.value.afterGate { continuation.resume() }
        }
        let reader = log.reader(of: id.index, upTo: log.durablePosition)
        defer { reader.close() }
        do throws(StorageError) {
            var isMore = true
            while isMore {
                let (slice, more) = try await thread.run { () throws(StorageError) in
                    let sink = ByteSink(capacity: Limits.rebuildSliceBytes + 4_096)
                    let isMore = try reader.read(into: sink, bytesLimit: Limits.rebuildSliceBytes) { record in
                        record.kind != .clockBound && PartitionID(hash: KeyHash.of(record.key)) == id
                    }
                    return (Handover(sink), isMore)
                }
                if let failure = await take(slice.value) { return failure }
                isMore = more
            }
        } catch {
            return .unreadable(error)
        }
        return nil
    }

    var summary: PartitionSummary? { group.value.state.summary(of: id) }
}

/// Why a partition could not be rebuilt.
enum PartitionFailure: Error, CustomStringConvertible {
    /// Its checkpoint or the log cannot be read, or a new checkpoint not be written.
    case unreadable(StorageError)
    /// The core does not take a record.
    case refused(PartitionError)

    /// What the storage says.
    fileprivate var cause: StorageError? {
        switch self {
        case .unreadable(let error): error
        case .refused: nil
        }
    }

    var description: String {
        switch self {
        case .unreadable(let error): error.message
        case .refused(let error): "a record of it is not accepted: \(error.code)"
        }
    }
}
