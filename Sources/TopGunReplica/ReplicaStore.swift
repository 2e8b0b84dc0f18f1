package import TopGunModel

/// Where a replica keeps its records and its operation log between runs.
///
/// Used generically, never as an existential. Calls are synchronous; a shell makes them on a thread that may block. Two
/// processes may have one store open: ``commit(_:)`` is atomic and serialised between them, operation ids and
/// ``CommitOutcome/sequence`` come from the store and only ever grow, over its whole life.
package protocol ReplicaStore {
    /// What the replica is; `nil` in a store that was never written.
    mutating func identity() throws(StoreError) -> StoredIdentity?

    /// Every map that the store knows, those included that only have entries, ascending by name.
    mutating func maps() throws(StoreError) -> [StoredMap]

    /// At most `limit` entries of a map with keys above `key`, ascending by key bytes. Entries without a record are
    /// left out. Fewer than `limit` means that these were the last.
    mutating func entries(
        ofMap map: ByteString, after key: ByteString?, limit: Int
    ) throws(StoreError) -> [StoredEntry]

    /// At most `limit` operations of the log with ids above `id`, ascending.
    mutating func operations(after id: UInt64, limit: Int) throws(StoreError) -> [StoredOperation]

    /// At most `limit` operations that were refused for good, with ids above `id`, ascending.
    mutating func setAside(after id: UInt64, limit: Int) throws(StoreError) -> [SetAsideOperation]

    /// What any process changed after `sequence`: at most `limit` entries in the order of their last change, removed
    /// ones (without record) included, and at most `limit` operations with ids above `operation`. Asked from `Int64.max`
    /// on, it only tells the number of the last change.
    mutating func changes(
        since sequence: Int64, operationsAfter operation: UInt64, limit: Int
    ) throws(StoreError) -> StoreChanges

    /// What has become of operations, in the order asked for.
    mutating func fates(of ids: [UInt64]) throws(StoreError) -> [OperationFate]

    /// Writes everything or nothing, after everything that was committed before, and returns only when it is durable. A
    /// transaction that need not be (``StoreTransaction/mustBeDurable``) may become so with a later one: a power cut then
    /// takes it back whole, but never a part of it, nor one before it alone.
    mutating func commit(_ transaction: StoreTransaction) throws(StoreError) -> CommitOutcome
}

/// One atomic change of a store. Parts are applied in the order of the properties.
package struct StoreTransaction: Sendable, Equatable {
    /// Counts the transactions that a ``ReplicaState`` handed out.
    package var number: UInt64 = 0
    /// Takes the place of the stored identity.
    package var identity: StoredIdentity?
    /// Maps whose entries all go.
    package var clearedMaps: [ByteString] = []
    /// Maps to add, or whose state changed.
    package var maps: [StoredMap] = []
    package var entries: [StoredEntry] = []
    /// Appended to the log; the store gives them ascending ids without gaps, in this order.
    package var newOperations: [NewOperation] = []
    /// Operations of the log that got another stamp under the same id.
    package var restamped: [StoredOperation] = []
    /// Operations that leave the log: they are safe on the servers. Unknown ids are skipped.
    package var retired: [UInt64] = []
    /// Operations that leave the log for the list of those that were refused for good.
    package var setAside: [SetAsideOperation] = []
    /// Ids that leave the list of refused operations: the application has dealt with them. That they were refused stays
    /// known for the process that wrote them (``OperationFate``).
    package var forgotten: [UInt64] = []
    /// How far operations have come that left the log and that this process did not write, for the one that did.
    package var decided: [DecidedOperation] = []

    package init() {}

    /// Whether anything in it may leave the device, or was promised to the application, once it is committed. The rest
    /// comes again from the servers when it is lost: records, cursors, what became of operations.
    package var mustBeDurable: Bool { identity != nil || !newOperations.isEmpty || !restamped.isEmpty }

    package var isEmpty: Bool {
        identity == nil && clearedMaps.isEmpty && maps.isEmpty && entries.isEmpty && newOperations.isEmpty
            && restamped.isEmpty && retired.isEmpty && setAside.isEmpty && forgotten.isEmpty && decided.isEmpty
    }
}

/// What a store says about a transaction that is durable.
package struct CommitOutcome: Sendable, Equatable {
    /// The id given to the first of the new operations; the others follow without gaps.
    package var firstOperationID: UInt64
    /// The number of this change of the store.
    package var sequence: Int64

    package init(firstOperationID: UInt64, sequence: Int64) {
        self.firstOperationID = firstOperationID
        self.sequence = sequence
    }
}

