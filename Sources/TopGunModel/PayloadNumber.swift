/// A number of a payload, in the kind it was sent in; compared by value whatever the kind.
package enum PayloadNumber: Equatable, Sendable {
    case integer(Int64)
    /// Only above `Int64.max`.
    case unsigned(UInt64)
    case double(Double)

    package init(_ number: UInt64) {
        self = Int64(exactly: number).map { .integer($0) } ?? .unsigned(number)
    }

    /// The nearest double, which is how the official client sees the number.
    package var double: Double {
        switch self {
        case .integer(let number): Double(number)
        case .unsigned(let number): Double(number)
        case .double(let number): number
        }
    }

    package var isNaN: Bool {
        if case .double(let number) = self { number.isNaN } else { false }
    }

    /// The number as an integer, if it is a whole one in range.
    package var wholeNumber: Int64? {
        switch self {
        case .integer(let number): number
        case .unsigned: nil
        case .double(let number): Int64(exactly: number)
        }
    }

    /// How two numbers relate, exactly: no integer is rounded to a double. `nil` if one is no number.
    package static func compare(_ left: PayloadNumber, _ right: PayloadNumber) -> VersionOrder.Result? {
        switch (left, right) {
        case (.integer(let left), .integer(let right)): return order(left < right, left == right)
        case (.unsigned(let left), .unsigned(let right)): return order(left < right, left == right)
        case (.integer, .unsigned): return .older
        case (.unsigned, .integer): return .newer
        case (.double(let left), .double(let right)):
            return left.isNaN || right.isNaN ? nil : order(left < right, left == right)
        case (.double(let left), _): return compare(left, right)
        case (_, .double(let right)): return compare(right, left)?.reversed
        }
    }

    package static func == (left: PayloadNumber, right: PayloadNumber) -> Bool {
        compare(left, right) == .same
    }

    /// Compares a double with an integer of either kind by the whole part, then by what is left of it.
    private static func compare(_ left: Double, _ right: PayloadNumber) -> VersionOrder.Result? {
        guard !left.isNaN else { return nil }
        if left >= 18_446_744_073_709_551_616 { return .newer }
        if left < -9_223_372_036_854_775_808 { return .older }
        let floor = left.rounded(.down)
        let whole = floor < 0 ? PayloadNumber.integer(Int64(floor)) : PayloadNumber(UInt64(floor))
        let result = compare(whole, right)
        return result == .same && left > floor ? .newer : result
    }

    private static func order(_ isLess: Bool, _ isSame: Bool) -> VersionOrder.Result {
        isLess ? .older : isSame ? .same : .newer
    }
}

extension VersionOrder.Result {
    package var reversed: VersionOrder.Result {
        switch self {
        case .older: .newer
        case .same: .same
        case .newer: .older
        }
    }
}
