import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOSSL

/// What happens to each accepted connection: TLS if there is any, HTTP until the first request is there, then a client's
/// WebSocket or hummingbird.
struct ClientChildChannel: ServerChildChannel, HTTPChannelHandler {
    struct Value: ServerChildChannelValue {
        var outcome: EventLoopFuture<ConnectionOutcome>
        var channel: any Channel
    }

    let upgrader: ClientUpgrader
    let credentials: TLSCredentials?
    let responder: Responder

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            if let credentials { try pipeline.addHandler(NIOSSLServerHandler(context: credentials.context)) }
            // Its time covers the handshake of TLS too.
            try pipeline.addHandler(RequestHeadDeadline())
            let isSecure = credentials != nil
            let upgrade = NIOTypedHTTPServerUpgradeConfiguration<ConnectionOutcome>(upgraders: [upgrader]) { channel in
                channel.eventLoop.makeCompletedFuture {
                    .http(try Self.continueAsHTTP(channel, isSecure: isSecure, logger: logger))
                }
            }
            var configuration = NIOUpgradableHTTPServerPipelineConfiguration(upgradeConfiguration: upgrade)
            configuration.enablePipelining = false
            configuration.enableResponseHeaderValidation = false
            configuration.decoderConfiguration.maxHeaderFieldCount = Limits.headerFieldsMax
            configuration.decoderConfiguration.maxHeaderFieldSize = Limits.headerFieldBytesMax
            configuration.decoderConfiguration.maxHeaderListSize = Limits.headerListBytesMax
            let outcome = try pipeline.configureUpgradableHTTPServerPipeline(configuration: configuration)
            let upgradeHandler = try pipeline.handler(type: NIOTypedHTTPServerUpgradeHandler<ConnectionOutcome>.self)
            try pipeline.addHandler(
                HandshakeGuard(door: upgrader.door, handshake: upgrader.handshake), position: .before(upgradeHandler))
            return Value(outcome: outcome, channel: channel)
        }
    }

    func handle(value: Value, logger: Logger) async {
        // A connection that ended in its handshake has nothing left to handle.
        guard let outcome = try? await value.outcome.get() else { return }
        switch outcome {
        case .client: break
        case .http(let channel): await handleHTTP(asyncChannel: channel, logger: logger)
        }
    }

    private static func continueAsHTTP(
        _ channel: any Channel, isSecure: Bool, logger: Logger
    ) throws -> NIOAsyncChannel<HTTPRequestPart, HTTPResponsePart> {
        let pipeline = channel.pipeline.syncOperations
        // Absent once its time is over; then the channel is closing anyway.
        if let deadline = try? pipeline.handler(type: RequestHeadDeadline.self) {
            pipeline.removeHandler(deadline, promise: nil)
        }
        try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: isSecure))
        try pipeline.addHandler(
            HTTPConnectionStateHandler(idleTimeout: .milliseconds(Limits.httpIdleMillisMax), logger: logger))
        return try NIOAsyncChannel(
            wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
    }
}
