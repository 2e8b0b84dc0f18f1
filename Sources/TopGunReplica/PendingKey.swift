import TopGunModel

/// A key with writes in the log: what the servers hold of it, as far as known, beside what was written here.
///
/// ```
/// shown = newest of (base, writes)          base = what stands when every write is refused
/// ```
struct PendingKey: Sendable {
    /// What the servers hold.
    enum Base: Sendable {
        /// Not known: the writes are older than this run.
        case unknown
        case absent
        case record(LWWRecord, isOwn: Bool)

        /// The base after the servers showed another record; of two with one stamp, what they showed last.
        func merged(_ record: LWWRecord, isOwn: Bool) -> Base {
            guard case .record(let known, _) = self, record == known || record.timestamp < known.timestamp else {
                return .record(record, isOwn: isOwn)
            }
            return self
        }
    }

    var base: Base
    /// Slots of the log, oldest first.
    var writes: [Int32] = []
    /// The stamp that the server gave to the value of a write, which was another than ours.
    var adopted: LWWRecord?
}

/// All keys with writes in the log; slots are used again.
struct PendingKeys: Sendable {
    private var slots: ContiguousArray<PendingKey> = []
    private var free: [Int32] = []

    subscript(slot: Int32) -> PendingKey {
        get { slots[Int(slot)] }
        _modify { yield &slots[Int(slot)] }
    }

    mutating func insert(_ base: PendingKey.Base) -> Int32 {
        if let slot = free.popLast() {
            slots[Int(slot)] = PendingKey(base: base)
            return slot
        }
        slots.append(PendingKey(base: base))
        return Int32(truncatingIfNeeded: slots.count - 1)
    }

    mutating func remove(_ slot: Int32) {
        slots[Int(slot)] = PendingKey(base: .absent)
        free.append(slot)
    }
}
