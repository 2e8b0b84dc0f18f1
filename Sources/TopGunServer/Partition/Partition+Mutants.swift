#if MUTANTS
import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunStorage

extension Partition {
    /// The mutant `awaitBetweenReadAndWrite`: the records are read, others have their turns, and then it is asked what the
    /// checkpoint covers.
    func checkpointOfThePast(into store: CheckpointStore) async -> StorageError? {
        let sink = ByteSink()
        var cursor: CheckpointCursor?
        repeat {
            cursor = group.value.state.slice(id, from: cursor, bytesLimit: Limits.checkpointSliceBytes, into: sink)
        } while cursor != nil
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            group.loop.schedule(afterMillis: Limits.checkpointPauseMillis) { continuation.resume() }
        }
        let writer = store.begin(partition: id.index, covering: group.value.durablePosition)
        if sink.count > 0, let failure = await append(sink, to: writer).1 { return failure }
        let failure = await withCheckedContinuation { continuation in
            writer.commit(from: group.loop) { continuation.resume(returning: $0) }
        }
        if failure == nil { group.value.metrics.counts.checkpointsWritten += 1 }
        return failure
    }
}
#endif
