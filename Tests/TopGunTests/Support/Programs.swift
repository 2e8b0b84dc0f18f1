import Foundation

/// The programs of this package, built beside the tests, as processes of their own.
enum Programs {
    static func path(_ name: String) -> URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
            .appendingPathComponent(name)
    }

    /// What this process was given, without settings of TopGun.
    static var environment: [String: String] {
        var environment = ProcessInfo.processInfo.environment.filter {
            !$0.key.hasPrefix("TOPGUN_") && $0.key != "JWT_SECRET"
        }
        environment["SWIFT_BACKTRACE"] = "enable=no"
        // No settings of the person who runs the tests.
        environment["HOME"] = "/nonexistent"
        return environment
    }

    struct Outcome {
        var code: Int32
        var output: String
        var error: String

        var lines: [String] { output.split(separator: "\n").map(String.init) }
    }

    /// Runs the command line to its end.
    static func topgun(_ arguments: [String], environment: [String: String] = [:]) async throws -> Outcome {
        try await run("topgun", arguments, environment: environment)
    }

    /// Runs a program of this package to its end.
    static func run(
        _ name: String, _ arguments: [String] = [], environment extra: [String: String] = [:]
    ) async throws -> Outcome {
        let process = Process()
        process.executableURL = path(name)
        process.arguments = arguments
        process.environment = environment.merging(extra) { $1 }
        let (output, error) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        return try await withCheckedThrowingContinuation { continuation in
            process.terminationHandler = { process in
                let read = { (pipe: Pipe) in
                    String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                }
                continuation.resume(
                    returning: Outcome(code: process.terminationStatus, output: read(output), error: read(error)))
            }
            do {
                try process.run()
            } catch {
                process.terminationHandler = nil
                continuation.resume(throwing: error)
            }
        }
    }
}

/// A real `topgund`; killed when the test is over.
final class TestServer: Sendable {
    let port: Int
    private let process: Process

    var address: String { "ws://127.0.0.1:\(port)/ws" }

    init(_ directory: String, port: Int = 0, arguments: [String] = []) throws {
        if !FileManager.default.fileExists(atPath: directory) {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        process = Process()
        process.executableURL = Programs.path("topgund")
        process.arguments =
            ["--listen", "127.0.0.1:\(port)", "--data-dir", directory, "--log-level", "error"] + arguments
        process.environment = Programs.environment
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        var line = ""
        while !line.hasSuffix("\n") {
            let byte = output.fileHandleForReading.readData(ofLength: 1)
            guard !byte.isEmpty else { throw Unexpected(what: "the server ended before it served") }
            line += String(decoding: byte, as: UTF8.self)
        }
        guard let port = Int(line.dropFirst("PORT=".count).dropLast()) else {
            throw Unexpected(what: "the server printed \(line)")
        }
        self.port = port
    }

    /// SIGHUP: settings and keys are to be read again.
    func hangUp() {
        Foundation.kill(process.processIdentifier, SIGHUP)
    }

    /// `kill -9`.
    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    deinit {
        if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) }
    }
}
