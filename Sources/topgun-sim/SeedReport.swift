import Foundation
import TopGunSimulation

/// What a worker says of one seed: one line of JSON.
struct SeedReport: Codable {
    var seed: UInt64
    var violations: [String]
    /// The checkers that found them.
    var checkers: [String]
    var turns: Int
    var reached: [String: Int]
    /// Equal for equal runs; only where it will be compared, for it takes a while.
    var fingerprint: UInt64?
    /// Whether a second run was not the same.
    var differs = false

    init(_ scenario: Scenario, mutants: SimulatedMutants = SimulatedMutants(), isCompared: Bool) {
        let outcome = Simulation(scenario, mutants: mutants).run()
        let found = outcome.history.violations
        seed = scenario.seed
        violations = found.prefix(5).map(\.description)
        if found.count > 5 { violations.append("and \(found.count - 5) more") }
        checkers = Array(Set(found.map(\.checker.rawValue))).sorted()
        turns = outcome.turns
        reached = outcome.reached
        if isCompared { fingerprint = outcome.fingerprint }
    }

    var isFailure: Bool { !violations.isEmpty || differs }

    var text: String {
        (["seed \(seed):\(differs ? " a second run was not the same" : "")"] + violations.map { "  \($0)" }
            + ["  again: topgun-sim replay \(seed) --trace   smaller: topgun-sim shrink \(seed) --trace"])
            .joined(separator: "\n")
    }

    func write() throws {
        var line = try JSONEncoder().encode(self)
        line.append(UInt8(ascii: "\n"))
        FileHandle.standardOutput.write(line)
    }
}
