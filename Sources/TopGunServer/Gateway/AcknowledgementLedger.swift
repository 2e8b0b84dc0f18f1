#if MUTANTS
import TopGunModel
#endif

/// Which operation ids of one connection may be covered by an acknowledgement's `lastId`.
///
/// ``lastID`` is never above the largest id such that it and every smaller one received on this connection has been
/// decided: applied, or refused for good (protocol.md 3.4). It may lag behind while ids are decided out of order and
/// catches up when the last gap closes; an official client re-sends meanwhile, which changes nothing.
///
/// A client that leaves more gaps than ``Limits/undecidedRangesMax`` is not worth more memory: ids between two of them
/// count as undecided, too. Its acknowledgements name each operation then, and ``lastID`` covers less than it might.
struct AcknowledgementLedger {
    /// The largest id received.
    private(set) var highest: UInt64 = 0
    /// Nothing at or below it is undecided.
    private var floor: UInt64 = 0
    private(set) var undecided = IDRanges()

    var lastID: UInt64 {
        #if MUTANTS
        if Mutant.ledgerSkipsGaps.isOn { return highest }
        #endif
        return undecided.isEmpty ? highest : floor
    }

    /// An id that was received and waits for its outcome, or whose outcome was "try again".
    mutating func postpone(_ id: UInt64) {
        // Nothing lies below 0: a client whose ids begin there is told of that one by its own result, or not at all.
        let below = id == 0 ? 0 : id - 1
        floor = min(undecided.isEmpty ? highest : floor, below)
        highest = max(highest, id)
        undecided.insert(id, rangesMax: Limits.undecidedRangesMax)
    }

    /// An id whose operation took effect, was seen to be a repeat, or was refused for good.
    mutating func decide(_ id: UInt64) {
        highest = max(highest, id)
        guard !undecided.isEmpty else { return }
        undecided.remove(id, rangesMax: Limits.undecidedRangesMax)
        if let first = undecided.first {
            if id < first { floor = max(floor, id) }
        }
    }
}
