import ArgumentParser
import Foundation
import TopGunSimulation

struct ReachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reach", abstract: "Counts what runs came to; something that no run reached is a failure.")

    @Option(help: "The seeds, as FIRST..LAST.") var seeds = SeedRange(first: 1, last: 300)
    @Option(help: "Processes at a time.") var jobs = 2
    @Flag(help: "Prints the result as one JSON object.") var json = false
    @OptionGroup var size: SizeOptions

    func run() throws {
        let total = Worker.run(seeds, jobs: jobs, arguments: size.arguments, voice: .progress).reached
        let missing = Reach.missing(in: total)
        if json {
            try Report.print(Result(reached: total, missing: missing))
        } else {
            for (name, count) in total.sorted(by: { $0.key < $1.key }) { print("\(name): \(count)") }
            if !missing.isEmpty { print("never reached: \(missing.joined(separator: ", "))") }
        }
        if !missing.isEmpty { throw ExitCode.failure }
    }

    private struct Result: Encodable {
        var reached: [String: Int]
        var missing: [String]
    }
}
