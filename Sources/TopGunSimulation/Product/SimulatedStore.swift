package import TopGunModel
package import TopGunReplica

/// The store of a simulated client: transactions are atomic and outlive the process, as in SQLite with full syncs.
///
/// What a device's disk may do wrong is switched on by the world; what a careless store would do, by a mutant.
package struct SimulatedStore: ReplicaStore {
    private var inner = InMemoryStore()
    /// Every commit fails with it, as on a full or a broken disk.
    package var failure: StoreError? {
        get { inner.failure }
        set { inner.failure = newValue }
    }
    /// The mutant `clockNotPersisted`: how far stamps may have gone is never written down.
    package var forgetsClockBound = false

    package init() {}

    package func identity() throws(StoreError) -> StoredIdentity? {
        var identity = try inner.identity()
        if forgetsClockBound { identity?.clockBound = 0 }
        return identity
    }

    package func maps() throws(StoreError) -> [StoredMap] { try inner.maps() }

    package func entries(
        ofMap map: ByteString, after key: ByteString?, limit: Int
    ) throws(StoreError) -> [StoredEntry] {
        try inner.entries(ofMap: map, after: key, limit: limit)
    }

    package func operations(after id: UInt64, limit: Int) throws(StoreError) -> [StoredOperation] {
        try inner.operations(after: id, limit: limit)
    }

    package func setAside(after id: UInt64, limit: Int) throws(StoreError) -> [SetAsideOperation] {
        try inner.setAside(after: id, limit: limit)
    }

    package func changes(
        since sequence: Int64, operationsAfter operation: UInt64, limit: Int
    ) throws(StoreError) -> StoreChanges {
        try inner.changes(since: sequence, operationsAfter: operation, limit: limit)
    }

    package func fates(of ids: [UInt64]) throws(StoreError) -> [OperationFate] { try inner.fates(of: ids) }

    package mutating func commit(_ transaction: StoreTransaction) throws(StoreError) -> CommitOutcome {
        try inner.commit(transaction)
    }
}
