import TopGunModel
import TopGunReplica

/// The store of a client: one of those there are.
enum ClientStore: ReplicaStore {
    case file(SQLiteStore)
    case memory(InMemoryStore)
    case device(DeviceStore.Opened)

    func identity() throws(StoreError) -> StoredIdentity? {
        switch self {
        case .file(let store): try store.identity()
        case .memory(let store): try store.identity()
        case .device(let store): try store.identity()
        }
    }

    func maps() throws(StoreError) -> [StoredMap] {
        switch self {
        case .file(let store): try store.maps()
        case .memory(let store): try store.maps()
        case .device(let store): try store.maps()
        }
    }

    func entries(ofMap map: ByteString, after key: ByteString?, limit: Int) throws(StoreError) -> [StoredEntry] {
        switch self {
        case .file(let store): try store.entries(ofMap: map, after: key, limit: limit)
        case .memory(let store): try store.entries(ofMap: map, after: key, limit: limit)
        case .device(let store): try store.entries(ofMap: map, after: key, limit: limit)
        }
    }

    func operations(after id: UInt64, limit: Int) throws(StoreError) -> [StoredOperation] {
        switch self {
        case .file(let store): try store.operations(after: id, limit: limit)
        case .memory(let store): try store.operations(after: id, limit: limit)
        case .device(let store): try store.operations(after: id, limit: limit)
        }
    }

    func setAside(after id: UInt64, limit: Int) throws(StoreError) -> [SetAsideOperation] {
        switch self {
        case .file(let store): try store.setAside(after: id, limit: limit)
        case .memory(let store): try store.setAside(after: id, limit: limit)
        case .device(let store): try store.setAside(after: id, limit: limit)
        }
    }

    func changes(
        since sequence: Int64, operationsAfter operation: UInt64, limit: Int
    ) throws(StoreError) -> StoreChanges {
        switch self {
        case .file(let store): try store.changes(since: sequence, operationsAfter: operation, limit: limit)
        case .memory(let store): try store.changes(since: sequence, operationsAfter: operation, limit: limit)
        case .device(let store): try store.changes(since: sequence, operationsAfter: operation, limit: limit)
        }
    }

    func fates(of ids: [UInt64]) throws(StoreError) -> [OperationFate] {
        switch self {
        case .file(let store): try store.fates(of: ids)
        case .memory(let store): try store.fates(of: ids)
        case .device(let store): try store.fates(of: ids)
        }
    }

    mutating func commit(_ transaction: StoreTransaction) throws(StoreError) -> CommitOutcome {
        switch self {
        case .file(let store):
            return try store.commit(transaction)
        case .device(let store):
            return try store.commit(transaction)
        case .memory(var store):
            // Taken out of the enum while it changes, so that it is not copied.
            self = .memory(InMemoryStore())
            defer { self = .memory(store) }
            return try store.commit(transaction)
        }
    }
}

extension ClientStore {
    /// Everything small that a replica starts with, read in pages.
    func readAll() throws(StoreError) -> StoreContent {
        var content = StoreContent(identity: try identity(), maps: try maps())
        let page = ReplicaLimits.loadEntriesMax
        while true {
            let operations = try operations(after: content.operations.last?.id ?? 0, limit: page)
            content.operations += operations
            if operations.count < page { break }
        }
        while true {
            let refused = try setAside(after: content.setAside.last?.operation.id ?? 0, limit: page)
            content.setAside += refused
            if refused.count < page { break }
        }
        return content
    }
}

struct StoreContent {
    var identity: StoredIdentity?
    var maps: [StoredMap]
    var operations: [StoredOperation] = []
    var setAside: [SetAsideOperation] = []
}
