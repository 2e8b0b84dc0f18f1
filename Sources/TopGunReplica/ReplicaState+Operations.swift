import TopGunModel
import TopGunWire

// The way of operations to the servers and of acknowledgements back.

extension ReplicaState {
    /// Sends what is ready, as far as the window has room.
    mutating func sendOperations(at now: ReplicaTime) {
        guard link.isReady, role == .leader, !isRestampWanted else { return }
        if let pausedUntilMillis {
            guard now.steadyMillis >= pausedUntilMillis else { return }
            self.pausedUntilMillis = nil
        }
        while let batch = nextBatch(at: now) {
            send(.operations(OperationBatch(operations: batch, concern: concernOfLink)))
        }
    }

    /// What batches ask for: with less than the retire level, its coming must be told apart and later.
    private var concernOfLink: WriteConcern {
        if link.features.isSuperset(of: [.results, .levels]) { return configuration.concern }
        return max(configuration.concern, configuration.retireLevel)
    }

    private mutating func nextBatch(at now: ReplicaTime) -> [ClientOperation]? {
        var batch: [ClientOperation] = []
        var bytes = 0
        while batch.count < configuration.batchOperations, let slot = log.nextReady() {
            let operationBytes = Int(log[slot].frameBytes)
            if sentCount > 0 {
                guard sentCount < configuration.windowOperations,
                    sentBytes + operationBytes <= configuration.windowBytes
                else { break }
            }
            if !batch.isEmpty, bytes + operationBytes > configuration.batchBytes { break }
            bytes += operationBytes
            sentCount += 1
            sentBytes += operationBytes
            log[slot].state = .sent
            log[slot].sentMillis = now.steadyMillis
            if log[slot].connection != link.connection {
                log[slot].connection = link.connection
                log[slot].copies = 0
                log[slot].staleAnswers = 0
            }
            log[slot].copies += 1
            link.noteSent(log[slot].id)
            let (map, key) = name(of: log[slot].ref)
            batch.append(
                ClientOperation(id: log[slot].id, mapName: map, key: key, change: .put(log[slot].record)))
        }
        guard !batch.isEmpty else { return nil }
        if oldestSentMillis == nil { oldestSentMillis = now.steadyMillis }
        return batch
    }

    /// An operation is no longer on its way.
    mutating func noteDecided(_ slot: Int32) {
        sentCount -= 1
        sentBytes -= Int(log[slot].frameBytes)
    }

    /// An operation will be sent again, with the same id and stamp.
    mutating func makeReady(_ slot: Int32) {
        if log[slot].state == .sent { noteDecided(slot) }
        log[slot].state = .ready
        log.unsentAgain(slot)
    }

    /// The connection is gone: whatever was on its way, or has not reached the level at which it may go, is sent again.
    mutating func unsendAll() {
        var slot = log.first
        while slot != RecordTable.none {
            switch log[slot].state {
            case .sent, .reached, .restamp, .rename: makeReady(slot)
            case .new, .ready, .restamped: break
            }
            slot = log.next(after: slot)
        }
        // What was undecided may have been taken with its old stamp; so all are asked about again as they are.
        isRestampWanted = false
        oldestSentMillis = nil
    }

    /// The server dropped messages: what is undecided is sent again on this connection.
    mutating func unsendUndecided(at now: ReplicaTime) {
        guard sentCount > 0, !leavesForRestamping(at: now) else { return }
        var slot = log.first
        while slot != RecordTable.none {
            if log[slot].state == .sent { makeReady(slot) }
            slot = log.next(after: slot)
        }
        oldestSentMillis = nil
    }

    /// Sends again what nobody answered for too long.
    mutating func resendOverdue(at now: ReplicaTime) {
        guard let oldest = oldestSentMillis, now.steadyMillis - oldest >= ReplicaLimits.resendAfterMillis else {
            return
        }
        oldestSentMillis = nil
        if sentCount > 0, leavesForRestamping(at: now) { return }
        var slot = log.first
        while slot != RecordTable.none {
            if log[slot].state == .sent {
                if now.steadyMillis - log[slot].sentMillis >= ReplicaLimits.resendAfterMillis {
                    makeReady(slot)
                } else {
                    oldestSentMillis = min(oldestSentMillis ?? .max, log[slot].sentMillis)
                }
            }
            slot = log.next(after: slot)
        }
    }

    /// While operations wait for new stamps, one that is undecided is not made ready again: it would get a new one too,
    /// though the servers may have taken it with its old one. What is sent on another connection keeps its stamp.
    private mutating func leavesForRestamping(at now: ReplicaTime) -> Bool {
        guard isRestampWanted else { return false }
        dropAndRetry(code: 1000, at: now)
        return true
    }
}

// MARK: - Acknowledgements

