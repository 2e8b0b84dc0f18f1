import ArgumentParser
import Foundation
import TopGunSimulation

struct ShrinkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shrink", abstract: "Makes a failing seed's world as small as it can be while it still fails.")

    @Argument(help: "The seed.") var seed: UInt64
    @Option(help: "Runs to spend.") var runs = 300
    @Option(help: "A mutant to run it with.") var mutant: String?
    @Flag(help: "Prints the history of the smallest run, one JSON object a line.") var trace = false
    @OptionGroup var size: SizeOptions

    func run() throws {
        let scenario = size.scenario(seed: seed)
        let mutants = try MutantsCommand.activate(mutant)
        let found = Simulation(scenario, mutants: mutants).run().history.violations
        let named = mutant.flatMap { SimulationMutant.named($0)?.checker }
        guard let checker = found.first(where: { named == nil || $0.checker == named })?.checker else {
            print("seed \(seed) breaks nothing")
            return
        }
        var shrinker = Shrinker(runsMax: runs) { candidate in
            !checker.check(Simulation(candidate, mutants: mutants).run().history).isEmpty
        }
        let smallest = shrinker.shrink(scenario)
        let outcome = Simulation(smallest, mutants: mutants).run()
        if trace { FileHandle.standardOutput.write(try outcome.history.lines()) }
        print(smallest.summary)
        for violation in checker.check(outcome.history) { print("  \(violation)") }
    }
}

/// What makes runs larger or smaller.
struct SizeOptions: ParsableArguments {
    @Option(help: "Writes of all clients of a run together.") var operations = 2_000
    @Option(help: "Clients of a run; without it the seed says.") var clients: Int?

    /// The same for a worker.
    var arguments: [String] {
        ["--operations", "\(operations)"] + (clients.map { ["--clients", "\($0)"] } ?? [])
    }

    func scenario(seed: UInt64) -> Scenario {
        Scenario(seed: seed, clients: clients, operations: operations)
    }
}

extension Scenario {
    var summary: String {
        let faults = faults.map { "\($0.kind.rawValue) every \($0.everyMillis) ms" }.joined(separator: ", ")
        return
            "seed \(seed): \(clients) clients, \(operations) writes in \(loadMillis) ms, \(maps) maps of \(keys) keys, \(nodeLoops) loops, \(removals) % removals, \(lifetimes) % lifetimes\(isLockstep ? ", in lockstep" : ""); faults: \(faults.isEmpty ? "none" : faults)"
    }
}
