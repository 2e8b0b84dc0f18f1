import ArgumentParser
import Foundation
import TopGunSimulation

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Holds a history against every promise, wherever it was written down.")

    @Argument(help: "A file with one JSON object a line.") var file: String

    func run() throws {
        let history = try History(lines: try Data(contentsOf: URL(fileURLWithPath: file)))
        let violations = history.violations
        for violation in violations { print(violation) }
        print("\(history.events.count) events, \(violations.count) violations")
        if !violations.isEmpty { throw ExitCode.failure }
    }
}
