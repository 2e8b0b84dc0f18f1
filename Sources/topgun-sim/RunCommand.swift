import ArgumentParser
import Foundation
import TopGunSimulation

/// Runs many seeds, in several processes.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs seeds and says which of them broke a promise.")

    @Option(help: "The seeds, as FIRST..LAST.") var seeds = SeedRange(first: 1, last: 100)
    @Option(help: "Processes at a time.") var jobs = 2
    @Option(
        help: """
            One seed in so many runs again, in another process that orders sets and dictionaries in another way, and must \
            be the same to the last byte; 1 for all, 0 for none.
            """)
    var repeating: UInt64 = 20
    @Flag(help: "Nothing goes wrong: the control.") var withoutFaults = false
    @Flag(help: "Prints the result as one JSON object.") var json = false
    @OptionGroup var size: SizeOptions

    func run() throws {
        let start = Progress(total: 0)
        let summary = Worker.run(
            seeds, jobs: jobs, arguments: size.arguments + (withoutFaults ? ["--without-faults"] : []),
            repeating: repeating, voice: json ? .progress : .all)
        let faults = summary.reached.keys.filter { $0.hasPrefix("fault.") || $0.hasPrefix("disk.") }.sorted()
        let result = Result(
            seeds: summary.seeds, repeated: summary.repeated, turns: summary.turns, seconds: start.seconds,
            failed: summary.failed, lost: summary.lost, faultsInTheControl: withoutFaults ? faults : [])
        if json { try Report.print(result) } else { print(result.text) }
        if !result.isGood { throw ExitCode.failure }
    }

    private struct Result: Encodable {
        var seeds: Int
        var repeated: Int
        var turns: Int
        var seconds: Double
        var failed: [SeedReport]
        var lost: [UInt64]
        var faultsInTheControl: [String]

        var isGood: Bool { failed.isEmpty && lost.isEmpty && faultsInTheControl.isEmpty }

        var text: String {
            let rate = String(
                format: "%.1f seeds/s, %.0f turns/s", Double(seeds) / seconds, Double(turns) / seconds)
            let differing = failed.filter(\.differs).count
            var text =
                "\(seeds) seeds, \(failed.count + lost.count) failed; \(repeated) ran twice, \(differing) differed; \(rate)"
            if !faultsInTheControl.isEmpty {
                text += "\nfaults struck a world without faults: \(faultsInTheControl)"
            }
            return text
        }
    }
}

/// What ``Worker`` starts; its output is for the parent.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

    @Option var seeds: SeedRange
    @Option var mutant: String?
    /// Seeds that this divides are compared with a second run; 0 for none.
    @Option var repeating: UInt64 = 0
    /// Only those: this is the second run.
    @Flag var onlyRepeated = false
    @Flag var withoutFaults = false
    @OptionGroup var size: SizeOptions

    func run() throws {
        let mutants = try MutantsCommand.activate(mutant)
        for seed in seeds.first...seeds.last {
            let isCompared = repeating > 0 && seed % repeating == 0
            if onlyRepeated, !isCompared { continue }
            let scenario = size.scenario(seed: seed)
            let report = SeedReport(
                withoutFaults ? scenario.withoutFaults : scenario, mutants: mutants, isCompared: isCompared)
            try report.write()
        }
    }
}

/// `1..1000`, or a single number.
struct SeedRange: ExpressibleByArgument, Sendable {
    var first: UInt64
    var last: UInt64

    init(first: UInt64, last: UInt64) {
        self.first = first
        self.last = last
    }

    init?(argument: String) {
        let parts = argument.split(separator: ".", omittingEmptySubsequences: true).map { UInt64($0) }
        guard let first = parts.first ?? nil, let last = parts.last ?? nil, parts.count <= 2, first <= last else {
            return nil
        }
        self.init(first: first, last: last)
    }

    var defaultValueDescription: String { "\(first)..\(last)" }
    var count: Int { Int(last - first) + 1 }
}
