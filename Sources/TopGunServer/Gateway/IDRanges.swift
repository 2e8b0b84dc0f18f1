/// The operation ids of one connection that are not decided yet, as disjoint closed ranges in ascending order.
///
/// An acknowledgement's `lastId` may only cover ids below the first of them (protocol.md 3.4).
struct IDRanges {
    private var ranges: [ClosedRange<UInt64>] = []

    var isEmpty: Bool { ranges.isEmpty }
    /// The number of ranges: what the limit is about.
    var rangeCount: Int { ranges.count }
    /// The smallest id in it.
    var first: UInt64? { ranges.first?.lowerBound }

    func contains(_ id: UInt64) -> Bool {
        let index = position(of: id)
        return index < ranges.count && ranges[index].lowerBound <= id
    }

    /// Adds an id. Where that would take more than `rangesMax` ranges, the next one is stretched instead: the ids between
    /// are counted in, too.
    mutating func insert(_ id: UInt64, rangesMax: Int = .max) {
        let index = position(of: id)
        if index < ranges.count, ranges[index].lowerBound <= id { return }
        let joinsBefore = index > 0 && ranges[index - 1].upperBound &+ 1 == id
        let joinsAfter = index < ranges.count && id &+ 1 == ranges[index].lowerBound
        switch (joinsBefore, joinsAfter) {
        case (true, true):
            ranges[index - 1] = ranges[index - 1].lowerBound...ranges[index].upperBound
            ranges.remove(at: index)
        case (true, false): ranges[index - 1] = ranges[index - 1].lowerBound...id
        case (false, true): ranges[index] = id...ranges[index].upperBound
        case (false, false):
            if ranges.count < rangesMax {
                ranges.insert(id...id, at: index)
            } else if index < ranges.count {
                ranges[index] = id...ranges[index].upperBound
            } else {
                ranges[index - 1] = ranges[index - 1].lowerBound...id
            }
        }
    }

    /// Takes an id away; it stays where that would take more than `rangesMax` ranges.
    mutating func remove(_ id: UInt64, rangesMax: Int = .max) {
        let index = position(of: id)
        guard index < ranges.count, ranges[index].lowerBound <= id else { return }
        let range = ranges[index]
        switch (range.lowerBound == id, range.upperBound == id) {
        case (true, true): ranges.remove(at: index)
        case (true, false): ranges[index] = id + 1...range.upperBound
        case (false, true): ranges[index] = range.lowerBound...id - 1
        case (false, false):
            guard ranges.count < rangesMax else { return }
            ranges[index] = range.lowerBound...id - 1
            ranges.insert(id + 1...range.upperBound, at: index + 1)
        }
    }

    /// The index of the first range that ends at or above the id.
    private func position(of id: UInt64) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

// MARK: - Whole sets

extension IDRanges {
    mutating func formUnion(_ other: IDRanges) {
        guard !other.isEmpty else { return }
        var joined: [ClosedRange<UInt64>] = []
        for range in (ranges + other.ranges).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = joined.last, range.lowerBound <= last.upperBound || range.lowerBound - 1 == last.upperBound {
                joined[joined.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                joined.append(range)
            }
        }
        ranges = joined
    }

    mutating func subtract(_ other: IDRanges) {
        guard !other.isEmpty else { return }
        var left: [ClosedRange<UInt64>] = []
        var first = 0
        for range in ranges {
            var low = range.lowerBound
            var isUsedUp = false
            while first < other.ranges.count, other.ranges[first].upperBound < low { first += 1 }
            var hole = first
            while hole < other.ranges.count, other.ranges[hole].lowerBound <= range.upperBound {
                let (start, end) = (other.ranges[hole].lowerBound, other.ranges[hole].upperBound)
                if start > low { left.append(low...start - 1) }
                isUsedUp = end >= range.upperBound
                if isUsedUp { break }
                low = end + 1
                hole += 1
            }
            if !isUsedUp { left.append(low...range.upperBound) }
        }
        ranges = left
    }
}
