import Foundation
import Logging
import Testing

@testable import TopGunServer

@Suite struct EdgeConfigurationTests {
    private static func configuration(
        _ flags: [Setting: String] = [:], _ environment: [String: String] = [:], file: String? = nil
    ) async throws -> ServerConfiguration {
        var path: String?
        if let file {
            let url = FileManager.default.temporaryDirectory.appending(path: "topgun-\(UUID().uuidString).json")
            try file.write(to: url, atomically: true, encoding: .utf8)
            path = url.path
        }
        defer { if let path { try? FileManager.default.removeItem(atPath: path) } }
        let sources = try await SettingSources(flags: flags, environment: environment, file: path)
        return try ServerConfiguration(sources, environment: environment)
    }

    /// The sentence with which it is refused.
    private static func refusal(
        _ flags: [Setting: String] = [:], _ environment: [String: String] = [:], file: String? = nil
    ) async -> String? {
        do {
            _ = try await configuration(flags, environment, file: file)
            return nil
        } catch {
            #expect((error as? ServerError)?.exitCode == ExitCode.configuration)
            return "\(error)"
        }
    }

    @Test func `without any setting it is one open node for this machine`() async throws {
        let configuration = try await Self.configuration()
        #expect(configuration.host == "127.0.0.1")
        #expect(configuration.port == 8080)
        #expect(configuration.dataDirectory == "topgun-data")
        #expect(configuration.defaultAccess == .deny)
        #expect(configuration.eventLoops >= 1)
        guard case .none = configuration.authentication else {
            Issue.record("authentication without a key")
            return
        }
    }

    @Test func `the variables of upstream's server give the address, and lose to ours`() async throws {
        let environment = [
            "PORT": "0", "TOPGUN_BIND_ADDR": "127.0.0.2", "TOPGUN_CORS_ORIGINS": "http://a.com, http://b.com",
        ]
        let configuration = try await Self.configuration([:], environment)
        #expect(configuration.host == "127.0.0.2")
        #expect(configuration.port == 0)
        #expect(configuration.allowedOrigins == ["http://a.com", "http://b.com"])
        let six = try await Self.configuration([:], ["TOPGUN_BIND_ADDR": "::1"])
        #expect(six.host == "::1")
        #expect(six.port == 8080)
        let flag = try await Self.configuration([.listen: "localhost:9000"], environment)
        #expect(flag.host == "localhost")
        #expect(flag.port == 9000)
        #expect(await Self.refusal([:], ["PORT": "70000"])?.hasPrefix("PORT must be") == true)
        #expect(await Self.refusal([:], ["TOPGUN_BIND_ADDR": "127.0.0.1:80"])?.hasPrefix("TOPGUN_BIND_ADDR") == true)
        #expect(await Self.refusal([:], ["TOPGUN_BIND_ADDR": "0.0.0.0"])?.contains("--jwt-secret-file") == true)
        #expect(await Self.refusal([:], ["TOPGUN_CORS_ORIGINS": "a.com"])?.hasPrefix("TOPGUN_CORS_ORIGINS") == true)
        #expect(await Self.refusal([:], ["TOPGUN_NO_AUTH": "1", "JWT_SECRET": "x"]) != nil)
        #expect(await Self.refusal([:], ["TOPGUN_NO_AUTH": "1"]) == nil)
    }

    @Test func `flags win over the environment and that over the file`() async throws {
        let file = #"{"data-dir": "file", "log-level": "debug", "max-connections": 5, "event-loops": 3}"#
        let environment = ["TOPGUN_DATA_DIR": "environment", "TOPGUN_LOG_LEVEL": "warning", "HOME": "/"]
        let configuration = try await Self.configuration([.dataDir: "flag"], environment, file: file)
        #expect(configuration.dataDirectory == "flag")
        #expect(configuration.logLevel == .warning)
        #expect(configuration.connectionsMax == 5)
        #expect(configuration.eventLoops == 3)
    }

