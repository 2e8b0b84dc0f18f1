package import TopGunModel

/// A store that is gone with the process: for tests, for the simulator, and for replicas that need not last.
package struct InMemoryStore: ReplicaStore, Sendable {
    private var stored: StoredIdentity?
    private var mapStates: [ByteString: StoredMap] = [:]
    private var records: [ByteString: [ByteString: Held]] = [:]
    private var log: [UInt64: StoredOperation] = [:]
    private var refused: [UInt64: SetAsideOperation] = [:]
    private var decided: [UInt64: OperationFate] = [:]
    private var lastOperationID: UInt64 = 0
    private var sequence: Int64 = 0

    /// Set to make every commit fail from now on, as a full disk does.
    package var failure: StoreError?

    private struct Held {
        var record: LWWRecord?
        var isOwn: Bool
        var sequence: Int64
    }

    package init() {}

    package func identity() throws(StoreError) -> StoredIdentity? { stored }

    package func maps() throws(StoreError) -> [StoredMap] {
        var known = mapStates
        for name in records.keys where known[name] == nil { known[name] = StoredMap(name: name) }
        return known.values.sorted { $0.name < $1.name }
    }

    package func entries(
        ofMap map: ByteString, after key: ByteString?, limit: Int
    ) throws(StoreError) -> [StoredEntry] {
        guard let held = records[map] else { return [] }
        var keys: [ByteString] = []
        for (candidate, entry) in held where entry.record != nil {
            if let key, candidate <= key { continue }
            keys.append(candidate)
        }
        keys.sort()
        return keys.prefix(limit).map { Self.entry(map, $0, held) }
    }

    package func operations(after id: UInt64, limit: Int) throws(StoreError) -> [StoredOperation] {
        log.keys.filter { $0 > id }.sorted().prefix(limit).compactMap { log[$0] }
    }

    package func setAside(after id: UInt64, limit: Int) throws(StoreError) -> [SetAsideOperation] {
        refused.keys.filter { $0 > id }.sorted().prefix(limit).compactMap { refused[$0] }
    }

    package func changes(
        since sequence: Int64, operationsAfter operation: UInt64, limit: Int
    ) throws(StoreError) -> StoreChanges {
        var changed: [(sequence: Int64, map: ByteString, key: ByteString)] = []
        for (map, held) in records {
            for (key, entry) in held where entry.sequence > sequence {
                changed.append((entry.sequence, map, key))
            }
        }
        changed.sort { left, right in
            if left.sequence != right.sequence { return left.sequence < right.sequence }
            if left.map != right.map { return left.map < right.map }
            return left.key < right.key
        }
        var reached = self.sequence
        var isCut = false
        if changed.count > limit {
            // Cut between two changes of the store, never inside one, so that `sequence` says where to go on.
            var end = limit
            while end < changed.count, changed[end].sequence == changed[end - 1].sequence { end += 1 }
            if end < changed.count {
                isCut = true
                reached = changed[end - 1].sequence
                changed.removeSubrange(end...)
            }
        }
        let operations = log.keys.filter { $0 > operation }.sorted()
        if operations.count > limit { isCut = true }
        return StoreChanges(
            sequence: reached,
            entries: changed.map { Self.entry($0.map, $0.key, records[$0.map] ?? [:]) },
            operations: operations.prefix(limit).compactMap { log[$0] },
            isCut: isCut)
    }

    package func fates(of ids: [UInt64]) throws(StoreError) -> [OperationFate] {
        ids.map { id in
            if let refusal = refused[id] { return .setAside(code: refusal.code) }
            if log[id] != nil { return .pending }
            return isRecent(id) ? decided[id] ?? .unknown : .unknown
        }
    }

    private func isRecent(_ id: UInt64) -> Bool {
        lastOperationID < ReplicaLimits.decidedOperationsMax
            || id > lastOperationID - ReplicaLimits.decidedOperationsMax
    }

    package mutating func commit(_ transaction: StoreTransaction) throws(StoreError) -> CommitOutcome {
        if let failure { throw failure }
        sequence += 1
        if let identity = transaction.identity { stored = identity }
        for map in transaction.clearedMaps { clear(map) }
        for map in transaction.maps { mapStates[map.name] = map }
        for entry in transaction.entries { write(entry) }
        let first = lastOperationID + 1
        for operation in transaction.newOperations {
            lastOperationID += 1
            log[lastOperationID] = StoredOperation(
                id: lastOperationID, map: operation.map, key: operation.key, record: operation.record)
        }
        for operation in transaction.restamped where log[operation.id] != nil { log[operation.id] = operation }
        for id in transaction.retired { log[id] = nil }
        for refusal in transaction.setAside {
            log[refusal.operation.id] = nil
            refused[refusal.operation.id] = refusal
        }
        for id in transaction.forgotten {
            if let refusal = refused.removeValue(forKey: id) { decided[id] = .setAside(code: refusal.code) }
        }
        for operation in transaction.decided { decided[operation.id] = .retired(operation.level) }
        if decided.count > 2 * Int(ReplicaLimits.decidedOperationsMax) {
            for id in Array(decided.keys) where !isRecent(id) { decided[id] = nil }
        }
        return CommitOutcome(firstOperationID: first, sequence: sequence)
    }

    private mutating func clear(_ map: ByteString) {
        // Kept without records, so that another process sees them go.
        for key in (records[map] ?? [:]).keys {
            records[map]?[key] = Held(record: nil, isOwn: false, sequence: sequence)
        }
    }

    private mutating func write(_ entry: StoredEntry) {
        if let old = records[entry.map]?[entry.key]?.record {
            switch entry.rule {
            case .replace: break
            case .merge:
                if let new = entry.record, !new.replaces(old, tie: .repeatChangesNothing) { return }
            case .unlessNewer(let stamp):
                if old.timestamp > stamp { return }
            }
        }
        records[entry.map, default: [:]][entry.key] = Held(
            record: entry.record, isOwn: entry.isOwn, sequence: sequence)
    }

    private static func entry(_ map: ByteString, _ key: ByteString, _ held: [ByteString: Held]) -> StoredEntry {
        StoredEntry(map: map, key: key, record: held[key]?.record, isOwn: held[key]?.isOwn ?? false)
    }
}
