package import TopGunModel

extension GroupState {
    /// The sum of the digests of a leaf's records under a key, and how many they are (protocol.md 16, `hash128`).
    package func contentDigest(
        ofLeaf leaf: Int, of map: MapID, under key: SipHash128.Key
    ) -> (digest: Digest128, records: Int, bytes: Int) {
        var (sum, records, bytes) = (Digest128.zero, 0, 0)
        forEachRecord(in: map, at: MerklePath(leaf: leaf)) { record in
            records += 1
            bytes += record.key.count + record.node.count + record.value.count
            sum =
                sum
                &+ ContentTree.digest(
                    under: key, key: record.key, millis: record.millis, counter: record.counter, node: record.node,
                    ttlMillis: record.ttlMillis, value: record.value)
        }
        return (sum, records, bytes)
    }
}
