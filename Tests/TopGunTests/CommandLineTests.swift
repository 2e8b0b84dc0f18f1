import Foundation
import Testing

/// `topgun`, as a person or a script runs it.
@Suite(.timeLimit(.minutes(2)), .serialized) struct CommandLineTests {
    @Test func `values are set, read, listed and removed`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        func run(_ arguments: String...) async throws -> Programs.Outcome {
            try await Programs.topgun(arguments, environment: ["TOPGUN_SERVER": server.address])
        }
        #expect(try await run("set", "m", "b", "plain text").code == 0)
        #expect(try await run("set", "m", "a", #"{"n":1,"list":[true,null,0.5]}"#).code == 0)
        #expect(try await run("set", "m", "c", "12", "--text").code == 0)
        #expect(try await run("get", "m", "b").output == "plain text\n")
        #expect(try await run("get", "m", "a").output == #"{"list":[true,null,0.5],"n":1}"# + "\n")
        #expect(try await run("get", "m", "c", "--json").output == #"{"key":"c","map":"m","value":"12"}"# + "\n")
        for number in ["18446744073709551615", "9223372036854775808"] {
            #expect(try await run("set", "numbers", "n", number).code == 0)
            #expect(try await run("get", "numbers", "n").output == number + "\n")
        }
        #expect(try await run("keys", "m").lines == ["a", "b", "c"])
        #expect(try await run("keys", "m", "--json").lines.first == #"{"key":"a"}"#)
        #expect(
            try await run("set", "m", "d", "4", "--json").output
                == #"{"key":"d","level":"replicated","map":"m"}"# + "\n")
        #expect(try await run("watch", "m", "d", "--count", "1", "--json").output == #"{"key":"d","value":4}"# + "\n")
        #expect(try await run("remove", "m", "d").code == 0)
        #expect(try await run("get", "m", "d").code == 1)
        #expect(try await run("remove", "m", "d").code == 1)
        let status = try await run("status", "--json")
        #expect(status.code == 0)
        #expect(status.output.contains(#""state":"live""#))
    }

    @Test func `every way to fail has its exit code, and a message on standard error`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        func run(_ arguments: [String], _ environment: [String: String] = [:]) async throws -> Int32 {
            let outcome = try await Programs.topgun(arguments, environment: environment)
            if outcome.code != 0 {
                #expect(outcome.output.isEmpty, "\(arguments)")
                #expect(!outcome.error.isEmpty, "\(arguments)")
            }
            return outcome.code
        }
        let reach = ["--server", server.address]
        #expect(try await run(["get", "m", "nothing"] + reach) == 1)
        #expect(try await run(["nonsense"]) == 2)
        #expect(try await run(["get", "m"]) == 2)
        #expect(try await run(["get", "m", "k", "--server", "not an address"]) == 2)
        #expect(try await run(["set", "m", "k", "null"] + reach) == 2)
        #expect(try await run(["set", "a:b", "k", "1"] + reach) == 2)
        #expect(try await run(["status"], ["TOPGUN_TIMEOUT_SECONDS": "soon"]) == 2)
        #expect(try await run(["status"], ["TOPGUN_CLIENT_CONFIG": folder.path("nowhere.json")]) == 2)
        #expect(try await run(["token", "anna"]) == 2)
        #expect(try await run(["status", "--server", "ws://127.0.0.1:1/ws"]) == 3)
        #expect(try await run(["--help"]) == 0)
    }

    @Test func `a server with authentication refuses without a token and takes one from the environment`() async throws
    {
        let folder = try TemporaryFolder()
        let secret = folder.path("secret")
        try "a secret of thirty-two bytes, or so".write(toFile: secret, atomically: true, encoding: .utf8)
        let server = try TestServer(folder.path("data"), arguments: ["--jwt-secret-file", secret])
        let reach = ["--server", server.address]
        #expect(try await Programs.topgun(["status"] + reach).code == 4)
        #expect(try await Programs.topgun(["status", "--token", "wrong"] + reach).code == 4)
        let token = try await Programs.topgun(
            ["token", "anna", "--role", "admin", "--json"],
            environment: ["JWT_SECRET": "a secret of thirty-two bytes, or so"])
        #expect(token.code == 0)
        let text = try #require(token.output.split(separator: "\"").last { $0.count > 20 })
        let status = try await Programs.topgun(["status"] + reach, environment: ["TOPGUN_TOKEN": String(text)])
        #expect(status.code == 0, "\(status.error)")
        #expect(status.output.contains("anna"))
        // Nobody may write here while there is no policy.
        let refused = try await Programs.topgun(
            ["set", "m", "k", "1"] + reach, environment: ["TOPGUN_TOKEN": String(text)])
        #expect(refused.code == 4, "\(refused.error)")
    }

    @Test func `flags win over the environment, and the environment over the file`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let file = folder.path("client.json")
        try #"{"server": "ws://127.0.0.1:1/ws", "timeout-seconds": 3}"#.write(
            toFile: file, atomically: true, encoding: .utf8)
        let wrong = ["TOPGUN_CLIENT_CONFIG": file]
        #expect(try await Programs.topgun(["status"], environment: wrong).code == 3)
        let right = wrong.merging(["TOPGUN_SERVER": server.address]) { $1 }
        #expect(try await Programs.topgun(["status"], environment: right).code == 0)
        #expect(
            try await Programs.topgun(["status", "--server", "ws://127.0.0.1:1/ws"], environment: right).code == 3)
        try #"{"sever": "x"}"#.write(toFile: file, atomically: true, encoding: .utf8)
        let unknown = try await Programs.topgun(["status"], environment: wrong)
        #expect(unknown.code == 2)
        #expect(unknown.error.contains("sever"))
    }
}
