import ArgumentParser
import Foundation

/// What every command that talks to a server takes.
struct GlobalOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The server. (default: ws://127.0.0.1:8080/ws)", valueName: "url"))
    var server: String?

    @Option(help: ArgumentHelp("Shown to a server that demands one.", valueName: "jwt"))
    var token: String?

    @Option(help: ArgumentHelp("How long to wait for the server. (default: 5)", valueName: "seconds"))
    var timeoutSeconds: Double?

    @Flag(name: .customLong("json"), help: "Write JSON, one object a line; also with TOPGUN_JSON=1.")
    var wantsJSON = false

    var json: Bool { wantsJSON || ProcessInfo.processInfo.environment["TOPGUN_JSON"] == "1" }
}

/// The settings of a run, with what flags, environment and file said about each.
struct Settings {
    var server = "ws://127.0.0.1:8080/ws"
    var token: String?
    var timeoutSeconds = 5.0

    private struct File: Decodable {
        var server: String?
        var token: String?
        var timeoutSeconds: Double?

        enum CodingKeys: String, CodingKey, CaseIterable {
            case server
            case token
            case timeoutSeconds = "timeout-seconds"
        }
    }

    init(_ options: GlobalOptions, environment: [String: String]) throws(Failure) {
        let file = try Self.file(environment)
        server = options.server ?? environment["TOPGUN_SERVER"] ?? file.server ?? server
        token = options.token ?? environment["TOPGUN_TOKEN"] ?? file.token
        if let flag = options.timeoutSeconds {
            timeoutSeconds = flag
        } else if let text = environment["TOPGUN_TIMEOUT_SECONDS"] {
            guard let seconds = Double(text) else {
                throw Failure(.usage, "TOPGUN_TIMEOUT_SECONDS is no number")
            }
            timeoutSeconds = seconds
        } else if let seconds = file.timeoutSeconds {
            timeoutSeconds = seconds
        }
        guard timeoutSeconds > 0, timeoutSeconds <= 86400 else {
            throw Failure(.usage, "the timeout must be above 0 and at most a day")
        }
    }

    /// The file, if there is one; one that was named must be there.
    private static func file(_ environment: [String: String]) throws(Failure) -> File {
        let named = environment["TOPGUN_CLIENT_CONFIG"]
        let home = environment["HOME"].map { $0 + "/.config/topgun/client.json" }
        guard let path = named ?? home else { return File() }
        guard FileManager.default.fileExists(atPath: path) else {
            if named != nil { throw Failure(.usage, "there is no file \(path)") }
            return File()
        }
        do {
            let data = try Data(contentsOf: URL(fileURLWithPath: path))
            let words = try JSONSerialization.jsonObject(with: data) as? [String: Any]
            for word in (words ?? [:]).keys.sorted() where File.CodingKeys(rawValue: word) == nil {
                throw Failure(.usage, "\"\(word)\" in \(path) is no setting of topgun")
            }
            return try JSONDecoder().decode(File.self, from: data)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.usage, "\(path) cannot be read as settings")
        }
    }
}
