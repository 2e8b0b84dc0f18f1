/// The tree by which replicas of a partition find where they differ: sums of keyed 128-bit digests.
///
/// ```
/// root            = Σ of everything below
/// path "a"        = Σ of everything below
/// path "ab"       leaf = Σ digest(record)      where a record lies depends on (map, key) and the secret alone
/// ```
///
/// A digest covers map, key, version, lifetime, value and whether it is a removal, so equal roots mean equal content,
/// and no client can craft records that cancel out or pile up in one leaf: it does not know the key (M16, M17). Since
/// digests are pseudo-random, a node is the plain sum of what lies below it: one addition per change, composable over
/// shards, and two trees of different depth agree on the levels they share.
package struct MerkleTree128: Sendable {
    package let key: SipHash128.Key
    /// Hex digits of the path to a leaf; 16^digits leaves of sixteen bytes.
    package let digits: Int
    private var leaves: [Digest128]

    package init(key: SipHash128.Key, digits: Int = ModelLimits.replicaMerkleDigits) {
        precondition(digits >= 1 && digits <= 4, "a tree has one to four levels")
        self.key = key
        self.digits = digits
        self.leaves = Array(repeating: .zero, count: 1 << (4 * digits))
    }

    /// What identifies and versions one record, as views over its bytes.
    package struct Item {
        package var kind: StoredRecord.Kind
        package var nameSpace: UnsafeRawBufferPointer
        package var map: UnsafeRawBufferPointer
        package var key: UnsafeRawBufferPointer
        package var tag: UnsafeRawBufferPointer
        package var millis: Int64
        package var counter: UInt32
        package var node: UnsafeRawBufferPointer
        package var ttlMillis: Int64
        package var value: UnsafeRawBufferPointer
        package var isRemoval: Bool

        package init(
            kind: StoredRecord.Kind, nameSpace: UnsafeRawBufferPointer, map: UnsafeRawBufferPointer,
            key: UnsafeRawBufferPointer, tag: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0),
            millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer, ttlMillis: Int64,
            value: UnsafeRawBufferPointer, isRemoval: Bool
        ) {
            self.kind = kind
            self.nameSpace = nameSpace
            self.map = map
            self.key = key
            self.tag = tag
            self.millis = millis
            self.counter = counter
            self.node = node
            self.ttlMillis = ttlMillis
            self.value = value
            self.isRemoval = isRemoval
        }
    }

    /// Where an item lies and what it adds there; made once per record and good for ``add(_:)`` and ``remove(_:)``.
    package struct Contribution: Hashable, Sendable {
        package var position: UInt32
        package var digest: Digest128
    }

    package func contribution(of item: Item) -> Contribution {
        // Every text is preceded by its length, so that no two items have the same bytes.
        var place = SipHash128(key: key)
        place.update(UInt64(truncatingIfNeeded: item.nameSpace.count))
        place.update(item.nameSpace)
        place.update(UInt64(truncatingIfNeeded: item.map.count))
        place.update(item.map)
        place.update(UInt64(truncatingIfNeeded: item.key.count))
        place.update(item.key)
        let position = UInt32(truncatingIfNeeded: place.finalized().high >> 32)
        var content = place
        content.update(UInt64(item.kind.rawValue) | (item.isRemoval ? 1 << 8 : 0))
        content.update(UInt64(truncatingIfNeeded: item.tag.count))
        content.update(item.tag)
        content.update(UInt64(bitPattern: item.millis))
        content.update(UInt64(item.counter))
        content.update(UInt64(truncatingIfNeeded: item.node.count))
        content.update(item.node)
        content.update(UInt64(bitPattern: item.ttlMillis))
        content.update(UInt64(truncatingIfNeeded: item.value.count))
        content.update(item.value)
        return Contribution(position: position, digest: content.finalized())
    }

    package mutating func add(_ contribution: Contribution) {
        let leaf = leaf(at: contribution.position)
        leaves[leaf] = leaves[leaf] &+ contribution.digest
    }

    /// Takes away what was added before.
    package mutating func remove(_ contribution: Contribution) {
        let leaf = leaf(at: contribution.position)
        leaves[leaf] = leaves[leaf] &- contribution.digest
    }

    /// Adds all items of another shard, which has the same key and depth; no item may be in both.
    package mutating func formUnion(_ other: MerkleTree128) {
        precondition(other.key == key && other.digits == digits, "trees of different keys or depths do not add up")
        for index in leaves.indices { leaves[index] = leaves[index] &+ other.leaves[index] }
    }

    /// The leaf, 0..<16^digits, of a position.
    package func leaf(at position: UInt32) -> Int {
        Int(truncatingIfNeeded: position >> UInt32(32 - 4 * digits))
    }
}

// MARK: - Digests

extension MerkleTree128 {
    package var root: Digest128 { digest(path: 0, length: 0) }

    /// The digest of the node whose path has that many hex digits, read as a number.
    package func digest(path: Int, length: Int) -> Digest128 {
        precondition(length >= 0 && length <= digits && path >= 0 && path < 1 << (4 * length), "no such node")
        let width = 1 << (4 * (digits - length))
        return leaves[path * width..<(path + 1) * width].reduce(.zero) { $0 &+ $1 }
    }

    /// The digests of the sixteen children of a node that is no leaf, by digit.
    package func buckets(path: Int, length: Int) -> [Digest128] {
        precondition(length < digits, "a leaf has no children")
        return (0..<16).map { digest(path: path << 4 | $0, length: length + 1) }
    }
}

extension MerkleTree128: Equatable {
    package static func == (left: MerkleTree128, right: MerkleTree128) -> Bool {
        left.key == right.key && left.digits == right.digits && left.leaves == right.leaves
    }
}
