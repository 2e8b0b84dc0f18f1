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
        askAgainAfterGap()
        sendSubscriptions(at: now)
        startSyncs(at: now)
        continueWalks(at: now)
        continuePulls(at: now)
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
        while let (ref, end) = expiries.popExpired(wallMillis: wallMillis) {
            let record = maps[Int(ref.map)].table.entries[Int(ref.place)].record
            guard let record, record.invisibleFromMillis == end else { continue }
            tell(ref, isLocal: false, now)
        }
    }

    /// When something is to be done next. Only what ``tick(at:)`` or the effects after it can do: a deadline that
    /// stays where it is once it has passed would have the shell called again at once, for ever.
    private func nextDeadline(at now: ReplicaTime) -> Int64? {
        var next = linkDeadline() ?? .max
        if link.isReady {
            // Operations that wait for new stamps wait for more than the end of the pause.
            if let pausedUntilMillis, !isRestampWanted { next = min(next, pausedUntilMillis) }
            if let oldestSentMillis { next = min(next, oldestSentMillis + ReplicaLimits.resendAfterMillis) }
            if isSyncDelayed(at: now) { next = min(next, link.readyMillis + ReplicaLimits.syncDelayMillisMax) }
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
