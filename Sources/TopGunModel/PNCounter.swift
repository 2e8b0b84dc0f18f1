/// A counter that every replica raises and lowers on its own: two totals per node, each only growing.
///
/// Values may have fractions; each total must stay a finite number (protocol.md 9.9).
package struct PNCounter: Equatable, Sendable {
    package private(set) var positive: [ByteString: Double] = [:]
    package private(set) var negative: [ByteString: Double] = [:]

    package init() {}

    /// A counter as it came from elsewhere; entries that are no totals (negative, infinite, not a number) are left out.
    package init(positive: [ByteString: Double], negative: [ByteString: Double]) {
        self.positive = positive.filter { Self.isTotal($0.value) }
        self.negative = negative.filter { Self.isTotal($0.value) }
    }

    package var value: Double {
        Self.sum(positive) - Self.sum(negative)
    }

    /// Counts on behalf of one node. A delta that is no number, or that would take a total out of range, changes
    /// nothing and gives `false`.
    @discardableResult
    package mutating func add(_ delta: Double, node: ByteString) -> Bool {
        guard delta.isFinite else { return false }
        guard delta != 0 else { return true }
        let total = ((delta > 0 ? positive[node] : negative[node]) ?? 0) + delta.magnitude
        guard total.isFinite else { return false }
        if delta > 0 { positive[node] = total } else { negative[node] = total }
        return true
    }

    /// Takes the greater total of every entry; tells whether anything changed.
    @discardableResult
    package mutating func merge(_ other: PNCounter) -> Bool {
        let raisedPositive = Self.raise(&positive, to: other.positive)
        let raisedNegative = Self.raise(&negative, to: other.negative)
        return raisedPositive || raisedNegative
    }

    private static func raise(_ totals: inout [ByteString: Double], to others: [ByteString: Double]) -> Bool {
        var raised = false
        for (node, total) in others where isTotal(total) && total > totals[node] ?? -1 {
            totals[node] = total
            raised = true
        }
        return raised
    }

    /// Adds in the order of the node ids, so that every replica rounds alike.
    private static func sum(_ totals: [ByteString: Double]) -> Double {
        totals.sorted { $0.key < $1.key }.reduce(0) { $0 + $1.value }
    }

    private static func isTotal(_ number: Double) -> Bool { number.isFinite && number >= 0 }
}
