import TopGunEnvironment
import TopGunModel
import TopGunPartition

/// The actor of one event loop's data; a shell around ``GroupCore``, which code of the same loop reaches through
/// ``door``.
actor PartitionGroup {
    private nonisolated let loop: any Loop
    nonisolated let door: LoopBound<GroupCore>

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

    init(_ door: LoopBound<GroupCore>) {
        self.loop = door.loop
        self.door = door
    }

    /// Turns what outlived itself into tombstones, a bounded number per turn of the loop.
    func expire() {
        guard door.value.expire() else { return }
        loop.execute { [door] in Self.expireMore(door) }
    }

    private static func expireMore(_ door: LoopBound<GroupCore>) {
        guard door.value.expire() else { return }
        door.loop.execute { expireMore(door) }
    }

    /// Checks the next part of the memory; returns the partitions that were closed because they are broken.
    func check() -> [BrokenPartition] { door.value.check() }

    /// The same of those that others found, without a look at more.
    func takeBroken() -> [BrokenPartition] { door.value.takeBroken() }

    /// Partitions that take no operations, and those of them that are not being rebuilt.
    var closed: (all: PartitionSet, lost: PartitionSet) { (door.value.closedPartitions, door.value.lostPartitions) }

    /// Hands the log what nobody waits for, before the log is closed.
    func handOverRest() {
        door.value.handOverRest()
    }

    /// What the group holds, for `/metrics`.
    var size: (records: Int, memoryBytes: Int, backlogBytes: Int) {
        (door.value.state.recordCount, door.value.state.memoryBytes, door.value.backlogBytes)
    }
}
