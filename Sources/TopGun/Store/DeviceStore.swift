import Synchronization
package import TopGunModel
package import TopGunReplica

/// A store in memory that outlives its clients: the storage of a simulated device.
///
/// Transactions are atomic and stay for as long as this object lives, as those of SQLite do with full syncs. One client at
/// a time has it open. What a call costs and when commits fail, the world outside decides.
package final class DeviceStore: Sendable {
    private let state = Mutex(State())
    private let onCall: @Sendable () -> Void

    private struct State {
        var store = InMemoryStore()
        var isOpen = false
    }

    /// - Parameter onCall: comes before every call that reads a page or commits, on the store's thread.
    package init(onCall: @escaping @Sendable () -> Void) {
        self.onCall = onCall
    }

    /// Every commit fails with it, as on a full disk or a broken one.
    package var failure: StoreError? {
        get { state.withLock { $0.store.failure } }
        set { state.withLock { $0.store.failure = newValue } }
    }

    /// Whether a client has it open.
    package var isOpen: Bool { state.withLock { $0.isOpen } }

    /// Everything in it is gone, as when an application is deleted.
    package func erase() {
        state.withLock { state in
            precondition(!state.isOpen, "a store is erased while a client has it open")
            let failure = state.store.failure
            state.store = InMemoryStore()
            state.store.failure = failure
        }
    }

    /// - Throws: ``TopGunError`` with the code `storage` while another client has it open.
    package func open() throws(TopGunError) -> Opened {
        let isFree = state.withLock { state in
            defer { state.isOpen = true }
            return !state.isOpen
        }
        guard isFree else { throw TopGunError(.storage, "another client of this device has the store open") }
        return Opened(self)
    }

    /// The store as its one client has it, who closes it by letting go.
    package final class Opened: ReplicaStore, Sendable {
        private let device: DeviceStore

        fileprivate init(_ device: DeviceStore) {
            self.device = device
        }

        deinit {
            device.state.withLock { $0.isOpen = false }
        }

        private func call<Value: Sendable>(
            _ body: (inout InMemoryStore) throws(StoreError) -> Value
        ) throws(StoreError) -> Value {
            device.onCall()
            return try device.state.withLock { state throws(StoreError) in try body(&state.store) }
        }

        package func identity() throws(StoreError) -> StoredIdentity? {
            try call { store throws(StoreError) in try store.identity() }
        }

        package func maps() throws(StoreError) -> [StoredMap] {
            try call { store throws(StoreError) in try store.maps() }
        }

        package func entries(ofMap map: ByteString, after key: ByteString?, limit: Int) throws(StoreError)
            -> [StoredEntry]
        {
            try call { store throws(StoreError) in try store.entries(ofMap: map, after: key, limit: limit) }
        }

        package func operations(after id: UInt64, limit: Int) throws(StoreError) -> [StoredOperation] {
            try call { store throws(StoreError) in try store.operations(after: id, limit: limit) }
        }

        package func setAside(after id: UInt64, limit: Int) throws(StoreError) -> [SetAsideOperation] {
            try call { store throws(StoreError) in try store.setAside(after: id, limit: limit) }
        }

        package func changes(
            since sequence: Int64, operationsAfter operation: UInt64, limit: Int
        ) throws(StoreError) -> StoreChanges {
            try call { store throws(StoreError) in
                try store.changes(since: sequence, operationsAfter: operation, limit: limit)
            }
        }

        package func fates(of ids: [UInt64]) throws(StoreError) -> [OperationFate] {
            try call { store throws(StoreError) in try store.fates(of: ids) }
        }

        package func commit(_ transaction: StoreTransaction) throws(StoreError) -> CommitOutcome {
            try call { store throws(StoreError) in try store.commit(transaction) }
        }
    }
}
