import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import Testing
import TopGunEnvironment

@testable import TopGunServer

@Suite(.timeLimit(.minutes(1))) struct EdgeProcessTests {
    /// What the node of a process was asked to do, in order.
    private final class Diary: Sendable {
        private let lines = Mutex<[String]>([])

        func write(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    private struct DiaryNode: ServingNode {
        let echo: EchoNode
        let diary: Diary

        var owners: [any ClientConnectionOwner] { echo.owners }
        func health() async -> NodeHealth { await echo.health() }
        func pulse() async { diary.write("pulse") }
        func stop() async throws(ServerError) { diary.write("stop") }
    }

    private struct Running: Sendable {
        var listener: RunningListener
        var group: ServiceGroup
        var context: NodeContext
    }

    /// Runs a whole process in this one, up to its end, which it returns the error of.
    private static func run(
        _ configuration: ServerConfiguration, diary: Diary = Diary(),
        _ body: @escaping @Sendable (Running) async throws -> Void
    ) async throws -> ServerError? {
        var configuration = configuration
        if configuration.port == 8080 { configuration.port = 0 }
        let spawner = LiveSpawner(group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
        let (served, sink) = AsyncStream.makeStream(of: Int.self)
        let contexts = Mutex<NodeContext?>(nil)
        let echo = EchoOwner(loop: spawner.eventLoops[0])
        let process = ServerProcess(
            configuration: configuration, spawner: spawner,
            environment: .live(spawner: spawner, network: ClosedNetwork()),
            log: ServerLog(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }),
            startNode: { context throws(ServerError) in
                diary.write("start")
                contexts.withLock { $0 = context }
                return DiaryNode(echo: EchoNode(echoes: [echo]), diary: diary)
            },
            onServing: { port in sink.yield(port) })
        let group = try await process.services(signals: [])
        let failure = try await withThrowingTaskGroup(of: ServerError?.self) { tasks in
            tasks.addTask {
                defer { sink.finish() }
                do {
                    try await group.run()
                    return nil
                } catch let error as ServerError {
                    return error
                }
            }
            for await port in served {
                let context = try #require(contexts.withLock { $0 })
                let door = ClientDoor(loops: spawner.eventLoops, metrics: context.metrics)
                let report = StatusReport(
                    door: door, metrics: context.metrics, requiresAuthentication: false, clock: SystemClock())
                let listener = RunningListener(
                    port: port, door: door, report: report, metrics: context.metrics, echo: echo)
                try await body(Running(listener: listener, group: group, context: context))
                break
            }
            return try await tasks.next() ?? nil
        }
        // The loops are left running: timers of the process still sit on them.
        return failure
    }

    @Test func `P08 a stop lets clients go, then stops the node, then the listener`() async throws {
        let diary = Diary()
        let failure = try await Self.run(ServerConfiguration(), diary: diary) { running in
            try await running.listener.connectClient { client in
                try await client.send(message: [1])
                _ = try await client.readFrame()
                await running.group.triggerGracefulShutdown()
                #expect(try await client.readFrame()?.closeCode == 1001)
                diary.write("client told")
                try await client.send(bytes: RawClient.frame(8, [0x03, 0xe9]))
                #expect(try await client.readFrame() == nil)
            }
        }
        #expect(failure == nil)
        #expect(diary.all == ["start", "client told", "stop"])
    }

    @Test func `a node that cannot go on ends the process with its error`() async throws {
        let diary = Diary()
        let failure = try await Self.run(ServerConfiguration(), diary: diary) { running in
            running.context.fail(ServerError(.disk, "the disk failed to sync"))
        }
        #expect(failure?.exitCode == ExitCode.disk)
        #expect(diary.all == ["start"], "a node that failed must not be stopped in an orderly way")
    }

    @Test func `a port that is taken is told in one sentence before the data is touched`() async throws {
        try await RunningListener.run { other in
            var configuration = ServerConfiguration()
            configuration.port = other.port
            let diary = Diary()
            let failure = try await Self.run(configuration, diary: diary) { _ in Issue.record("it serves") }
            #expect(
                failure?.message
                    == "Another process listens on 127.0.0.1:\(other.port): stop it, or choose another port with --listen HOST:PORT."
            )
            #expect(failure?.exitCode == ExitCode.address)
            #expect(diary.all.isEmpty)
        }
    }

    @Test(arguments: ["192.0.2.1", "no-such-host.invalid"])
    func `an address that is not this machine's is told in one sentence`(host: String) async throws {
        var configuration = ServerConfiguration()
        configuration.host = host
        let failure = try await Self.run(configuration) { _ in Issue.record("it serves") }
        #expect(failure?.message.hasPrefix("\(host) is no address of this machine") == true)
        #expect(failure?.exitCode == ExitCode.address)
    }

    @Test func `a key that cannot be read stops it before it listens`() async throws {
        var configuration = ServerConfiguration()
        configuration.authentication = .token(TokenRules(key: .file("/nowhere/at/all")))
        await #expect(throws: ServerError.self) {
            _ = try await Self.run(configuration) { _ in Issue.record("it serves") }
        }
    }

    @Test func `connections above the limit wait until one goes`() async throws {
        var configuration = ServerConfiguration()
        configuration.connectionsMax = 1
        try await RunningListener.run(configuration) { listener in
            async let second: Bool = try await listener.connect { second in
                try await second.send("GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                return try await second.readHead().hasPrefix("HTTP/1.1 200 ")
            }
            try await listener.connect { first in
                try await first.send("GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                _ = try await first.readHead()
            }
            #expect(try await second)
        }
    }
}

@Suite struct EdgeDirectoryTests {
    @Test func `O09 a data directory that others may write to is found out`() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "topgun-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        #expect(ProcessSetup.fault(ofDataDirectory: path) == nil)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        for (mode, fault) in [
            (0o700, nil), (0o750, nil), (0o755, .isReadableByAll), (0o777, .isWritableByAll), (0o702, .isWritableByAll),
        ] as [(Int, ProcessSetup.DirectoryFault?)] {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            #expect(ProcessSetup.fault(ofDataDirectory: path) == fault)
        }
        #expect(ProcessSetup.fault(ofDataDirectory: "/dev/null") == .isNoDirectory)
    }

    @Test func `O09 a key that others may read is found out`() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "topgun-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try "secret".write(toFile: path, atomically: false, encoding: .utf8)
        var configuration = ServerConfiguration()
        configuration.authentication = .token(TokenRules(key: .file(path)))
        for (mode, isOpen) in [(0o600, false), (0o640, false), (0o644, true)] {
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            #expect(ProcessSetup.hasOpenKey(configuration) == isOpen)
        }
    }

    @Test func `P09 connections leave files for the log`() throws {
        var configuration = ServerConfiguration()
        configuration.eventLoops = 2
        #expect(try ProcessSetup.connectionsMax(openFiles: 1_000_000, for: configuration) == 15_000)
        #expect(try ProcessSetup.connectionsMax(openFiles: 1_024, for: configuration) == 1_024 - 48 - 8)
        #expect(throws: ServerError.self) { try ProcessSetup.connectionsMax(openFiles: 40, for: configuration) }
    }
}
