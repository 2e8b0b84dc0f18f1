import TopGunModel

// What goes to the store, and what the store answers.

extension ReplicaState {
    /// The store must get a place as it stands.
    mutating func markUnsaved(_ ref: EntryRef, _ unsaved: RecordTable.Unsaved) {
        // Only one process writes what comes from the servers; what a follower shows of it is in the store already.
        if role == .follower, unsaved == .remote { return }
        let current = maps[Int(ref.map)].table.entries[Int(ref.place)].unsaved
        guard current.rawValue < unsaved.rawValue else { return }
        maps[Int(ref.map)].table.setUnsaved(unsaved, at: Int(ref.place))
        switch unsaved {
        case .no: break
        case .remote: saving.remoteEntries.append(ref)
        case .local: saving.localEntries.append(ref)
        }
        if !maps[Int(ref.map)].isStored { markMapUnsaved(Int(ref.map)) }
    }

    /// The same for a place where a write with that stamp stood. Its map need not be here, and then the store may have
    /// something newer, which only reading it would show.
    mutating func markUnsaved(_ ref: EntryRef, _ unsaved: RecordTable.Unsaved, over stamp: Timestamp) {
        if maps[Int(ref.map)].loading != .loaded { saving.unread[ref] = max(saving.unread[ref] ?? stamp, stamp) }
        markUnsaved(ref, unsaved)
    }

    mutating func markMapUnsaved(_ map: Int) {
        guard role == .leader, !maps[map].isUnsaved else { return }
        maps[map].isUnsaved = true
        saving.maps.append(map)
    }

    /// The next transaction, unless one is being committed or there is nothing to write.
    mutating func makeTransaction(at now: ReplicaTime) {
        guard isStarted, saving.inFlight == nil, !saving.isEmpty else { return }
        if let retryMillis = saving.retryMillis {
            guard saving.hasNewWrites || now.steadyMillis >= retryMillis else { return }
            saving.retryMillis = nil
        }
        saving.hasNewWrites = false
        saving.number += 1
        var transaction = StoreTransaction()
        transaction.number = saving.number
        if saving.isIdentityUnsaved { transaction.identity = identity }
        saving.isIdentityUnsaved = false
        swap(&transaction.clearedMaps, &saving.clearedMaps)
        var entries: [EntryRef] = []
        let localCount = takeEntries(into: &transaction, &entries)
        var cursors: [Int] = []
        if !saving.hasRemoteEntries {
            // Only now: a cursor says that everything up to it is in the store.
            swap(&cursors, &saving.maps)
            for map in cursors {
                maps[map].isUnsaved = false
                transaction.maps.append(StoredMap(name: maps[map].name, lastSyncMillis: maps[map].lastSyncMillis))
            }
        }
        for slot in saving.operations {
            let (map, key) = name(of: log[slot].ref)
            transaction.newOperations.append(NewOperation(map: map, key: key, record: log[slot].record))
        }
        for slot in saving.restamped {
            let (map, key) = name(of: log[slot].ref)
            transaction.restamped.append(
                StoredOperation(id: log[slot].id, map: map, key: key, record: log[slot].record))
        }
        swap(&transaction.retired, &saving.retired)
        swap(&transaction.setAside, &saving.setAside)
        swap(&transaction.forgotten, &saving.forgotten)
        swap(&transaction.decided, &saving.decided)
        saving.inFlight = Saving.InFlight(
            transaction: StoreTransaction(), entries: entries, localCount: localCount, maps: cursors,
            operations: saving.operations, restamped: saving.restamped)
        saving.operations = []
        saving.restamped = []
        saving.inFlight?.transaction = transaction
        effects.transaction = transaction
    }

    /// Returns how many of the entries are those of local writes; they come first.
    private mutating func takeEntries(
        into transaction: inout StoreTransaction, _ entries: inout [EntryRef]
    ) -> Int {
        let unread = saving.unread
        func take(_ ref: EntryRef, _ maps: inout [ReplicaMap]) {
            let map = Int(ref.map)
            let entry = maps[map].table.entries[Int(ref.place)]
            var rule: StoredEntry.Rule = role == .leader ? .replace : .merge
            if !unread.isEmpty, maps[map].loading != .loaded, let stamp = unread[ref] {
                rule = .unlessNewer(than: max(stamp, entry.record?.timestamp ?? stamp))
            }
            // Taken already, by way of the other list.
            guard entry.unsaved != .no else { return }
            maps[map].table.setUnsaved(.no, at: Int(ref.place))
            entries.append(ref)
            transaction.entries.append(
                StoredEntry(
                    map: maps[map].name, key: entry.key, record: entry.record, isOwn: entry.isOwn, rule: rule))
        }
        transaction.entries.reserveCapacity(
            min(
                saving.localEntries.count + saving.remoteEntries.count - saving.remoteStart,
                ReplicaLimits.transactionEntriesMax))
        for ref in saving.localEntries { take(ref, &maps) }
        saving.localEntries.removeAll(keepingCapacity: true)
        let localCount = entries.count
        while saving.hasRemoteEntries, transaction.entries.count < ReplicaLimits.transactionEntriesMax {
            take(saving.remoteEntries[saving.remoteStart], &maps)
            saving.remoteStart += 1
        }
        if !saving.hasRemoteEntries {
            saving.remoteEntries.removeAll(keepingCapacity: true)
            saving.remoteStart = 0
        }
        return localCount
    }

