/// The tree by which a client and a server compare a map to the last byte (protocol.md 16, `hash128`).
///
/// It has the shape of ``MerkleTree32``; a node is the sum of what lies below it, of one keyed 128-bit digest for each
/// record, over key, stamp, lifetime and value. So equal roots mean equal content, also where two records have one stamp
/// and different values, or 32-bit hashes collide. The key belongs to one connection: whoever crafts records whose digests
/// cancel out deceives himself and nobody else (M17).
package struct ContentTree: Sendable {
    package let key: SipHash128.Key
    private var leaves: [Digest128]

    package init(key: SipHash128.Key) {
        self.key = key
        leaves = Array(repeating: .zero, count: ModelLimits.merkleLeafCount)
    }

    package static func digest(
        under secret: SipHash128.Key, key: UnsafeRawBufferPointer, millis: Int64, counter: UInt32,
        node: UnsafeRawBufferPointer, ttlMillis: Int64, value: UnsafeRawBufferPointer
    ) -> Digest128 {
        // Lengths come first, so that no two records have the same bytes.
        var hash = SipHash128(key: secret)
        hash.update(UInt64(truncatingIfNeeded: key.count) | UInt64(truncatingIfNeeded: node.count) << 32)
        hash.update(UInt64(truncatingIfNeeded: value.count) | UInt64(counter) << 32)
        hash.update(UInt64(bitPattern: millis))
        hash.update(UInt64(bitPattern: ttlMillis))
        hash.update(key)
        hash.update(node)
        hash.update(value)
        return hash.finalized()
    }

    package static func digest(of record: LWWRecord, key recordKey: ByteString, under secret: SipHash128.Key)
        -> Digest128
    {
        recordKey.bytes.withUnsafeBytes { recordKey in
            record.timestamp.node.bytes.withUnsafeBytes { node in
                record.value.bytes.withUnsafeBytes { value in
                    digest(
                        under: secret, key: recordKey, millis: record.timestamp.millis,
                        counter: record.timestamp.counter,
                        node: node, ttlMillis: record.ttlMillis, value: value)
                }
            }
        }
    }

    package func digest(of record: LWWRecord, key recordKey: ByteString) -> Digest128 {
        Self.digest(of: record, key: recordKey, under: key)
    }

    package mutating func add(_ digest: Digest128, keyHash: UInt32) {
        let leaf = MerkleTree32.leaf(ofKeyHash: keyHash)
        leaves[leaf] = leaves[leaf] &+ digest
    }

    /// Takes away what was added before.
    package mutating func remove(_ digest: Digest128, keyHash: UInt32) {
        let leaf = MerkleTree32.leaf(ofKeyHash: keyHash)
        leaves[leaf] = leaves[leaf] &- digest
    }

    /// Puts the sum of a whole leaf.
    package mutating func set(_ digest: Digest128, at leaf: Int) {
        leaves[leaf] = digest
    }

    package var root: Digest128 { digest(at: .root) }

    /// The sum of everything below a node; zero for an empty one.
    package func digest(at path: MerklePath) -> Digest128 {
        leaves[path.leafRange].reduce(.zero) { $0 &+ $1 }
    }

    /// The sums of the sixteen children of a node that is no leaf, by digit.
    package func buckets(at path: MerklePath) -> [Digest128] {
        (0..<16).map { digest(at: path.child($0)) }
    }
}

extension SipHash128.Key {
    /// Sixteen bytes, `low` first, each half little-endian.
    package var bytes: [UInt8] { Digest128(low: low, high: high).bytes }

    /// Reads ``bytes``; `nil` unless there are sixteen.
    package init?(bytes: UnsafeRawBufferPointer) {
        guard let halves = Digest128(bytes: bytes) else { return nil }
        self.init(low: halves.low, high: halves.high)
    }
}
