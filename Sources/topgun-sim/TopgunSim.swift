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
            RunCommand.self, ReplayCommand.self, ShrinkCommand.self, MutantsCommand.self, ReachCommand.self,
            CheckCommand.self, WorkerCommand.self,
        ])

    static func main() {
        FixedHashing.ensure()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            exit(withError: error)
        }
    }
}

/// Sets and dictionaries in the same order in every process: without it the same seed is not the same run.
enum FixedHashing {
    private static let variable = "SWIFT_DETERMINISTIC_HASHING"

    /// Starts the program anew with the setting, if it is not there yet.
    static func ensure() {
        guard ProcessInfo.processInfo.environment[variable] == nil else { return }
        setenv(variable, "1", 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv(Worker.executable, &arguments)
        preconditionFailure("the simulator could not start itself: error \(errno)")
    }
}
