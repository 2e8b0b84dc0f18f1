import Foundation
import Testing

/// Every command of `topgun` in both of its outputs, and with every exit code that it can have.
@Suite(.timeLimit(.minutes(2)), .serialized) struct CommandLineOutputTests {
    private static let secret = "a secret of thirty-two bytes, or so"

    /// A command with what it prints when all is well, for people and for machines.
    struct Case: CustomTestStringConvertible, Sendable {
        var arguments: [String]
        var plain: String
        var json: String

        var testDescription: String { arguments.joined(separator: " ") }
    }

    /// On a map that has `a`: `{"n":1}` and `b`: `text`.
    static let cases = [
        Case(arguments: ["get", "m", "a"], plain: #"{"n":1}"#, json: #"{"key":"a","map":"m","value":{"n":1}}"#),
        Case(arguments: ["get", "m", "b"], plain: "text", json: #"{"key":"b","map":"m","value":"text"}"#),
        Case(arguments: ["keys", "m"], plain: "a\nb", json: #"{"key":"a"}"# + "\n" + #"{"key":"b"}"#),
        Case(
            arguments: ["watch", "m", "--count", "2"], plain: #"a = {"n":1}"# + "\nb = text",
            json: #"{"key":"a","value":{"n":1}}"# + "\n" + #"{"key":"b","value":"text"}"#),
        Case(arguments: ["watch", "m", "b", "--count", "1"], plain: "b = text", json: #"{"key":"b","value":"text"}"#),
        Case(
            arguments: ["set", "m", "b", "text", "--level", "persisted"], plain: "",
            json: #"{"key":"b","level":"persisted","map":"m"}"#),
        Case(
            arguments: ["set", "m", "b", "text", "--level", "applied", "--lifetime-seconds", "600"], plain: "",
            json: #"{"key":"b","level":"applied","map":"m"}"#),
        Case(arguments: ["keys", "empty"], plain: "", json: ""),
    ]

    private func output(_ lines: String) -> String { lines.isEmpty ? "" : lines + "\n" }

    @Test func `every command prints for people and for machines`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let environment = ["TOPGUN_SERVER": server.address]
        #expect(try await Programs.topgun(["set", "m", "a", #"{"n":1}"#], environment: environment).code == 0)
        #expect(try await Programs.topgun(["set", "m", "b", "text"], environment: environment).code == 0)
        for command in Self.cases {
            let plain = try await Programs.topgun(command.arguments, environment: environment)
            #expect(plain.code == 0 && plain.error.isEmpty, "\(command.arguments): \(plain.error)")
            #expect(plain.output == output(command.plain), "\(command.arguments)")
            let json = try await Programs.topgun(command.arguments + ["--json"], environment: environment)
            #expect(json.code == 0, "\(command.arguments): \(json.error)")
            #expect(json.output == output(command.json), "\(command.arguments)")
            let asked = try await Programs.topgun(
                command.arguments, environment: environment.merging(["TOPGUN_JSON": "1"]) { $1 })
            #expect(asked.output == json.output, "\(command.arguments)")
        }
        for arguments in [["remove", "m", "a"], ["remove", "m", "b", "--json"]] {
            let removed = try await Programs.topgun(arguments, environment: environment)
            #expect(removed.code == 0)
            let isJSON = arguments.contains("--json")
            #expect(removed.output == (isJSON ? #"{"key":"b","level":"replicated","map":"m"}"# + "\n" : ""))
        }
    }

    @Test func `status tells people and machines the same`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let plain = try await Programs.topgun(["status", "--server", server.address])
        #expect(plain.code == 0)
        #expect(plain.lines.map { $0.prefix(9) } == ["server   ", "state    ", "cluster  ", "user     ", "node     "])
        #expect(plain.lines.suffix(2) == ["user     anonymous", "node     serving"])
        let json = try await Programs.topgun(["status", "--server", server.address, "--json"])
        let told = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
        #expect(
            Swift.Set(told.keys) == [
                "server", "state", "cluster", "user", "connectMicros", "node", "partitionsNotOpen", "partitionsLost",
            ])
        #expect(told["node"] as? String == "serving")
        #expect(told["partitionsNotOpen"] as? Int == 0 && told["partitionsLost"] as? Int == 0)
        #expect(told["state"] as? String == "live")
        #expect(plain.output.contains(try #require(told["cluster"] as? String)))
        #expect((told["connectMicros"] as? Int).map { $0 > 0 } == true)
    }

    @Test func `a token is printed alone, and in JSON under its name`() async throws {
        let environment = ["JWT_SECRET": Self.secret]
        let plain = try await Programs.topgun(["token", "anna"], environment: environment)
        #expect(plain.code == 0 && plain.lines.count == 1)
        #expect(plain.output.split(separator: ".").count == 3)
        let json = try await Programs.topgun(["token", "anna", "--json"], environment: environment)
        let told = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: String])
        #expect(told.keys.sorted() == ["token"])
        #expect(told["token"]?.split(separator: ".").count == 3)
    }

    @Test func `watch prints a removal`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let environment = ["TOPGUN_SERVER": server.address]
        for (flags, wanted) in [
            ([], ["k = 1", "k removed"]), (["--json"], [#"{"key":"k","value":1}"#, #"{"key":"k","value":null}"#]),
        ] {
            #expect(try await Programs.topgun(["set", "m", "k", "1"], environment: environment).code == 0)
            async let watched = Programs.topgun(
                ["watch", "m", "k", "--count", "2"] + flags, environment: environment)
            // Until the watcher has the first line it may see only the removal; so the key comes and goes until it is done.
            let isDone = Flag()
            async let changes: Void = {
                while !isDone.isSet {
                    _ = try await Programs.topgun(["remove", "m", "k"], environment: environment)
                    _ = try await Programs.topgun(["set", "m", "k", "1"], environment: environment)
                }
            }()
            let outcome = try await watched
            isDone.set()
            try await changes
            #expect(outcome.code == 0)
            #expect(outcome.lines.count == 2)
            for line in outcome.lines { #expect(wanted.contains(line)) }
        }
    }

    // MARK: Exit codes

    /// Commands that talk to a server.
    static let commands = [
        ["get", "m", "k"], ["set", "m", "k", "1"], ["remove", "m", "k"], ["keys", "m"], ["watch", "m"], ["status"],
    ]

    @Test func `1: what is not there is not found`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        for arguments in [["get", "m", "k"], ["remove", "m", "k"], ["get", "m", "k", "--json"]] {
            let outcome = try await Programs.topgun(arguments + ["--server", server.address])
            #expect(outcome.code == 1, "\(arguments)")
            #expect(outcome.output.isEmpty && outcome.error.hasPrefix("topgun: "), "\(arguments)")
        }
    }

    @Test(arguments: [
        ["get"], ["set", "m", "k"], ["remove", "m"], ["keys"], ["watch"], ["watch", "m", "--count", "0"],
        ["status", "more"], ["token"], ["token", ""], ["token", "anna", "--lifetime-seconds", "9223372036854775807"],
        ["token", "anna", "--secret-file", "/nowhere"], ["get", "m", "k", "--nonsense"],
        ["set", "m", "k", "1", "--level", "none"], ["set", "m", "k", "1", "--lifetime-seconds", "nan"],
        ["set", "m", "k", "1", "--lifetime-seconds", "1e300"], ["set", "m", "k", "1", "--lifetime-seconds", "0"],
        ["status", "--timeout-seconds", "nan"], ["status", "--timeout-seconds", "0"],
        ["keys", "m", "--server", "http://127.0.0.1:1/ws"],
    ])
    func `2: what makes no sense is a mistake of the caller`(_ arguments: [String]) async throws {
        let outcome = try await Programs.topgun(arguments)
        #expect(outcome.code == 2, "\(outcome.error)")
        #expect(outcome.output.isEmpty && !outcome.error.isEmpty)
    }

    @Test(arguments: commands, [[], ["--json"]])
    func `3: a server that is not there is unreachable`(_ arguments: [String], _ flags: [String]) async throws {
        let outcome = try await Programs.topgun(arguments + flags + ["--server", "ws://127.0.0.1:1/ws"])
        #expect(outcome.code == 3, "\(outcome.error)")
        #expect(outcome.output.isEmpty && outcome.error.contains("ws://127.0.0.1:1/ws"))
    }

    @Test func `3: a server that says nothing is unreachable when the time is over`() async throws {
        let silent = try SilentPort()
        let outcome = try await Programs.topgun(
            ["status", "--server", "ws://127.0.0.1:\(silent.port)/ws", "--timeout-seconds", "0.3"])
        #expect(outcome.code == 3, "\(outcome.error)")
        #expect(outcome.error.contains("0.3 seconds"))
    }

    @Test func `4: without a token, with a wrong one, and without the right to it, a command is refused`() async throws
    {
        let folder = try TemporaryFolder()
        let file = folder.path("secret")
        try Self.secret.write(toFile: file, atomically: true, encoding: .utf8)
        let server = try TestServer(folder.path("data"), arguments: ["--jwt-secret-file", file])
        let token = try #require(try await Programs.topgun(["token", "anna", "--secret-file", file]).lines.first)
        for command in Self.commands {
            let reach = command + ["--server", server.address]
            #expect(try await Programs.topgun(reach).code == 4, "\(command)")
            #expect(try await Programs.topgun(reach + ["--token", "wrong", "--json"]).code == 4, "\(command)")
            // Nobody may do anything here while there is no policy, but ask how the server is.
            let outcome = try await Programs.topgun(reach + ["--token", token])
            #expect(outcome.code == (command == ["status"] ? 0 : 4), "\(command): \(outcome.error)")
            #expect(outcome.output.isEmpty == (command != ["status"]), "\(command)")
        }
    }
}
