package import TopGunModel

// The Merkle leaves of maps that clients sync (protocol.md 4, 9.6).

extension GroupState {
    /// Builds the leaves of a map over about `records` more records and tells whether they are complete; from then on
    /// writes keep them up to date. Costs about 0.1 us per record of the map, once.
    package func buildLeaves(of map: MapID, records: Int) -> Bool {
        let cell = cell(of: map)
        let leaves = cell.pointee.leaves ?? LeafIndex()
        cell.pointee.leaves = leaves
        var left = records
        while Int(cell.pointee.leavesBuilt) < PartitionID.count, left > 0 {
            let table = partitions.states[Int(cell.pointee.leavesBuilt)].table
            add(table, of: map.rawValue, to: leaves, revision: cell.pointee.revision)
            left -= table.count
            cell.pointee.leavesBuilt += 1
        }
        return Int(cell.pointee.leavesBuilt) == PartitionID.count
    }

    private func add(_ table: RecordTable, of map: UInt32, to leaves: LeafIndex, revision: UInt32) {
        var quad = LeafItem.Quad()
        var waiting: (RecordBlock?, RecordBlock?, RecordBlock?) = (nil, nil, nil)
        var touched: UInt64 = 0
        for slot in 0..<table.capacity {
            touched ^= table.touchAhead(of: slot)
            guard let block = table.block(at: slot), block.map == map else { continue }
            let before = quad.count
            quad.add(LeafItem.beforeNode(block.keyHash, block.millis, block.counter), node: nodes[block.node])
            // Those that wait were dropped for a node id of another length.
            if quad.count <= before { addEach(waiting, before, to: leaves, revision) }
            switch quad.count {
            case 1: waiting.0 = block
            case 2: waiting.1 = block
            case 3: waiting.2 = block
            default:
                guard let mixed = quad.finish(), let first = waiting.0, let second = waiting.1, let third = waiting.2
                else {
                    addEach(waiting, 3, to: leaves, revision)
                    addOne(block, to: leaves, revision)
                    continue
                }
                leaves.add(first, mixed: mixed.0, revision: revision)
                leaves.add(second, mixed: mixed.1, revision: revision)
                leaves.add(third, mixed: mixed.2, revision: revision)
                leaves.add(block, mixed: mixed.3, revision: revision)
            }
        }
        addEach(waiting, quad.count, to: leaves, revision)
        keepAlive(touched)
    }

    private func addEach(
        _ blocks: (RecordBlock?, RecordBlock?, RecordBlock?), _ count: Int, to leaves: LeafIndex, _ revision: UInt32
    ) {
        if count > 0, let block = blocks.0 { addOne(block, to: leaves, revision) }
        if count > 1, let block = blocks.1 { addOne(block, to: leaves, revision) }
        if count > 2, let block = blocks.2 { addOne(block, to: leaves, revision) }
    }

    private func addOne(_ block: RecordBlock, to leaves: LeafIndex, _ revision: UInt32) {
        let mixed = LeafItem.mixed(
            keyHash: block.keyHash, key: block.key, millis: block.millis, counter: block.counter,
            node: nodes[block.node])
        leaves.add(block, mixed: mixed, revision: revision)
    }

    private func completeLeaves(of map: MapID) -> LeafIndex {
        _ = buildLeaves(of: map, records: .max)
        guard let leaves = cell(of: map).pointee.leaves else { preconditionFailure("leaves were just built") }
        return leaves
    }

    /// The map's tree over the partitions of this group; the trees of all groups together are composed with
    /// ``MerkleTree32/formUnion(_:)``. Builds the leaves where they are not complete.
    package func merkleTree(of map: MapID) -> MerkleTree32 {
        #if MUTANTS
        if Mutant.merkleOmitsTombstones.isOn || Mutant.merkleTruncated.isOn { return mutatedTree(of: map) }
        #endif
        return completeLeaves(of: map).tree()
    }

    /// Records and memory below a path, tombstones included: what a LEAF for it would hold.
    package func leafSummary(of map: MapID, at path: MerklePath) -> (records: Int, bytes: Int) {
        completeLeaves(of: map).summary(of: path.leafRange)
    }

    /// Visits every record below a path, tombstones and expired ones included, at a cost in proportion to their number.
    /// The order means nothing; `body` must not change the group.
    package func forEachRecord(in map: MapID, at path: MerklePath, _ body: (RecordView) -> Void) {
        let leaves = completeLeaves(of: map)
        for leaf in path.leafRange { leaves.forEachBlock(of: leaf) { body(view($0)) } }
    }

    /// Visits the records of one leaf from a place on, until one for which `body` says that it is the last for now. Returns
    /// where to go on; `nil` when through. Who comes back sees every record that was there all the time at least once.
    package func forEachRecord(
        in map: MapID, from place: LeafPlace, _ body: (RecordView) -> Bool
    ) -> LeafPlace? {
        let leaves = completeLeaves(of: map)
        var next = place
        let generation = cell(of: map).pointee.leavesGeneration
        // In leaves that were made anew the records have other places.
        if next.generation != generation { (next.position, next.generation) = (0, generation) }
        let count = leaves.count(of: next.leaf)
        var isLast = false
        while next.position < count, !isLast {
            isLast = body(view(leaves.block(of: next.leaf, at: next.position)))
            next.position += 1
        }
        return next.position < count ? next : nil
    }

    /// Frees the leaves of a map that nobody syncs any more; they are built anew when asked for.
    package func releaseLeaves(of map: MapID) {
        let cell = cell(of: map)
        cell.pointee.leaves?.deallocate()
        cell.pointee.leaves = nil
        cell.pointee.leavesBuilt = 0
        cell.pointee.leavesGeneration &+= 1
    }
}