/// Who a replica is, and which servers its data belongs to.
package struct StoredIdentity: Sendable, Equatable {
    /// The node id of the process that syncs: a lower-case UUID.
    package var node: ByteString
    /// No stamp of ``node`` was ever made above this; 0 in a fresh store.
    package var clockBound: Int64 = 0
    /// The cluster that the data belongs to, once one was met.
    package var clusterID: ByteString?
    /// The user that the data belongs to, once one was authenticated.
    package var userID: ByteString?
    package var restoreEpoch: Int64?
    package var deviceID: ByteString?
    package var deviceToken: ByteString?

    package init(node: ByteString) {
        self.node = node
    }
}

/// What a store knows of a map beside its entries.
package struct StoredMap: Sendable, Equatable {
    package var name: ByteString
    /// Server time, in ms, up to which the map is known to be complete; 0 if it never was.
    package var lastSyncMillis: Int64 = 0

    package init(name: ByteString, lastSyncMillis: Int64 = 0) {
        self.name = name
        self.lastSyncMillis = lastSyncMillis
    }
}

/// One key of a map.
package struct StoredEntry: Sendable, Equatable {
    /// How an entry meets the one that the store holds.
    package enum Rule: Equatable, Sendable {
        /// Written as it is.
        case replace
        /// Written only if the stamp is newer than the stored one: for a process that does not sync, and so may not
        /// have seen what the other one wrote.
        case merge
        /// Written unless the stored stamp is newer than this one: for a key whose entry was not read yet.
        case unlessNewer(than: Timestamp)
    }

    package var map: ByteString
    package var key: ByteString
    /// `nil` takes the entry away.
    package var record: LWWRecord?
    /// Whether the record was written by this store's application, and so must be offered again to a restored server.
    package var isOwn: Bool
    /// Not stored.
    package var rule: Rule

    package init(map: ByteString, key: ByteString, record: LWWRecord?, isOwn: Bool, rule: Rule = .replace) {
        self.map = map
        self.key = key
        self.record = record
        self.isOwn = isOwn
        self.rule = rule
    }
}

/// A write that is not in the log yet.
package struct NewOperation: Sendable, Equatable {
    package var map: ByteString
    package var key: ByteString
    /// A tombstone for a removal.
    package var record: LWWRecord

    package init(map: ByteString, key: ByteString, record: LWWRecord) {
        self.map = map
        self.key = key
        self.record = record
    }
}

/// A write in the log.
package struct StoredOperation: Sendable, Equatable {
    package var id: UInt64
    package var map: ByteString
    package var key: ByteString
    package var record: LWWRecord

    package init(id: UInt64, map: ByteString, key: ByteString, record: LWWRecord) {
        self.id = id
        self.map = map
        self.key = key
        self.record = record
    }
}

/// A write that was refused for good; the application gets its value back from here.
package struct SetAsideOperation: Sendable, Equatable {
    package var operation: StoredOperation
    /// The protocol's code, e.g. `FORBIDDEN`.
    package var code: ByteString

    package init(operation: StoredOperation, code: ByteString) {
        self.operation = operation
        self.code = code
    }
}

/// An operation that left the log, and the highest level that the servers reported of it.
package struct DecidedOperation: Sendable, Equatable {
    package var id: UInt64
    package var level: WriteConcern

    package init(id: UInt64, level: WriteConcern) {
        self.id = id
        self.level = level
    }
}

package enum OperationFate: Sendable, Equatable {
    case pending
    /// No longer in the log: the servers hold it at this level.
    case retired(WriteConcern)
    case setAside(code: ByteString)
    /// No longer in the log, and nothing is known of it: it was decided by the process that wrote it, or more than
    /// ``ReplicaLimits/decidedOperationsMax`` operations ago.
    case unknown
}

/// What changed in a store that several processes share.
package struct StoreChanges: Sendable, Equatable {
    /// The change up to which ``entries`` goes.
    package var sequence: Int64
    package var entries: [StoredEntry]
    package var operations: [StoredOperation]
    /// Whether the limit cut either list: ask again from ``sequence`` and the last operation.
    package var isCut: Bool

    package init(sequence: Int64, entries: [StoredEntry], operations: [StoredOperation], isCut: Bool) {
        self.sequence = sequence
        self.entries = entries
        self.operations = operations
        self.isCut = isCut
    }
}

/// Why a store could not do what it was asked for.
package struct StoreError: Error, Equatable, Sendable {
    package enum Code: Sendable {
        /// No space, or no quota.
        case full
        /// Another process holds the store; try again.
        case busy
        /// Reading or writing failed.
        case io
        /// What is stored makes no sense, or was written by a newer version.
        case unreadable
    }

    package var code: Code
    /// For people; holds no keys or values.
    package var message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }
}
