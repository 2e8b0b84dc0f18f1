import TopGunModel

/// The Merkle leaves of one map: for each three-digit path the sum of its items and the records that it covers.
///
/// ```
///  leaf 0x374   sum   bytes   records ──> [block, block, …]      each block knows its place in the run
/// ```
///
/// A record that moves to another block is put into its old place, so a walk over a leaf never misses one. Built by one
/// walk over the tables when a map is first synced, kept up to date by every write from then on. A handle without
/// ownership: whoever made it calls ``deallocate()``.
struct LeafIndex {
    private struct Leaf {
        var records: UnsafeMutablePointer<UnsafeMutableRawPointer>?
        var count: UInt32 = 0
        var capacity: UInt32 = 0
        var bytes: Int = 0
        var sum: UInt32 = 0
    }

    private let leaves: UnsafeMutablePointer<Leaf>

    init() {
        leaves = .allocate(capacity: ModelLimits.merkleLeafCount)
        leaves.initialize(repeating: Leaf(), count: ModelLimits.merkleLeafCount)
    }

    func deallocate() {
        for leaf in 0..<ModelLimits.merkleLeafCount { leaves[leaf].records?.deallocate() }
        leaves.deallocate()
    }

    /// Memory of the index itself.
    var indexBytes: Int {
        (0..<ModelLimits.merkleLeafCount).reduce(0) {
            $0 + MemoryLayout<Leaf>.stride + Int(leaves[$1].capacity) * 8
        }
    }

    // MARK: Writes

    /// Reads the line of a leaf that a write will need.
    @inline(__always)
    func touch(keyHash: UInt32) -> UInt64 {
        UInt64(leaves[MerkleTree32.leaf(ofKeyHash: keyHash)].sum)
    }

    /// Takes in a record; `mixed` is its mixed item.
    func add(_ block: RecordBlock, mixed: UInt32) {
        let leaf = leaves + MerkleTree32.leaf(ofKeyHash: block.keyHash)
        if leaf.pointee.count == leaf.pointee.capacity { grow(leaf) }
        leaf.pointee.records![Int(leaf.pointee.count)] = block.base
        block.leafPlace = Int(leaf.pointee.count)
        block.leafItem = mixed
        leaf.pointee.count &+= 1
        leaf.pointee.sum = leaf.pointee.sum &+ mixed
        leaf.pointee.bytes &+= block.blockBytes
    }

    /// Notes that a record was written anew, in place or, if it has moved, into this block; before, its item was
    /// `oldMixed`, its block `oldBytes` long, and it stood at `place`.
    @inline(__always)
    func update(_ block: RecordBlock, mixed: UInt32, oldMixed: UInt32, oldBytes: Int, place: Int, hasMoved: Bool) {
        let leaf = leaves + MerkleTree32.leaf(ofKeyHash: block.keyHash)
        assert(place < Int(leaf.pointee.count))
        leaf.pointee.sum = leaf.pointee.sum &+ mixed &- oldMixed
        block.leafItem = mixed
        guard hasMoved else { return }
        block.leafPlace = place
        leaf.pointee.bytes &+= block.blockBytes &- oldBytes
        leaf.pointee.records![place] = block.base
    }

    /// Takes out a record that is about to be freed; the last of the leaf takes its place.
    func remove(_ block: RecordBlock) {
        let leaf = leaves + MerkleTree32.leaf(ofKeyHash: block.keyHash)
        leaf.pointee.sum = leaf.pointee.sum &- block.leafItem
        leaf.pointee.bytes &-= block.blockBytes
        leaf.pointee.count &-= 1
        let last = RecordBlock(leaf.pointee.records![Int(leaf.pointee.count)])
        leaf.pointee.records![block.leafPlace] = last.base
        last.leafPlace = block.leafPlace
    }

    private func grow(_ leaf: UnsafeMutablePointer<Leaf>) {
        let capacity = max(4, Int(leaf.pointee.capacity) + Int(leaf.pointee.capacity) / 4)
        let grown = UnsafeMutablePointer<UnsafeMutableRawPointer>.allocate(capacity: capacity)
        if let old = leaf.pointee.records {
            grown.moveInitialize(from: old, count: Int(leaf.pointee.count))
            old.deallocate()
        }
        leaf.pointee.records = grown
        leaf.pointee.capacity = UInt32(capacity)
    }

    // MARK: Reads

    func tree() -> MerkleTree32 {
        let sums = (0..<ModelLimits.merkleLeafCount).map { leaves[$0].sum }
        let counts = (0..<ModelLimits.merkleLeafCount).map { leaves[$0].count }
        return sums.withUnsafeBufferPointer { sums in
            counts.withUnsafeBufferPointer { MerkleTree32(sums: sums, counts: $0) }
        }
    }

    func summary(of range: Range<Int>) -> (records: Int, bytes: Int) {
        var (records, bytes) = (0, 0)
        for leaf in range {
            records += Int(leaves[leaf].count)
            bytes += leaves[leaf].bytes
        }
        return (records, bytes)
    }

    func count(of leaf: Int) -> Int { Int(leaves[leaf].count) }

    func block(of leaf: Int, at place: Int) -> RecordBlock {
        precondition(place < Int(leaves[leaf].count), "beyond the records of a leaf")
        return RecordBlock(leaves[leaf].records![place])
    }

    /// Visits the records of a leaf; they must not change meanwhile.
    func forEachBlock(of leaf: Int, _ body: (RecordBlock) -> Void) {
        guard let records = leaves[leaf].records else { return }
        var touched: UInt64 = 0
        let count = Int(leaves[leaf].count)
        for place in 0..<count {
            if place + 8 < count { touched ^= UInt64(truncatingIfNeeded: RecordBlock(records[place + 8]).millis) }
            body(RecordBlock(records[place]))
        }
        keepAlive(touched)
    }
}
