import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TopGunEnvironment

@testable import TopGunServer

/// An owner that sends every message back, and does a few other things when a message asks for them.
actor EchoOwner: ClientConnectionOwner {
    enum Event: Equatable, Sendable {
        case opened(origin: String?)
        case received(Int)
        case closed
    }

    private let loop: NIOLoop
    nonisolated let unownedExecutor: UnownedSerialExecutor
    nonisolated let events: AsyncStream<Event>
    private nonisolated let eventSink: AsyncStream<Event>.Continuation
    private var connections: [SessionID: any ClientConnection] = [:]
    private var next: UInt64 = 0
    private var drained: CheckedContinuation<Void, Never>?
    private let greeting: [UInt8]?
    private let admits: Bool

    init(loop: NIOLoop, greeting: [UInt8]? = nil, admits: Bool = true) {
        self.loop = loop
        self.unownedExecutor = loop.executor
        self.greeting = greeting
        self.admits = admits
        (events, eventSink) = AsyncStream.makeStream()
    }

    func opened(_ connection: any ClientConnection, peer: PeerInfo) -> SessionID {
        next += 1
        let session = SessionID(number: next)
        connections[session] = connection
        if admits { connection.admit() }
        if let greeting {
            connection.send(ByteBuffer(bytes: greeting))
            connection.flush()
        }
        eventSink.yield(.opened(origin: peer.origin))
        return session
    }

    func received(_ session: SessionID, messages: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        guard let connection = connections[session] else { return }
        eventSink.yield(.received(messages.count))
        for message in messages {
            if message.elementsEqual("close me".utf8) {
                connection.close(code: 1008, reason: "you asked for it")
            } else if message.elementsEqual("stop reading".utf8) {
                connection.setReading(false)
            } else if message.count > 20_000 {
                connection.send(ByteBuffer(bytes: message))
            } else {
                connection.send(copying: message)
            }
        }
        connection.flush()
    }

    func drained(_ session: SessionID) {}

    func closed(_ session: SessionID) {
        connections[session] = nil
        eventSink.yield(.closed)
        if connections.isEmpty { drained?.resume() }
    }

    func drain() async {
        for connection in connections.values { connection.close(code: 1001, reason: "") }
        if !connections.isEmpty { await withCheckedContinuation { drained = $0 } }
    }

    func resumeReading() {
        for connection in connections.values { connection.setReading(true) }
    }

    func send(bytes count: Int) -> Int {
        for connection in connections.values {
            connection.send(ByteBuffer(repeating: 7, count: count))
            connection.flush()
        }
        return connections.values.map(\.queuedBytes).max() ?? 0
    }

    /// Many messages in one turn of the loop, and what is queued by the end of it.
    func sendAtOnce(count: Int, bytes: Int) -> Int {
        var queued = 0
        for _ in 0..<count { queued = send(bytes: bytes) }
        return queued
    }

    var queuedBytes: Int { connections.values.map(\.queuedBytes).max() ?? 0 }
}

/// A node that is nothing but echo.
struct EchoNode: ServingNode {
    let echoes: [EchoOwner]

    var owners: [any ClientConnectionOwner] { echoes }

    func health() async -> NodeHealth {
        NodeHealth(
            state: .ready, detail: "echoing", operationsInFlight: 3, closedPartitions: [17, 18], lostPartitions: [18],
            gauges: [Gauge(name: "topgun_records", help: "Records.", value: 42)])
    }

    func pulse() async {}
    func restart(partition: Int) async -> Bool { partition == 3 }
    func stop() async throws(ServerError) {}
}

/// A listener on a port of the system's choice, for the length of a test.
struct RunningListener {
    let port: Int
    let door: ClientDoor
    let report: StatusReport
    let metrics: ServerMetrics
    let echo: EchoOwner

