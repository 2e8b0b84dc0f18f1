import TopGunModel

/// One partition: its records and what is counted about them.
struct PartitionState {
    var table = RecordTable()
    var liveRecords = 0
    /// Memory of the blocks.
    var bytes = 0
    /// Whether this group has the partition at all.
    var isHosted = false
    /// Whether operations are taken.
    var isOpen = false
    /// Whether the log since the last `takeLog` has records of it.
    var isLogged = false
}

/// The partitions of a group by number, at addresses that stay.
final class PartitionStates {
    let states: UnsafeMutablePointer<PartitionState>

    init() {
        states = .allocate(capacity: PartitionID.count)
        states.initialize(repeating: PartitionState(), count: PartitionID.count)
    }

    deinit {
        for partition in 0..<PartitionID.count { states[partition].table.removeAll() }
        states.deallocate()
    }
}
