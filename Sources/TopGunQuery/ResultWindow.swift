package import TopGunModel

/// The rows of a live query in order, and what a change of one record does to what is shown of them (protocol.md 6.5).
///
/// ```
/// all matching rows, by sort key    a  b  c │ d  e          limit 3
///                                   shown   │ kept, so that a row that leaves can be replaced
/// ```
///
/// Holds sort keys, not values: whoever shows a row reads its value where it lies. A row costs its sort key twice and an
/// update a search and a move; queries of more rows than that is good for are run anew instead.
package struct ResultWindow: Sendable {
    package let order: SortOrder
    /// How many rows are shown; `nil` for all.
    package let limit: Int?
    /// Every matching row, ascending.
    private var rows: [Row] = []
    private var sortKeys: [ByteString: ByteString] = [:]

    private struct Row: Sendable {
        var sortKey: ByteString
        var key: ByteString
    }

    package enum ChangeKind: UInt8, Sendable {
        case enter
        case update
        case leave

        package var wireName: StaticString {
            switch self {
            case .enter: "ENTER"
            case .update: "UPDATE"
            case .leave: "LEAVE"
            }
        }
    }

    /// One change of what is shown.
    package struct Change: Hashable, Sendable {
        package var kind: ChangeKind
        package var key: ByteString

        package init(_ kind: ChangeKind, _ key: ByteString) {
            self.kind = kind
            self.key = key
        }
    }

    package init(order: SortOrder, limit: Int?) {
        self.order = order
        self.limit = limit.map { max($0, 0) }
    }

    /// All matching rows, shown or not.
    package var matchCount: Int { rows.count }

    /// Whether more rows exist than are shown.
    package var hasMore: Bool { rows.count > shownCount }

    /// The keys that are shown, in order.
    package var shownKeys: [ByteString] { rows[..<shownCount].map { $0.key } }

    private var shownCount: Int { min(rows.count, limit ?? rows.count) }

    /// What happens to a row by itself, without a window around it.
    package static func change(matchedBefore: Bool, matchesNow: Bool, valueChanged: Bool) -> ChangeKind? {
        switch (matchedBefore, matchesNow) {
        case (false, true): .enter
        case (true, false): .leave
        case (true, true): valueChanged ? .update : nil
        case (false, false): nil
        }
    }

    /// Takes the new state of a record, `nil` if it is no row any more (changed, removed, expired), and tells what
    /// changes in what is shown: at most one LEAVE and one ENTER, in that order, or one UPDATE.
    package mutating func update(
        _ key: ByteString, to record: RecordView?, valueChanged: Bool = true
    ) -> [Change] {
        let new = record.map { order.sortKey(of: $0) }
        let old = sortKeys.removeValue(forKey: key)
        let limit = limit ?? .max
        var (wasShown, isShown) = (false, false)
        if let old {
            let index = position(of: old)
            rows.remove(at: index)
            wasShown = index < limit
        }
        if let new {
            let index = position(of: new)
            rows.insert(Row(sortKey: new, key: key), at: index)
            sortKeys[key] = new
            isShown = index < limit
        }
        switch (wasShown, isShown) {
        case (true, true): return valueChanged ? [Change(.update, key)] : []
        case (false, true):
            let pushedOut = rows.count > limit ? [Change(.leave, rows[limit].key)] : []
            return pushedOut + [Change(.enter, key)]
        case (true, false):
            let promoted = limit > 0 && rows.count >= limit ? [Change(.enter, rows[limit - 1].key)] : []
            return [Change(.leave, key)] + promoted
        case (false, false): return []
        }
    }

    /// Where a sort key is or would be.
    private func position(of sortKey: ByteString) -> Int {
        var (low, high) = (0, rows.count)
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].sortKey < sortKey { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
