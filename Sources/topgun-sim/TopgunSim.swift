import ArgumentParser
import Foundation
import TopGunSimulation

#if canImport(Glibc)
import Glibc
#elseif canImport(Darwin)
import Darwin
#endif

/// The simulator: whole worlds from a number each.
@main
struct TopgunSim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topgun-sim",
        abstract: "Runs TopGun under faults that follow from a seed, and checks what it promises.",
        subcommands: [
            RunCommand.self, ReplayCommand.self, ShrinkCommand.self, CoresCommand.self, MutantsCommand.self,
            ReachCommand.self, CheckCommand.self, WorkerCommand.self,
        ])

    static func main() {
        FixedEnvironment.ensure()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            exit(withError: error)
        }
    }
}

/// What a process has only from its environment, and from its first moment.
enum FixedEnvironment {
    private static let marker = "SWIFT_DETERMINISTIC_HASHING"
    private static let variables = [
        // Sets and dictionaries in the same order in every process: without it the same seed is not the same run.
        marker: "1",
        // Each world gives all its memory back and the next one wants as much: the C library is to keep it.
        "MALLOC_TRIM_THRESHOLD_": "1073741824", "MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TOP_PAD_": "16777216",
    ]

    /// The same for a process whose sets and dictionaries have an order of its own.
    static var inAnotherOrder: [String: String] {
        ProcessInfo.processInfo.environment.merging([marker: "0"]) { $1 }
    }

    /// Starts the program anew with the settings, if they are not there yet.
    static func ensure() {
        guard ProcessInfo.processInfo.environment[marker] == nil else { return }
        for (name, value) in variables { setenv(name, value, 1) }
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv(Worker.executable, &arguments)
        preconditionFailure("the simulator could not start itself: error \(errno)")
    }
}
