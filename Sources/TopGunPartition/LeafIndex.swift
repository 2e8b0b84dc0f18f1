import TopGunModel

/// The Merkle leaves of one map: for each three-digit path the sum of its items and the records that it covers.
///
/// ```
///  leaf 0x374   sum   bytes   records ──> [block, block, …]      each block knows its place in the run
/// ```
///
/// Leaves lie in pages of sixteen that come with their first record, so that a small map costs little.
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
        /// The map's revision when it last changed.
        var changed: UInt32 = 0
    }

    private let pages: UnsafeMutablePointer<UnsafeMutablePointer<Leaf>?>

    private static let pageCount = ModelLimits.merkleLeafCount / 16

    init() {
        pages = .allocate(capacity: Self.pageCount)
        pages.initialize(repeating: nil, count: Self.pageCount)
    }

    func deallocate() {
        for leaf in 0..<ModelLimits.merkleLeafCount { self[leaf]?.pointee.records?.deallocate() }
        for page in 0..<Self.pageCount { pages[page]?.deallocate() }
        pages.deallocate()
    }

    /// The leaf with that number; `nil` if there was never a record near it.
    @inline(__always)
    private subscript(leaf: Int) -> UnsafeMutablePointer<Leaf>? {
        pages[leaf &>> 4].map { $0 + (leaf & 15) }
    }

    /// The leaf of a record that is in it.
    @inline(__always)
    private func leaf(of block: RecordBlock) -> UnsafeMutablePointer<Leaf> {
        guard let leaf = self[MerkleTree32.leaf(ofKeyHash: block.keyHash)] else {
            preconditionFailure("the record was never added")
        }
        return leaf
    }

    private func makeLeaf(_ leaf: Int) -> UnsafeMutablePointer<Leaf> {
        let page = UnsafeMutablePointer<Leaf>.allocate(capacity: 16)
        page.initialize(repeating: Leaf(), count: 16)
        pages[leaf >> 4] = page
        return page + (leaf & 15)
    }

    /// Memory of the index itself.
    var indexBytes: Int {
        (0..<ModelLimits.merkleLeafCount).reduce(Self.pageCount * 8) { bytes, leaf in
            bytes + (self[leaf].map { MemoryLayout<Leaf>.stride + Int($0.pointee.capacity) * 8 } ?? 0)
        }
    }

    // MARK: Writes

    /// Takes in a record; `mixed` is its mixed item.
    func add(_ block: RecordBlock, mixed: UInt32, revision: UInt32) {
        let number = MerkleTree32.leaf(ofKeyHash: block.keyHash)
        let leaf = self[number] ?? makeLeaf(number)
        if leaf.pointee.count == leaf.pointee.capacity { grow(leaf) }
        leaf.pointee.records![Int(leaf.pointee.count)] = block.base
        block.leafPlace = Int(leaf.pointee.count)
        block.leafItem = mixed
        leaf.pointee.count &+= 1
        leaf.pointee.sum = leaf.pointee.sum &+ mixed
        leaf.pointee.changed = revision
        leaf.pointee.bytes &+= block.blockBytes
    }

    /// Notes that a record was written anew, in place or, if it has moved, into this block; before, its item was
    /// `oldMixed`, its block `oldBytes` long, and it stood at `place`. `false`, and the leaf is not to be trusted, if it
    /// did not stand there.
    @inline(__always)
    func update(
        _ block: RecordBlock, mixed: UInt32, oldMixed: UInt32, oldBytes: Int, place: Int,
        movedFrom oldBase: UnsafeMutableRawPointer?,
        revision: UInt32
    ) -> Bool {
        let leaf = leaf(of: block)
        leaf.pointee.sum = leaf.pointee.sum &+ mixed &- oldMixed
        leaf.pointee.changed = revision
        block.leafItem = mixed
        guard let oldBase else { return true }
        guard place < Int(leaf.pointee.count), leaf.pointee.records![place] == oldBase else { return false }
        block.leafPlace = place
        leaf.pointee.bytes &+= block.blockBytes &- oldBytes
        leaf.pointee.records![place] = block.base
        return true
    }

    /// Takes out the records of a partition, which are about to be freed and which nobody trusts: one goes if its address
    /// is among `bases`, those that the table has, or if its key says where it belongs. What is left is summed up anew.
    func remove(_ partition: PartitionID, _ bases: Set<UnsafeMutableRawPointer>) {
        func goes(_ base: UnsafeMutableRawPointer) -> Bool {
            bases.contains(base) || PartitionID(hash: RecordBlock(base).keyHash) == partition
        }
        for number in 0..<ModelLimits.merkleLeafCount {
            guard let leaf = self[number], let records = leaf.pointee.records else { continue }
            let count = Int(leaf.pointee.count)
            guard (0..<count).contains(where: { goes(records[$0]) }) else { continue }
            var (kept, sum, bytes): (Int, UInt32, Int) = (0, 0, 0)
            for place in 0..<count where !goes(records[place]) {
                let block = RecordBlock(records[place])
                records[kept] = block.base
                block.leafPlace = kept
                sum = sum &+ block.leafItem
                bytes &+= block.blockBytes
                kept += 1
            }
            leaf.pointee.count = UInt32(truncatingIfNeeded: kept)
            leaf.pointee.sum = sum
            leaf.pointee.bytes = bytes
        }
    }

    #if DEBUG
    /// Adds to the sum of a leaf; `false` if there was never a record near it.
    func damage(_ leaf: Int) -> Bool {
        guard let leaf = self[leaf] else { return false }
        leaf.pointee.sum = leaf.pointee.sum &+ 1
        return true
    }
    #endif

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
        var tree = MerkleTree32()
        for page in 0..<Self.pageCount {
            guard let leaves = pages[page] else { continue }
            for leaf in 0..<16 where leaves[leaf].count > 0 {
                tree.add(sum: leaves[leaf].sum, count: leaves[leaf].count, toLeaf: page &<< 4 + leaf)
            }
        }
        return tree
    }

    func summary(of range: Range<Int>) -> (records: Int, bytes: Int) {
        var (records, bytes) = (0, 0)
        for leaf in range {
            guard let leaf = self[leaf] else { continue }
            records += Int(leaf.pointee.count)
            bytes += leaf.pointee.bytes
        }
        return (records, bytes)
    }

    /// The revision at which a leaf last changed; 0 if there was never a record in it.
    func changed(of leaf: Int) -> UInt32 { self[leaf].map { $0.pointee.changed } ?? 0 }

    func sum(of leaf: Int) -> UInt32 { self[leaf].map { $0.pointee.sum } ?? 0 }

    /// Memory of the blocks of a leaf.
    func bytes(of leaf: Int) -> Int { self[leaf].map { $0.pointee.bytes } ?? 0 }

    func count(of leaf: Int) -> Int { self[leaf].map { Int($0.pointee.count) } ?? 0 }

    func block(of leaf: Int, at place: Int) -> RecordBlock {
        guard let leaf = self[leaf], place < Int(leaf.pointee.count), let records = leaf.pointee.records else {
            preconditionFailure("beyond the records of a leaf")
        }
        return RecordBlock(records[place])
    }

    /// Visits the records of a leaf; they must not change meanwhile.
    func forEachBlock(of leaf: Int, _ body: (RecordBlock) -> Void) {
        guard let leaf = self[leaf], let records = leaf.pointee.records else { return }
        var touched: UInt64 = 0
        let count = Int(leaf.pointee.count)
        for place in 0..<count {
            if place + 8 < count { touched ^= UInt64(truncatingIfNeeded: RecordBlock(records[place + 8]).millis) }
            body(RecordBlock(records[place]))
        }
        keepAlive(touched)
    }
}
