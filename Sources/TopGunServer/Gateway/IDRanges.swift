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

    mutating func insert(_ id: UInt64) {
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
        case (false, false): ranges.insert(id...id, at: index)
        }
    }

    mutating func remove(_ id: UInt64) {
        let index = position(of: id)
        guard index < ranges.count, ranges[index].lowerBound <= id else { return }
        let range = ranges[index]
        switch (range.lowerBound == id, range.upperBound == id) {
        case (true, true): ranges.remove(at: index)
        case (true, false): ranges[index] = id + 1...range.upperBound
        case (false, true): ranges[index] = range.lowerBound...id - 1
        case (false, false):
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
