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
    private nonisolated let group: LoopBound<GroupCore>

    nonisolated var unownedExecutor: UnownedSerialExecutor { group.loop.executor }

    init(_ id: PartitionID, in group: LoopBound<GroupCore>) {
        self.id = id
        self.group = group
    }

    /// Writes a checkpoint of the partition, slice by slice, while it goes on serving.
    ///
    /// It covers the log up to what was durable when it began: all of that had been merged into memory before it was
    /// logged, and so is in some slice. What is written meanwhile may be in it too; it is in the log as well.
    func checkpoint(into store: CheckpointStore) async -> StorageError? {
        let writer = store.begin(partition: id.index, covering: group.value.durablePosition)
        var sink = ByteSink(capacity: Limits.checkpointSliceBytes + 4_096)
        var cursor: CheckpointCursor?
        repeat {
            sink.removeAll()
            cursor = group.value.state.slice(id, from: cursor, bytesLimit: Limits.checkpointSliceBytes, into: sink)
            guard sink.count > 0 else { continue }
            let (recycled, failure) = await append(sink, to: writer)
            if let failure { return failure }
            sink = recycled
        } while cursor != nil
        let failure = await withCheckedContinuation { continuation in
            writer.commit(from: group.loop) { continuation.resume(returning: $0) }
        }
        if failure == nil { group.value.metrics.counts.checkpointsWritten += 1 }
        return failure
    }

    private func append(_ slice: ByteSink, to writer: CheckpointWriter) async -> (ByteSink, StorageError?) {
        await withCheckedContinuation { continuation in
            writer.append(slice, from: group.loop) { recycled, failure in
                continuation.resume(returning: (recycled, failure))
            }
        }
    }

    var summary: PartitionSummary? { group.value.state.summary(of: id) }
}
