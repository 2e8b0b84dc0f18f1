import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket

/// A WebSocket server that does what a test tells it, down to the bytes of its frames.
final class ScriptedServer: Sendable {
    /// The connections that were upgraded, in order.
    let connections: AsyncStream<ScriptedConnection>
    let port: Int
    private let listener: any Channel

    /// - Parameters:
    ///   - firstBytes: written in the same packet as the answer to the upgrade.
    ///   - status: what the upgrade is answered with.
    static func start(
        port: Int = 0, firstBytes: [UInt8] = [], refusing status: HTTPResponseStatus? = nil, tls: NIOSSLContext? = nil
    ) async throws -> ScriptedServer {
        let (connections, continuation) = AsyncStream.makeStream(of: ScriptedConnection.self)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    let upgrader = ScriptedUpgrader(firstBytes: firstBytes, connections: continuation)
                    if let status {
                        try pipeline.configureHTTPServerPipeline()
                        try pipeline.addHandler(Refusal(status: status))
                    } else {
                        try pipeline.configureHTTPServerPipeline(
                            withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
                    }
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        return ScriptedServer(connections, listener)
    }

    private init(_ connections: AsyncStream<ScriptedConnection>, _ listener: any Channel) {
        self.connections = connections
        self.listener = listener
        self.port = listener.localAddress?.port ?? 0
    }

    var address: String { "ws://127.0.0.1:\(port)/ws" }

    func stop() async throws {
        try await listener.close()
    }
}

/// The server's end of one connection.
final class ScriptedConnection: Sendable {
    struct Frame: Equatable, Sendable {
        var opcode: UInt8
        var isFinal = true
        var wasMasked = true
        var payload: [UInt8]
    }

    /// What the client sent; ends with the connection.
    let frames: AsyncStream<Frame>
    let uri: String
    private let channel: any Channel

    init(_ channel: any Channel, _ frames: AsyncStream<Frame>, uri: String) {
        self.channel = channel
        self.frames = frames
        self.uri = uri
    }

    func write(_ bytes: [UInt8]) {
        channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
    }

    func send(_ message: [UInt8]) {
        write(Self.frame(opcode: 2, message))
    }

    func close() {
        channel.close(promise: nil)
    }

    /// An unmasked frame, as servers send them.
    static func frame(opcode: UInt8, isFinal: Bool = true, _ payload: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | opcode]
        switch payload.count {
        case ..<126:
            bytes.append(UInt8(payload.count))
        case ..<65536:
            bytes.append(126)
            bytes += [UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        default:
            bytes.append(127)
            bytes += (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
        }
        return bytes + payload
    }
}

private final class ScriptedUpgrader: HTTPServerProtocolUpgrader {
    let supportedProtocol = "websocket"
    let requiredUpgradeHeaders: [String] = []
    private let firstBytes: [UInt8]
    private let connections: AsyncStream<ScriptedConnection>.Continuation
    private let dance = NIOWebSocketServerUpgrader(
        shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
        upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })

    init(firstBytes: [UInt8], connections: AsyncStream<ScriptedConnection>.Continuation) {
        self.firstBytes = firstBytes
        self.connections = connections
    }

    func buildUpgradeResponse(
        channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        dance.buildUpgradeResponse(
            channel: channel, upgradeRequest: upgradeRequest, initialResponseHeaders: initialResponseHeaders)
    }

    func upgrade(context: ChannelHandlerContext, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
        let (frames, continuation) = AsyncStream.makeStream(of: ScriptedConnection.Frame.self)
        let connection = ScriptedConnection(context.channel, frames, uri: upgradeRequest.uri)
        do {
            try context.pipeline.syncOperations.addHandler(FrameReader(continuation))
        } catch {
            return context.eventLoop.makeFailedFuture(error)
        }
        if !firstBytes.isEmpty { connection.write(firstBytes) }
        connections.yield(connection)
        return context.eventLoop.makeSucceededVoidFuture()
    }
}

/// Takes the client's frames apart, one whole frame at a time.
private final class FrameReader: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let frames: AsyncStream<ScriptedConnection.Frame>.Continuation
    private var bytes: [UInt8] = []

    init(_ frames: AsyncStream<ScriptedConnection.Frame>.Continuation) {
        self.frames = frames
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        bytes += Array(buffer: unwrapInboundIn(data))
        while let frame = takeFrame() { frames.yield(frame) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        frames.finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        frames.finish()
        context.close(promise: nil)
    }

    private func takeFrame() -> ScriptedConnection.Frame? {
        guard bytes.count >= 2 else { return nil }
        let isMasked = bytes[1] & 0x80 != 0
        var length = Int(bytes[1] & 0x7f)
        var start = 2
        let wide = length == 126 ? 2 : length == 127 ? 8 : 0
        if wide > 0 {
            guard bytes.count >= 2 + wide else { return nil }
            length = bytes[2..<2 + wide].reduce(0) { $0 << 8 | Int($1) }
            start += wide
        }
        let mask = isMasked ? Array(bytes.dropFirst(start).prefix(4)) : [0, 0, 0, 0]
        start += isMasked ? 4 : 0
        guard bytes.count >= start + length else { return nil }
        let payload = bytes[start..<start + length].enumerated().map { $1 ^ mask[$0 % 4] }
        let frame = ScriptedConnection.Frame(
            opcode: bytes[0] & 15, isFinal: bytes[0] & 0x80 != 0, wasMasked: isMasked, payload: payload)
        bytes.removeFirst(start + length)
        return frame
    }
}

private final class Refusal: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    private let status: HTTPResponseStatus

    init(status: HTTPResponseStatus) {
        self.status = status
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: ["content-length": "0"])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}
