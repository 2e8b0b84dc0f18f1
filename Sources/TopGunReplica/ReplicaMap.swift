import TopGunModel

/// One map of this replica: its records, and how far they are read from the store and compared with the servers.
struct ReplicaMap: Sendable {
    enum Loading: UInt8, Sendable {
        /// Known by name, from the log or from the store; its records are not here.
        case known
        case loading
        case loaded
    }

    let name: ByteString
    var table = RecordTable()
    var loading = Loading.known
    /// Whether the application has it open, and so wants it synced.
    var isOpen = false
    var isWatched = false
    /// Live queries over it.
    var queries: [QueryID] = []
    var walk = MerkleWalk()
    /// Whether a comparison with the servers is due on this connection.
    var isSyncDue = false
    /// Whether another one is due once the root is here that was asked for: events were lost meanwhile.
    var isSyncDueAfterRoot = false
    /// Whether the server has reset the map on this connection already.
    var wasReset = false
    var lastSyncMillis: Int64 = 0
    /// What the server gave with the last root that was ours too: given back, it tells what changed since. Not stored, as
    /// servers know theirs for one run only.
    var syncCursor: ByteString?
    /// Whether the store lacks ``lastSyncMillis``, or the map as such.
    var isUnsaved = false
    /// Whether anything about the map is in the store.
    var isStored = false

    init(name: ByteString) {
        self.name = name
    }
}
