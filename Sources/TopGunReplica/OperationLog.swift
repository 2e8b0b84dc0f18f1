import TopGunModel

/// The operations that the servers do not hold safely yet, in the order of their ids.
///
/// ```
/// written ──> committed here ──> sent ──> decided ──> retired
///   .new         .ready          .sent     .reached    gone
///                  ^────────────────┘ reconnect, timeout, BUSY
/// ```
///
/// A doubly linked list in id order through a slab: appending, finding and taking out cost the same however long the
/// log is. Operations not committed yet have no id and no place in the list.
struct OperationLog: Sendable {
    private var slots: ContiguousArray<Slot> = []
    private var free: [Int32] = []
    private var slotOfID: [UInt64: Int32] = [:]
    private(set) var first: Int32 = RecordTable.none
    private(set) var last: Int32 = RecordTable.none
    /// Operations held, committed or not.
    private(set) var count = 0
    /// Nothing before this one waits to be sent.
    private var unsent: Int32 = RecordTable.none

    private struct Slot: Sendable {
        var entry: LogEntry
        var previous: Int32 = RecordTable.none
        var next: Int32 = RecordTable.none
    }

    subscript(slot: Int32) -> LogEntry {
        get { slots[Int(slot)].entry }
        _modify { yield &slots[Int(slot)].entry }
    }

    func slot(ofID id: UInt64) -> Int32? { slotOfID[id] }

    func next(after slot: Int32) -> Int32 { slots[Int(slot)].next }

    /// The operations with ids, oldest first.
    var ids: [UInt64] {
        var ids: [UInt64] = []
        var slot = first
        while slot != RecordTable.none {
            ids.append(self[slot].id)
            slot = next(after: slot)
        }
        return ids
    }

    /// Takes an operation in that has no id yet.
    mutating func insert(_ entry: LogEntry) -> Int32 {
        count += 1
        if let slot = free.popLast() {
            slots[Int(slot)] = Slot(entry: entry)
            return slot
        }
        slots.append(Slot(entry: entry))
        return Int32(truncatingIfNeeded: slots.count - 1)
    }

    /// Puts an operation in its place by the id that the store gave it.
    mutating func number(_ slot: Int32, id: UInt64) {
        slots[Int(slot)].entry.id = id
        slotOfID[id] = slot
        var before = last
        while before != RecordTable.none, self[before].id > id { before = slots[Int(before)].previous }
        let after = before == RecordTable.none ? first : slots[Int(before)].next
        slots[Int(slot)].previous = before
        slots[Int(slot)].next = after
        if before == RecordTable.none { first = slot } else { slots[Int(before)].next = slot }
        if after == RecordTable.none { last = slot } else { slots[Int(after)].previous = slot }
        unsentAgain(slot)
    }

    mutating func remove(_ slot: Int32) {
        let removed = slots[Int(slot)]
        if removed.entry.id != 0 {
            slotOfID[removed.entry.id] = nil
            if removed.previous == RecordTable.none {
                first = removed.next
            } else {
                slots[Int(removed.previous)].next = removed.next
            }
            if removed.next == RecordTable.none {
                last = removed.previous
            } else {
                slots[Int(removed.next)].previous = removed.previous
            }
            if unsent == slot { unsent = removed.next }
        }
        slots[Int(slot)] = Slot(entry: LogEntry.vacant)
        free.append(slot)
        count -= 1
    }
}

// MARK: - What waits to be sent

extension OperationLog {
    /// The oldest operation that is ready to be sent.
    mutating func nextReady() -> Int32? {
        while unsent != RecordTable.none {
            if self[unsent].state == .ready { return unsent }
            unsent = next(after: unsent)
        }
        return nil
    }

    /// Whether any operation is ready to be sent.
    var hasReady: Bool {
        var slot = unsent
        while slot != RecordTable.none {
            if self[slot].state == .ready { return true }
            slot = next(after: slot)
        }
        return false
    }

    /// Says that this operation may be ready again.
    mutating func unsentAgain(_ slot: Int32) {
        if unsent == RecordTable.none || self[slot].id < self[unsent].id { unsent = slot }
    }
}

/// One operation of the log.
struct LogEntry: Sendable {
    enum State: UInt8, Sendable {
        /// Waits for the store.
        case new
        /// In the store; waits to be sent.
        case ready
        /// On its way, and not decided.
        case sent
        /// Merged by the servers; waits for the level at which it may go.
        case reached
        /// Refused for its time: gets a new stamp before it is sent again.
        case restamp
        /// Refused for its node id: gets a new one before it is sent again.
        case rename
        /// Has a new stamp that the store does not have yet.
        case restamped
    }

    /// 0 until the store gave it one.
    var id: UInt64 = 0
    /// `nil` if it was written by an earlier run or by another process.
    var write: WriteID?
    var ref: EntryRef
    var record: LWWRecord
    var state: State
    /// The highest level that was reported.
    var level = WriteConcern.fireAndForget
    /// What a LEVEL_UP said that came before the acknowledgement; counts once that is here.
    var risenLevel = WriteConcern.fireAndForget
    /// Whether the application was told that something newer stands.
    var isSuperseded = false
    /// When it was last sent.
    var sentMillis: Int64 = 0
    /// The connection it was last sent on.
    var connection: UInt32 = 0
    /// How often it was sent on that connection without being answered.
    var copies: Int32 = 0
    /// Answers still to come that are about a stamp it no longer has.
    var staleAnswers: Int32 = 0
    /// About what it takes in a frame.
    var frameBytes: Int32 = 0

    static let vacant = LogEntry(
        ref: EntryRef(map: 0, place: 0),
        record: LWWRecord(value: .tombstone, timestamp: Timestamp(millis: 0, counter: 0, node: ByteString([]))),
        state: .new)
}
