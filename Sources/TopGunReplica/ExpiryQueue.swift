import TopGunModel

/// When records with a lifetime stop being visible: a heap of deadlines, earliest first.
///
/// An entry whose record was replaced meanwhile stays in the queue and is found to be void when its time comes, or when
/// the void ones could outnumber the others.
struct ExpiryQueue: Sendable {
    private var heap: ContiguousArray<Deadline> = []
    /// How many entries were left by the last sweep.
    private var sweptCount = 0

    private struct Deadline: Hashable, Sendable {
        var wallMillis: Int64
        var ref: EntryRef
    }

    /// The first millisecond at which something is no longer visible.
    var nextWallMillis: Int64? { heap.first?.wallMillis }

    mutating func insert(_ ref: EntryRef, wallMillis: Int64) {
        heap.append(Deadline(wallMillis: wallMillis, ref: ref))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if heap[parent].wallMillis <= heap[child].wallMillis { return }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    /// Entries held, void ones included.
    var count: Int { heap.count }

    /// Whether so many entries came since the last sweep that most of them may be void.
    var needsSweep: Bool { heap.count > 2 * sweptCount + ReplicaLimits.voidExpiriesMax }

    /// Lets go of entries whose record is not the one that stands, and of all but one of those that say the same.
    mutating func sweep(_ maps: [ReplicaMap]) {
        var seen: Set<Deadline> = []
        var kept: ContiguousArray<Deadline> = []
        for deadline in heap {
            let entry = maps[Int(deadline.ref.map)].table.entries[Int(deadline.ref.place)]
            guard entry.record?.invisibleFromMillis == deadline.wallMillis, seen.insert(deadline).inserted else {
                continue
            }
            kept.append(deadline)
        }
        // Sorted, and so a heap, whatever was taken out.
        kept.sort { $0.wallMillis < $1.wallMillis }
        heap = kept
        sweptCount = kept.count
    }

    /// Takes out an entry whose time has come.
    mutating func popExpired(wallMillis: Int64) -> (ref: EntryRef, wallMillis: Int64)? {
        guard let first = heap.first, first.wallMillis <= wallMillis else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return (first.ref, first.wallMillis) }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].wallMillis < heap[least].wallMillis { least = child }
            }
            if least == parent { return (first.ref, first.wallMillis) }
            heap.swapAt(least, parent)
            parent = least
        }
    }
}

extension LWWRecord {
    /// The first millisecond at which a value with a lifetime is not visible any more; `nil` if there is none.
    var invisibleFromMillis: Int64? {
        guard ttlMillis > 0, !isTombstone else { return nil }
        let (end, overflow) = timestamp.millis.addingReportingOverflow(ttlMillis)
        return overflow || end == .max ? nil : end + 1
    }
}
