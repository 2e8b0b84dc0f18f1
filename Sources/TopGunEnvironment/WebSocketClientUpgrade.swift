import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Asks the server to turn the HTTP connection into a WebSocket, and makes way for the messages.
///
/// ```
///   before:  [TLS]  HTTPRequestEncoder  HTTPResponseDecoder  WebSocketClientUpgrade  WebSocketClientHandler
///   after:   [TLS]                                                                   WebSocketClientHandler
/// ```
///
/// The decoder hands on the bytes that follow the answer instead of dropping them: a server may put its first message
/// into the same packet.
final class WebSocketClientUpgrade: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private enum State {
        /// The request is still to be sent.
        case idle
        case waiting
        /// The answer's head was right; its end is still to come.
        case accepted
        /// What comes now are bytes of WebSocket frames.
        case upgraded
        case failed
    }

    private let address: WebSocketClientAddress
    private let attempt: WebSocketClientAttempt
    private let encoder: HTTPRequestEncoder
    private let decoder: ByteToMessageHandler<HTTPResponseDecoder>
    private let messages: WebSocketClientHandler
    /// Makes the key and checks the server's answer to it, which takes SHA-1; nothing else of it is used.
    private let dance: NIOWebSocketClientUpgrader
    private var state = State.idle

    static func handlers(
        address: WebSocketClientAddress, attempt: WebSocketClientAttempt, entropy: any Entropy
    ) -> [any ChannelHandler] {
        let messages = WebSocketClientHandler(attempt: attempt, entropy: entropy)
        let upgrade = WebSocketClientUpgrade(address: address, attempt: attempt, messages: messages, entropy: entropy)
        return [upgrade.encoder, upgrade.decoder, upgrade, messages]
    }

    private init(
        address: WebSocketClientAddress, attempt: WebSocketClientAttempt, messages: WebSocketClientHandler,
        entropy: any Entropy
    ) {
        self.address = address
        self.attempt = attempt
        self.messages = messages
        self.encoder = HTTPRequestEncoder()
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = Limits.upgradeAnswerBytesMax
        self.decoder = ByteToMessageHandler(
            HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: limits))
        var generator = EntropyGenerator(entropy: entropy)
        self.dance = NIOWebSocketClientUpgrader(
            requestKey: NIOWebSocketClientUpgrader.randomRequestKey(using: &generator),
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // The channel is connected before anything of ours comes into it; whether it has said so by then is its affair.
        if context.channel.isActive { ask(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        ask(context)
        context.fireChannelActive()
    }

    private func ask(_ context: ChannelHandlerContext) {
        guard case .idle = state else { return }
        state = .waiting
        var headers = HTTPHeaders()
        headers.add(name: "Host", value: address.hostHeader)
        headers.add(name: "Connection", value: "Upgrade")
        headers.add(name: "Upgrade", value: "websocket")
        dance.addCustom(upgradeRequestHeaders: &headers)
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: address.target, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch state {
        case .waiting, .accepted: received(unwrapInboundIn(data), context)
        case .upgraded: context.fireChannelRead(data)
        case .idle, .failed: return
        }
    }

    private func received(_ part: HTTPClientResponsePart, _ context: ChannelHandlerContext) {
        switch part {
        case .head(let head):
            guard head.status == .switchingProtocols else {
                return fail("the server answered HTTP \(head.status.code) \(head.status.reasonPhrase)")
            }
            guard head.headers.first(name: "upgrade")?.lowercased() == "websocket",
                dance.shouldAllowUpgrade(upgradeResponse: head)
            else {
                return fail("the server does not speak WebSocket")
            }
            state = .accepted
        case .body:
            return
        case .end:
            upgrade(context)
        }
    }

    private func upgrade(_ context: ChannelHandlerContext) {
        state = .upgraded
        let pipeline = context.pipeline.syncOperations
        let messages = messages
        pipeline.removeHandler(encoder, promise: nil)
        // The decoder goes once this call has returned and it has passed on what it still holds. Until then nothing may
        // be written: it stands between the messages and the socket.
        pipeline.removeHandler(decoder).assumeIsolated().whenComplete { _ in
            pipeline.removeHandler(self, promise: nil)
            messages.begin()
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(describe(connecting: error))
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch state {
        case .idle, .waiting, .accepted: fail("the server closed the connection during the upgrade")
        case .upgraded, .failed: break
        }
        context.fireChannelInactive()
    }

    private func fail(_ reason: String) {
        switch state {
        case .idle, .waiting, .accepted:
            state = .failed
            attempt.fail(reason)
        case .upgraded, .failed:
            return
        }
    }
}

/// Randomness of the environment for code of the standard library's kind.
struct EntropyGenerator: RandomNumberGenerator {
    let entropy: any Entropy

    mutating func next() -> UInt64 { entropy.next() }
}
