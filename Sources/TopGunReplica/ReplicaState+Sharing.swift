import TopGunModel

/// Two processes with one store: an app and its widget (promises.md C05).
///
/// ```
/// follower: set ──> store (record and operation) ──> leader: storeChanged ──> servers
/// leader:   merge ──> store (records) ──> follower: storeChanged ──> shown
/// ```
///
/// Who leads is the shell's decision, by a lock that goes away with its process. Each process stamps with a node id of
/// its own; operation ids come from the store, so both may write at once.
extension ReplicaState {
    /// Another process may have changed the store. `fates` are those of ``outstandingOperations``, in that order, as
    /// read together with the changes; a leader decides them itself and passes none.
    package mutating func storeChanged(_ changes: StoreChanges, fates: [OperationFate], at now: ReplicaTime) {
        switch role {
        case .leader:
            for operation in changes.operations { takeOver(operation, now) }
            for entry in changes.entries { mergeStored(entry, now) }
        case .follower:
            let ids = outstandingOperations
            for entry in changes.entries { replaceStored(entry, now) }
            // What became of a write is told only once everything is here that the leader made of its key.
            if !changes.isCut {
                for (id, fate) in zip(ids, fates) { noteFate(fate, of: id, now) }
            }
        }
        storeSequence = max(storeSequence, changes.sequence)
        refused.forget(upTo: storeSequence, maps)
        for operation in changes.operations { lastOperationID = max(lastOperationID, operation.id) }
    }

    /// A follower's write comes into the leader's log, above what the servers are known to hold.
    private mutating func takeOver(_ operation: StoredOperation, _ now: ReplicaTime) {
        // What this process wrote it knows, though it may be retired here and not in the store yet.
        guard log.slot(ofID: operation.id) == nil, operation.record.timestamp.node != clock.node else { return }
        let map = mapIndex(named: operation.map)
        let ref = EntryRef(map: map, place: maps[map].table.makePlace(of: operation.key))
        guard !refused.contains(operation.record.timestamp, at: ref) else { return }
        adoptVisibly(operation, at: ref, now)
        // A record of ours may have been written over the follower's before we knew of it.
        markUnsaved(ref, .remote, over: operation.record.timestamp)
    }

    /// Takes an operation into the log of a replica that is looked at already.
    private mutating func adoptVisibly(_ operation: StoredOperation, at ref: EntryRef, _ now: ReplicaTime) {
        let stood = maps[Int(ref.map)].table.entries[Int(ref.place)].record
        adopt(operation)
        if maps[Int(ref.map)].table.entries[Int(ref.place)].record != stood { tell(ref, isLocal: false, now) }
        if let slot = log.slot(ofID: operation.id) { refuseUnlessSendable(slot, now) }
    }

    private mutating func mergeStored(_ entry: StoredEntry, _ now: ReplicaTime) {
        guard let map = mapIndices[entry.map], let record = entry.record, !isClearing(entry.map) else { return }
        let ref = EntryRef(map: map, place: maps[map].table.makePlace(of: entry.key))
        guard !refused.contains(record.timestamp, at: ref) else { return }
        let stored = maps[map].table.entries[Int(ref.place)].record
        guard stored.map({ record.replaces($0, tie: .repeatChangesNothing) }) ?? (maps[map].loading != .known) else {
            return
        }
        observe(record.timestamp)
        show(interned(record), isOwn: entry.isOwn, at: ref, isLocal: false, now)
    }

    /// Whether the store still has what a reset took away, so that what is read from it would bring that back. Writes that
    /// others made meanwhile come as operations too.
    private func isClearing(_ map: ByteString) -> Bool {
        saving.clearedMaps.contains(map) || saving.inFlight?.transaction.clearedMaps.contains(map) ?? false
    }

    private mutating func replaceStored(_ entry: StoredEntry, _ now: ReplicaTime) {
        // Also of a map that is being read: the reading may be past this key.
        guard let map = mapIndices[entry.map], maps[map].loading != .known else { return }
        let ref = EntryRef(map: map, place: maps[map].table.makePlace(of: entry.key))
        let shown = maps[map].table.entries[Int(ref.place)]
        if let record = entry.record { observe(record.timestamp) }
        let record = entry.record.map { interned($0) }
        if shown.pending != RecordTable.none {
            // Our own write is on its way to the store, or to the leader, and meets this record there.
            pendings[shown.pending].base = record.map { .record($0, isOwn: entry.isOwn) } ?? .absent
            recompute(ref, now)
        } else if record != shown.record {
            show(record, isOwn: entry.isOwn, at: ref, isLocal: false, now)
        }
    }

