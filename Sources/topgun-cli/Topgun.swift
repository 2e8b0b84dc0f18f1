import ArgumentParser

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The command line.
///
/// Exit codes: 0 done, 1 not found, 2 usage, 3 unreachable, 4 refused.
@main
struct Topgun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topgun",
        abstract: "Reads, writes and watches the maps of a TopGun server.",
        discussion: """
            Settings come from flags, then from the environment (TOPGUN_SERVER, TOPGUN_TOKEN, TOPGUN_TIMEOUT_SECONDS, TOPGUN_JSON), then \
            from a JSON file ($TOPGUN_CLIENT_CONFIG, or ~/.config/topgun/client.json) with the keys server, token and \
            timeout-seconds.

            Exit codes: 0 done, 1 not found, 2 usage, 3 unreachable, 4 refused.
            """,
        subcommands: [Get.self, Set.self, Remove.self, Keys.self, Watch.self, Status.self, Token.self])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            endProcess(0)
        } catch let failure as Failure {
            failure.leave()
        } catch {
            let text = fullMessage(for: error)
            if exitCode(for: error) == .success {
                print(text)
                endProcess(0)
            }
            writeError(text)
            endProcess(Failure.Code.usage.rawValue)
        }
    }
}

/// Why a command ended without doing what it was asked for.
struct Failure: Error {
    enum Code: Int32 {
        case notFound = 1
        case usage = 2
        case unreachable = 3
        case refused = 4
    }

    var code: Code
    var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    func leave() -> Never {
        writeError("topgun: \(message)")
        endProcess(code.rawValue)
    }
}

/// Ends the process at once: event loops and the store's thread are running, and must not see the library's memory go.
func endProcess(_ code: Int32) -> Never {
    flushOutput()
    _exit(code)
}

func writeError(_ line: String) {
    var text = line + "\n"
    text.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
}
