import TopGunModel

/// What the store does not have yet, and what it is writing right now.
///
/// Records are kept as places, not as values: what is written is what stands when the transaction is made, so a key
/// that changes a hundred times while the disk is busy is written once.
struct Saving: Sendable {
    var isIdentityUnsaved = false
    var clearedMaps: [ByteString] = []
    /// Indices of maps whose state changed.
    var maps: [Int] = []
    /// Places with local writes: always in the transaction of their operations.
    var localEntries: [EntryRef] = []
    /// Places with records from the servers; cut into transactions.
    var remoteEntries: [EntryRef] = []
    /// Of places whose stored record was not read, the newest stamp that was ours there: what is newer came from the servers
    /// and stays.
    var unread: [EntryRef: Timestamp] = [:]
    /// How many of ``remoteEntries`` are done with.
    var remoteStart = 0
    /// Slots of operations without id.
    var operations: [Int32] = []
    /// Slots of operations with a new stamp.
    var restamped: [Int32] = []
    var retired: [UInt64] = []
    var setAside: [SetAsideOperation] = []
    var forgotten: [UInt64] = []
    /// What became of operations that other processes may have written.
    var decided: [DecidedOperation] = []
    /// What the shell is committing.
    var inFlight: InFlight?
    /// Whether an application waits to hear that its write is stored.
    var hasNewWrites = false
    /// After a failure: when to try again what is not a new write.
    var retryMillis: Int64?
    var number: UInt64 = 0

    struct InFlight: Sendable {
        var transaction: StoreTransaction
        /// Places in the transaction; the first ``localCount`` of them with local writes.
        var entries: [EntryRef]
        var localCount: Int
        var maps: [Int]
        var operations: [Int32]
        var restamped: [Int32]
    }

    var hasRemoteEntries: Bool { remoteStart < remoteEntries.count }

    var isEmpty: Bool {
        !isIdentityUnsaved && clearedMaps.isEmpty && maps.isEmpty && localEntries.isEmpty && !hasRemoteEntries
            && operations.isEmpty && restamped.isEmpty && retired.isEmpty && setAside.isEmpty && forgotten.isEmpty
            && decided.isEmpty
    }
}
