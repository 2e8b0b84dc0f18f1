import TopGunModel

// What changed in a map since a client compared it (protocol.md 16, `delta`).
//
//   root told, mark r ──► revision r + 1 ──► write: its leaf has changed at r + 1 ──► leaves changed after r
//
// A leaf remembers the revision at which it last changed, in bytes that it had to spare; a write to a map with leaves
// stores the current one beside the sum that it changes anyway. A revision lasts until the next root is told.

/// A moment in the life of a map's leaves in one group.
package struct LeafMark: Hashable, Sendable {
    /// Counts how often leaves were let go: what changed across that is not known.
    package var generation: UInt32
    package var revision: UInt32

    package init(generation: UInt32, revision: UInt32) {
        self.generation = generation
        self.revision = revision
    }

    /// Before the map was there at all.
    package static let beginning = LeafMark(generation: 0, revision: 0)
}

extension GroupState {
    /// The present moment: every change from now on lies after it.
    package func mark(_ map: MapID) -> LeafMark {
        let cell = cell(of: map)
        let mark = LeafMark(generation: cell.pointee.leavesGeneration, revision: cell.pointee.revision)
        if cell.pointee.revision == .max {
            // Counts anew; marks from before are void, and leaves of before look changed to those that come.
            cell.pointee.leavesGeneration &+= 1
            cell.pointee.revision = 0
        }
        cell.pointee.revision += 1
        return mark
    }

    /// Whether the leaves tell what changed since then.
    package func knowsChanges(of map: MapID, since mark: LeafMark) -> Bool {
        let cell = cell(of: map)
        return Int(cell.pointee.leavesBuilt) == PartitionID.count && mark.generation == cell.pointee.leavesGeneration
            && mark.revision < cell.pointee.revision
    }

    /// The first leaf from a number on in which something changed since; `nil` if there is none.
    package func nextLeaf(of map: MapID, from leaf: Int, changedSince mark: LeafMark) -> Int? {
        guard let leaves = cell(of: map).pointee.leaves else { return nil }
        return (leaf..<ModelLimits.merkleLeafCount).first { leaves.changed(of: $0) > mark.revision }
    }
}
