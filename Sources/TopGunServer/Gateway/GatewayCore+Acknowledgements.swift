import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// What answers a frame of operations: protocol.md 3.4 to 3.6 and the extensions `results`, `levels`.
//
//   early    MEMORY reached       at once, past the gate; LEVEL_UP follows through it for a client with `levels`
//   durable  on this disk         through the gate
//   refused  for good             through the gate; OP_REJECTED and a covering OP_ACK for an official client
//   later    to be tried again    through the gate; ERROR for an official client and never covered; `results` for others
//   away     to be tried again    the same, and at once: it says how the server is, and nothing of what it holds

extension GatewayCore {
    /// Answers the frame whose operations are in ``answers``: a frame of this loop at once and as a whole, a split one
    /// first when all outcomes are known and then when all are on disk. Returns where in the open batch of the gate the
    /// acknowledgement waits; `nil` if none does.
    @discardableResult
    func acknowledge(_ shell: SessionShell, _ phase: AcknowledgementPhase = .whole) -> Int? {
        let knowsLevels = shell.core.features.contains(.levels)
        let summary = shell.core.ledger.settle(answers, phase, knowsLevels: knowsLevels)
        if let open = shell.openBefore { noteDecided(shell, open) }
        if phase != .stored { answerAtOnce(shell, summary) }
        guard phase != .known else { return nil }
        let entry = summary.gated > 0 || summary.later.count > 0 ? answerGated(shell, summary) : nil
        if summary.early > 0 { raiseLevels(shell) }
        return entry
    }

    enum AcknowledgementPhase {
        case whole
        case known
        case stored
    }

    struct Settlement {
        var early = 0
        var durable = 0
        var refused = 0
        var later = Postponed()
        var away = Postponed()
        var level = WriteConcern.persisted
        var highestDurableID: UInt64 = 0
        var highestEarlyID: UInt64 = 0

        var gated: Int { durable + refused }
    }

    /// What is to be tried again, and why the first of it is.
    struct Postponed {
        var count = 0
        var refusal: Refusal?
    }

    private func answerAtOnce(_ shell: SessionShell, _ summary: Settlement) {
        let hasResults = shell.core.features.contains(.results)
        if !hasResults, let refusal = summary.away.refusal { send(shell, apology(refusal)) }
        let told = hasResults ? summary.early + summary.away.count : summary.early
        guard told > 0 else { return }
        // What waits at the gate is decided but not durable: no `lastId` may cover it yet.
        let isAlone = shell.acknowledgementsWaiting == 0 && summary.gated == 0
        let lastID = isAlone ? shell.core.ledger.lastID : min(shell.releasedID, shell.core.ledger.lastID)
        let ways: Set<OperationAnswer.Way> =
            hasResults ? [.early, .away] : lastID < summary.highestEarlyID ? [.early] : []
        scratch.removeAll()
        encode(
            lastID: lastID, level: summary.early > 0 ? .memory : .fireAndForget, results: ways, count: told, shell,
            into: scratch)
        metrics.counts.acknowledgementsSent += 1
        answer(shell, frame: scratch.bytes)
    }

    private func answerGated(_ shell: SessionShell, _ summary: Settlement) -> Int? {
        let batch = group.gate.open
        let hasResults = shell.core.features.contains(.results)
        if !shell.core.isAnnounced, summary.refused > 0 { reject(shell) }
        if !hasResults, let refusal = summary.later.refusal { group.answerAfterGate(apology(refusal), to: shell.id) }
        let told = hasResults ? summary.gated + summary.later.count : summary.gated
        guard told > 0 else { return nil }
        let lastID = shell.core.ledger.lastID
        let needsResults = hasResults || summary.refused > 0 || lastID < summary.highestDurableID
        let level: WriteConcern = summary.durable > 0 ? summary.level : .fireAndForget
        let ways: Set<OperationAnswer.Way> =
            !needsResults ? [] : hasResults ? [.durable, .refused, .later] : [.durable, .refused]
        let offset = batch.bytes.count
        encode(lastID: lastID, level: level, results: ways, count: told, shell, into: batch.bytes)
        batch.entries.append(
            GateEntry(
                kind: .acknowledgement, number: lastID, session: shell.id, offset: offset,
                length: batch.bytes.count - offset))
        shell.acknowledgementsWaiting += 1
        group.scheduleTick()
        return batch.entries.count - 1
    }

    private func encode(
        lastID: UInt64, level: WriteConcern, results ways: Set<OperationAnswer.Way>, count: Int, _ shell: SessionShell,
        into sink: ByteSink
    ) {
        var results: [OperationResult] = []
        if !ways.isEmpty {
            results.reserveCapacity(count)
            for answer in answers where ways.contains(answer.way) {
                if let id = answer.id { results.append(result(answer, id, shell)) }
            }
        }
        ServerFrame.acknowledgement(lastID: lastID, level: level, results: results, into: sink)
    }

