import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import TopGunEnvironment

/// What became of an accepted connection.
enum ConnectionOutcome: Sendable {
    case http(NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart>)
    /// A client; its handler does the rest.
    case client
}

/// Turns a connection into a client's WebSocket, with ``ClientChannelHandler`` alone in the pipeline.
///
/// NIO's own upgrader would put its frame codec in front, which allocates for each frame and unmasks byte by byte. No
/// extension is ever agreed on: compression would let a client make the server allocate, and leak by sizes.
struct ClientUpgrader: NIOTypedHTTPServerProtocolUpgrader {
    let door: ClientDoor
    let handshake: WebSocketHandshake
    let messageBytesMax: Int
    let clock: any Clock
    let log: ServerLog
    /// With TLS below it the handler reads what TLS has decrypted, into memory of its own.
    let isSecure: Bool

    let supportedProtocol = "websocket"
    let requiredUpgradeHeaders: [String] = []

    func buildUpgradeResponse(
        channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        channel.eventLoop.makeCompletedFuture {
            // The guard has let it through; should it fail here all the same, the connection ends at its deadline.
            var headers = initialResponseHeaders
            headers.replaceOrAdd(name: "Sec-WebSocket-Accept", value: try handshake.check(upgradeRequest))
            return headers
        }
    }

    func upgrade(channel: any Channel, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<ConnectionOutcome> {
        let (sockets, owner) = door.place(on: channel.eventLoop)
        return channel.eventLoop.makeCompletedFuture {
            guard let owner else {
                // The node began to stop after the handshake was answered.
                channel.close(promise: nil)
                throw ChannelError.ioOnClosedChannel
            }
            if let options = channel.syncOptions {
                if !isSecure {
                    try options.setOption(.recvAllocator, value: SharedReceiveAllocator(shared: sockets.receiveBuffer))
                }
                try options.setOption(.maxMessagesPerRead, value: 1)
                try options.setOption(
                    .writeBufferWaterMark,
                    value: .init(low: Limits.socketQueueBytesHigh / 2, high: Limits.socketQueueBytesHigh))
            }
            let pipeline = channel.pipeline.syncOperations
            // Absent once its time is over; then the channel is closing anyway.
            if let deadline = try? pipeline.handler(type: RequestHeadDeadline.self) {
                pipeline.removeHandler(deadline, promise: nil)
            }
            let handler = ClientChannelHandler(
                sockets: sockets, messageBytesMax: messageBytesMax, clock: clock, log: log, isSecure: isSecure)
            try pipeline.addHandler(handler)
            let peer = PeerInfo(
                address: channel.remoteAddress?.description ?? "unknown",
                origin: upgradeRequest.headers.first(name: "origin"),
                dialedURL: WebSocketHandshake.dialedURL(upgradeRequest, isSecure: isSecure))
            handler.begin(owner, peer: peer)
            return .client
        }
    }
}

/// Closes a connection that has not sent a whole request head in time: slow ones must not hold a place.
final class RequestHeadDeadline: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = NIOAny
    typealias InboundOut = NIOAny

    private var deadline: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        deadline = context.eventLoop.assumeIsolatedUnsafeUnchecked().scheduleTask(
            in: .milliseconds(Limits.requestHeadMillisMax)
        ) { context.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
    }
}
