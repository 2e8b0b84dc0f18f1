import Foundation
import NIOCore
import NIOSSL
import Testing

@testable import TopGunServer

/// What the listener does for its clients, over TLS.
@Suite(.timeLimit(.minutes(1))) struct EdgeTLSTests {
    /// A certificate that was made for the test and signs itself.
    private static func credentials() throws -> TLSCredentials {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("topgun-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }  // Of the test's own; the system clears it otherwise.
        let (key, certificate) = (folder.appendingPathComponent("key"), folder.appendingPathComponent("cert"))
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        openssl.arguments = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-keyout", key.path, "-out", certificate.path,
        ]
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        return try TLSCredentials(TLSFiles(certificate: certificate.path, key: key.path))
    }

    private static func connectClient(
        to listener: RunningListener, _ body: @Sendable (inout RawClient) async throws -> Void
    ) async throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        try await RunningListener.connect(listener.port, tls: try NIOSSLContext(configuration: configuration)) {
            client in
            let head = try await client.handshake()
            #expect(head.hasPrefix("HTTP/1.1 101 "))
            try await body(&client)
        }
    }

    /// Small messages are copied into the listener's own buffer, large ones handed on as they are: both end in memory of
    /// TLS, which the listener cannot see by itself.
    @Test(arguments: [8 * 1_024, 1_024 * 1_024])
    func `M20 what a client does not read is counted over TLS, too`(bytes: Int) async throws {
        try await RunningListener.run(credentials: try Self.credentials()) { listener in
            try await Self.connectClient(to: listener) { client in
                try await client.send(message: [1])
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [1]))
                let count = 40 * 1_024 * 1_024 / bytes
                var queued = 0
                for _ in 0..<count { queued = await listener.echo.send(bytes: bytes) }
                // Kernel buffers and the test's own take a few of the 40 MB.
                #expect(queued > 10 * 1_024 * 1_024)
                for _ in 0..<count { #expect(try await client.readFrame()?.payload.count == bytes) }
                #expect(await listener.echo.queuedBytes == 0)
            }
        }
    }

    /// Before the end of the tick nothing is flushed: TLS has it and has not encrypted it yet.
    @Test func `what was written and not flushed yet is counted as well`() async throws {
        try await RunningListener.run(credentials: try Self.credentials()) { listener in
            try await Self.connectClient(to: listener) { client in
                try await client.send(message: [1])
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [1]))
                let queued = await listener.echo.sendAtOnce(count: 40, bytes: 100_000)
                #expect(queued >= 40 * 100_000)
                for _ in 0..<40 { #expect(try await client.readFrame()?.payload.count == 100_000) }
                #expect(await listener.echo.queuedBytes == 0)
            }
        }
    }
}
