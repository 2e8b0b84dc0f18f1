extension Checker {
    /// At the end all hold the same, the node that came back from its disk included, and trees are equal exactly if
    /// contents are.
    func checkConvergence(_ history: Evidence) -> [Violation] {
        guard let audit = history.audits.first else { return differentRoots(history) }
        let holdings = history.holdings
        var violations: [Violation] = []
        for (who, content) in holdings.sorted(by: { $0.key < $1.key }) where who != audit.name {
            let places = Set(content.keys).union(audit.content.keys)
            for place in places.sorted(by: { ($0.map, $0.key) < ($1.map, $1.key) }) {
                let (mine, theirs) = (content[place], audit.content[place])
                if mine?.stamp != theirs?.stamp || mine?.value != theirs?.value {
                    violations.append(
                        violation("\(place): \(who) has \(text(mine)), \(audit.name) has \(text(theirs))"))
                }
            }
        }
        return violations + differentRoots(history)
    }

    private func text(_ event: HistoryEvent?) -> String {
        guard let event, let stamp = event.stamp else { return "nothing" }
        return event.value.map { "value \($0) of \(stamp)" } ?? "a removal of \(stamp)"
    }

    /// The node's word on a map's tree against the trees of all who hold its content.
    private func differentRoots(_ history: Evidence) -> [Violation] {
        var ofNode: [String: HistoryEvent] = [:]
        var ofOthers: [String: HistoryEvent] = [:]
        for event in history.of(.root) {
            guard let map = event.map else { continue }
            if event.to != nil { ofNode[map] = event } else { ofOthers["\(event.who) \(map)"] = event }
        }
        return ofOthers.sorted { $0.key < $1.key }.compactMap { _, event in
            guard let map = event.map, let root = ofNode[map]?.count, root != event.count else { return nil }
            return violation(
                "the node's tree over \(map) has the root \(root), that of \(event.who) \(event.count ?? 0)")
        }
    }

    /// Nothing is there that nobody wrote, no removal that nobody made and that is no value's end, nothing of what was
    /// refused, and nothing is shown before it is on a disk.
    func checkNoPhantom(_ history: Evidence) -> [Violation] {
        var written: [UInt32: Place] = [:]
        var valueOf: [OperationRef: UInt32] = [:]
        var removals: [Place: Set<Stamp>] = [:]
        var ends: [Place: Set<Int64>] = [:]
        for event in history.of(.wrote, .stored, .restamped) {
            if event.kind == .wrote, let value = event.value { written[value] = Place(event) }
            if event.kind != .wrote, let place = Place(event), let stamp = event.stamp {
                if event.value == nil { removals[place, default: []].insert(stamp) }
                if let ttl = event.ttl { ends[place, default: []].insert(stamp.millis + ttl) }
            }
            if event.kind == .stored, let op = event.op, let value = event.value {
                valueOf[OperationRef(client: event.who, op: op)] = value
            }
        }
        let refused = Set(history.refusedOperations.compactMap { valueOf[$0] })
        var violations: [Violation] = []
        for event in history.of(.shown, .holds, .read) {
            switch event.kind {
            case .shown where event.isDurable == false:
                violations.append(
                    violation("\(event.who) showed value \(event.value ?? 0), which is not on its disk", at: event))
            case .holds, .read:
                guard let place = Place(event), let stamp = event.stamp else { continue }
                guard let value = event.value else {
                    if event.kind == .holds, event.who.hasPrefix("auditor"),
                        !(removals[place]?.contains(stamp) ?? false),
                        !(stamp.counter == 0 && ends[place]?.contains(stamp.millis) ?? false)
                    {
                        violations.append(violation("\(place) was removed at \(stamp), which nobody did"))
                    }
                    continue
                }
                if written[value] != place {
                    violations.append(violation("\(event.who) has value \(value) at \(place), where nobody wrote it"))
                }
                if event.kind == .holds, event.who.hasPrefix("auditor"), refused.contains(value) {
                    violations.append(violation("value \(value) was refused and stands at \(place)"))
                }
            default: break
            }
        }
        return violations
    }

    /// On one device, within one run of its application, what is read never goes back, and a write is read at once. A
    /// write that the device could not store, or that needed a new stamp, counts no longer.
    func checkSession(_ history: Evidence) -> [Violation] {
        var floors: [String: [Place: Stamp]] = [:]
        var violations: [Violation] = []
        for event in history.of(.wrote, .notStored, .refused, .clockAhead, .fault, .read) {
            switch event.kind {
            case .wrote:
                if let place = Place(event), let stamp = event.stamp { floors[event.who, default: [:]][place] = stamp }
            case .notStored, .refused, .clockAhead:
                floors[event.who] = nil
            case .fault:
                // A new run knows what was stored, and hears of the rest again.
                if event.code == FaultKind.clientCrash.rawValue { floors[event.who] = nil }
            case .read:
                guard let place = Place(event) else { continue }
                if let floor = floors[event.who]?[place], event.stamp.map({ $0 < floor }) ?? true {
                    violations.append(
                        violation(
                            "\(event.who) reads \(place) as of \(event.stamp.map { "\($0)" } ?? "never") after \(floor)",
                            at: event))
                }
                floors[event.who, default: [:]][place] = event.stamp
            default: break
            }
        }
        return violations
    }

    /// Stamps of one node id strictly grow, restarts included, but where a write is offered again as it was, which restored
    /// servers ask for, and where a store was copied with the id: then those of one device do. And nothing is taken, stands, or
    /// is said to stand, that lies more than a minute ahead of what the node's clock ever said.
    func checkClockSanity(_ history: Evidence) -> [Violation] {
        struct Author: Hashable {
            var node: String
            /// Only where others have the same node id.
            var who: String?
        }
        let shared = Set(
            history.of(.fault).lazy.filter { $0.code == FaultKind.storeCopied.rawValue }.compactMap(\.note))
        var last: [Author: Stamp] = [:]
        var latestWall = Int64.min
        var stamps: [OperationRef: Stamp] = [:]
        var violations: [Violation] = []
        for event in history.of(.stored, .restamped, .acknowledged, .late, .fault, .healed, .holds) {
            if let wall = event.wall { latestWall = max(latestWall, wall) }
            switch event.kind {
            case .stored, .restamped:
                guard let stamp = event.stamp, let op = event.op else { continue }
                let ref = OperationRef(client: event.who, op: op)
                stamps[ref] = stamp
                let author = Author(node: stamp.node, who: shared.contains(stamp.node) ? event.who : nil)
                if let previous = last[author], stamp <= previous {
                    if event.kind == .stored, history.wasStoredBefore(event) { continue }
                    violations.append(violation("\(ref) is stamped \(stamp), not after \(previous)", at: event))
                }
                last[author] = stamp
            case .holds where event.who.hasPrefix("auditor"):
                // The clock goes on after the last that was said of it.
                guard let stamp = event.stamp, let wall = history.wall(at: event) else { continue }
                if stamp.millis > max(latestWall, wall) + Limits.aheadMillisMax {
                    let place = Place(event).map { "\($0)" } ?? ""
                    violations.append(violation("\(place) stands with \(stamp), from the future", at: event))
                }
            case .acknowledged where event.code == nil, .late where event.level ?? .none >= .memory:
                guard let client = event.to, let op = event.op, latestWall > .min,
                    let stamp = stamps[OperationRef(client: client, op: op)]
                else { continue }
                if stamp.millis > latestWall + Limits.aheadMillisMax {
                    let verb = event.kind == .late ? "is said to stand" : "was taken"
                    violations.append(
                        violation("\(client)'s operation \(op) \(verb) with \(stamp), from the future", at: event))
                }
            default: break
            }
        }
        return violations
    }

    func checkBounds(_ history: Evidence) -> [Violation] {
        history.of(.bound).compactMap { event in
            guard let count = event.count, let limit = event.limit, count > limit else {
                return nil
            }
            return violation("\(event.who): \(count) \(event.note ?? ""), at most \(limit) allowed", at: event)
        }
    }

    /// Once nothing goes wrong any more, everything comes to rest; and nobody ever says what cannot be understood.
    func checkLiveness(_ history: Evidence) -> [Violation] {
        var violations: [Violation] = []
        var isHealed = false
        var isQuiet = false
        // One that was already failing when faults ended may fail once more.
        var refusal: Violation?
        for event in history.of(.healed, .quiet, .stuck, .refusedToStart, .serving, .failed) {
            switch event.kind {
            case .healed: isHealed = true
            case .quiet: isQuiet = true
            case .stuck:
                violations.append(violation("\(event.who) has not come to rest: \(event.note ?? "")", at: event))
            case .refusedToStart where isHealed:
                refusal = violation("\(event.who) would not start: \(event.note ?? "")", at: event)
            case .serving: refusal = nil
            case .failed where event.code == "undecodable":
                violations.append(violation("\(event.who) was sent what nobody can read", at: event))
            default: break
            }
        }
        if let refusal { violations.append(refusal) }
        if isHealed, !isQuiet, violations.isEmpty { violations.append(violation("nothing came to rest")) }
        return violations
    }
}
