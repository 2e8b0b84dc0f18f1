import TopGunModel

/// New stamps for operations that were refused for theirs (promises.md B19, C06).
///
/// The operations keep their ids and their order, and get a **new node id** with their new stamps: stamps of one node
/// strictly grow, and those of a clock that was ahead would not. So no stamp that ever left this device is given to something else, whatever the
/// wall clock did.
extension ReplicaState {
    /// Restamps once nothing is undecided any more that the servers may have taken with its old stamp, once no operation
    /// is between here and the store, and once no map is being read: a page that is on its way still has the old stamps.
    mutating func restampIfPossible(at now: ReplicaTime) {
        guard isRestampWanted, sentCount == 0, saving.inFlight == nil,
            !maps.contains(where: { $0.loading == .loading })
        else { return }
        isRestampWanted = false
        let old = clock
        let node = chance.uuid()
        clock = role == .leader ? HybridLogicalClock(node: node, restoredBound: 0) : HybridLogicalClock(node: node)
        if !isClockAhead { observe(Timestamp(millis: old.millis, counter: old.counter, node: old.node)) }
        isClockAhead = false
        noteClockBound()
        var slots: [Int32] = []
        var slot = log.first
        while slot != RecordTable.none {
            switch log[slot].state {
            case .restamp, .ready, .restamped: slots.append(slot)
            case .new, .sent, .reached: break
            }
            slot = log.next(after: slot)
        }
        slots.append(contentsOf: saving.operations)
        for slot in slots { restamp(slot, at: now) }
    }

    private mutating func restamp(_ slot: Int32, at now: ReplicaTime) {
        let ref = log[slot].ref
        // A write must still come after what this device showed before it, where that is not from the future itself.
        let latest = wallMillis(now) + ModelLimits.clientAheadMillisMax
        let pending = maps[Int(ref.map)].table.entries[Int(ref.place)].pending
        if pending != RecordTable.none {
            if case .record(let base, _) = pendings[pending].base, base.timestamp.millis <= latest {
                observe(base.timestamp)
            }
            for earlier in pendings[pending].writes {
                if earlier == slot { break }
                let stamp = log[earlier].record.timestamp
                if stamp.millis <= latest { observe(stamp) }
            }
        }
        let stamp: Timestamp
        do throws(ReplicaError) {
            stamp = try nextStamp(at: now)
        } catch {
            // The clock is new, so only a wall clock at the end of time gets here; the old stamp is refused again.
            if log[slot].state == .restamp { makeReady(slot) }
            return
        }
        log[slot].record.timestamp = stamp
        if log[slot].connection == link.connection {
            log[slot].staleAnswers += log[slot].copies
            log[slot].copies = 0
        }
        switch log[slot].state {
        case .new, .restamped: break
        case .ready, .sent, .reached, .restamp:
            log[slot].state = .restamped
            saving.restamped.append(slot)
        }
        recompute(ref, now)
        markUnsaved(ref, .local)
    }
}
