import ArgumentParser
import Foundation
import TopGunSimulation

/// The negative controls: every mistake must be found, by the checker that is there for it.
struct MutantsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mutants", abstract: "Runs each mutant until its checker finds it; one that survives is a failure."
    )

    @Option(help: "The seeds in which each must be found.") var seeds = SeedRange(first: 1, last: 300)
    @Option(help: "Processes at a time.") var jobs = 2
    @Option(help: "Only this one.") var only: String?
    @Flag(help: "Prints the result as one JSON object a line.") var json = false
    @OptionGroup var size: SizeOptions

    func run() throws {
        var hasSurvivor = false
        for mutant in SimulationMutant.all where only == nil || mutant.name == only {
            let verdict = mutant.isBuiltIn ? search(mutant) : Verdict(mutant, isBuiltIn: false)
            if json { try Report.print(verdict) } else { print(verdict.text) }
            if verdict.seed == nil { hasSurvivor = true }
        }
        if hasSurvivor { throw ExitCode.failure }
    }

    private func search(_ mutant: SimulationMutant) -> Verdict {
        let checker = mutant.checker.rawValue
        let summary = Worker.run(
            seeds, jobs: jobs, arguments: size.arguments + ["--mutant", mutant.name], voice: .progress,
            isEnough: { $0.checkers.contains(checker) })
        var verdict = Verdict(mutant, isBuiltIn: true)
        verdict.seed = summary.failed.filter { $0.checkers.contains(checker) }.map(\.seed).min()
        verdict.others = Set(summary.failed.flatMap(\.checkers)).subtracting([checker]).sorted()
        verdict.lost = summary.lost.count
        return verdict
    }

    private struct Verdict: Encodable {
        var name: String
        var number: Int?
        var checker: String
        var isBuiltIn: Bool
        /// Where its checker found it; `nil` for a survivor.
        var seed: UInt64?
        /// Other checkers that found it before that.
        var others: [String] = []
        /// Seeds whose worker did not live to report.
        var lost = 0

        init(_ mutant: SimulationMutant, isBuiltIn: Bool) {
            name = mutant.name
            number = mutant.number
            checker = mutant.checker.rawValue
            self.isBuiltIn = isBuiltIn
        }

        var text: String {
            guard isBuiltIn else { return "\(name): not in this build; `make sim` makes one with mutants" }
            guard let seed else { return "\(name): SURVIVES \(checker); found by \(others), \(lost) seeds lost" }
            return "\(name): found by \(checker) in seed \(seed)"
        }
    }

    /// Makes this process the mutant of that name, if one is named.
    static func activate(_ name: String?) throws -> SimulatedMutants {
        guard let name else { return SimulatedMutants() }
        guard let mutant = SimulationMutant.named(name), mutant.isBuiltIn else {
            throw ValidationError("this build has no mutant \(name)")
        }
        return mutant.activate()
    }
}
