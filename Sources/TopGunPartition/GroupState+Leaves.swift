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
        var touched: UInt64 = 0
        while Int(cell.pointee.leavesBuilt) < PartitionID.count, left > 0 {
            let table = partitions.states[Int(cell.pointee.leavesBuilt)].table
            for slot in 0..<table.capacity {
                touched ^= table.touchAhead(of: slot)
                guard let block = table.block(at: slot), block.map == map.rawValue else { continue }
                let mixed = LeafItem.mixed(
                    keyHash: block.keyHash, key: block.key, millis: block.millis, counter: block.counter,
                    node: nodes[block.node])
                leaves.add(block, mixed: mixed)
            }
            left -= table.count
            cell.pointee.leavesBuilt += 1
        }
        keepAlive(touched)
        return Int(cell.pointee.leavesBuilt) == PartitionID.count
    }

    private func completeLeaves(of map: MapID) -> LeafIndex {
        _ = buildLeaves(of: map, records: .max)
        guard let leaves = cell(of: map).pointee.leaves else { preconditionFailure("leaves were just built") }
        return leaves
    }

    /// The map's tree over the partitions of this group; the trees of all groups together are composed with
    /// ``MerkleTree32/formUnion(_:)``. Builds the leaves where they are not complete.
    package func merkleTree(of map: MapID) -> MerkleTree32 {
        completeLeaves(of: map).tree()
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

    /// Frees the leaves of a map that nobody syncs any more; they are built anew when asked for.
    package func releaseLeaves(of map: MapID) {
        let cell = cell(of: map)
        cell.pointee.leaves?.deallocate()
        cell.pointee.leaves = nil
        cell.pointee.leavesBuilt = 0
        cell.pointee.leavesGeneration &+= 1
    }
}
