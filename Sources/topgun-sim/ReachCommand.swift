import ArgumentParser
import Foundation
import TopGunSimulation

struct ReachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reach", abstract: "Counts what runs came to; something that no run reached is a failure.")

    @Option(help: "The seeds, as FIRST..LAST.") var seeds = SeedRange(first: 1, last: 300)
    @Option(help: "Processes at a time.") var jobs = 2
    @OptionGroup var size: SizeOptions

    func run() throws {
        let total = Worker.run(seeds, jobs: jobs, arguments: size.arguments).reached
        for (name, count) in total.sorted(by: { $0.key < $1.key }) { print("\(name): \(count)") }
        let missing = Reach.missing(in: total)
        if missing.isEmpty { return }
        print("never reached: \(missing.joined(separator: ", "))")
        throw ExitCode.failure
    }
}