extension ReplicaState {
    mutating func acknowledged(_ acknowledgement: Acknowledgement, at now: ReplicaTime) {
        if let results = acknowledgement.results {
            for result in results where link.isReady { decided(result, at: now) }
        }
        #if MUTANTS
        let namesEach = link.features.contains(.results) && !Mutant.cumulativeAcknowledgement.isOn
        #else
        let namesEach = link.features.contains(.results)
        #endif
        guard !namesEach else { return }
        // A server without the feature: numbers count, but only those of operations that it was sent. What is no number
        // never means everything.
        guard let lastID = acknowledgement.lastID else { return fault(.unknownOperation) }
        guard lastID > 0 else { return }
        guard let sent = link.sentIDs, lastID <= sent.upperBound else { return fault(.unknownOperation) }
        var slot = log.first
        while slot != RecordTable.none, log[slot].id <= lastID {
            let next = log.next(after: slot)
            if isSentHere(slot) {
                reach(slot, acknowledgement.level ?? .applied, now)
                retire(slot, now)
            }
            slot = next
        }
    }

    private mutating func decided(_ result: OperationResult, at now: ReplicaTime) {
        if let sentMillis = answeredCopyMillis(of: result.id) {
            let waitedMillis = now.steadyMillis - sentMillis
            noteServerTime(result.serverTime, askedWallMillis: now.wallMillis - waitedMillis, at: now)
        }
        if result.isNotYet { return notYet(result, now) }
        if isStale(result.id) { return }
        guard let slot = sentSlot(of: result.id) else { return }
        #if MUTANTS
        if Mutant.refusalCountsAsSynced.isOn, !result.isSuccess {
            return succeeded(slot, OperationResult(id: result.id, level: .replicated), now)
        }
        #endif
        if result.isSuccess {
            succeeded(slot, result, now)
        } else if link.features.contains(.results) || result.level < .applied {
            failed(slot, result, now)
        } else {
            // Only the level asked for was not reached in time; the operation stands (protocol.md 3.5).
            succeeded(slot, result, now)
        }
    }

    /// When the copy of an operation was sent that is answered now; `nil` where it may be any of several.
    private func answeredCopyMillis(of id: UInt64) -> Int64? {
        guard let slot = log.slot(ofID: id), log[slot].connection == link.connection,
            log[slot].copies == 1, log[slot].staleAnswers == 0
        else { return nil }
        return log[slot].sentMillis
    }

    /// The level asked for takes longer than was asked for. The operation stands as it is, and what becomes of it is still
    /// to be said, so this is no answer to the copy that was sent.
    private mutating func notYet(_ result: OperationResult, _ now: ReplicaTime) {
        guard let slot = sentSlot(of: result.id) else { return }
        reach(slot, result.level, now)
    }

    /// Whether an answer is about a copy that was sent with a stamp that the operation no longer has.
    private mutating func isStale(_ id: UInt64) -> Bool {
        guard let slot = log.slot(ofID: id), log[slot].connection == link.connection else { return false }
        if log[slot].staleAnswers > 0 {
            log[slot].staleAnswers -= 1
            return true
        }
        log[slot].copies = max(log[slot].copies - 1, 0)
        return false
    }

    /// The operation that an acknowledgement names; one that this connection never carried is a fault of the server, one
    /// that is done with already is a repeat.
    private mutating func sentSlot(of id: UInt64) -> Int32? {
        guard let slot = log.slot(ofID: id) else {
            if link.sentIDs.map({ !$0.contains(id) }) ?? true { fault(.unknownOperation) }
            return nil
        }
        guard log[slot].connection == link.connection else {
            fault(.unknownOperation)
            return nil
        }
        return isSentHere(slot) ? slot : nil
    }

    /// Whether this connection carried the operation as it is now; what is said of an older stamp is no longer true.
    private func isSentHere(_ slot: Int32) -> Bool {
        guard log[slot].connection == link.connection else { return false }
        switch log[slot].state {
        case .sent, .reached, .ready: return true
        case .new, .restamp, .rename, .restamped: return false
        }
    }

    private mutating func succeeded(_ slot: Int32, _ result: OperationResult, _ now: ReplicaTime) {
        pauseMillis = 0
        if log[slot].state == .sent { noteDecided(slot) }
        log[slot].state = .reached
        reach(slot, max(result.level, log[slot].risenLevel), now)
        if result.isSuperseded { supersede(slot) }
        let ref = log[slot].ref
        let retires = link.features.contains(.results) ? log[slot].level >= retireLevel : true
        if retires { retire(slot, now) }
        if result.isSuperseded { noteWinner(ref) }
    }

    private var retireLevel: WriteConcern {
        #if MUTANTS
        if Mutant.retireAtMemory.isOn { return configuration.concern }
        #endif
        return configuration.retireLevel
    }

    /// Reports a level, if it is higher than those before.
    private mutating func reach(_ slot: Int32, _ level: WriteConcern, _ now: ReplicaTime) {
        guard level > log[slot].level else { return }
        log[slot].level = level
        guard level >= .applied, let write = log[slot].write else { return }
        let (map, key) = name(of: log[slot].ref)
        effects.results.append(
            WriteResult(write: write, id: log[slot].id, map: map, key: key, outcome: .reached(level)))
    }