    /// What a follower's key shows without its writes is what the store has of it, so a write that is stored is part of
    /// that: when it leaves the log, what the leader made of it stands.
    mutating func noteStored(_ slot: Int32) {
        let ref = log[slot].ref
        let pending = maps[Int(ref.map)].table.entries[Int(ref.place)].pending
        guard role == .follower, pending != RecordTable.none else { return }
        pendings[pending].base = pendings[pending].base.merged(log[slot].record, isOwn: true)
    }

    /// What the leader made of a write of this follower. Of one whose fate is not known any more nothing is said: it may
    /// have been refused, so no level may be reported.
    private mutating func noteFate(_ fate: OperationFate, of id: UInt64, _ now: ReplicaTime) {
        guard let slot = log.slot(ofID: id) else {
            guard case .retired(.persisted) = fate, let retired = retiredWrites.take(id), retired.write != nil else {
                return
            }
            return effects.results.append(retired)
        }
        let entry = log[slot]
        let (map, key) = name(of: entry.ref)
        switch fate {
        case .pending: return
        case .unknown: break
        case .retired(let level):
            effects.results.append(
                WriteResult(write: entry.write, id: id, map: map, key: key, outcome: .reached(level)))
            if level < .persisted { retiredWrites.insert(entry.write, id: id, map: map, key: key) }
        case .setAside(let code):
            setAsides.append(
                SetAsideOperation(
                    operation: StoredOperation(id: id, map: map, key: key, record: entry.record), code: code))
            effects.results.append(
                WriteResult(
                    write: entry.write, id: id, map: map, key: key,
                    outcome: .refused(code: code, losing: entry.record)))
        }
        takeOut(slot)
        recompute(entry.ref, now)
        settle(entry.ref)
    }
}

// MARK: - Changing roles

extension ReplicaState {
    /// The other process is gone and this one holds the lock: it syncs from now on. Hand in the identity, the maps, the
    /// operations and the refused operations as the store has them, and the last change of the store.
    package mutating func lead(
        identity stored: StoredIdentity, maps knownMaps: [StoredMap], operations: [StoredOperation],
        setAside: [SetAsideOperation], at now: ReplicaTime
    ) {
        guard role == .follower else { return }
        role = .leader
        identity = stored
        // The node id of this run goes on; the store learns it with the next stamp, before anything is sent.
        // What was stamped so far lies below what is stored now, or the next run could stamp it again.
        clock = HybridLogicalClock(node: clock.node, restoredBound: clock.millis)
        noteClockBound()
        restore(maps: knownMaps)
        setAsides = setAside
        for id in log.ids {
            // From now on a base is what the servers have, and of what was written here they were not asked yet.
            guard let slot = log.slot(ofID: id) else { continue }
            let pending = maps[Int(log[slot].ref.map)].table.entries[Int(log[slot].ref.place)].pending
            guard pending != RecordTable.none, case .record(_, isOwn: true) = pendings[pending].base else { continue }
            pendings[pending].base = .unknown
        }
        for operation in operations {
            let map = mapIndex(named: operation.map)
            let ref = EntryRef(map: map, place: maps[map].table.makePlace(of: operation.key))
            adoptVisibly(operation, at: ref, now)
        }
        for map in maps.indices where maps[map].isOpen && maps[map].loading == .loaded { syncSoon(map) }
        connectIfWanted(at: now)
    }

    /// Another process syncs from now on. Stamps are made with a new node id, for the old one is the leader's.
    package mutating func follow(at now: ReplicaTime) {
        guard role == .leader else { return }
        drop(code: 1000, retryMillis: nil, at: now)
        role = .follower
        // Both are the other process's to write now.
        saving.isIdentityUnsaved = false
        saving.maps.removeAll()
        clock = HybridLogicalClock(node: chance.uuid())
        identity.node = clock.node
        // What is not of this process is the leader's business.
        for id in log.ids {
            guard let slot = log.slot(ofID: id) else { continue }
            if log[slot].write != nil {
                noteStored(slot)
                continue
            }
            let ref = log[slot].ref
            takeOut(slot)
            settle(ref)
        }
    }
}
