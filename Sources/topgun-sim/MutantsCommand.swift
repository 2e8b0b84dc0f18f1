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
    @OptionGroup var size: SizeOptions

    func run() throws {
        var survivors: [String] = []
        for mutant in SimulationMutant.all where only == nil || mutant.name == only {
            guard mutant.isBuiltIn else {
                print("\(mutant.name): not in this build; `make sim` makes one with mutants")
                survivors.append(mutant.name)
                continue
            }
            let checker = mutant.checker.rawValue
            let summary = Worker.run(
                seeds, jobs: jobs, arguments: size.arguments + ["--mutant", mutant.name],
                isEnough: { $0.checkers.contains(checker) })
            let killers = summary.failed.filter { $0.checkers.contains(checker) }.map(\.seed)
            if let killer = killers.min() {
                print("\(mutant.name): found by \(checker) in seed \(killer)")
            } else {
                let others = Set(summary.failed.flatMap(\.checkers)).sorted()
                print("\(mutant.name): SURVIVES \(checker); found by \(others), \(summary.lost.count) seeds lost")
                survivors.append(mutant.name)
            }
        }
        if !survivors.isEmpty { throw ExitCode.failure }
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
