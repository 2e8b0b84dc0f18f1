import HeapModule

/// Which records end their lifetime next.
///
/// A record has at most one entry that counts: the one whose time is the record's `due`. A write that ends earlier adds
/// an entry, one that ends later leaves the old one, which is put off when its time comes; entries that no longer count
/// are dropped then, or all at once when they outnumber those that do.
struct ExpiryQueue {
    struct Entry: Comparable {
        var due: Int64
        var sequence: UInt64
        var partition: Int
        var hash: UInt64

        static func < (left: Entry, right: Entry) -> Bool {
            (left.due, left.sequence) < (right.due, right.sequence)
        }
    }

    private var heap = Heap<Entry>()
    private var nextSequence: UInt64 = 0
    /// How many records have an entry that counts.
    var scheduled = 0

    var next: Entry? { heap.min }
    var count: Int { heap.count }

    mutating func schedule(due: Int64, partition: Int, hash: UInt64) {
        heap.insert(Entry(due: due, sequence: nextSequence, partition: partition, hash: hash))
        nextSequence += 1
    }

    mutating func popFirst() -> Entry? { heap.popMin() }

    var needsSweep: Bool { heap.count > 2 * scheduled + 1_024 }

    mutating func sweep(keeping counts: (Entry) -> Bool) {
        heap = Heap(heap.unordered.filter(counts))
    }
}
