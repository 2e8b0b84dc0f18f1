/// When records with a lifetime stop being visible: a heap of deadlines, earliest first.
///
/// An entry whose record was replaced meanwhile stays in the queue and is found to be void when its time comes.
struct ExpiryQueue: Sendable {
    private var heap: ContiguousArray<Deadline> = []

    private struct Deadline: Sendable {
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

    /// Takes out an entry whose time has come.
    mutating func popExpired(wallMillis: Int64) -> EntryRef? {
        guard let first = heap.first, first.wallMillis <= wallMillis else { return nil }
        let last = heap.removeLast()
        guard !heap.isEmpty else { return first.ref }
        heap[0] = last
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count {
                if heap[child].wallMillis < heap[least].wallMillis { least = child }
            }
            if least == parent { return first.ref }
            heap.swapAt(least, parent)
            parent = least
        }
    }
}
