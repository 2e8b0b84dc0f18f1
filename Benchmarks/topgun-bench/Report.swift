import Foundation

/// One line of the table: what was measured, what it must reach, and whether it did.
struct Row: Codable {
    enum Target: Codable {
        case atLeast(Double)
        case atMost(Double)
    }

    var measure: String
    var value: Double
    var unit: String
    var target: Target?
    /// The figures the value was made of, such as both sides of a ratio.
    var detail: String
    /// The same for machines, by name; with the percentiles where there are any.
    var figures: [String: Double] = [:]

    var isReached: Bool? {
        switch target {
        case .atLeast(let bound): value >= bound
        case .atMost(let bound): value <= bound
        case nil: nil
        }
    }
}

struct Report: Codable {
    var rows: [Row] = []

    func printTable() {
        print("\n| measure | result | must reach | reached | figures |")
        print("| --- | --- | --- | --- | --- |")
        for row in rows {
            let target =
                switch row.target {
                case .atLeast(let bound): "≥ \(text(bound)) \(row.unit)"
                case .atMost(let bound): "≤ \(text(bound)) \(row.unit)"
                case nil: ""
                }
            let reached = row.isReached.map { $0 ? "yes" : "**no**" } ?? ""
            print("| \(row.measure) | \(text(row.value)) \(row.unit) | \(target) | \(reached) | \(row.detail) |")
        }
    }

    func writeJSON(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try encoder.encode(self).write(to: URL(fileURLWithPath: path))
    }
}

/// Three significant digits, or whole numbers from a hundred on.
func text(_ number: Double) -> String {
    guard number.isFinite else { return "-" }
    return abs(number) >= 100 ? String(format: "%.0f", number) : String(format: "%.3g", number)
}
