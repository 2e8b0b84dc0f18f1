import TopGunEnvironment
import TopGunModel
import TopGunPartition

// Partitions that are torn down and rebuilt while the group serves. Operations on such a partition are answered
// `NOT_READY`; whatever looks at a whole map waits until all partitions are open, so that no reader is shown less than
// there is.
//
//   close ──► everything it logged is on disk ──► its records are loaded, in slices ──► open ──► what waited goes on
//     │                                    │ takes longer than anybody has patience for
//     └── given up: stays out ─────────────┴──► what waits is refused with `NOT_READY`, and so is what comes
//
// Waiting is bounded in time and in number; whoever finds the line full is refused with `BUSY`.

/// A job that waits for all partitions of a group to be open.
struct Waiter {
    let job: () -> Void
    /// Tells who asked that nothing comes of it; `nil` for what must be done in any case, in its turn.
    let refuse: ((Refusal) -> Void)?
    let sinceMillis: Int64
}

extension GroupCore {
    func isOpen(_ partition: PartitionID) -> Bool { state.summary(of: partition)?.isOpen == true }

    /// Forgets a partition; `false` if it is not open.
    func close(_ partition: PartitionID) -> Bool {
        guard isOpen(partition) else { return false }
        // First what it changed is encoded for its readers: the log holds the records, not the table.
        publish()
        state.drop(partition)
        closedPartitions.insert(partition.index)
        closings[partition.index, default: 0] += 1
        return true
    }

    /// Serves a partition again whose records are loaded.
    func open(_ partition: PartitionID) {
        state.open(partition)
        closedPartitions.remove(partition.index)
        lostPartitions.remove(partition.index)
        metrics.counts.partitionsRebuilt += 1
        guard closedPartitions.isEmpty else { return }
        for waiter in takeWaiters(upTo: waiters.count) { waiter.job() }
    }

    /// A closed partition stays closed, for all that anybody here knows.
    func giveUp(_ partition: PartitionID) {
        lostPartitions.insert(partition.index)
        refuse(takeWaiters(upTo: waiters.count))
    }

    /// It is to be rebuilt after all.
    func reconsider(_ partition: PartitionID) {
        lostPartitions.remove(partition.index)
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

// MARK: - Waiting for all of them

extension GroupCore {
    /// Runs a job that looks at whole maps: at once, or when all partitions are open, in order. Where that takes too long,
    /// or too many wait, `refuse` is called instead.
    func whenWhole(_ job: @escaping () -> Void, orElse refuse: @escaping (Refusal) -> Void) {
        guard !closedPartitions.isEmpty else { return job() }
        guard lostPartitions.isEmpty else { return refuse(.notReady) }
        guard questionsWaiting < Limits.waitersMax else { return refuse(.busy) }
        questionsWaiting += 1
        waiters.append(Waiter(job: job, refuse: refuse, sinceMillis: nowMillis))
        lookForImpatient()
    }

    /// Runs a job behind everything that waits, whatever comes of that: what ends a subscription must not overtake it.
    func inTurn(_ job: @escaping () -> Void) {
        guard !waiters.isEmpty else { return job() }
        waiters.append(Waiter(job: job, refuse: nil, sinceMillis: nowMillis))
    }

    private func takeWaiters(upTo count: Int) -> [Waiter] {
        let taken = Array(waiters.prefix(count))
        waiters.removeFirst(count)
        questionsWaiting -= taken.count { $0.refuse != nil }
        return taken
    }

    private func refuse(_ refused: [Waiter]) {
        for waiter in refused {
            if let refuse = waiter.refuse { refuse(.notReady) } else { waiter.job() }
        }
        gateway.flush()
    }

    private func lookForImpatient() {
        guard !isImpatienceScheduled, let first = waiters.first else { return }
        isImpatienceScheduled = true
        let left = max(1, first.sinceMillis + Limits.wholePatienceMillis - nowMillis)
        loop.schedule(afterMillis: left) { [door = LoopBound(self, on: loop)] in
            let group = door.value
            group.isImpatienceScheduled = false
            let latest = group.nowMillis - Limits.wholePatienceMillis
            group.refuse(group.takeWaiters(upTo: group.waiters.prefix { $0.sinceMillis <= latest }.count))
            group.lookForImpatient()
        }
    }
}
