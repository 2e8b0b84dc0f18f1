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

    /// One of several entries that say the same.
    private struct Repeated: Hashable {
        var due: Int64
        var partition: Int
        var hash: UInt64
    }

    private var heap = Heap<Entry>()
    /// Entries whose time came while their partition was not open, by partition.
    private var held: [Int: [Entry]] = [:]
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

    /// Drops the entries that do not count, and all but one of those that say the same: a record that is removed and
    /// written again with the same end has one for each time.
    mutating func sweep(keeping counts: (Entry) -> Bool) {
        var kept: Set<Repeated> = []
        heap = Heap(
            heap.unordered.filter { entry in
                counts(entry)
                    && kept.insert(Repeated(due: entry.due, partition: entry.partition, hash: entry.hash)).inserted
            })
    }

    // MARK: Partitions that are not open

    mutating func hold(_ entry: Entry) {
        held[entry.partition, default: []].append(entry)
    }

    /// The partition is open: its entries take their place again.
    mutating func release(partition: Int) {
        guard let entries = held.removeValue(forKey: partition) else { return }
        for entry in entries { heap.insert(entry) }
    }

    /// The partition's records are gone, and with them what its entries were for.
    mutating func forget(partition: Int) {
        held[partition] = nil
    }
}
