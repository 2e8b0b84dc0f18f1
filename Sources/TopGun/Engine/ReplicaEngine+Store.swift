import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunReplica

// The store; on its thread.

extension ReplicaEngine {
    func commit(_ transaction: StoreTransaction) {
        let outcome = store.withLock { store in
            Result { () throws(StoreError) in try store.commit(transaction) }
        }
        let waiters = core.withLock { core in
            core.isCommitting = false
            let now = now
            switch outcome {
            case .success(let outcome): core.replica.committed(outcome, at: now)
            case .failure(let error): core.replica.commitFailed(error, at: now)
            }
            takeEffects(of: &core, at: now)
            guard !core.isCommitting else { return [CheckedContinuation<Void, Never>]() }
            defer { core.idleWaiters = [] }
            return core.idleWaiters
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Reads a map page by page; commits get their turn in between.
    func load(_ map: MapID, after key: ByteString?) {
        let name = core.withLock { $0.replica.name(of: map) }
        let page = store.withLock { store in
            Result { () throws(StoreError) in
                try store.entries(ofMap: name, after: key, limit: ReplicaLimits.loadEntriesMax)
            }
        }
        switch page {
        case .success(let entries):
            let isLast = entries.count < ReplicaLimits.loadEntriesMax
            tell { replica, now in replica.loaded(map: map, entries: entries, isLast: isLast, at: now) }
            guard !isLast else { return }
            storeThread.execute { [self] in load(map, after: entries.last?.key) }
        case .failure(let error):
            let waiters = core.withLock { core in
                core.replica.loadFailed(map: map)
                return core.loadWaiters.removeValue(forKey: map) ?? []
            }
            let failure = TopGunError(.storage, "a map cannot be read: \(error.message)", cause: error)
            for waiter in waiters { waiter.resume(throwing: failure) }
        }
    }
}

// MARK: - Several processes on one store

/// What a process knows of the others that have its store open.
struct StoreSharing {
    /// The file whose lock the syncing process holds; `nil` for a store that only this process has.
    var lockPath: String?
    /// Held while this process syncs; the system lets go of it when the process ends, however it ends.
    var lock: (any DiskFile)?
    /// SQLite's word for what others have written.
    var version: Int64 = 0
    /// Every operation up to this one has been read from the store. Not the highest one known: ids are given out to all
    /// processes in turn, so one of another process may lie below our own newest.
    var readOperation: UInt64 = 0
}

extension ReplicaEngine {
    /// Looks now and then for what other processes did. SQLite answers from shared memory whether anybody wrote, in
    /// microseconds; a file watcher would miss writes that only touch that memory.
    func pollStore() {
        guard sharing.withLock({ $0.lockPath }) != nil, !core.withLock({ $0.isClosed }) else { return }
        storeThread.schedule(afterMillis: Limits.storePollMillis) { [weak self] in
            guard let self, !core.withLock({ $0.isClosed }) else { return }
            takeOverIfAlone()
            readWhatOthersWrote()
            pollStore()
        }
    }

    /// Begins to sync when the process that did is gone.
    private func takeOverIfAlone() {
        guard core.withLock({ $0.replica.role }) == .follower, let path = sharing.withLock({ $0.lockPath }) else {
            return
        }
        // Another process still holding it is the ordinary case, and any other failure leaves things as they are.
        guard let lock = try? environment.disk.lock(path) else { return }
        sharing.withLock { $0.lock = lock }
        readWhatOthersWrote()
        let content = store.withLock { store in Result { () throws(StoreError) in try store.readAll() } }
        switch content {
        case .success(let content):
            tell { replica, now in
                replica.lead(
                    identity: content.identity ?? StoredIdentity(node: replica.node), maps: content.maps,
                    operations: content.operations,
                    setAside: content.setAside, at: now)
            }
            loop.execute { [self] in
                lostWrites.restore(content.setAside)
                showProblem(server == nil ? .notWanted : nil)
            }
        case .failure:
            // Tried again at the next poll.
            lock.close()
            sharing.withLock { $0.lock = nil }
        }
    }

    private func readWhatOthersWrote() {
        let version = store.withLock { store in
            guard case .file(let file) = store else { return Int64(0) }
            return (try? file.otherProcessVersion()) ?? 0  // A failure is found by the next read, which tells of it.
        }
        let isNews = sharing.withLock { sharing in
            defer { sharing.version = version }
            return sharing.version != version
        }
        guard isNews else { return }
        while readSomeOfWhatOthersWrote() {}
    }

    /// Returns whether there is more.
    private func readSomeOfWhatOthersWrote() -> Bool {
        let (role, ids, sequence) = core.withLock { core in
            (core.replica.role, core.replica.outstandingOperations, core.replica.storeSequence)
        }
        let operation = sharing.withLock { $0.readOperation }
        let read = store.withLock { store in
            Result { () throws(StoreError) in
                (
                    try store.changes(
                        since: sequence, operationsAfter: operation, limit: ReplicaLimits.loadEntriesMax),
                    role == .follower ? try store.fates(of: ids) : []
                )
            }
        }
        guard case .success(let (changes, fates)) = read else {
            // Looked at again when the version has changed once more, which it is made to have.
            sharing.withLock { $0.version = -1 }
            return false
        }
        if let last = changes.operations.last { sharing.withLock { $0.readOperation = last.id } }
        tell { replica, now in replica.storeChanged(changes, fates: fates, at: now) }
        return changes.isCut
    }
}
