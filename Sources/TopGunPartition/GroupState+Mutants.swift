#if MUTANTS
import TopGunModel

extension GroupState {
    /// The tree of a map as two mutants have it.
    func mutatedTree(of map: MapID) -> MerkleTree32 {
        var tree = MerkleTree32()
        forEachRecord(in: map, at: .root) { record in
            if Mutant.merkleOmitsTombstones.isOn, record.isTombstone { return }
            let keyHash = KeyHash.of(record.key)
            let item = MerkleTree32.item(
                keyHash: keyHash, millis: record.millis, counter: record.counter, node: record.node)
            tree.add(item: Mutant.merkleTruncated.isOn ? item & 0xffff : item, keyHash: keyHash)
        }
        return tree
    }
}
#endif
