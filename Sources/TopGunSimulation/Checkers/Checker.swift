/// A property of a history: promises.md D.5. Each is a pure function, so it holds runs of real processes to the same.
package enum Checker: String, Sendable, CaseIterable {
    case ackSurvival = "AckSurvival"
    case ackHonesty = "AckHonesty"
    case convergence = "Convergence"
    case noPhantom = "NoPhantom"
    case noResurrection = "NoResurrection"
    case session = "Session"
    case onceEffects = "OnceEffects"
    case clockSanity = "ClockSanity"
    case bounds = "Bounds"
    case liveness = "Liveness"

    package func check(_ history: History) -> [Violation] { check(Evidence(history)) }

    func check(_ history: Evidence) -> [Violation] {
        switch self {
        case .ackSurvival: checkAckSurvival(history)
        case .ackHonesty: checkAckHonesty(history)
        case .convergence: checkConvergence(history)
        case .noPhantom: checkNoPhantom(history)
        case .noResurrection: checkNoResurrection(history)
        case .session: checkSession(history)
        case .onceEffects: checkOnceEffects(history)
        case .clockSanity: checkClockSanity(history)
        case .bounds: checkBounds(history)
        case .liveness: checkLiveness(history)
        }
    }

    func violation(_ message: String, at event: HistoryEvent? = nil) -> Violation {
        Violation(checker: self, message: message, nanos: event?.nanos)
    }
}

/// A broken promise.
package struct Violation: Sendable, Equatable, CustomStringConvertible {
    package var checker: Checker
    package var message: String
    package var nanos: Int64?

    package var description: String {
        let time = nanos.map { " at \($0 / 1_000_000) ms" } ?? ""
        return "\(checker.rawValue)\(time): \(message)"
    }
}

extension History {
    /// What is broken, by every checker.
    package var violations: [Violation] {
        let evidence = Evidence(self)
        return Checker.allCases.flatMap { $0.check(evidence) }
    }
}

// MARK: - What several checkers read out of a history

/// A key of a map.
struct Place: Hashable, CustomStringConvertible {
    var map: String
    var key: String

    init?(_ event: HistoryEvent) {
        guard let map = event.map, let key = event.key else { return nil }
        self.map = map
        self.key = key
    }

    var description: String { "\(map)/\(key)" }
}

/// An operation of a client's log.
struct OperationRef: Hashable, CustomStringConvertible {
    var client: String
    var op: UInt64

    var description: String { "\(client)'s operation \(op)" }
}

/// A history with what several checkers read out of it, read once.
final class Evidence {
    let events: [HistoryEvent]
    private let kinds: [HistoryEvent.Kind]

    init(_ history: History) {
        events = history.events
        kinds = events.map(\.kind)
    }

    /// The events of some kinds, in order; none of the others is touched.
    func of(_ kinds: HistoryEvent.Kind...) -> some Sequence<HistoryEvent> {
        self.kinds.indices.lazy.filter { [self] index in kinds.contains(self.kinds[index]) }
            .map { [self] index in events[index] }
    }

    /// Who held what at the end.
    private(set) lazy var holdings: [String: [Place: HistoryEvent]] = {
        var holdings: [String: [Place: HistoryEvent]] = [:]
        for event in of(.holds) {
            if let place = Place(event) { holdings[event.who, default: [:]][place] = event }
        }
        // One that holds nothing still has roots.
        for event in of(.root) where event.to == nil {
            holdings[event.who, default: [:]] = holdings[event.who] ?? [:]
        }
        return holdings
    }()

    /// The clients that came last, with nothing of their own: what they hold is what the node has.
    private(set) lazy var audits: [(name: String, content: [Place: HistoryEvent])] =
        holdings.filter { $0.key.hasPrefix("auditor") }.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }

    /// Every operation that was ever in a log, as it was stored last.
    private(set) lazy var storedOperations: [(ref: OperationRef, event: HistoryEvent)] = {
        var places: [OperationRef: Int] = [:]
        var stored: [(ref: OperationRef, event: HistoryEvent)] = []
        for event in of(.stored, .restamped) {
            guard let op = event.op else { continue }
            let ref = OperationRef(client: event.who, op: op)
            if let place = places[ref] {
                stored[place].event = event
            } else {
                places[ref] = stored.count
                stored.append((ref, event))
            }
        }
        return stored
    }()

    /// Whether the same write, under the same stamp, was in a log before: it is offered again.
    func wasStoredBefore(_ event: HistoryEvent) -> Bool {
        guard let first = firstStored[Write(event)] else { return false }
        return first.op != event.op || first.who != event.who
    }

    private struct Write: Hashable {
        var place: Place?
        var stamp: Stamp?
        var value: UInt32?

        init(_ event: HistoryEvent) { (place, stamp, value) = (Place(event), event.stamp, event.value) }
    }

    /// The first time that each write was in a log.
    private lazy var firstStored: [Write: HistoryEvent] = {
        var first: [Write: HistoryEvent] = [:]
        for event in of(.stored, .restamped) where first[Write(event)] == nil { first[Write(event)] = event }
        return first
    }()

    /// When each value with a lifetime ends at the latest, under whatever stamp it was ever given.
    private(set) lazy var ends: [UInt32: Int64] = {
        var ends: [UInt32: Int64] = [:]
        for event in of(.stored, .restamped) {
            guard let value = event.value, let stamp = event.stamp, let ttl = event.ttl else { continue }
            ends[value] = max(ends[value] ?? .min, stamp.millis + ttl)
        }
        return ends
    }()

    private lazy var healed = events.first { $0.kind == .healed }

    /// What the node's clock, which goes right once faults are over, says at an event after that.
    func wall(at event: HistoryEvent) -> Int64? {
        guard let healed, let wall = healed.wall else { return nil }
        return wall + (event.nanos - healed.nanos) / 1_000_000
    }

    /// Operations that were refused for good.
    private(set) lazy var refusedOperations: Set<OperationRef> = {
        var refused: Set<OperationRef> = []
        for event in of(.refused) {
            if let op = event.op { refused.insert(OperationRef(client: event.who, op: op)) }
        }
        return refused
    }()
}
