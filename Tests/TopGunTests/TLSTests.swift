import Foundation
import Logging
import NIOSSL
import Testing
import TopGun
import TopGunEnvironment

/// A real server with TLS, and clients that trust its certificate.
@Suite(.timeLimit(.minutes(2)), .serialized) struct TLSTests {
    private struct Files {
        let folder: TemporaryFolder
        var certificate: String { folder.path("cert.pem") }
        var key: String { folder.path("key.pem") }
        var arguments: [String] { ["--tls-cert", certificate, "--tls-key", key] }

        init() throws {
            folder = try TemporaryFolder()
        }

        func write(_ identity: TestCertificate) throws {
            try identity.certificateText.write(toFile: certificate, atomically: true, encoding: .utf8)
            try identity.keyText.write(toFile: key, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: key)
        }
    }

    private func world(trusting identity: TestCertificate) -> Environment {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .certificates([identity.certificate])
        return .live(loops: 1, network: WebSocketClientNetwork(entropy: SystemEntropy(), tls: tls))
    }

    private func client(_ server: TestServer, trusting identity: TestCertificate) async throws -> TopGunClient {
        try await TopGunClient(
            server: "wss://127.0.0.1:\(server.port)/ws", store: .memory, token: nil, logger: Logger(label: "test"),
            environment: world(trusting: identity))
    }

    @Test func `clients that trust its certificate write and read over TLS`() async throws {
        let files = try Files()
        let identity = try TestCertificate.make()
        try files.write(identity)
        let server = try TestServer(files.folder.path("data"), arguments: files.arguments)
        let (anna, ben) = (
            try await client(server, trusting: identity), try await client(server, trusting: identity)
        )
        let (left, right) = (try await anna.map("m", of: String.self), try await ben.map("m", of: String.self))
        // Small, and larger than a record of TLS, a read and a buffer.
        let large = String(repeating: "0123456789", count: 30_000)
        try await left.set("small", for: "a").reaches(.replicated)
        try await left.set(large, for: "b").reaches(.replicated)
        for (key, wanted) in [("a", "small"), ("b", large)] {
            for await value in right.values(for: key) where value == wanted { break }
        }
        #expect(right["b"] == large)
    }

    @Test func `pages are served over TLS, and nobody is answered without it`() async throws {
        let files = try Files()
        let identity = try TestCertificate.make()
        try files.write(identity)
        let server = try TestServer(files.folder.path("data"), arguments: files.arguments)
        func page(_ arguments: [String]) async throws -> String {
            let curl = Process()
            let output = Pipe()
            curl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            curl.arguments = ["openssl", "s_client", "-quiet", "-connect", "127.0.0.1:\(server.port)"] + arguments
            let input = Pipe()
            curl.standardInput = input
            curl.standardOutput = output
            curl.standardError = FileHandle.nullDevice
            try curl.run()
            input.fileHandleForWriting.write(
                Data("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8))
            let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            try input.fileHandleForWriting.close()
            curl.waitUntilExit()
            return text
        }
        #expect(try await page(["-tls1_3"]).contains("\"state\":\"ready\""))
        #expect(try await page(["-tls1_2"]).contains("\"state\":\"ready\""))
        #expect(try await page(["-tls1_1"]).isEmpty, "TLS 1.2 is the least")
        let plain = try await TopGunClient(server: server.address, store: .memory)
        for await state in plain.syncState {
            if case .offline(let problem?) = state, problem != .notWanted { break }
            #expect(state != .live)
        }
    }

    @Test func `a new certificate is shown after SIGHUP, and a bad one changes nothing`() async throws {
        let files = try Files()
        let (old, new) = (try TestCertificate.make(), try TestCertificate.make())
        try files.write(old)
        let server = try TestServer(files.folder.path("data"), arguments: files.arguments)
        let kept = try await client(server, trusting: old)
        let map = try await kept.map("m", of: Int.self)
        try await map.set(1, for: "a").reaches(.replicated)

        try "nothing of the kind".write(toFile: files.certificate, atomically: true, encoding: .utf8)
        server.hangUp()
        let another = try await client(server, trusting: old)
        try await another.map("m", of: Int.self).set(2, for: "b").reaches(.replicated)

        try files.write(new)
        server.hangUp()
        // It is read in its own time; a client tries again until it is shown the certificate that it trusts.
        let fresh = try await client(server, trusting: new)
        try await fresh.map("m", of: Int.self).set(3, for: "c").reaches(.replicated)
        // Who was there before stays.
        try await map.set(4, for: "d").reaches(.replicated)
    }

    @Test func `files that cannot be used stop the start with a sentence`() async throws {
        let files = try Files()
        let (one, other) = (try TestCertificate.make(), try TestCertificate.make())
        func complaint(_ arguments: [String], listen: String = "127.0.0.1:0") async throws -> String {
            let outcome = try await Programs.run(
                "topgund", ["--listen", listen, "--data-dir", files.folder.path("data")] + arguments)
            #expect(outcome.code == 78)
            return outcome.error
        }
        #expect(try await complaint(files.arguments).contains(files.certificate))
        try files.write(one)
        try other.keyText.write(toFile: files.key, atomically: true, encoding: .utf8)
        #expect(try await complaint(files.arguments).contains("does not belong to"))
        try "nothing".write(toFile: files.key, atomically: true, encoding: .utf8)
        #expect(try await complaint(files.arguments).contains("no readable private key"))
        let half = try await complaint(["--tls-cert", files.certificate])
        #expect(half.contains("--tls-cert") && half.contains("--tls-key"))
        try files.write(one)
        let open = try await complaint(files.arguments, listen: "0.0.0.0:0")
        #expect(open.contains("Without authentication"), "\(open)")
    }
}