    @Test func `O01 an unknown setting stops it with its name`() async {
        let variable = await Self.refusal([:], ["TOPGUN_DATADIR": "x"])
        #expect(variable?.contains("TOPGUN_DATADIR") == true)
        let lower = await Self.refusal([:], ["topgun_fsync": "off"])
        #expect(lower?.contains("topgun_fsync") == true)
        let key = await Self.refusal(file: #"{"data-dir": "x", "fsync": false}"#)
        #expect(key?.contains("\"fsync\"") == true)
        #expect(await Self.refusal([:], ["TOPGUN_SERVER": "ws://x", "TOPGUN_TOKEN": "x"]) == nil)
    }

    @Test func `the advertised URL is what clients dial, or the start stops`() async throws {
        for url in [
            "ws://localhost", "ws://127.0.0.1:8080/ws", "wss://grid.example.com/", "wss://[::1]:443/ws",
            "ws://[::1]/ws",
        ] {
            #expect(try await Self.configuration([.advertisedURL: url]).advertisedURL == url)
            #expect(try await Self.configuration([:], ["TOPGUN_ADVERTISED_URL": url]).advertisedURL == url)
        }
        let file = #"{"advertised-url": "wss://grid.example.com/ws"}"#
        #expect(try await Self.configuration(file: file).advertisedURL == "wss://grid.example.com/ws")
        #expect(try await Self.configuration().advertisedURL == nil)
        for url in [
            "", "grid.example.com", "http://grid.example.com", "ws://", "ws:///ws", "ws://a b", "ws://a:0",
            "ws://a:99999",
            "ws://a:b/", "ws://user@host/", "ws://host/#x", "ws://::1/", "ws://a:/", "ws://é/",
            "ws://" + String(repeating: "a", count: 600),
        ] where !url.isEmpty {
            let refusal = await Self.refusal([.advertisedURL: url])
            #expect(refusal?.hasPrefix("--advertised-url must be the URL that clients dial") == true, "\(url)")
        }
    }

    @Test func `O01 settings that contradict each other stop it`() async {
        let secret = [Setting.jwtSecretFile: "/secret"]
        let cases: [([Setting: String], [String: String])] = [
            ([.noAuth: "true", .jwtSecretFile: "/secret"], [:]),
            ([.noAuth: "true"], ["JWT_SECRET": "x"]),
            (secret, ["JWT_SECRET": "x"]),
            ([.jwtIssuer: "x"], [:]),
            ([.jwtAudience: "x"], [:]),
            ([.noAuth: "false"], [:]),
            ([.operationsPerSecond: "100", .operationsBurst: "50"], [:]),
        ]
        for (flags, environment) in cases {
            #expect(await Self.refusal(flags, environment) != nil, "\(flags) \(environment)")
        }
        #expect(await Self.refusal(secret, ["TOPGUN_NO_AUTH": "true"]) != nil)
    }

    @Test func `what this version does not have is refused in a sentence`() async {
        for setting in Setting.allCases where setting.missing != nil {
            let flag = await Self.refusal([setting: "x"])
            #expect(flag?.hasPrefix(setting.flag + " is set, but this version of topgund has no ") == true)
            let variable = await Self.refusal([:], [setting.variable: "x"])
            #expect(variable?.hasPrefix(setting.variable) == true)
            #expect(await Self.refusal(file: "{\"\(setting.rawValue)\": \"x\"}") != nil)
        }
    }

    @Test(arguments: [
        "0.0.0.0:8080", "192.168.1.5:80", "[::]:8080", "example.com:1", "127.0.0.1.evil.com:80", "128.0.0.1:1",
    ])
    func `without authentication a foreign address is refused`(address: String) async {
        let refusal = await Self.refusal([.listen: address])
        #expect(refusal?.contains("--jwt-secret-file") == true)
        #expect(await Self.refusal([.listen: address, .noAuth: "true"]) != nil)
        #expect(await Self.refusal([.listen: address, .jwtSecretFile: "/secret"]) == nil)
    }

    @Test(arguments: ["127.0.0.1:0", "localhost:9000", "[::1]:8080", "127.1.2.3:80"])
    func `every loopback address will do without authentication`(address: String) async {
        #expect(await Self.refusal([.listen: address]) == nil)
    }

    @Test(arguments: [
        "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:8080", "[127.0.0.1]:1", ":1",
        "a b:1",
    ])
    func `an address that is none is refused`(address: String) async {
        let refusal = await Self.refusal([.listen: address])
        #expect(refusal?.hasPrefix("--listen must be HOST:PORT") == true)
    }

    @Test func `values of the wrong kind are refused where they stand`() async {
        #expect(await Self.refusal([.eventLoops: "many"]) == "--event-loops must be a whole number.")
        #expect(await Self.refusal([.eventLoops: "0"]) == "--event-loops must be between 1 and 256.")
        #expect(await Self.refusal([:], ["TOPGUN_NO_AUTH": "perhaps"]) == "TOPGUN_NO_AUTH must be true or false.")
        #expect(await Self.refusal([.logLevel: "loud"])?.hasPrefix("--log-level must be one of: trace, ") == true)
        #expect(await Self.refusal([.defaultAccess: "all"]) == "--default-access must be one of: allow, deny.")
        #expect(await Self.refusal([.nodeID: "a/b"])?.hasPrefix("--node-id must be") == true)
        #expect(await Self.refusal([.allowedOrigins: "https://a.com,*"])?.hasPrefix("--allowed-origins must") == true)
        let file = await Self.refusal(file: #"{"event-loops": "two"}"#)
        #expect(file?.hasPrefix("\"event-loops\" in ") == true)
        #expect(await Self.refusal(file: "{")?.isEmpty == false)
        #expect(await Self.refusal(file: "[]")?.isEmpty == false)
    }

    @Test func `a file may say everything`() async throws {
        let file = """
            {"listen": "[::1]:0", "no-auth": true, "allowed-origins": ["https://a.com", "http://b.com:1"],
             "default-access": "allow", "node-id": "n-1", "drain-seconds": 3}
            """
        let configuration = try await Self.configuration(file: file)
        #expect(configuration.host == "::1")
        #expect(configuration.port == 0)
        #expect(configuration.allowedOrigins == ["https://a.com", "http://b.com:1"])
        #expect(configuration.defaultAccess == .allow)
        #expect(configuration.nodeID == "n-1")
        #expect(configuration.drainMillisMax == 3_000)
    }

    @Test func `the environment of upstream turns authentication on and off`() async throws {
        let on = try await Self.configuration([:], ["JWT_SECRET": "secret", "TOPGUN_JWT_ISSUER": "me"])
        guard case .token(let rules) = on.authentication else {
            Issue.record("no authentication")
            return
        }
        #expect(rules.issuer == "me")
        let off = try await Self.configuration([:], ["TOPGUN_NO_AUTH": "1"])
        guard case .none = off.authentication else {
            Issue.record("authentication")
            return
        }
    }
}
