/// A point in the log of a node: how many bytes of groups came before it, over the log's whole life.
package struct LogPosition: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var rawValue: Int64

    package init(_ rawValue: Int64) {
        self.rawValue = rawValue
    }

    /// Before everything: covers nothing.
    package static let zero = LogPosition(0)
    /// Where the first group of a new log starts.
    static let beginning = LogPosition(8)

    package static func < (left: LogPosition, right: LogPosition) -> Bool { left.rawValue < right.rawValue }

    package var description: String { String(rawValue) }

    static func + (position: LogPosition, bytes: Int) -> LogPosition {
        LogPosition(position.rawValue + Int64(bytes))
    }

    static func - (left: LogPosition, right: LogPosition) -> Int {
        Int(left.rawValue - right.rawValue)
    }
}
