/// The text format of Prometheus, version 0.0.4.
struct PrometheusText {
    private(set) var text = ""

    enum Kind: String {
        case counter
        case gauge
    }

    mutating func add(_ kind: Kind, _ name: String, _ help: String, _ value: Double) {
        text += "# HELP \(name) \(Self.escaped(help))\n# TYPE \(name) \(kind.rawValue)\n\(name) \(Self.number(value))\n"
    }

    /// One gauge with a series for each value of a label, of which the current one is 1.
    mutating func add(state current: String, of states: [String], _ name: String, _ help: String) {
        text += "# HELP \(name) \(Self.escaped(help))\n# TYPE \(name) gauge\n"
        for state in states { text += "\(name){state=\"\(state)\"} \(state == current ? 1 : 0)\n" }
    }

    mutating func add(_ counts: LoopCounts) {
        for row in LoopCounts.table {
            add(.counter, "topgun_\(row.name)_total", row.help, Double(counts[keyPath: row.field]))
        }
    }

    private static func escaped(_ help: String) -> String {
        help.replacing("\\", with: "\\\\").replacing("\n", with: "\\n")
    }

    private static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
        return Int64(exactly: value)?.description ?? value.description
    }
}
