import TopGunModel

/// The records of one map, by key, with the Merkle tree over them.
///
/// A key keeps its place for the life of the replica, so other parts refer to it by index; a key without a record is a
/// place without one. Places are in the order in which keys were first seen, which is what makes runs repeatable.
struct RecordTable: Sendable {
    private(set) var entries: ContiguousArray<Entry> = []
    private(set) var tree = MerkleTree32()
    /// The tree over the content, while a connection compares it.
    private(set) var content: ContentTree?
    private var places: [ByteString: Int32] = [:]

    struct Entry: Sendable {
        let key: ByteString
        let keyHash: UInt32
        var record: LWWRecord?
        /// Whether the record was written by this store's application.
        var isOwn = false
        var unsaved = Unsaved.no
        /// Index of the ``PendingKey``, while writes of this key are in the log.
        var pending: Int32 = RecordTable.none
    }

    /// Whether the store has the entry as it is here.
    enum Unsaved: UInt8, Sendable {
        case no
        /// Waiting among what came from the servers.
        case remote
        /// Waiting among local writes, which go first.
        case local
    }

    static let none: Int32 = -1

    mutating func reserveCapacity(_ count: Int) {
        entries.reserveCapacity(count)
        places.reserveCapacity(count)
    }

    func place(of key: ByteString) -> Int? {
        guard let place = places[key] else { return nil }
        return Int(place)
    }

    /// The place of a key, made if there is none yet.
    mutating func makePlace(of key: ByteString) -> Int {
        if let place = places[key] { return Int(place) }
        let place = entries.count
        places[key] = Int32(truncatingIfNeeded: place)
        entries.append(Entry(key: key, keyHash: KeyHash.of(key)))
        return place
    }

    /// Puts a record, or none, in a place.
    mutating func put(_ record: LWWRecord?, isOwn: Bool, at place: Int) {
        let key = entries[place].key
        let keyHash = entries[place].keyHash
        if let old = entries[place].record { tree.remove(item: old.merkleItem(key: key), keyHash: keyHash) }
        if let record { tree.add(item: record.merkleItem(key: key), keyHash: keyHash) }
        // The key alone, not the tree: a second reference to it would have it copied with every change.
        if let secret = content?.key {
            if let old = entries[place].record {
                content?.remove(ContentTree.digest(of: old, key: key, under: secret), keyHash: keyHash)
            }
            if let record {
                content?.add(ContentTree.digest(of: record, key: key, under: secret), keyHash: keyHash)
            }
        }
        entries[place].record = record
        entries[place].isOwn = isOwn
    }

    /// Keeps the content tree under that key from now on; without one, none.
    mutating func keepContent(under secret: SipHash128.Key?) {
        guard let secret else {
            content = nil
            return
        }
        guard content?.key != secret else { return }
        var made = ContentTree(key: secret)
        for entry in entries {
            guard let record = entry.record else { continue }
            made.add(made.digest(of: record, key: entry.key), keyHash: entry.keyHash)
        }
        content = made
    }

    mutating func setUnsaved(_ unsaved: Unsaved, at place: Int) {
        entries[place].unsaved = unsaved
    }

    mutating func setPending(_ pending: Int32, at place: Int) {
        entries[place].pending = pending
    }
}

/// A key of a map of this replica.
struct EntryRef: Hashable, Sendable {
    var map: Int32
    var place: Int32

    init(map: Int, place: Int) {
        self.map = Int32(truncatingIfNeeded: map)
        self.place = Int32(truncatingIfNeeded: place)
    }
}
