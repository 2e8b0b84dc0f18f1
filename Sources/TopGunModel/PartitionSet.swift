/// A set of partitions in five words: which partitions a log group or a log segment has records of.
package struct PartitionSet: Hashable, Sendable {
    /// Bit `p & 7` of byte `p >> 3` stands for partition `p`.
    package var words: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)

    /// How many partitions there is room for.
    package static let capacity = 320

    package init() {}

    package init(_ partitions: some Sequence<Int>) {
        for partition in partitions { insert(partition) }
    }

    package mutating func insert(_ partition: Int) {
        precondition(partition >= 0 && partition < Self.capacity, "no such partition")
        withUnsafeMutableBytes(of: &words) { bytes in
            bytes[partition >> 3] |= 1 << UInt8(truncatingIfNeeded: partition & 7)
        }
    }

    package mutating func remove(_ partition: Int) {
        precondition(partition >= 0 && partition < Self.capacity, "no such partition")
        withUnsafeMutableBytes(of: &words) { bytes in
            bytes[partition >> 3] &= ~(1 << UInt8(truncatingIfNeeded: partition & 7))
        }
    }

    package func contains(_ partition: Int) -> Bool {
        guard partition >= 0, partition < Self.capacity else { return false }
        return withUnsafeBytes(of: words) { $0[partition >> 3] & 1 << UInt8(truncatingIfNeeded: partition & 7) != 0 }
    }

    package mutating func formUnion(_ other: PartitionSet) {
        words.0 |= other.words.0
        words.1 |= other.words.1
        words.2 |= other.words.2
        words.3 |= other.words.3
        words.4 |= other.words.4
    }

    package var isEmpty: Bool { words.0 | words.1 | words.2 | words.3 | words.4 == 0 }

    package var count: Int {
        words.0.nonzeroBitCount + words.1.nonzeroBitCount + words.2.nonzeroBitCount + words.3.nonzeroBitCount
            + words.4.nonzeroBitCount
    }

    /// The members, ascending.
    package var members: [Int] { (0..<Self.capacity).filter(contains) }

    package static func == (left: PartitionSet, right: PartitionSet) -> Bool {
        left.words == right.words
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
        hasher.combine(words.3)
        hasher.combine(words.4)
    }
}
