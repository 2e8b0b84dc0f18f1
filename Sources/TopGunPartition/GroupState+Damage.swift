#if DEBUG
package import TopGunModel

// Memory that a test breaks, to see that somebody notices. Not in a release.

extension GroupState {
    /// Flips bits of a record's block: its header takes the first 48 bytes, its key the next. `false` if there is no such
    /// record, or it is shorter.
    package func damage(_ key: ByteString, in map: MapID, at offset: Int, mask: UInt8) -> Bool {
        guard let (table, slot) = place(of: key, in: map), let block = table.block(at: slot),
            offset < block.blockBytes
        else { return false }
        flip(block.base, offset, mask)
        return true
    }

    /// Flips bits of the slot that leads to a record: its tag takes the last two bytes.
    package func damageSlot(of key: ByteString, in map: MapID, at offset: Int, mask: UInt8) -> Bool {
        guard let (table, slot) = place(of: key, in: map), let slots = table.slots, offset < 8 else { return false }
        flip(UnsafeMutableRawPointer(slots + slot), offset, mask)
        return true
    }

    /// Counts a record of a partition twice.
    package func damageCounts(of partition: PartitionID) {
        partitions.states[partition.index].liveRecords += 1
    }

    /// Adds to the sum of the leaf that a key lies in; `false` if the map has no leaves.
    package func damageLeaf(of key: ByteString, in map: MapID) -> Bool {
        guard let leaves = cell(of: map).pointee.leaves else { return false }
        return leaves.damage(MerkleTree32.leaf(ofKeyHash: KeyHash.of(key)))
    }

    private func place(of key: ByteString, in map: MapID) -> (RecordTable, Int)? {
        key.bytes.withUnsafeBytes { bytes in
            let table = partitions.states[PartitionID(hash: KeyHash.of(key)).index].table
            let place = table.find(hash: hasher.hash(bytes, salt: map.rawValue), map: map.rawValue, key: bytes)
            return place.isFound ? (table, place.slot) : nil
        }
    }

    private func flip(_ base: UnsafeMutableRawPointer, _ offset: Int, _ mask: UInt8) {
        let byte = base.load(fromByteOffset: offset, as: UInt8.self)
        base.storeBytes(of: byte ^ mask, toByteOffset: offset, as: UInt8.self)
    }
}
#endif
