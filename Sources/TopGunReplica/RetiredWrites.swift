import TopGunModel

/// Writes that are safe on the servers and may still be told that they reached the database: those of this run, and in a
/// leader those of others, who ask the store for it.
struct RetiredWrites: Sendable {
    private var writes: [UInt64: WriteResult] = [:]
    /// Ids in the order in which they came; from ``start`` on.
    private var order: [UInt64] = []
    private var start = 0

    mutating func insert(_ write: WriteID?, id: UInt64, map: ByteString, key: ByteString) {
        writes[id] = WriteResult(write: write, id: id, map: map, key: key, outcome: .reached(.persisted))
        order.append(id)
        while writes.count > ReplicaLimits.retiredWritesMax, start < order.count {
            writes[order[start]] = nil
            start += 1
        }
        if start > ReplicaLimits.retiredWritesMax {
            order.removeFirst(start)
            start = 0
        }
        if order.count - start > 2 * ReplicaLimits.retiredWritesMax { forgetTaken() }
    }

    /// Those that were taken leave the order too, or it would grow for as long as the replica lives.
    private mutating func forgetTaken() {
        order = order[start...].filter { writes[$0] != nil }
        start = 0
    }

    /// Ids that are kept, taken ones included.
    var orderedCount: Int { order.count }

    /// The ids, in the order in which they came.
    var ids: [UInt64] { order[start...].filter { writes[$0] != nil } }

    /// The write with that id, which is then forgotten.
    mutating func take(_ id: UInt64) -> WriteResult? {
        writes.removeValue(forKey: id)
    }
}
