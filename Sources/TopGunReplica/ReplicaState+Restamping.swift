import TopGunModel

/// New stamps for operations that were refused for theirs (promises.md B19, C06).
///
/// The operations keep their ids and their order, and get a **new node id**: stamps of one node strictly grow, and those of a
/// clock that was ahead would not. So no stamp that ever left this device is given to something else, whatever the wall clock
/// did.
///
/// What was refused for its time gets a new one, and so does what would be refused, and what was written over either. What was
/// refused for its node id alone keeps its time: among what comes after it may be a write that the servers have. The rest
/// keeps its stamp: among it may be what is offered again to restored servers, which must not come to be newer than what
/// others wrote since.
extension ReplicaState {
    /// Restamps once nothing is undecided any more that the servers may have taken with its old stamp, once no operation
    /// is between here and the store, and once no map is being read: a page that is on its way still has the old stamps.
    mutating func restampIfPossible(at now: ReplicaTime) {
        guard isRestampWanted, sentCount == 0, saving.inFlight == nil,
            !maps.contains(where: { $0.loading == .loading })
        else { return }
        isRestampWanted = false
        let old = clock
        let wasAhead = isClockAhead
        let node = chance.uuid()
        clock = role == .leader ? HybridLogicalClock(node: node, restoredBound: 0) : HybridLogicalClock(node: node)
        if !wasAhead { observe(Timestamp(millis: old.millis, counter: old.counter, node: old.node)) }
        isClockAhead = false
        // In the order of the stamps they have: that of the log, but for what is offered again, which is older than what was
        // written over it.
        let slots = unsentSlots.sorted { log[$0].record.timestamp < log[$1].record.timestamp }
        let latest = wasAhead ? wallMillis(now) + ModelLimits.clientAheadMillisMax : .max
        rename(slots.filter { log[$0].state == .rename && log[$0].record.timestamp.millis <= latest }, now)
        noteClockBound()
        var moved: Set<EntryRef> = []
        for slot in slots {
            let isRefused = log[slot].state == .restamp || log[slot].state == .rename
            let isAhead = log[slot].record.timestamp.millis > latest
            guard isRefused || isAhead || moved.contains(log[slot].ref) else { continue }
            moved.insert(log[slot].ref)
            restamp(slot, at: now)
        }
    }

    /// The operations that the servers do not have, the newest of them not in the store either.
    private var unsentSlots: [Int32] {
        var slots: [Int32] = []
        var slot = log.first
        while slot != RecordTable.none {
            switch log[slot].state {
            case .restamp, .rename, .ready, .restamped: slots.append(slot)
            case .new, .sent, .reached: break
            }
            slot = log.next(after: slot)
        }
        return slots + saving.operations
    }

    /// Gives operations the new node id, in the order of their stamps. The clock goes on behind them and behind what the old
    /// node id stamped, in another run too.
    private mutating func rename(_ slots: [Int32], _ now: ReplicaTime) {
        var last: Timestamp?
        for slot in slots {
            var stamp = log[slot].record.timestamp
            stamp.node = clock.node
            // The same time of another old node id gets a new one.
            guard stamp != last else { continue }
            last = stamp
            observe(stamp)
            give(stamp, to: slot, now)
        }
        clock.raiseBound(to: clock.millis)
    }

    private mutating func restamp(_ slot: Int32, at now: ReplicaTime) {
        let ref = log[slot].ref
        let old = log[slot].record.timestamp
        // A write must still come after what this device showed before it, where that is not from the future itself.
        let latest = wallMillis(now) + ModelLimits.clientAheadMillisMax
        let pending = maps[Int(ref.map)].table.entries[Int(ref.place)].pending
        if pending != RecordTable.none {
            if case .record(let base, _) = pendings[pending].base, base.timestamp.millis <= latest {
                observe(base.timestamp)
            }
            for other in pendings[pending].writes where other != slot {
                let stamp = log[other].record.timestamp
                if stamp < old, stamp.millis <= latest { observe(stamp) }
            }
        }
        let stamp: Timestamp
        do throws(ReplicaError) {
            stamp = try nextStamp(at: now)
        } catch {
            // The clock is new, so only a wall clock at the end of time gets here; the old stamp is refused again.
            if log[slot].state == .restamp || log[slot].state == .rename { makeReady(slot) }
            return
        }
        give(stamp, to: slot, now)
    }

    private mutating func give(_ stamp: Timestamp, to slot: Int32, _ now: ReplicaTime) {
        let (ref, old) = (log[slot].ref, log[slot].record.timestamp)
        log[slot].record.timestamp = stamp
        if log[slot].connection == link.connection {
            log[slot].staleAnswers += log[slot].copies
            log[slot].copies = 0
        }
        switch log[slot].state {
        case .new, .restamped: break
        case .ready, .sent, .reached, .restamp, .rename:
            log[slot].state = .restamped
            saving.restamped.append(slot)
        }
        recompute(ref, now)
        markUnsaved(ref, .local, over: old)
    }
}