    func name(of ref: EntryRef) -> (map: ByteString, key: ByteString) {
        (maps[Int(ref.map)].name, maps[Int(ref.map)].table.entries[Int(ref.place)].key)
    }
}

// MARK: - Answers

extension ReplicaState {
    /// The transaction is durable.
    package mutating func committed(_ outcome: CommitOutcome, at now: ReplicaTime) {
        guard let done = saving.inFlight else { return }
        saving.inFlight = nil
        for map in done.maps { maps[map].isStored = true }
        if !saving.unread.isEmpty {
            for ref in done.entries where maps[Int(ref.map)].table.entries[Int(ref.place)].unsaved == .no {
                saving.unread[ref] = nil
            }
        }
        for (index, slot) in done.operations.enumerated() {
            let id = outcome.firstOperationID + UInt64(index)
            if log[slot].state == .new { log[slot].state = .ready }
            log.number(slot, id: id)
            noteStored(slot)
            if let write = log[slot].write {
                let (map, key) = name(of: log[slot].ref)
                effects.results.append(WriteResult(write: write, id: id, map: map, key: key, outcome: .stored))
            }
        }
        for slot in done.restamped where log[slot].state == .restamped {
            log[slot].state = .ready
            log.unsentAgain(slot)
        }
        // Where nobody else wrote in between, nothing has to be read back.
        if !done.operations.isEmpty, outcome.firstOperationID == lastOperationID + 1 {
            lastOperationID += UInt64(done.operations.count)
        }
        if outcome.sequence == storeSequence + 1 { storeSequence = outcome.sequence }
        for setAside in done.transaction.setAside {
            if let ref = ref(of: setAside.operation) {
                refused.committed(setAside.operation.record.timestamp, at: ref, sequence: outcome.sequence)
            }
        }
        refused.forget(upTo: storeSequence, maps)
    }

    private func ref(of operation: StoredOperation) -> EntryRef? {
        guard let map = mapIndices[operation.map], let place = maps[map].table.place(of: operation.key) else {
            return nil
        }
        return EntryRef(map: map, place: place)
    }

    /// Nothing of the transaction was written: its local writes did not happen, everything else is tried again.
    package mutating func commitFailed(_ error: StoreError, at now: ReplicaTime) {
        guard let failed = saving.inFlight else { return }
        saving.inFlight = nil
        let transaction = failed.transaction
        effects.notices.append(.storeFailed(error))
        if transaction.identity != nil, role == .leader { saving.isIdentityUnsaved = true }
        saving.clearedMaps = transaction.clearedMaps + saving.clearedMaps
        for map in failed.maps { markMapUnsaved(map) }
        saving.retired = transaction.retired + saving.retired
        saving.setAside = transaction.setAside + saving.setAside
        saving.forgotten = transaction.forgotten + saving.forgotten
        saving.decided = transaction.decided + saving.decided
        saving.restamped = failed.restamped + saving.restamped
        for (index, ref) in failed.entries.enumerated() {
            // What goes with an operation goes with it again. A follower's write is undone, and what stands then is in
            // the store already.
            markUnsaved(ref, role == .leader && index < failed.localCount ? .local : .remote)
        }
        // What is offered again to restored servers is no new write: it stays, and is tried again.
        let kept = failed.operations.filter { log[$0].write == nil }
        saving.operations = kept + saving.operations
        for slot in kept { markUnsaved(log[slot].ref, .local) }
        for slot in failed.operations.reversed() where log[slot].write != nil { undo(slot, error, now) }
        saving.retryMillis = now.steadyMillis + ReplicaLimits.storeRetryMillis
    }
}

// MARK: - Refused operations

extension ReplicaState {
    /// The application has dealt with a refused operation.
    package mutating func forgetSetAside(_ id: UInt64) {
        let count = setAsides.count
        setAsides.removeAll { $0.operation.id == id }
        if setAsides.count < count { saving.forgotten.append(id) }
    }
}
