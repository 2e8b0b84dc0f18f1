import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// One page of a server, fetched with a single GET: for programs that ask how a node is.
package struct HTTPPage: Sendable {
    /// The status of the answer, such as 200.
    package var status: Int
    /// Its body, at most ``Limits/pageBytesMax`` of it.
    package var body: [UInt8]

    /// Fetches a page from where a WebSocket address points; the connection is closed behind it.
    ///
    /// Fails with what a person needs to know where no whole answer comes within ``Limits/connectMillisMax``.
    package static func get(
        _ path: String, from address: WebSocketClientAddress, on loop: NIOLoop
    ) async throws(HTTPPageError) -> HTTPPage {
        let outcome = loop.eventLoop.makePromise(of: HTTPPage.self)
        loop.eventLoop.execute {
            let answer = PageAnswer(outcome)
            let timeout = loop.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(Limits.connectMillisMax)) {
                answer.fail(HTTPPageError(message: "no answer within \(Limits.connectMillisMax) ms"))
            }
            outcome.futureResult.whenComplete { _ in timeout.cancel() }
            ClientBootstrap(group: loop.eventLoop)
                .connectTimeout(.milliseconds(Limits.connectMillisMax))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let pipeline = channel.pipeline.syncOperations
                        if address.isSecure {
                            try pipeline.addHandler(address.makeTLSHandler(.makeClientConfiguration()))
                        }
                        try pipeline.addHTTPClientHandlers()
                        try pipeline.addHandler(PageHandler(path: path, host: address.hostHeader, answer: answer))
                    }
                }
                .connect(host: address.host, port: address.port)
                .assumeIsolated()
                .whenFailure { answer.fail(HTTPPageError(message: describe(connecting: $0))) }
        }
        do {
            return try await outcome.futureResult.get()
        } catch {
            throw error as? HTTPPageError ?? HTTPPageError(message: "\(error)")
        }
    }
}

/// Why there is no page.
package struct HTTPPageError: Error {
    package var message: String
}

/// The outcome of a request, told once; confined to its event loop.
private final class PageAnswer {
    private var outcome: EventLoopPromise<HTTPPage>?

    init(_ outcome: EventLoopPromise<HTTPPage>) {
        self.outcome = outcome
    }

    func succeed(_ page: HTTPPage) {
        outcome?.succeed(page)
        outcome = nil
    }

    func fail(_ error: HTTPPageError) {
        outcome?.fail(error)
        outcome = nil
    }
}

// Confined to the event loop of its connection; the bootstrap's closures, which demand `Sendable`, run there too.
extension PageAnswer: @unchecked Sendable {}

private final class PageHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let path: String
    private let host: String
    private let answer: PageAnswer
    private var page = HTTPPage(status: 0, body: [])

    init(path: String, host: String, answer: PageAnswer) {
        self.path = path
        self.host = host
        self.answer = answer
    }

    func channelActive(context: ChannelHandlerContext) {
        let head = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: path, headers: ["Host": host, "Connection": "close"])
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): page.status = Int(head.status.code)
        case .body(let part):
            guard page.body.count + part.readableBytes <= Limits.pageBytesMax else {
                answer.fail(HTTPPageError(message: "the answer is too long"))
                return context.close(promise: nil)
            }
            page.body += part.readableBytesView
        case .end:
            answer.succeed(page)
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        answer.fail(HTTPPageError(message: describe(connecting: error)))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        answer.fail(HTTPPageError(message: "the connection ended before the answer"))
        context.fireChannelInactive()
    }
}
