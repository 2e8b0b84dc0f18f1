extension Checker {
    /// Every operation that a client's log had, and that was not refused for good, is in the final state, or something
    /// newer stands in its place. That includes each one that was acknowledged: an acknowledged write that is lost was in
    /// its author's log as well, and has left it.
    func checkAckSurvival(_ history: Evidence) -> [Violation] {
        let audits = history.audits
        let refused = history.refusedOperations
        var levels: [OperationRef: Level] = [:]
        for event in history.of(.acknowledged) where event.code == nil {
            guard let client = event.to, let op = event.op, let level = event.level else { continue }
            let ref = OperationRef(client: client, op: op)
            levels[ref] = max(levels[ref] ?? .none, level)
        }
        // What a value was stamped with last, by whatever operation: what is offered again has another number.
        var stamps: [UInt32: Stamp] = [:]
        for event in history.of(.stored, .restamped) {
            if let value = event.value { stamps[value] = event.stamp }
        }
        var violations: [Violation] = []
        // Put together only where it is needed: every operation of a run comes through here.
        func level(_ ref: OperationRef) -> String {
            levels[ref].map { "acknowledged at \($0)" } ?? "never acknowledged"
        }
        for (ref, event) in history.storedOperations where !refused.contains(ref) {
            guard let place = Place(event), let stamp = event.stamp else { continue }
            for audit in audits {
                guard let final = audit.content[place]?.stamp else {
                    violations.append(
                        violation("\(ref), \(level(ref)), is lost: \(place) has no record for \(audit.name)"))
                    continue
                }
                if final == stamp, let value = event.value, stamps[value] == stamp, audit.content[place]?.value != value
                {
                    violations.append(
                        violation(
                            "\(ref), \(level(ref)), is lost: \(place) has another value under \(stamp) for \(audit.name)"
                        ))
                }
                if final < stamp {
                    violations.append(
                        violation(
                            "\(ref) of \(stamp), \(level(ref)), is lost: \(place) has \(final) for \(audit.name)"))
                }
            }
        }
        return violations
    }

    /// In the moment in which a level from `applied` on is claimed, the write, or what is newer in its place, is on the disk
    /// (only a history of a world that looks into its disks says so), whether as an acknowledgement or along with the word
    /// that the one asked for takes longer. No application hears of a level, or of a refusal, that no node gave, nor that a
    /// write is stored which is not.
    func checkAckHonesty(_ history: Evidence) -> [Violation] {
        var levels: [OperationRef: Level] = [:]
        var refused: Set<OperationRef> = []
        var stored: Set<OperationRef> = []
        var offences: [OperationRef: String] = [:]
        var violations: [Violation] = []
        for event in history.of(.stored, .saved, .offended, .acknowledged, .late, .reached, .refused) {
            guard let op = event.op else { continue }
            let ref = OperationRef(client: event.to ?? event.who, op: op)
            switch event.kind {
            case .stored: stored.insert(ref)
            case .offended: offences[ref] = event.code
            case .saved where !stored.contains(ref):
                violations.append(violation("\(event.who) was told that \(ref) is stored, which it is not", at: event))
            case .refused where !refused.contains(ref):
                violations.append(violation("\(event.who) was told that \(ref) is refused; no node said so", at: event))
            case .acknowledged where offences[ref] != nil:
                guard let offence = offences[ref], !event.isAnswer(to: offence) else {
                    // What was superseded reaches higher levels as what stands in its place does.
                    if event.code == nil { offences[ref] = nil }
                    continue
                }
                let answer = event.code.map { "refused as \($0)" } ?? "taken"
                violations.append(violation("\(ref) is \(answer), not refused as \(offence)", at: event))
            case .acknowledged where event.code != nil:
                if event.isFinal { refused.insert(ref) }
            case .acknowledged, .late:
                guard let level = event.level else { continue }
                levels[ref] = max(levels[ref] ?? .none, level)
                guard level >= .applied, event.isDurable == false else { continue }
                let verb = event.kind == .late ? "called" : "acknowledged"
                let object =
                    event.isSuperseded == true ? "for which nothing newer is on its disk" : "which is not on its disk"
                violations.append(violation("\(event.who) \(verb) \(ref) \(level), \(object)", at: event))
            case .reached where event.level ?? .none > levels[ref] ?? .none:
                violations.append(
                    violation(
                        "\(event.who) was told that \(ref) is \(event.level ?? .none); no node said so", at: event))
            default: break
            }
        }
        return violations
    }

    /// A value takes effect under no other stamps than those that its author gave it, and at no other place.
    func checkOnceEffects(_ history: Evidence) -> [Violation] {
        // Rarely more than one stamp each.
        var given: [UInt32: (place: Place, stamps: [Stamp])] = [:]
        for event in history.of(.wrote, .stored, .restamped) {
            guard let value = event.value, let place = Place(event), let stamp = event.stamp else { continue }
            if given[value]?.stamps.contains(stamp) ?? false { continue }
            given[value, default: (place, [])].stamps.append(stamp)
        }
        var violations: [Violation] = []
        for event in history.of(.holds) where event.who.hasPrefix("auditor") {
            guard let value = event.value, let stamp = event.stamp, let place = Place(event), let author = given[value]
            else { continue }
            if author.place != place {
                violations.append(violation("value \(value) was written to \(author.place) and stands at \(place)"))
            } else if !author.stamps.contains(stamp) {
                violations.append(violation("value \(value) stands at \(place) under \(stamp), which nobody gave it"))
            }
        }
        return violations
    }

    /// A removal that was acknowledged is never undone by something older, and what has ended does not come back.
    func checkNoResurrection(_ history: Evidence) -> [Violation] {
        var removals: [OperationRef: HistoryEvent] = [:]
        for (ref, event) in history.storedOperations where event.value == nil { removals[ref] = event }
        var newest: [Place: HistoryEvent] = [:]
        for event in history.of(.acknowledged) where event.code == nil {
            guard (event.level ?? .none) >= .applied, let client = event.to, let op = event.op,
                let removal = removals[OperationRef(client: client, op: op)], let place = Place(removal),
                let stamp = removal.stamp
            else { continue }
            if let known = newest[place]?.stamp, known >= stamp { continue }
            newest[place] = removal
        }
        var violations: [Violation] = []
        for (who, content) in history.holdings {
            for (place, removal) in newest {
                guard let removed = removal.stamp, let value = content[place]?.value,
                    let stamp = content[place]?.stamp, stamp < removed
                else { continue }
                violations.append(
                    violation("\(place) was removed at \(removed), but \(who) has value \(value) of \(stamp)"))
            }
            for (place, event) in content {
                guard let wall = history.wall(at: event), let value = event.value, let end = history.ends[value],
                    end + Limits.expiryMillisMax < wall
                else { continue }
                violations.append(violation("value \(value) of \(place) ended at \(end), but \(who) has it at \(wall)"))
            }
        }
        return violations.sorted { $0.message < $1.message }
    }
}
