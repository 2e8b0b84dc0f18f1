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
        case .double(let number): Int64(whole: number)
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
        if left >= 0x1p64 { return .newer }
        if left < -0x1p63 { return .older }
        // Towards zero; what is left has the sign of the number.
        let whole = left < 0 ? PayloadNumber.integer(Int64(left)) : PayloadNumber(UInt64(left))
        let result = compare(whole, right)
        guard result == .same, left != whole.double else { return result }
        return left < 0 ? .older : .newer
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

extension UInt64 {
    /// The integer that a double is, if it is one and in range; without the call into the C library of `exactly`.
    package init?(whole number: Double) {
        guard number >= 0, number < 0x1p64 else { return nil }
        self = UInt64(number)
        guard Double(self) == number else { return nil }
    }
}
