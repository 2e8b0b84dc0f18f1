/// One line of a history: something that a client did or heard, that a node sent, or that the world did to them.
///
/// Only what checkers need, and only what a run of real processes could write down too, except ``isDurable``: that is
/// for a world that can look into its disks.
package struct HistoryEvent: Codable, Hashable, Sendable {
    package enum Kind: String, Codable, Sendable, CaseIterable {
        // A client.
        /// It wrote: `write`, `map`, `key`, `value`, `stamp`.
        case wrote
        /// Its store has a write: `op`, `map`, `key`, `value`, `stamp`, `ttl`; the same again under a new stamp.
        case stored, restamped
        /// It heard that a write is stored: `op`.
        case saved
        /// A write was given back because the store failed: `write`.
        case notStored
        /// It heard of a level of its write: `op`, `level`.
        case reached
        /// It heard that an operation was refused for good: `op`, `code`.
        case refused
        /// It heard that its clock is ahead: everything not acknowledged gets a new stamp.
        case clockAhead
        /// It read: `map`, `key`, and what stands there.
        case read
        /// What it holds at the end: one event for each record of a map.
        case holds
        /// The root of its tree over a map at the end: `map`, `count`.
        case root
        /// Nothing is pending, everything is live: `count` is the milliseconds since faults ended.
        case quiet
        /// It has not come to rest: `note` says what is left.
        case stuck

        /// It sent what breaks the rules: `op`, and the `code` that it must be refused with.
        case offended

        // A node.
        /// It handed an acknowledgement to a socket: `to`, `op`, `level`, `code` for a refusal, `isDurable`, `wall`.
        case acknowledged
        /// It said that an operation is not yet as far as was asked for, which is no acknowledgement (protocol.md 3.5): `to`,
        /// `op`, the `level` that it claims for now, `isDurable`, `wall`.
        case late
        /// It handed a value to a socket for the first time, or one that is not on its disk: `value`, `isDurable`.
        case shown
        case serving
        /// It would not start: `code`, `note`.
        case refusedToStart
        /// It gave up by itself: `code`.
        case failed

        // The world.
        case fault
        /// From here on nothing goes wrong any more.
        case healed
        /// What something measured is at most allowed to be: `note`, `count`, `limit`.
        case bound
    }

    package var nanos: Int64
    package var kind: Kind
    /// The client or the node.
    package var who: String
    package var to: String?
    package var map: String?
    package var key: String?
    /// Each write has a value of its own; none is a removal.
    package var value: UInt32?
    package var stamp: Stamp?
    /// Milliseconds that a value lives from its stamp on; none for one without an end.
    package var ttl: Int64?
    package var write: UInt64?
    package var op: UInt64?
    package var level: Level?
    package var code: String?
    package var isDurable: Bool?
    package var isSuperseded: Bool?
    package var wall: Int64?
    package var count: Int64?
    package var limit: Int64?
    package var note: String?

    package init(_ kind: Kind, _ who: String, at nanos: Int64 = 0) {
        self.nanos = nanos
        self.kind = kind
        self.who = who
    }
}

extension HistoryEvent {
    /// Whether it is a refusal that is not to be tried again.
    var isFinal: Bool {
        guard let code else { return false }
        return !Self.transientCodes.contains(code)
    }

    /// Whether an acknowledgement answers an operation as it must that breaks a rule: the node may be unable to say more at
    /// present; and where a stamp is another's, something newer may stand already, or the node's clock may be behind it by now.
    func isAnswer(to offence: String) -> Bool {
        let isOthers = offence == "REPLICA_ID_CONFLICT"
        guard let code else { return isSuperseded == true && isOthers }
        return code == offence || isOthers && code == "CLOCK_AHEAD"
            || ["BUSY", "NODE_FULL", "NOT_READY"].contains(code)
    }

    private static let transientCodes: Set = ["CLOCK_AHEAD", "REPLICA_ID_CONFLICT", "BUSY", "NODE_FULL", "NOT_READY"]

    /// Every field, one after the other: FNV-1a over words, and over the bytes of texts.
    func mix(into hash: inout UInt64) {
        func word(_ word: UInt64) { hash = (hash ^ word) &* 0x0000_0100_0000_01b3 }
        func text(_ text: String?) {
            for byte in (text ?? "").utf8 { word(UInt64(byte)) }
            word(text == nil ? 0x1ff : 0x100)
        }
        func number(_ number: Int64?) {
            word(UInt64(bitPattern: number ?? 0))
            word(number == nil ? 0x1ff : 0x100)
        }
        number(nanos)
        text(kind.rawValue)
        text(who)
        for one in [to, map, key, stamp?.node, code, note] { text(one) }
        number(value.map(Int64.init))
        number(stamp?.millis)
        number(stamp.map { Int64($0.counter) })
        for one in [write, op] { number(one.map { Int64(bitPattern: $0) }) }
        number(level.map { Int64($0.rawValue) })
        for one in [ttl, wall, count, limit] { number(one) }
        number(isDurable.map { $0 ? 1 : 0 })
        number(isSuperseded.map { $0 ? 1 : 0 })
    }
}

/// A version: compared by millis, counter, then the bytes of the node id.
package struct Stamp: Codable, Hashable, Sendable, Comparable, CustomStringConvertible {
    package var millis: Int64
    package var counter: UInt32
    package var node: String

    package init(millis: Int64, counter: UInt32, node: String) {
        self.millis = millis
        self.counter = counter
        self.node = node
    }

    package static func < (left: Stamp, right: Stamp) -> Bool {
        if left.millis != right.millis { return left.millis < right.millis }
        if left.counter != right.counter { return left.counter < right.counter }
        return left.node.utf8.lexicographicallyPrecedes(right.node.utf8)
    }

    package var description: String { "\(millis):\(counter):\(node)" }
}

/// What an acknowledgement promises.
package enum Level: Int, Codable, Hashable, Sendable, Comparable {
    case none, memory, applied, replicated, persisted

    package static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }
}
