/// One of the 271 parts into which the key space is cut; the key alone decides, not the map (protocol.md 9.8).
package struct PartitionID: Hashable, Comparable, Sendable {
    /// How many partitions there are; the number is part of the protocol.
    package static let count = 271

    package let rawValue: UInt16

    /// The partition with this number, which must be below ``count``.
    package init(_ rawValue: Int) {
        precondition(rawValue >= 0 && rawValue < Self.count, "no such partition")
        self.rawValue = UInt16(truncatingIfNeeded: rawValue)
    }

    /// The partition of the key with this ``KeyHash``.
    @inlinable
    package init(hash: UInt32) {
        self.rawValue = UInt16(truncatingIfNeeded: hash % 271)
    }

    /// The partition of a key; topics, locks and counters use their names.
    package init(of key: ByteString) {
        self.init(hash: KeyHash.of(key))
    }

    package var index: Int { Int(rawValue) }

    package static func < (left: PartitionID, right: PartitionID) -> Bool { left.rawValue < right.rawValue }
}

extension PartitionID {
    /// Who holds the partition in the reference assignment that clients expect of a ring without weights: `nodes` must
    /// be the active node ids, ascending by bytes; the backup is absent when there is only one.
    package func referenceHolders(among nodeCount: Int) -> (owner: Int, backup: Int?) {
        precondition(nodeCount > 0, "an assignment needs a node")
        return (index % nodeCount, nodeCount > 1 ? (index + 1) % nodeCount : nil)
    }
}
