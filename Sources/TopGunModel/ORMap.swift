/// An add-wins map in which a key holds a record per tag, with its Merkle tree (protocol.md 9.5).
///
/// ```
/// key ── [record by tag]      an add makes a tag, a removal tombstones the tags it has seen
/// tombstones: {tag}           one set for the whole map; a tombstoned tag never comes back
/// ```
///
/// It has no clock, like ``LWWMap``.
package struct ORMap: Sendable {
    /// The live records of each key, in order of arrival; a key without records is not here.
    package private(set) var records: [ByteString: [ORMapRecord]] = [:]
    package private(set) var tombstones: Set<ByteString> = []
    package private(set) var tree = MerkleTree32()
    /// The keys under which a tag is stored: one, unless somebody re-used a tag.
    private var keysByTag: [ByteString: [ByteString]] = [:]

    package init() {}

    package subscript(records key: ByteString) -> [ORMapRecord] { records[key] ?? [] }

    /// The values that a reader sees under a key, in no particular order.
    package func values(of key: ByteString, nowMillis: Int64) -> [Payload] {
        self[records: key].filter { !$0.isExpired(nowMillis: nowMillis) }.map { $0.value }
    }
}

// MARK: - Local writes

extension ORMap {
    /// Adds a value under a new tag, which is the text of its stamp.
    @discardableResult
    package mutating func add(
        _ value: Payload, for key: ByteString, ttlMillis: Int64 = 0, clock: inout HybridLogicalClock, wallMillis: Int64
    ) throws(ClockError) -> ORMapRecord {
        let stamp = try clock.now(wallMillis: wallMillis)
        let record = ORMapRecord(value: value, timestamp: stamp, tag: stamp.text, ttlMillis: ttlMillis)
        apply(record, for: key)
        return record
    }

    /// Removes every record of the key with an equal value and returns their tags, one removal operation each.
    @discardableResult
    package mutating func remove(_ value: Payload, for key: ByteString) -> [ByteString] {
        let tags = self[records: key].filter { PayloadEquality.sameContent($0.value, value) }.map { $0.tag }
        for tag in tags { tombstone(tag) }
        return tags
    }
}

// MARK: - Merging

extension ORMap {
    /// Takes an add, in place of what is stored under its tag; `false` if the tag was removed before.
    @discardableResult
    package mutating func apply(_ record: ORMapRecord, for key: ByteString) -> Bool {
        guard !tombstones.contains(record.tag) else { return false }
        change(key) { $0.put(record) }
        return true
    }

    /// Removes a tag for good, wherever it is stored, also if it was never seen; tells whether this was news.
    @discardableResult
    package mutating func tombstone(_ tag: ByteString) -> Bool {
        guard tombstones.insert(tag).inserted else { return false }
        for key in keysByTag[tag] ?? [] {
            change(key) { records in records.removeAll { $0.tag == tag } }
        }
        return true
    }

    /// Merges what another replica has under a key: tombstones first, then new tags and later versions of known ones.
    @discardableResult
    package mutating func merge(
        _ remote: [ORMapRecord], tombstones remoteTombstones: some Sequence<ByteString>, for key: ByteString,
        tie: VersionOrder.TieRule = .repeatChangesNothing
    ) -> (added: Int, updated: Int) {
        for tag in remoteTombstones { tombstone(tag) }
        let live = remote.filter { !tombstones.contains($0.tag) }
        guard !live.isEmpty else { return (0, 0) }
        var outcome = (added: 0, updated: 0)
        change(key) { records in
            for record in live {
                guard let index = records.firstIndex(where: { $0.tag == record.tag }) else {
                    records.append(record)
                    outcome.added += 1
                    continue
                }
                guard record.replaces(records[index], tie: tie) else { continue }
                records[index] = record
                outcome.updated += 1
            }
        }
        return outcome
    }

    /// Forgets tombstones whose tag reads as a time before `horizon`; other tags stay. Returns them, ascending.
    @discardableResult
    package mutating func prune(olderThan horizon: Timestamp) -> [ByteString] {
        let tags = tombstones.filter { tag in
            guard let time = Timestamp(text: tag) else { return false }
            return time < horizon
        }
        tombstones.subtract(tags)
        return tags.sorted()
    }

    /// Forgets everything.
    package mutating func removeAll() {
        self = ORMap()
    }

    /// Changes the records of a key and keeps the tree and the index of tags in step; the only place that does.
    private mutating func change(_ key: ByteString, _ body: (inout [ORMapRecord]) -> Void) {
        let old = records.removeValue(forKey: key) ?? []
        var new = old
        body(&new)
        let keyHash = KeyHash.of(key)
        if !old.isEmpty { tree.remove(item: ORMapEntry.item(key: key, records: old), keyHash: keyHash) }
        for record in old {
            keysByTag[record.tag]?.removeAll { $0 == key }
            if keysByTag[record.tag]?.isEmpty == true { keysByTag[record.tag] = nil }
        }
        for record in new { keysByTag[record.tag, default: []].append(key) }
        guard !new.isEmpty else { return }
        tree.add(item: ORMapEntry.item(key: key, records: new), keyHash: keyHash)
        records[key] = new
    }
}

extension [ORMapRecord] {
    /// Stores a record under its tag, in place of the one there.
    fileprivate mutating func put(_ record: ORMapRecord) {
        if let index = firstIndex(where: { $0.tag == record.tag }) {
            self[index] = record
        } else {
            append(record)
        }
    }
}
