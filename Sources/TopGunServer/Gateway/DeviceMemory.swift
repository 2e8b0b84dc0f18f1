import Synchronization

/// Which operations of each device are decided, for the greeting's `lastSeenOpId` (protocol.md 16).
///
/// The answer is the highest id such that it and every smaller one **received** from the device is decided and on disk. A
/// smaller answer is always true as well, and 0 is given
/// - after a restart, because all this is kept in memory only,
/// - while another connection of the device is open, because nobody here knows what that one is being told,
/// - for a device that was forgotten for others that left after it (``Limits/devicesRememberedMax``), or that left more
///   gaps than are worth keeping (``Limits/undecidedRangesMax``).
///
/// It says nothing of ids that were never received: what a client has not sent it may not take for done. Shared by all
/// loops; asked when a device comes, told when it goes, and never in between.
final class DeviceMemory: Sendable {
    fileprivate struct Entry {
        var connections = 0
        /// The largest id received, and which of those below were left undecided.
        var highest: UInt64 = 0
        var undecided = IDRanges()
        var isUntold = false
        /// Counts when it was last left.
        var leaving: UInt64 = 0
    }

    fileprivate struct State {
        var entries: [String: Entry] = [:]
        /// Devices in the order in which they were left; those that came back since are passed over.
        var queue: [(device: String, leaving: UInt64)] = []
        var start = 0
        var leavings: UInt64 = 0
    }

    private let state = Mutex(State())
    private let limit: Int

    init(limit: Int = Limits.devicesRememberedMax) {
        self.limit = limit
    }

    /// Devices remembered.
    var count: Int { state.withLock { $0.entries.count } }

    /// A connection of a device begins: what is decided, and the ids below the highest one that are open.
    func arrive(_ device: String) -> (lastSeen: UInt64, open: IDRanges) {
        state.withLock { state in
            var entry = state.entries[device] ?? Entry()
            let isAlone = entry.connections == 0 && !entry.isUntold
            entry.connections += 1
            state.entries[device] = entry
            let lastSeen = entry.undecided.first.map { $0 == 0 ? 0 : $0 - 1 } ?? entry.highest
            return (isAlone ? lastSeen : 0, entry.undecided)
        }
    }

    /// A connection of a device is over, and everything that it brought is on disk: the largest id that it received, the
    /// ids of it that are open, and those open when it came that it decided.
    func leave(_ device: String, highest: UInt64, undecided: IDRanges, decided: IDRanges) {
        state.withLock { state in
            guard var entry = state.entries[device] else { return }
            entry.connections -= 1
            entry.highest = max(entry.highest, highest)
            entry.undecided.subtract(decided)
            entry.undecided.formUnion(undecided)
            if entry.undecided.rangeCount > Limits.undecidedRangesMax {
                entry.undecided = IDRanges()
                entry.isUntold = true
            }
            state.leavings += 1
            entry.leaving = state.leavings
            state.entries[device] = entry
            state.queue.append((device, entry.leaving))
            state.forget(beyond: limit)
        }
    }
}

extension DeviceMemory.State {
    /// Forgets those that left first; one with a connection stays.
    fileprivate mutating func forget(beyond limit: Int) {
        while entries.count > limit, start < queue.count {
            let (device, leaving) = queue[start]
            start += 1
            if let entry = entries[device], entry.connections == 0, entry.leaving == leaving { entries[device] = nil }
        }
        guard start > limit || queue.count > 2 * limit + 64 else { return }
        queue = queue[start...].filter { entries[$0.device]?.leaving == $0.leaving }
        start = 0
    }
}
