import ArgumentParser
import Foundation
import TopGunSimulation

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay", abstract: "Runs one seed again, the same to the last byte.")

    @Argument(help: "The seed.") var seed: UInt64
    @Flag(help: "Prints the history, one JSON object a line.") var trace = false
    @Option(help: "A mutant to run it with.") var mutant: String?
    @OptionGroup var size: SizeOptions

    func run() throws {
        let scenario = size.scenario(seed: seed)
        let outcome = Simulation(scenario, mutants: try MutantsCommand.activate(mutant)).run()
        if trace { FileHandle.standardOutput.write(try outcome.history.lines()) }
        let violations = outcome.history.violations
        print(scenario.summary)
        print(
            "seed \(seed): \(outcome.turns) turns, trace \(String(outcome.trace, radix: 16)), \(violations.count) violations"
        )
        for violation in violations { print("  \(violation)") }
        if !violations.isEmpty { throw ExitCode.failure }
    }
}
