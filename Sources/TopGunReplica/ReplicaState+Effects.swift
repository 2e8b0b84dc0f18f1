import TopGunModel

extension ReplicaState {
    /// A deadline of ``ReplicaEffects/timerMillis`` has come.
    package mutating func tick(at now: ReplicaTime) {
        linkTicked(at: now)
        resendOverdue(at: now)
        restartStalledWalks(at: now)
        expire(at: now)
    }

    /// Everything that is to be done since this was last called; call it after every event.
    package mutating func takeEffects(at now: ReplicaTime) -> ReplicaEffects {
        restampIfPossible(at: now)
        sendOperations(at: now)
        startSyncs(at: now)
        continueWalks(at: now)
        makeTransaction(at: now)
        let state = currentSyncState()
        if state != syncState {
            syncState = state
            effects.syncState = state
        }
        effects.timerMillis = nextDeadline(at: now)
        var taken = ReplicaEffects()
        swap(&taken, &effects)
        return taken
    }

    private func currentSyncState() -> SyncState {
        switch link.state {
        case .idle: .offline
        case .opening: .connecting
        case .greeting, .authenticating, .awaitingToken: .authenticating
        case .ready: syncsDue.isEmpty && busyMaps.isEmpty ? .live : .syncing
        }
    }

    /// Rows and values whose lifetime is over are no longer seen.
    private mutating func expire(at now: ReplicaTime) {
        let wallMillis = wallMillis(now)
        while let ref = expiries.popExpired(wallMillis: wallMillis) {
            let record = maps[Int(ref.map)].table.entries[Int(ref.place)].record
            guard let record, record.ttlMillis > 0, record.isExpired(nowMillis: wallMillis) else { continue }
            tell(ref, isLocal: false, now)
        }
    }

    private func nextDeadline(at now: ReplicaTime) -> Int64? {
        var next = linkDeadline() ?? .max
        if link.isReady {
            // Deadlines of what a timer can help on: operations that need new stamps wait for the store, and so do maps that
            // are being read. A deadline that is over and stays would ring again at once, for as long as the store takes.
            if let pausedUntilMillis, !isRestampWanted { next = min(next, pausedUntilMillis) }
            if let oldestSentMillis { next = min(next, oldestSentMillis + ReplicaLimits.resendAfterMillis) }
            if syncsDue.contains(where: { maps[$0].loading == .loaded }) {
                next = min(next, link.readyMillis + ReplicaLimits.syncDelayMillisMax)
            }
            for map in busyMaps {
                next = min(next, maps[map].walk.progressMillis + ReplicaLimits.walkStallMillis)
            }
        }
        if saving.inFlight == nil, !saving.isEmpty, let retryMillis = saving.retryMillis {
            next = min(next, retryMillis)
        }
        if let wallMillis = expiries.nextWallMillis {
            let wait = max(wallMillis - self.wallMillis(now), 0)
            next = min(next, now.steadyMillis + min(wait, ReplicaLimits.timerMillisMax))
        }
        return next == .max ? nil : next
    }
}
