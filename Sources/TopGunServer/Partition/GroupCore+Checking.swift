import TopGunEnvironment
import TopGunModel
import TopGunPartition

// Memory that no longer says what was written there: found in the background, by a checkpoint or by a write, and closed
// before anybody is served from it again. The supervisor rebuilds it from the disk.

/// A partition whose memory is broken; it is closed.
struct BrokenPartition: Sendable {
    let partition: PartitionID
    let breakage: Breakage
}

extension GroupCore {
    /// Looks at the next bounded part of the memory, and returns every partition that was found broken since the last
    /// call, by whomever.
    func check() -> [BrokenPartition] {
        let findings = state.check(&checkCursor, visits: checkVisitsPerTurn)
        metrics.counts.leavesReleased += findings.leavesReleased
        for (partition, breakage) in zip(findings.broken, findings.breakage) { closeBroken(partition, breakage) }
        return takeBroken()
    }

    /// Every partition that was found broken since the last call, by whomever.
    func takeBroken() -> [BrokenPartition] {
        closeWhatShowed()
        defer { broken = [] }
        return broken
    }

    /// Closes a partition if one showed to be broken on the way of what was just done; whether it did.
    @discardableResult
    func closeWhatShowed() -> Bool {
        guard let (partition, breakage) = state.takeBroken() else { return false }
        closeBroken(partition, breakage)
        return true
    }

    private func closeBroken(_ partition: PartitionID, _ breakage: Breakage) {
        guard close(partition) else { return }
        metrics.counts.partitionsBroken += 1
        broken.append(BrokenPartition(partition: partition, breakage: breakage))
    }
}
