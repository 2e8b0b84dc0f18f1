import TopGunModel

/// How often each partition was repaired of late, and which are repaired no more: memory that breaks again and again is
/// not mended by filling it again.
struct RepairBook {
    private var repairs: [Int: [Int64]] = [:]
    private(set) var lost = PartitionSet()

    /// Whether a partition that broke now is to be rebuilt; if not it is lost until somebody says ``forget(_:)``.
    mutating func admits(_ partition: PartitionID, nowMillis: Int64) -> Bool {
        let recent = repairs[partition.index, default: []].filter { nowMillis - $0 < Limits.repairWindowMillis }
        guard recent.count < Limits.repairsMax else {
            lost.insert(partition.index)
            return false
        }
        repairs[partition.index] = recent + [nowMillis]
        return true
    }

    /// An operator takes it from here: what was, counts no more.
    mutating func forget(_ partition: PartitionID) {
        repairs[partition.index] = nil
        lost.remove(partition.index)
    }
}
