import TopGunModel

/// Up to where the log is not needed any more, per partition, because a synced checkpoint holds it.
///
/// Only a ``CheckpointStore`` makes one, from files that are on disk: so nothing else can let a log segment go.
package struct CheckpointCoverage: Sendable {
    /// By partition; `.zero` where there is no checkpoint.
    package private(set) var positions: [LogPosition]

    /// Covers nothing.
    package static let none = CheckpointCoverage()

    init() {
        positions = Array(repeating: .zero, count: PartitionSet.capacity)
    }

    mutating func cover(_ partition: Int, to position: LogPosition) {
        positions[partition] = max(positions[partition], position)
    }

    /// Whether everything that the log says about these partitions before `end` is in checkpoints.
    func covers(_ partitions: PartitionSet, to end: LogPosition) -> Bool {
        #if MUTANTS
        if Mutant.watermarkIsMaximum.isOn { return positions.contains { $0 >= end } }
        #endif
        return partitions.allSatisfy { positions[$0] >= end }
    }

    var partitions: PartitionSet {
        PartitionSet(positions.indices.filter { positions[$0] > .zero })
    }
}
