import NIOCore
import NIOHTTP1

/// Looks at the first request of a connection before NIO's upgrade handler does, and takes itself away.
///
/// The upgrade handler loses a request that asks for an upgrade and does not get it. So a handshake that is refused is
/// answered here, and an upgrade that is none of ours, such as `h2c`, is taken out of the request, which HTTP allows.
final class HandshakeGuard: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let door: ClientDoor
    private let handshake: WebSocketHandshake
    /// The request was answered; the connection only waits for its end.
    private var isRefused = false

    init(door: ClientDoor, handshake: WebSocketHandshake) {
        self.door = door
        self.handshake = handshake
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isRefused else { return }
        guard case .head(var head) = unwrapInboundIn(data) else {
            context.fireChannelRead(data)
            return
        }
        if !WebSocketHandshake.paths.contains(WebSocketHandshake.path(head.uri))
            || !WebSocketHandshake.asksForWebSocket(head)
        {
            head.headers.remove(name: "upgrade")
        } else if let refusal = refusal(of: head, on: context.eventLoop) {
            isRefused = true
            door.place(on: context.eventLoop).sockets.metrics.counts.connectionsRefused += 1
            answer(refusal, context)
            return
        }
        context.fireChannelRead(wrapInboundOut(.head(head)))
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    private func refusal(of head: HTTPRequestHead, on eventLoop: any EventLoop) -> WebSocketHandshake.Refusal? {
        do throws(WebSocketHandshake.Refusal) {
            _ = try handshake.check(head)
        } catch {
            return error
        }
        return door.place(on: eventLoop).owner == nil ? .notServing : nil
    }

    private func answer(_ refusal: WebSocketHandshake.Refusal, _ context: ChannelHandlerContext) {
        let text = context.channel.allocator.buffer(string: refusal.reason + "\n")
        var headers = HTTPHeaders([
            ("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", "\(text.readableBytes)"),
            ("Connection", "close"),
        ])
        if refusal.status == .upgradeRequired { headers.add(name: "Sec-WebSocket-Version", value: "13") }
        if refusal == .notServing { headers.add(name: "Retry-After", value: "1") }
        let head = HTTPResponseHead(version: .http1_1, status: refusal.status, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(text))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
            context.close(promise: nil)
        }
    }
}
