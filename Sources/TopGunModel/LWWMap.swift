/// A map of last-writer-wins records with its Merkle tree, as one replica holds it (protocol.md 9.4).
///
/// It has no clock: whoever merges has let the clock observe the stamp first, so that a stamp that the clock refuses
/// never gets here. Removed keys stay as tombstones until ``prune(olderThan:)``.
package struct LWWMap: Sendable {
    /// Every record, tombstones and expired ones included.
    package private(set) var records: [ByteString: LWWRecord] = [:]
    package private(set) var tree = MerkleTree32()
    /// How many records are tombstones.
    package private(set) var tombstoneCount = 0

    package init() {}

    package var count: Int { records.count }

    package subscript(record key: ByteString) -> LWWRecord? { records[key] }

    /// The value that a reader sees, if any.
    package func value(of key: ByteString, nowMillis: Int64) -> Payload? {
        guard let record = records[key], record.isVisible(nowMillis: nowMillis) else { return nil }
        return record.value
    }

    /// The keys and values that a reader sees, in no particular order.
    package func forEachVisible(nowMillis: Int64, _ body: (ByteString, LWWRecord) -> Void) {
        for (key, record) in records where record.isVisible(nowMillis: nowMillis) { body(key, record) }
    }
}

// MARK: - Local writes

extension LWWMap {
    /// Writes a value stamped by the clock and returns the record; nothing changes if the clock cannot stamp.
    @discardableResult
    package mutating func set(
        _ value: Payload, for key: ByteString, ttlMillis: Int64 = 0, clock: inout HybridLogicalClock, wallMillis: Int64
    ) throws(ClockError) -> LWWRecord {
        let record = LWWRecord(value: value, timestamp: try clock.now(wallMillis: wallMillis), ttlMillis: ttlMillis)
        store(record, for: key)
        return record
    }

    /// Writes a tombstone stamped by the clock and returns it.
    @discardableResult
    package mutating func remove(
        _ key: ByteString, clock: inout HybridLogicalClock, wallMillis: Int64
    ) throws(ClockError) -> LWWRecord {
        try set(.tombstone, for: key, clock: &clock, wallMillis: wallMillis)
    }
}

// MARK: - Merging

extension LWWMap {
    /// Takes a record of another replica if it is newer than what is stored, and tells whether it did.
    @discardableResult
    package mutating func merge(
        _ record: LWWRecord, for key: ByteString, tie: VersionOrder.TieRule = .repeatChangesNothing
    ) -> Bool {
        if let stored = records[key], !record.replaces(stored, tie: tie) { return false }
        store(record, for: key)
        return true
    }

    /// Adopts the server's record of our own write although it is not newer: the server may have replaced a stamp that
    /// lay ahead of its clock. Only if the values are equal in depth and the server's stamp is not later.
    ///
    /// For records of events, after ``merge(_:for:tie:)`` refused them.
    @discardableResult
    package mutating func adoptEcho(_ server: LWWRecord, for key: ByteString) -> Bool {
        guard let stored = records[key], server.timestamp <= stored.timestamp,
            PayloadEquality.sameContent(stored.value, server.value)
        else { return false }
        store(server, for: key)
        return true
    }

    /// Puts a record in place of whatever is there; for stores that load what they saved, and for roll-backs.
    package mutating func store(_ record: LWWRecord, for key: ByteString) {
        let keyHash = KeyHash.of(key)
        if let old = records.updateValue(record, forKey: key) {
            tree.remove(item: old.merkleItem(keyHash: keyHash), keyHash: keyHash)
            if old.isTombstone { tombstoneCount -= 1 }
        }
        tree.add(item: record.merkleItem(keyHash: keyHash), keyHash: keyHash)
        if record.isTombstone { tombstoneCount += 1 }
    }

    /// Forgets a record altogether, as if it had never been; for roll-backs and pruning only.
    @discardableResult
    package mutating func forget(_ key: ByteString) -> LWWRecord? {
        guard let old = records.removeValue(forKey: key) else { return nil }
        let keyHash = KeyHash.of(key)
        tree.remove(item: old.merkleItem(keyHash: keyHash), keyHash: keyHash)
        if old.isTombstone { tombstoneCount -= 1 }
        return old
    }

    /// Forgets the tombstones older than a time that every replica has passed; returns their keys, ascending.
    @discardableResult
    package mutating func prune(olderThan horizon: Timestamp) -> [ByteString] {
        let keys = records.filter { $0.value.isTombstone && $0.value.timestamp < horizon }.keys.sorted()
        for key in keys { forget(key) }
        return keys
    }

    /// Forgets everything.
    package mutating func removeAll() {
        self = LWWMap()
    }
}
