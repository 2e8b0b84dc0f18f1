/// A set of partitions in five words: which partitions a log group or a log segment has records of.
package struct PartitionSet: Hashable, Sendable {
    /// Bit `p & 63` of word `p >> 6` stands for partition `p`.
    package var words: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)

    /// How many partitions there is room for.
    package static let capacity = 320

    package init() {}

    package init(_ partitions: some Sequence<Int>) {
        for partition in partitions { insert(partition) }
    }

    package mutating func insert(_ partition: Int) {
        precondition(partition >= 0 && partition < Self.capacity, "no such partition")
        let bit: UInt64 = 1 << UInt64(truncatingIfNeeded: partition & 63)
        switch partition >> 6 {
        case 0: words.0 |= bit
        case 1: words.1 |= bit
        case 2: words.2 |= bit
        case 3: words.3 |= bit
        default: words.4 |= bit
        }
    }

    package mutating func remove(_ partition: Int) {
        precondition(partition >= 0 && partition < Self.capacity, "no such partition")
        let mask: UInt64 = ~(1 << UInt64(truncatingIfNeeded: partition & 63))
        switch partition >> 6 {
        case 0: words.0 &= mask
        case 1: words.1 &= mask
        case 2: words.2 &= mask
        case 3: words.3 &= mask
        default: words.4 &= mask
        }
    }

    package func contains(_ partition: Int) -> Bool {
        guard partition >= 0, partition < Self.capacity else { return false }
        let bit: UInt64 = 1 << UInt64(truncatingIfNeeded: partition & 63)
        switch partition >> 6 {
        case 0: return words.0 & bit != 0
        case 1: return words.1 & bit != 0
        case 2: return words.2 & bit != 0
        case 3: return words.3 & bit != 0
        default: return words.4 & bit != 0
        }
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

    /// Whether the predicate holds for every member; looks at members only.
    package func allSatisfy(_ predicate: (Int) -> Bool) -> Bool {
        func check(_ word: UInt64, from first: Int) -> Bool {
            var rest = word
            while rest != 0 {
                if !predicate(first + rest.trailingZeroBitCount) { return false }
                rest &= rest - 1
            }
            return true
        }
        return check(words.0, from: 0) && check(words.1, from: 64) && check(words.2, from: 128)
            && check(words.3, from: 192) && check(words.4, from: 256)
    }

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
