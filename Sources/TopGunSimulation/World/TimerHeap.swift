/// Timers by deadline, equal ones in the order they were set: a binary heap.
///
/// A cancelled timer stays until its turn comes and then does nothing.
struct TimerHeap: Sendable {
    struct Timer: Sendable {
        var deadline: Int64
        var id: UInt64
        var loop: Int
        var job: SimulatedScheduler.Job

        func isBefore(_ other: Timer) -> Bool {
            deadline == other.deadline ? id < other.id : deadline < other.deadline
        }
    }

    private var timers: [Timer] = []
    /// Set and neither run nor cancelled.
    private var live = LiveIDs()

    /// The deadline of the next timer that was not cancelled.
    mutating func nextDeadline() -> Int64? {
        while let first = timers.first {
            if live.contains(first.id) { return first.deadline }
            _ = removeFirst()
        }
        return nil
    }

    mutating func insert(_ timer: Timer) {
        live.insert(timer.id)
        timers.append(timer)
        var child = timers.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard timers[child].isBefore(timers[parent]) else { break }
            timers.swapAt(child, parent)
            child = parent
        }
    }

    /// The next timer; call ``nextDeadline()`` first.
    mutating func pop() -> Timer {
        let timer = removeFirst()
        live.remove(timer.id)
        return timer
    }

    mutating func cancel(_ id: UInt64) {
        live.remove(id)
    }

    /// Takes the timers of a loop out, for the caller to release.
    mutating func removeAll(of loop: Int) -> [Timer] {
        let removed = timers.filter { $0.loop == loop }
        guard !removed.isEmpty else { return [] }
        for timer in removed { live.remove(timer.id) }
        // Sorted is a heap too.
        timers = timers.filter { $0.loop != loop }.sorted { $0.isBefore($1) }
        return removed
    }

    private mutating func removeFirst() -> Timer {
        let first = timers[0]
        let last = timers.removeLast()
        guard !timers.isEmpty else { return first }
        timers[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < timers.count {
                if timers[child].isBefore(timers[least]) { least = child }
            }
            guard least != parent else { return first }
            timers.swapAt(parent, least)
            parent = least
        }
    }
}

/// A set of ids that are put in one after the other, each one more than the last: a flag for each from the oldest that is
/// still in it.
private struct LiveIDs: Sendable {
    private var flags: [Bool] = []
    /// The id of the first flag.
    private var base: UInt64 = 1
    /// Flags before it are down.
    private var head = 0

    func contains(_ id: UInt64) -> Bool {
        guard id >= base, id - base < flags.count else { return false }
        return flags[Int(id - base)]
    }

    mutating func insert(_ id: UInt64) {
        precondition(id == base + UInt64(flags.count), "timers are numbered in the order in which they are set")
        flags.append(true)
    }

    mutating func remove(_ id: UInt64) {
        guard contains(id) else { return }
        flags[Int(id - base)] = false
        while head < flags.count, !flags[head] { head += 1 }
        guard head > 1_024, head * 2 > flags.count else { return }
        flags.removeFirst(head)
        base += UInt64(head)
        head = 0
    }
}
