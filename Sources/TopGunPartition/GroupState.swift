package import TopGunModel
package import TopGunQuery

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
    /// - Parameters:
    ///   - partitions: the partitions hosted here; all are open from the start.
    ///   - clock: the group's clock, restored above what was ever stamped.
    ///   - hashSeed: a secret random number of this process, so that nobody can flood one chain of the tables (M17).
    package init(
        partitions: some Sequence<PartitionID>, clock: HybridLogicalClock, hashSeed: UInt64,
        limits: GroupLimits = GroupLimits()
    ) {
        fatalError("in the making")
    }

    /// Moved forward by every accepted stamp. Its owner raises the bound; where a stamp would lie past it, the operation
    /// that needs one is refused with `BUSY`.
    package var clock: HybridLogicalClock {
        get { fatalError() }
        set {}
    }

    package private(set) var limits: GroupLimits

    // MARK: Effects

    /// What became of each operation of the last `apply`, in its order.
    package var outcomes: [Outcome] { [] }
    /// The records to log, appended in order of change by `apply` and `expire`.
    package var log: ByteSink { fatalError() }
    /// Changes of watched maps since the last `takeLog`, in order.
    package var changes: [Change] { [] }
    /// Changes of query results since the last `takeLog`, in order; for one change in order of subscribing.
    package var queryChanges: [QueryChange] { [] }

    /// Takes the log and puts `fresh`, emptied, in its place; forgets `changes` and `queryChanges`, whose offsets end
    /// with it. The set names the partitions that the log has records of.
    package func takeLog(replacingWith fresh: ByteSink) -> (log: ByteSink, partitions: PartitionSet) { fatalError() }
}

// MARK: - Maps

extension GroupState {
    /// The id of a map, given out now if it has none.
    package func map(_ name: ByteString, in nameSpace: ByteString) throws(PartitionError) -> MapID { fatalError() }
    /// The id of a map if it has one: a map that nobody wrote to or asked for has none.
    package func existingMap(_ name: ByteString, in nameSpace: ByteString) -> MapID? { fatalError() }
    package func name(of map: MapID) -> (nameSpace: ByteString, name: ByteString) { fatalError() }
    package func summary(of map: MapID) -> MapSummary { fatalError() }
    /// How many maps there are; their ids are `0 ..< mapCount`.
    package var mapCount: Int { fatalError() }
}

// MARK: - Writing

extension GroupState {
    /// Judges and merges operations of one client, in order; the effects say what came of it.
    ///
    /// Every view of an operation must be valid until it returns; `keyHash` must be filled in. An operation that carries
    /// a refusal keeps it. Removals must have the value `c0`. A partition not hosted or not open answers `NOT_READY`.
    package func apply(
        _ operations: UnsafeBufferPointer<OperationView>, author: UInt64, nameSpace: ByteString, rules: IngressRules,
        wallMillis: Int64
    ) { fatalError() }

    /// Turns records whose lifetime and grace are over into tombstones, oldest first and at most `limit`; the effects are
    /// the ordinary ones. Returns how many it turned.
    @discardableResult
    package func expire(wallMillis: Int64, limit: Int) -> Int { fatalError() }

    /// When `expire` has something to do next; may be early, never late.
    package var nextExpiryMillis: Int64? { fatalError() }

    /// Merges a record of the log, a checkpoint or a replica: content decides ties, nothing is logged, published or
    /// counted as an effect. Any order and any number of repeats give the same state. A record of kind `clockBound` only
    /// moves the clock.
    package func load(_ record: StoredRecord) throws(PartitionError) { fatalError() }
}

// MARK: - Reading

extension GroupState {
    /// The record of a key, tombstones and expired ones included.
    package func record(in map: MapID, key: UnsafeRawBufferPointer, keyHash: UInt32) -> RecordView? { fatalError() }

    /// Visits records that a reader sees, about `visits` table entries per call, and returns where to go on; `nil` when
    /// through. A key that is there from the first call to the last is seen at least once, possibly more often: a caller
    /// that slices and cares keeps what it saw. In one call without writes in between nothing is seen twice.
    package func scan(
        _ map: MapID, from cursor: ScanCursor?, visits: Int, wallMillis: Int64, _ body: (RecordView) -> Void
    ) -> ScanCursor? { fatalError() }
}

// MARK: - Merkle leaves

extension GroupState {
    /// Builds the leaves of a map over about `records` more records and tells whether they are complete; from then on
    /// writes keep them up to date. Costs about 0.1 us per record, once per map.
    package func buildLeaves(of map: MapID, records: Int) -> Bool { fatalError() }

    /// The map's tree over the partitions of this group; the trees of all groups together are composed with
    /// ``MerkleTree32/formUnion(_:)``. Builds the leaves where they are not complete.
    package func merkleTree(of map: MapID) -> MerkleTree32 { fatalError() }

    /// Records and memory below a path, tombstones included: what a LEAF for it would hold.
    package func leafSummary(of map: MapID, at path: MerklePath) -> (records: Int, bytes: Int) { fatalError() }

    /// Visits every record below a path, tombstones and expired ones included, at a cost in proportion to their number.
    package func forEachRecord(in map: MapID, at path: MerklePath, _ body: (RecordView) -> Void) { fatalError() }

    /// Frees the leaves of a map that nobody syncs any more; they are built anew when asked for.
    package func releaseLeaves(of map: MapID) { fatalError() }
}

// MARK: - Interest

extension GroupState {
    /// Asks for `changes` of a map; counted, so as many `unwatch` end it.
    package func watch(_ map: MapID) { fatalError() }
    package func unwatch(_ map: MapID) { fatalError() }

    /// Starts a subscription under a number of the caller's choice; one with the same number is replaced. Its first
    /// result is the caller's to take with `scan`, in the same turn of the loop.
    package func subscribe(_ subscription: UInt64, to map: MapID, filter: QueryFilter) throws(PartitionError) {
        fatalError()
    }
    package func unsubscribe(_ subscription: UInt64) { fatalError() }
}

// MARK: - Partitions

extension GroupState {
    package func summary(of partition: PartitionID) -> PartitionSummary? { fatalError() }

    /// Appends records of a partition to `sink` until about `bytesLimit` bytes are in this slice, and returns where to go
    /// on; `nil` when through. Never misses a record that is there from the first slice to the last; may repeat some.
    package func slice(
        _ partition: PartitionID, from cursor: CheckpointCursor?, bytesLimit: Int, into sink: ByteSink
    ) -> CheckpointCursor? { fatalError() }

    /// Forgets all records of a partition and closes it: operations are answered `NOT_READY` while `load` fills it again.
    package func drop(_ partition: PartitionID) { fatalError() }

    /// Takes operations again after `drop` and the loads.
    package func open(_ partition: PartitionID) { fatalError() }

    /// Memory of records and tables together, as admission counts it.
    package var memoryBytes: Int { fatalError() }
    /// Records of all partitions, tombstones included.
    package var recordCount: Int { fatalError() }
}
