import ArgumentParser
import Foundation
import TopGunSimulation

/// Runs many seeds, in several processes.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs seeds and says which of them broke a promise.")

    @Option(help: "The seeds, as FIRST..LAST.") var seeds = SeedRange(first: 1, last: 100)
    @Option(help: "Processes at a time.") var jobs = 2
    @Flag(help: "Nothing goes wrong: the control.") var withoutFaults = false
    @OptionGroup var size: SizeOptions

    func run() throws {
        let start = DispatchTime.now()
        let summary = Worker.run(
            seeds, jobs: jobs, arguments: size.arguments + (withoutFaults ? ["--without-faults"] : []), isLoud: true)
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start.uptimeNanoseconds) / 1e9
        let failures = summary.failed.count + summary.lost.count
        let rate = String(
            format: "%.1f seeds/s, %.0f turns/s", Double(summary.seeds) / seconds, Double(summary.turns) / seconds)
        print("\(summary.seeds) seeds, \(failures) failed; \(rate)")
        let faults = summary.reached.keys.filter { $0.hasPrefix("fault.") || $0.hasPrefix("disk.") }
        if withoutFaults, !faults.isEmpty { print("faults struck a world without faults: \(faults.sorted())") }
        if failures > 0 || withoutFaults && !faults.isEmpty { throw ExitCode.failure }
    }
}

/// What ``Worker`` starts; its output is for the parent.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "worker", shouldDisplay: false)

    @Option var seeds: SeedRange
    @Option var mutant: String?
    @Flag var withoutFaults = false
    @OptionGroup var size: SizeOptions

    func run() throws {
        let mutants = try MutantsCommand.activate(mutant)
        for seed in seeds.first...seeds.last {
            let scenario = size.scenario(seed: seed)
            let report = SeedReport(
                withoutFaults ? scenario.withoutFaults : scenario, mutants: mutants,
                isChecked: mutant == nil && seed % 20 == 0)
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
}
