package import TopGunModel
import TopGunQuery

/// Everything that the partitions of one event loop hold, as a synchronous core.
///
/// ```
///  operations ──apply──> outcomes          one per operation, until the next apply
///                        log               StoredRecords of all that changed, until takeLog
///                        changes           records of watched maps        (offsets into log)
///                        queryChanges      ENTER, UPDATE, LEAVE           (offsets into log)
/// ```
///
/// Isolation: belongs to one event loop; every call happens there. It draws no random number and reads no clock: the
/// same calls give the same state, effects and order. Views it hands out are valid until its next changing call.
package final class GroupState {
    /// Moved forward by every accepted stamp. Its owner raises the bound; where a stamp would lie past it, the operation
    /// that needs one is refused with `BUSY`.
    package var clock: HybridLogicalClock
    package let limits: GroupLimits

    /// What became of each operation of the last `apply`, in its order.
    package internal(set) var outcomes: [Outcome] = []
    /// The records to log, appended in order of change by `apply` and `expire`.
    ///
    /// Its exclusivity is not checked at run time, which every write would pay for: nothing holds an access to it across a
    /// call.
    @exclusivity(unchecked)
    package internal(set) var log = ByteSink(capacity: 65_536)
    /// Changes of watched maps since the last `takeLog`, in order.
    package internal(set) var changes: [Change] = []
    /// Changes of query results since the last `takeLog`, in order; for one change in order of subscribing.
    package internal(set) var queryChanges: [QueryChange] = []

    /// Memory of records, tables and replaced stamps together, as admission counts it; Merkle leaves, names and
    /// subscriptions, which have their own limits, are not in it.
    package var memoryBytes: Int { recordMemoryBytes + restamps.bytes }
    var recordMemoryBytes = 0
    /// Records of all partitions, tombstones included.
    package internal(set) var recordCount = 0

    let hasher: SeededHash
    let maps: MapTable
    let nodes: NameTable
    let partitions = PartitionStates()
    /// The number of the clock's own node id.
    let ownNode: UInt32
    /// Not checked for the same reason.
    @exclusivity(unchecked)
    var passes = Passes()
    var restamps = RestampMemory()
    /// Bit per node: whether a stamp of it was ever replaced.
    var restampedNodes: [UInt64] = []
    /// Holds the tail or the key of one record while it is merged.
    let scratch = ByteSink(capacity: 512)
    var expiry = ExpiryQueue()
    /// The first partition that showed to be broken since somebody asked.
    var brokenPartition: (PartitionID, Breakage)?
    var subscriptions = Subscriptions()
    var awaited = AwaitedMaps()

    /// - Parameters:
    ///   - partitions: the partitions hosted here; all are open from the start.
    ///   - clock: the group's clock, restored above what was ever stamped.
    ///   - hashSeed: a secret random number of this process, so that nobody can flood one chain of the tables (M17).
    package init(
        partitions hosted: some Sequence<PartitionID>, clock: HybridLogicalClock, hashSeed: UInt64,
        limits: GroupLimits = GroupLimits()
    ) {
        precondition(limits.keyBytesMax <= PartitionLimits.keyBytesMax, "a key's length must fit its header")
        precondition(limits.valueBytesMax <= 1 << 30, "a value's length must fit its header")
        self.clock = clock
        self.limits = limits
        hasher = SeededHash(seed: hashSeed)
        maps = MapTable(hasher: hasher)
        nodes = NameTable(hasher: hasher)
        ownNode = clock.node.bytes.withUnsafeBytes { [nodes] in nodes.add($0) }
        for partition in hosted {
            partitions.states[partition.index].isHosted = true
            partitions.states[partition.index].isOpen = true
        }
    }

    deinit {
        passes.deallocate()
    }

    /// Takes the log and puts `fresh`, emptied, in its place; forgets `changes` and `queryChanges`, whose offsets end
    /// with it. The set names the partitions that the log has records of.
    package func takeLog(replacingWith fresh: ByteSink) -> (log: ByteSink, partitions: PartitionSet) {
        fresh.removeAll()
        var logged = PartitionSet()
        for partition in 0..<PartitionID.count where partitions.states[partition].isLogged {
            logged.insert(partition)
            partitions.states[partition].isLogged = false
        }
        let taken = log
        log = fresh
        changes.removeAll(keepingCapacity: true)
        queryChanges.removeAll(keepingCapacity: true)
        return (taken, logged)
    }
}