    static func run<Result: Sendable>(
        _ configuration: ServerConfiguration = ServerConfiguration(), isOpen: Bool = true, greeting: [UInt8]? = nil,
        admits: Bool = true, credentials: TLSCredentials? = nil,
        _ body: @escaping @Sendable (RunningListener) async throws -> Result
    ) async throws -> Result {
        var configuration = configuration
        configuration.port = 0
        let spawner = LiveSpawner(group: MultiThreadedEventLoopGroup(numberOfThreads: 1))
        let metrics = ServerMetrics(loops: 1)
        let door = ClientDoor(loops: spawner.eventLoops, metrics: metrics)
        let report = StatusReport(
            door: door, metrics: metrics, requiresAuthentication: false, clock: SystemClock())
        let echo = EchoOwner(loop: spawner.eventLoops[0], greeting: greeting, admits: admits)
        if isOpen {
            let node = EchoNode(echoes: [echo])
            door.open(node.owners)
            report.watch(node)
        }
        let (ports, portSink) = AsyncStream.makeStream(of: Int.self)
        let listener = Listener(
            configuration: configuration, spawner: spawner, clock: SystemClock(), door: door, report: report,
            log: ServerLog(Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }), credentials: credentials
        ) { port in portSink.yield(port) }
        let result = try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                try await listener.run()
                return nil
            }
            group.addTask {
                for await port in ports {
                    return try await body(
                        RunningListener(port: port, door: door, report: report, metrics: metrics, echo: echo))
                }
                return nil
            }
            defer { group.cancelAll() }
            while let next = try await group.next() {
                if let next { return next }
            }
            throw ServerError(.software, "the listener ended first")
        }
        try await spawner.group.shutdownGracefully()
        return result
    }

    /// Opens a plain TCP connection to the listener.
    func connect<Result: Sendable>(_ body: @Sendable (inout RawClient) async throws -> Result) async throws -> Result {
        try await Self.connect(port, body)
    }

    static func connect<Result: Sendable>(
        _ port: Int, tls: NIOSSLContext? = nil, _ body: @Sendable (inout RawClient) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        try channel.pipeline.syncOperations.addHandler(
                            NIOSSLClientHandler(context: tls, serverHostname: nil))
                    }
                    return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(isOutboundHalfClosureEnabled: true))
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var client = RawClient(inbound: inbound.makeAsyncIterator(), outbound: outbound)
            return try await body(&client)
        }
    }

    /// The same, as a client whose handshake is done.
    func connectClient<Result: Sendable>(
        path: String = "/ws", headers: String = "", _ body: @Sendable (inout RawClient) async throws -> Result
    ) async throws -> Result {
        try await connect { client in
            let head = try await client.handshake(path: path, headers: headers)
            guard head.hasPrefix("HTTP/1.1 101 ") else { throw ServerError(.software, head) }
            return try await body(&client)
        }
    }
}

/// The client's side of a TCP connection, byte by byte.
struct RawClient {
    struct Frame: Equatable {
        var opcode: UInt8
        var payload: [UInt8]

        var closeCode: UInt16? {
            opcode == 8 && payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
        }
    }

    var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var read = ByteBuffer()

    init(
        inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.inbound = inbound
        self.outbound = outbound
    }

    func send(_ text: String) async throws {
        try await outbound.write(ByteBuffer(string: text))
    }

    func send(bytes: [UInt8]) async throws {
        try await outbound.write(ByteBuffer(bytes: bytes))
    }

    /// A whole masked frame.
    static func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
        let mask: [UInt8] = [9, 8, 7, 6]
        var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | opcode]
        switch payload.count {
        case ..<126: bytes.append(0x80 | UInt8(payload.count))
        case ..<65_536:
            bytes += [0x80 | 126, UInt8(payload.count >> 8), UInt8(truncatingIfNeeded: payload.count)]
        default:
            bytes.append(0x80 | 127)
            bytes += (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
        }
        bytes += mask
        for (index, byte) in payload.enumerated() { bytes.append(byte ^ mask[index & 3]) }
        return bytes
    }

    func send(message: [UInt8]) async throws {
        try await send(bytes: Self.frame(2, message))
    }

    func send(message: String) async throws {
        try await send(message: Array(message.utf8))
    }

    /// `nil` at the end of the connection.
    private mutating func more() async throws -> Bool {
        do {
            guard let next = try await inbound.next(isolation: #isolation) else { return false }
            read.discardReadBytes()
            read.writeImmutableBuffer(next)
            return true
        } catch is IOError {
            return false
        }
    }

    mutating func handshake(
        path: String = "/ws", headers: String = "", key: String = "dGhlIHNhbXBsZSBub25jZQ=="
    ) async throws -> String {
        try await send(
            "GET \(path) HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Key: \(key)\r\nSec-WebSocket-Version: 13\r\n\(headers)\r\n")
        return try await readHead()
    }

    /// Status line and headers of an answer.
    mutating func readHead() async throws -> String {
        while true {
            let view = read.readableBytesView
            if let end = view.firstRange(of: Array("\r\n\r\n".utf8)) {
                let length = view.distance(from: view.startIndex, to: end.upperBound)
                return read.readString(length: length) ?? ""
            }
            guard try await more() else { return read.readString(length: read.readableBytes) ?? "" }
        }
    }

    /// Everything up to the end of the connection.
    mutating func readToEnd() async throws -> String {
        while try await more() {}
        return read.readString(length: read.readableBytes) ?? ""
    }

    /// `nil` at the end of the connection.
    mutating func readFrame() async throws -> Frame? {
        while true {
            if let frame = takeFrame() { return frame }
            guard try await more() else { return nil }
        }
    }

    private mutating func takeFrame() -> Frame? {
        var copy = read
        guard let first = copy.readInteger(as: UInt8.self), let second = copy.readInteger(as: UInt8.self) else {
            return nil
        }
        var length = Int(second)
        if length == 126 {
            guard let wide = copy.readInteger(as: UInt16.self) else { return nil }
            length = Int(wide)
        } else if length == 127 {
            guard let wide = copy.readInteger(as: UInt64.self) else { return nil }
            length = Int(wide)
        }
        guard let payload = copy.readBytes(length: length) else { return nil }
        read = copy
        return Frame(opcode: first & 0x0f, payload: payload)
    }

    /// A whole HTTP exchange on a connection of its own.
    mutating func get(_ path: String) async throws -> (head: String, body: String) {
        try await send("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        let head = try await readHead()
        return (head, try await readToEnd())
    }
}