    /// One entry of `results`; without the feature, nothing but what protocol.md 3.2 has.
    private func result(_ answer: OperationAnswer, _ id: UInt64, _ shell: SessionShell) -> OperationResult {
        var result = OperationResult(id: id)
        let hasResults = shell.core.features.contains(.results)
        #if MUTANTS
        if Mutant.supersededIsGuessed.isOn, answer.outcome == .merged { result.isSuperseded = hasResults }
        #endif
        switch answer.outcome {
        case .merged, .repeated, .restamped: break
        case .superseded: result.isSuperseded = hasResults
        case .refused(let refusal):
            result.level = .fireAndForget
            guard hasResults else {
                result.isSuccess = false
                result.error = explanation(refusal)
                return result
            }
            result.refusal = refusal
            if refusal == .clockAhead { result.serverTime = clock.wallMillis() }
            return result
        }
        let knowsLevels = shell.core.features.contains(.levels)
        result.level = answer.way == .early ? .memory : answer.durableLevel(knowsLevels: knowsLevels)
        return result
    }

    /// The word for an official client that an operation is refused; its OP_ACK follows (protocol.md 3.6).
    private func reject(_ shell: SessionShell) {
        for answer in answers {
            guard case .refused(let refusal) = answer.outcome, refusal.isFinal else { continue }
            guard let id = answer.id else {
                // No word of the protocol names an operation without a number, and a failure is never silent.
                group.answerAfterGate(apology(refusal), to: shell.id)
                continue
            }
            group.answerAfterGate(
                .operationRejected(operationID: id, reason: explanation(refusal), code: Int64(refusal.errorCode)),
                to: shell.id)
        }
    }

    private func apology(_ refusal: Refusal) -> ServerMessage {
        .error(
            ErrorMessage(
                code: Int64(refusal.errorCode), message: explanation(refusal),
                details: ErrorDetails(
                    requestType: "OP_BATCH", refusal: refusal, retryAfterMillis: retryAfter(refusal))))
    }

    /// LEVEL_UP for what was acknowledged at MEMORY, once it is on disk.
    private func raiseLevels(_ shell: SessionShell) {
        guard shell.core.features.contains(.levels) else { return }
        var raised: [LevelUp] = []
        for answer in answers where answer.way == .early {
            guard let id = answer.id else { continue }
            raised.append(LevelUp(id: id, level: answer.durableLevel(knowsLevels: true)))
        }
        #if MUTANTS
        if Mutant.levelUpBeforeSync.isOn { return send(shell, .levelUp(raised)) }
        #endif
        if !raised.isEmpty { group.answerAfterGate(.levelUp(raised), to: shell.id) }
    }

    /// One sentence for people; never a key, a value or a name.
    func explanation(_ refusal: Refusal) -> String {
        switch refusal {
        case .badRequest: "a field is missing or malformed"
        case .badStamp: "the timestamp is not a whole number in range"
        case .clockAhead: "the timestamp lies too far in the future"
        case .unauthenticated: "not authenticated"
        case .forbidden:
            terms.session.requiresAuthentication && !terms.mayByDefault
                ? "denied: no access policy exists and the default access is deny (--default-access)"
                : "write access denied"
        case .tooLarge: "the key, the value or a name is too large"
        case .tooOld: "older than the server remembers"
        case .fenced: "a newer holder has this map"
        case .replicaIDConflict: "another write has the same timestamp and node id"
        case .concernUnavailable: "this server can never reach the write concern asked for"
        case .busy: "the server is busy"
        case .nodeFull: "the server's disk or memory is full"
        case .notReady: "not available at present"
        case .upgradeRequired: "this client is too old"
        }
    }
}

extension AcknowledgementLedger {
    /// Books what came of the operations of one frame: one entry into the session for all of them.
    fileprivate mutating func settle(
        _ answers: [OperationAnswer], _ phase: GatewayCore.AcknowledgementPhase, knowsLevels: Bool
    ) -> GatewayCore.Settlement {
        var summary = GatewayCore.Settlement()
        for answer in answers {
            switch answer.way {
            case .early:
                summary.early += 1
                summary.highestEarlyID = max(summary.highestEarlyID, answer.id ?? 0)
            case .durable where phase == .known, .silent where phase == .known, .refused where phase == .known,
                .later where phase == .known, .away where phase == .stored:
                continue
            case .durable:
                summary.durable += 1
                summary.level = min(summary.level, answer.durableLevel(knowsLevels: knowsLevels))
                summary.highestDurableID = max(summary.highestDurableID, answer.id ?? 0)
            case .silent: break
            case .refused:
                summary.refused += 1
                summary.highestDurableID = max(summary.highestDurableID, answer.id ?? 0)
            case .later:
                postpone(answer, &summary.later)
                continue
            case .away:
                postpone(answer, &summary.away)
                continue
            }
            if let id = answer.id { decide(id) }
        }
        return summary
    }

    private mutating func postpone(_ answer: OperationAnswer, _ postponed: inout GatewayCore.Postponed) {
        postponed.count += 1
        if postponed.refusal == nil, case .refused(let refusal) = answer.outcome { postponed.refusal = refusal }
        if let id = answer.id { postpone(id) }
    }
}