    private mutating func failed(_ slot: Int32, _ result: OperationResult, _ now: ReplicaTime) {
        let refusal = result.refusal
        // Neither says anything of the operation: it waits for a newer client, or for a token (promises.md C08).
        if refusal == .upgradeRequired { return upgradeRequired(at: now) }
        if refusal == .unauthenticated { return authenticationFailed(code: nil, at: now) }
        #if MUTANTS
        let isFinal = Mutant.transientRefusalIsFinal.isOn || result.isFinal ?? refusal?.isFinal ?? true
        #else
        let isFinal = result.isFinal ?? refusal?.isFinal ?? true
        #endif
        guard !isFinal else {
            let code = result.code ?? ByteString(Array("REJECTED".utf8))
            return refuse(slot, code: code, now)
        }
        switch refusal {
        case .clockAhead?, .replicaIDConflict?:
            if log[slot].state == .sent { noteDecided(slot) }
            log[slot].state = refusal == .clockAhead ? .restamp : .rename
            isRestampWanted = true
            if refusal == .clockAhead { isClockAhead = true }
        default:
            makeReady(slot)
            pause(retryAfterMillis: nil, at: now)
        }
    }

    /// A server asked for patience.
    mutating func pause(retryAfterMillis: Int64?, at now: ReplicaTime) {
        if let pausedUntilMillis, pausedUntilMillis > now.steadyMillis, retryAfterMillis == nil { return }
        pauseMillis = min(max(pauseMillis * 2, ReplicaLimits.retryMillisMin), ReplicaLimits.retryMillisMax)
        let asked = min(max(retryAfterMillis ?? 0, 0), ReplicaLimits.retryMillisMax)
        pausedUntilMillis = now.steadyMillis + max(chance.jittered(pauseMillis), asked)
    }

    /// OP_REJECTED: only servers without results mean it; the others say it in their acknowledgement.
    mutating func rejected(_ id: UInt64, code: ByteString, at now: ReplicaTime) {
        guard !link.features.contains(.results), let slot = sentSlot(of: id) else { return }
        refuse(slot, code: code, now)
    }

    /// LEVEL_UP.
    mutating func levelRose(_ id: UInt64, to level: WriteConcern, at now: ReplicaTime) {
        guard log.slot(ofID: id) == nil else {
            guard let slot = sentSlot(of: id) else { return }
            // Nothing is retired that was not decided yet.
            guard log[slot].state == .reached else {
                log[slot].risenLevel = max(log[slot].risenLevel, level)
                return
            }
            reach(slot, level, now)
            if log[slot].level >= retireLevel { retire(slot, now) }
            return
        }
        if level == .persisted, let retired = retiredWrites.take(id) {
            if retired.write == nil {
                saving.decided.append(DecidedOperation(id: id, level: level))
            } else {
                effects.results.append(retired)
            }
        } else if link.sentIDs.map({ !$0.contains(id) }) ?? true {
            fault(.unknownOperation)
        }
    }
}

// MARK: - Superseded writes

extension ReplicaState {
    /// The servers merged a write, but something newer stands: the application gets both values, once both are here.
    private mutating func supersede(_ slot: Int32) {
        guard !log[slot].isSuperseded else { return }
        log[slot].isSuperseded = true
        let entry = log[slot]
        let (map, key) = name(of: entry.ref)
        let waiting = WriteResult(
            write: entry.write, id: entry.id, map: map, key: key,
            outcome: .superseded(losing: entry.record, winning: nil))
        supersededWrites[entry.ref, default: []].append(waiting)
    }

    /// Tells of writes whose winner is here now.
    mutating func noteWinner(_ ref: EntryRef) {
        guard !supersededWrites.isEmpty, let waiting = supersededWrites[ref] else { return }
        let entry = maps[Int(ref.map)].table.entries[Int(ref.place)]
        let (record, isOwn) = (entry.record, entry.isOwn)
        var left: [WriteResult] = []
        for var result in waiting {
            guard case .superseded(let losing, _) = result.outcome else { continue }
            if let record, record.timestamp > losing.timestamp {
                // Who overwrites himself knows.
                if isOwn { continue }
                result.outcome = .superseded(losing: losing, winning: record)
                effects.results.append(result)
            } else if !maps[Int(ref.map)].isOpen {
                // Nobody looks at the map, so the winner does not come here.
                effects.results.append(result)
            } else {
                left.append(result)
            }
        }
        supersededWrites[ref] = left.isEmpty ? nil : left
    }

    /// A map has been compared with the servers: winners that did not come will not come.
    mutating func giveUpWinners(of map: Int) {
        guard !supersededWrites.isEmpty else { return }
        var refs: [EntryRef] = []
        for ref in supersededWrites.keys where Int(ref.map) == map { refs.append(ref) }
        refs.sort { $0.place < $1.place }
        for ref in refs {
            noteWinner(ref)
            for result in supersededWrites.removeValue(forKey: ref) ?? [] { effects.results.append(result) }
        }
    }
}
