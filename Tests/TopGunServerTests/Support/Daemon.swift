import Foundation
import NIOCore
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunWire

/// A real `topgund` in a process of its own, built beside the tests.
final class Daemon: Sendable {
    let port: Int
    private let process: Process

    /// Starts one on a data directory and waits until it serves; `nil` if it ends before.
    init?(directory: URL) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("topgund")
        process.arguments = ["--listen", "127.0.0.1:0", "--data-dir", directory.path, "--log-level", "error"]
        var environment = ProcessInfo.processInfo.environment
        environment["SWIFT_BACKTRACE"] = "enable=no"
        process.environment = environment
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        self.process = process
        var line = ""
        while !line.hasSuffix("\n") {
            let data = output.fileHandleForReading.readData(ofLength: 1)
            guard !data.isEmpty else { return nil }
            line += String(decoding: data, as: UTF8.self)
        }
        guard let port = Int(line.dropFirst("PORT=".count).dropLast()) else { return nil }
        self.port = port
    }

    /// `kill -9`.
    func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// SIGTERM; returns the exit code.
    func stop() -> Int32 {
        process.terminate()
        process.waitUntilExit()
        return process.terminationStatus
    }

    static func temporaryDirectory() throws -> URL {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("topgun-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        return directory
    }
}

/// A client of a real server over a real socket: what it receives comes out of a stream, in order.
final class SocketClient: MessageReceiver {
    private static let spawner = LiveSpawner(loops: 1)
    private static let network = WebSocketClientNetwork(entropy: SystemEntropy())

    private let connection = Mutex<(any MessageConnection)?>(nil)
    private let stream: AsyncStream<[UInt8]>
    private let sink: AsyncStream<[UInt8]>.Continuation
    private let opened: AsyncStream<Bool>
    private let openedSink: AsyncStream<Bool>.Continuation

    private init() {
        (stream, sink) = AsyncStream.makeStream(of: [UInt8].self)
        (opened, openedSink) = AsyncStream.makeStream(of: Bool.self)
    }

    static func connect(port: Int) async -> SocketClient? {
        let client = SocketClient()
        network.connect(to: "ws://127.0.0.1:\(port)/ws", on: spawner.loops[0], receiver: client)
        for await isOpen in client.opened { return isOpen ? client : nil }
        return nil
    }

    func connected(_ connection: any MessageConnection) {
        self.connection.withLock { $0 = connection }
        openedSink.yield(true)
    }

    func received(_ message: ByteBuffer) {
        sink.yield(Array(message.readableBytesView))
    }

    func closed(reason: String) {
        openedSink.yield(false)
        sink.finish()
    }

    func send(_ frame: [UInt8]) {
        Self.spawner.loops[0].execute { [self] in
            guard let connection = connection.withLock({ $0 }) else { return }
            connection.send(ByteBuffer(bytes: frame))
            connection.flush()
        }
    }

    func send(_ message: ClientMessage) {
        let sink = ByteSink()
        message.encode(into: sink)
        send(Array(sink.bytes))
    }

    func close() {
        Self.spawner.loops[0].execute { [self] in
            connection.withLock { $0 }?.close(code: 1000, reason: "")
        }
    }

    /// The frames as they come, until the connection ends.
    var frames: AsyncStream<[UInt8]> { stream }

    /// Waits for the next message that `pick` takes; others are passed over. `nil` when the connection ends first.
    func first<Result>(_ pick: (ServerMessage) -> Result?) async throws -> Result? {
        for await frame in stream {
            let message = try frame.withUnsafeBytes { try ServerMessage.decode($0) }
            if let result = pick(message) { return result }
        }
        return nil
    }
}
