@testable import TopGunSimulation

/// Events as a test writes them down: one line each.
enum Event {
    static let node = "node-0"

    static func stamp(_ millis: Int64, _ counter: UInt32 = 0, node: String = "a") -> Stamp {
        Stamp(millis: millis, counter: counter, node: node)
    }

    static func at(
        _ kind: HistoryEvent.Kind, _ who: String, _ key: String, _ value: UInt32?, _ stamp: Stamp?
    ) -> HistoryEvent {
        var event = HistoryEvent(kind, who)
        event.map = "m"
        event.key = key
        event.value = value
        event.stamp = stamp
        return event
    }

    static func wrote(_ who: String, _ key: String, _ value: UInt32?, _ stamp: Stamp) -> HistoryEvent {
        at(.wrote, who, key, value, stamp)
    }

    static func stored(
        _ who: String, _ op: UInt64, _ key: String, _ value: UInt32?, _ stamp: Stamp, ttl: Int64? = nil,
        kind: HistoryEvent.Kind = .stored
    ) -> HistoryEvent {
        var event = at(kind, who, key, value, stamp)
        event.op = op
        event.ttl = ttl
        return event
    }

    static func read(_ who: String, _ key: String, _ value: UInt32?, _ stamp: Stamp?) -> HistoryEvent {
        at(.read, who, key, value, stamp)
    }

    static func holds(_ who: String, _ key: String, _ value: UInt32?, _ stamp: Stamp) -> HistoryEvent {
        at(.holds, who, key, value, stamp)
    }

    static func acknowledged(
        _ who: String, _ op: UInt64, _ level: Level = .replicated, isDurable: Bool? = true, wall: Int64? = nil,
        kind: HistoryEvent.Kind = .acknowledged
    ) -> HistoryEvent {
        var event = HistoryEvent(kind, node)
        event.to = who
        event.op = op
        event.level = level
        event.isDurable = isDurable
        event.wall = wall
        return event
    }

    static func saved(_ who: String, _ op: UInt64) -> HistoryEvent {
        var event = HistoryEvent(.saved, who)
        event.op = op
        return event
    }

    /// The node refuses an operation.
    static func refusal(_ who: String, _ op: UInt64, _ code: String) -> HistoryEvent {
        var event = acknowledged(who, op, .none, isDurable: nil)
        event.code = code
        return event
    }

    /// Faults are over, and the node's clock says that; events of no other time follow.
    static func healed(wall: Int64) -> HistoryEvent {
        var event = HistoryEvent(.healed, "world")
        event.wall = wall
        return event
    }

    /// Somebody sends what the node must refuse.
    static func offended(_ who: String, _ op: UInt64, _ code: String) -> HistoryEvent {
        var event = HistoryEvent(.offended, who)
        event.op = op
        event.code = code
        return event
    }

    static func refused(_ who: String, _ op: UInt64) -> HistoryEvent {
        var event = HistoryEvent(.refused, who)
        event.op = op
        event.code = "FORBIDDEN"
        return event
    }

    static func shown(_ value: UInt32, isDurable: Bool) -> HistoryEvent {
        var event = HistoryEvent(.shown, node)
        event.value = value
        event.isDurable = isDurable
        return event
    }

    static func root(_ who: String, _ root: Int64, to client: String? = nil) -> HistoryEvent {
        var event = HistoryEvent(.root, who)
        event.map = "m"
        event.to = client
        event.count = root
        return event
    }

    static func fault(_ kind: FaultKind, _ who: String) -> HistoryEvent {
        var event = HistoryEvent(.fault, who)
        event.code = kind.rawValue
        return event
    }
}

extension Checker {
    /// The messages of what it finds in some events.
    func findings(_ events: HistoryEvent...) -> [String] {
        check(History(events)).map(\.message)
    }
}
