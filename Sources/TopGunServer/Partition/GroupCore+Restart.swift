import TopGunModel
import TopGunPartition

// Partitions that are torn down and rebuilt while the group serves. Operations on such a partition are answered
// `NOT_READY`; whatever looks at a whole map waits until all partitions are open, so that no reader is shown less than
// there is.
//
//   close ──► everything it logged is on disk ──► its records are loaded, in slices ──► open ──► what waited goes on

extension GroupCore {
    func isOpen(_ partition: PartitionID) -> Bool { state.summary(of: partition)?.isOpen == true }

    /// Forgets a partition; `false` if it is not open.
    func close(_ partition: PartitionID) -> Bool {
        guard isOpen(partition) else { return false }
        // First what it changed is encoded for its readers: the log holds the records, not the table.
        publish()
        state.drop(partition)
        closedPartitions.insert(partition.index)
        return true
    }

    /// Serves a partition again whose records are loaded.
    func open(_ partition: PartitionID) {
        state.open(partition)
        closedPartitions.remove(partition.index)
        metrics.counts.partitionsRebuilt += 1
        guard closedPartitions.isEmpty else { return }
        let jobs = waitingJobs
        waitingJobs = []
        for job in jobs { job() }
    }

    /// Runs a job that looks at whole maps, or changes who is told of them: at once, or when all partitions are open, in
    /// order.
    func whenWhole(_ job: @escaping () -> Void) {
        if closedPartitions.isEmpty { job() } else { waitingJobs.append(job) }
    }

    /// Loads records of a partition that is being rebuilt.
    func load(_ records: ByteSink) -> PartitionError? {
        let bytes = records.bytes
        var offset = 0
        while offset < bytes.count {
            guard let record = StoredRecord(in: bytes, at: &offset) else {
                preconditionFailure("the reader of a partition appended something else than records")
            }
            do throws(PartitionError) {
                try state.load(record)
            } catch {
                return error
            }
        }
        return nil
    }
}
