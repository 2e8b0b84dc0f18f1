/// The tree of 32-bit hashes by which a client and a server find where their copies of one map differ.
///
/// ```
/// path ""            root = Σ mix(child)
/// path "a"           16 children per node
/// path "ab"
/// path "abc"         leaf = Σ mix(item)        item = one record (LWW) or one key with its records (OR)
/// ```
///
/// The path of a key is the first three hex digits of its ``KeyHash``. Only the leaves are kept, as sums: adding and
/// removing an item is one addition, order never matters, and trees of shards are composed by adding their leaves.
/// Upper levels are computed when asked for, at most 4,096 mixes for the root (protocol.md 9.6, 9.7).
package struct MerkleTree32: Equatable, Sendable {
    /// Sum and number of items per leaf; empty until the first item comes.
    private var leaves: [Leaf] = []

    private struct Leaf: Equatable, Sendable {
        var sum: UInt32 = 0
        var count: UInt32 = 0
    }

    package init() {}

    /// How many items the tree holds.
    package var count: Int { leaves.reduce(0) { $0 + Int(truncatingIfNeeded: $1.count) } }
}

// MARK: - Items

extension MerkleTree32 {
    /// The leaf that a key belongs to.
    @inlinable
    package static func leaf(ofKeyHash keyHash: UInt32) -> Int { Int(truncatingIfNeeded: keyHash &>> 20) }

    /// The item of a last-writer-wins record: the hash of `key:millis:counter:node`. The value is not hashed.
    package static func item(
        key: UnsafeRawBufferPointer, millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer
    ) -> UInt32 {
        item(keyHash: KeyHash.of(key), millis: millis, counter: counter, node: node)
    }

    /// The same from the hash of the key, which is the hash of the text so far.
    package static func item(
        keyHash: UInt32, millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer
    ) -> UInt32 {
        var hasher = KeyHasher(continuing: keyHash)
        hasher.update(ascii: UInt8(ascii: ":"))
        hasher.update(decimal: millis)
        hasher.update(ascii: UInt8(ascii: ":"))
        hasher.update(decimal: Int64(counter))
        hasher.update(ascii: UInt8(ascii: ":"))
        hasher.update(node)
        return hasher.hash
    }

    package mutating func add(item: UInt32, keyHash: UInt32) {
        if leaves.isEmpty { leaves = Array(repeating: Leaf(), count: ModelLimits.merkleLeafCount) }
        let leaf = Self.leaf(ofKeyHash: keyHash)
        leaves[leaf].sum = leaves[leaf].sum &+ KeyHash.mix(item)
        leaves[leaf].count &+= 1
    }

    /// Takes away an item that was added before.
    package mutating func remove(item: UInt32, keyHash: UInt32) {
        precondition(!leaves.isEmpty, "removing an item that was never added")
        let leaf = Self.leaf(ofKeyHash: keyHash)
        leaves[leaf].sum = leaves[leaf].sum &- KeyHash.mix(item)
        leaves[leaf].count &-= 1
    }

    /// Adds what a leaf holds that is kept elsewhere: the sum of so many mixed items.
    package mutating func add(sum: UInt32, count: UInt32, toLeaf leaf: Int) {
        if leaves.isEmpty { leaves = Array(repeating: Leaf(), count: ModelLimits.merkleLeafCount) }
        leaves[leaf].sum = leaves[leaf].sum &+ sum
        leaves[leaf].count &+= count
    }

    /// Adds all items of another shard of the same map; no item may be in both.
    package mutating func formUnion(_ other: MerkleTree32) {
        guard !other.leaves.isEmpty else { return }
        guard !leaves.isEmpty else {
            leaves = other.leaves
            return
        }
        for index in leaves.indices {
            leaves[index].sum = leaves[index].sum &+ other.leaves[index].sum
            leaves[index].count &+= other.leaves[index].count
        }
    }

    package static func == (left: MerkleTree32, right: MerkleTree32) -> Bool {
        if left.leaves.isEmpty { return right.leaves.allSatisfy { $0 == Leaf() } }
        if right.leaves.isEmpty { return left.leaves.allSatisfy { $0 == Leaf() } }
        return left.leaves == right.leaves
    }
}

// MARK: - Hashes

extension MerkleTree32 {
    package var root: UInt32 { hash(at: .root) }

    /// The hash of a node; 0 for an empty one.
    package func hash(at path: MerklePath) -> UInt32 {
        guard !leaves.isEmpty else { return 0 }
        return hash(first: path.firstLeaf, width: path.leafCount)
    }

    /// The hashes of the sixteen children of a node that is no leaf, by digit.
    package func buckets(at path: MerklePath) -> [UInt32] {
        precondition(!path.isLeaf, "a leaf has no children")
        return (0..<16).map { hash(at: path.child($0)) }
    }

    /// How many items lie below a node.
    package func count(at path: MerklePath) -> Int {
        guard !leaves.isEmpty else { return 0 }
        return leaves[path.leafRange].reduce(0) { $0 + Int(truncatingIfNeeded: $1.count) }
    }

    private func hash(first: Int, width: Int) -> UInt32 {
        leaves.withUnsafeBufferPointer { Self.hash($0, first: first, width: width) }
    }

    private static func hash(_ leaves: UnsafeBufferPointer<Leaf>, first: Int, width: Int) -> UInt32 {
        guard width > 1 else { return leaves[first].sum }
        var sum: UInt32 = 0
        guard width > 16 else {
            // In a loop of its own: almost all of the work of a root.
            for leaf in first..<first + 16 { sum = sum &+ KeyHash.mix(leaves[leaf].sum) }
            return sum
        }
        let step = width / 16
        for digit in 0..<16 {
            sum = sum &+ KeyHash.mix(hash(leaves, first: first + digit * step, width: step))
        }
        return sum
    }
}
