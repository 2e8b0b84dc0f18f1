import TopGunModel

/// Which event loop a partition lives on; the same for the life of the process.
enum PartitionPlacement {
    static func loop(of partition: PartitionID, loops: Int) -> Int {
        partition.index % loops
    }

    static func partitions(of loop: Int, loops: Int) -> [PartitionID] {
        (0..<PartitionID.count).filter { $0 % loops == loop }.map { PartitionID($0) }
    }
}
