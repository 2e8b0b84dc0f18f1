import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import TopGunServer

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The real process, its signals, and what it says to who started it.
@Suite(.enabled(if: TopgundProcess.program != nil, "topgund was not built"), .timeLimit(.minutes(5)), .serialized)
struct EdgeTopgundTests {
    @Test func `it says its port, serves, and ends with 0 on SIGTERM`() async throws {
        let daemon = try TopgundProcess()
        let port = try #require(await daemon.port())
        let page = try await Self.get(port, "/health")
        #expect(page.contains(#""state":"ready""#))
        daemon.signal(SIGTERM)
        #expect(await daemon.end() == .exit(0))
    }

    @Test func `SIGHUP does not end it`() async throws {
        let daemon = try TopgundProcess(["--listen", "127.0.0.1:0"])
        let port = try #require(await daemon.port())
        daemon.signal(SIGHUP)
        #expect(try await Self.get(port, "/ready").hasSuffix("ready: serving\n"))
        daemon.signal(SIGINT)
        #expect(await daemon.end() == .exit(0))
    }

    @Test func `P15 it tells the service manager how it is`() async throws {
        let manager = try NotifySocket()
        let daemon = try TopgundProcess(environment: ["NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "300000"])
        var isReady = false
        var fed = 0
        for await message in manager.messages {
            if message.hasPrefix("READY=1\nSTATUS=serving on 127.0.0.1:") { isReady = true }
            if message.hasPrefix("WATCHDOG=1\n") {
                #expect(isReady, "the watchdog is fed before it serves")
                fed += 1
                if fed == 3 { daemon.signal(SIGTERM) }
            }
            if message.hasPrefix("STOPPING=1\n") { break }
        }
        #expect(fed >= 3)
        #expect(await daemon.end() == .exit(0))
    }

    @Test(
        arguments: [
            (["--nonsense"], [:], ExitCode.usage, "nonsense"),
            (["--listen", "0.0.0.0:0"], [:], ExitCode.configuration, "--jwt-secret-file"),
            (["--listen", "nowhere"], [:], ExitCode.configuration, "--listen must be HOST:PORT"),
            (
                ["--etcd", "http://x"], [:], ExitCode.configuration,
                "--etcd is set, but this version of topgund has no clusters"
            ),
            ([], ["TOPGUN_FSYNC": "off"], ExitCode.configuration, "TOPGUN_FSYNC"),
            (["--config", "/nowhere.json"], [:], ExitCode.configuration, "/nowhere.json"),
            (["--no-auth"], ["JWT_SECRET": "x"], ExitCode.configuration, "contradict"),
            (["--data-dir", "/dev/null"], [:], ExitCode.configuration, "/dev/null is no directory"),
            (["--listen", "192.0.2.1:1", "--jwt-secret-file", "/etc/hostname"], [:], ExitCode.address, "192.0.2.1"),
        ] as [([String], [String: String], Int32, String)])
    func `O01 what it cannot obey ends it with a sentence and a code`(
        arguments: [String], environment: [String: String], code: Int32, words: String
    ) async throws {
        let daemon = try TopgundProcess(arguments, environment: environment)
        #expect(await daemon.end() == .exit(code))
        #expect(await daemon.port() == nil)
        #expect(await Poll.until(seconds: 10) { daemon.log.contains(words) }, "\(daemon.log)")
    }

    @Test func `a second one on the same port or the same directory is refused`() async throws {
        let first = try TopgundProcess()
        let port = try #require(await first.port())
        let samePort = try TopgundProcess(["--listen", "127.0.0.1:\(port)"])
        #expect(await samePort.end() == .exit(ExitCode.address))
        let data = first.directory.appending(path: "topgun-data").path
        let sameData = try TopgundProcess(["--listen", "127.0.0.1:0", "--data-dir", data])
        #expect(await sameData.end() == .exit(ExitCode.locked))
        #expect(try await Self.get(port, "/ready").hasSuffix("ready: serving\n"))
    }

    @Test func `O09 what it writes only its own user can read`() async throws {
        let daemon = try TopgundProcess()
        _ = try #require(await daemon.port())
        let data = daemon.directory.appending(path: "topgun-data").path
        let names = try #require(FileManager.default.subpaths(atPath: data))
        #expect(!names.isEmpty)
        for name in [""] + names {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(data)/\(name)")
            let mode = try #require(attributes[.posixPermissions] as? NSNumber).intValue
            #expect(mode & 0o077 == 0, "\(name): \(String(mode, radix: 8))")
        }
    }

    @Test func `P09 connections never take the last file descriptors, old ones live and new ones wait`() async throws {
        let daemon = try TopgundProcess(openFiles: 100)
        let port = try #require(await daemon.port())
        try await Self.client(port) { old in
            // More than there are descriptors; they connect because the kernel answers for the server.
            var crowd: [any Channel] = []
            for _ in 0..<150 { crowd.append(try await Self.open(port)) }
            try await old.send(bytes: RawClient.frame(9, [7]))
            let pong = try await old.readFrame()
            #expect(pong == .init(opcode: 10, payload: [7]))
            for channel in crowd { try await channel.close() }
        }
        #expect(try await Self.get(port, "/ready").hasSuffix("ready: serving\n"))
        #expect(daemon.log.contains("fewer connections than --max-connections"))
        #expect(daemon.log.contains("connection limit reached"))
        #expect(!daemon.log.contains("Too many open files"), "\(daemon.log)")
        daemon.signal(SIGTERM)
        #expect(await daemon.end() == .exit(0))
    }

    /// Descriptors that this process may have once it asked for them: the tests need one for each connection too.
    private static func raiseOpenFiles(to count: Int) -> Bool {
        var limit = rlimit()
        #if canImport(Darwin)
        let files = RLIMIT_NOFILE
        #else
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #endif
        guard getrlimit(files, &limit) == 0, limit.rlim_max >= rlim_t(count) else { return false }
        guard limit.rlim_cur < rlim_t(count) else { return true }
        limit.rlim_cur = rlim_t(count)
        return setrlimit(files, &limit) == 0
    }

    @Test(
        .enabled(
            if: EdgeTopgundTests.raiseOpenFiles(to: 11_000),
            "this system does not let a process have 11,000 files: see ulimit -Hn"))
    func `ten thousand idle connections are no burden`() async throws {
        let count = 10_000
        let daemon = try TopgundProcess()
        let port = try #require(await daemon.port())
        let request =
            "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        // Each says one word, as every client does: {"type": "PING", "timestamp": 1}.
        var ping: [UInt8] = [0x82]
        for word in ["type", "PING", "timestamp"] { ping += [0xa0 | UInt8(word.utf8.count)] + Array(word.utf8) }
        ping.append(1)
        let hello = ByteBuffer(bytes: Array(request.utf8) + RawClient.frame(2, ping))
        let crowd = try await withThrowingTaskGroup(of: [any Channel].self) { group in
            for start in stride(from: 0, to: count, by: 500) {
                group.addTask {
                    var channels: [any Channel] = []
                    for _ in start..<min(count, start + 500) {
                        let channel = try await Self.open(port)
                        channel.writeAndFlush(hello, promise: nil)
                        channels.append(channel)
                    }
                    return channels
                }
            }
            return try await group.reduce(into: []) { $0 += $1 }
        }
        try await Self.client(port) { client in
            try await client.send(bytes: RawClient.frame(9, [1]))
            let pong = try await client.readFrame()
            #expect(pong == .init(opcode: 10, payload: [1]))
        }
        let active = crowd.count { $0.isActive }
        #expect(active == count)
        for channel in crowd { channel.close(promise: nil) }
        daemon.signal(SIGTERM)
        #expect(await daemon.end() == .exit(0))
    }

    // MARK: Helpers

    private static func open(_ port: Int) async throws -> any Channel {
        try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: "127.0.0.1", port: port).get()
    }

    private static func get(_ port: Int, _ path: String) async throws -> String {
        try await RunningListener.connect(port) { client in
            let (head, body) = try await client.get(path)
            return head + body
        }
    }

    private static func client(_ port: Int, _ body: @Sendable (inout RawClient) async throws -> Void) async throws {
        try await RunningListener.connect(port) { client in
            let head = try await client.handshake()
            #expect(head.hasPrefix("HTTP/1.1 101 "))
            try await body(&client)
        }
    }
}
