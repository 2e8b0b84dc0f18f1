import NIOCore
package import NIOPosix
package import NIOSSL

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The real ``Network``: WebSocket over TCP, with TLS below it for `wss://` addresses.
///
/// Works on loops of NIO (``NIOLoop``). Everything of a connection happens on the loop that it was asked for on: no
/// thread is ever changed and no task is made.
package final class WebSocketClientNetwork: Network {
    private let entropy: any Entropy
    private let tls: TLSConfiguration
    private let resolver: (any Resolver & Sendable)?

    /// - Parameters:
    ///   - tls: whom to trust for `wss://`; by default the authorities that the system trusts, with the name of the host
    ///     checked.
    ///   - resolver: who knows the addresses of hosts; by default the system.
    package init(
        entropy: any Entropy, tls: TLSConfiguration = .makeClientConfiguration(),
        resolver: (any Resolver & Sendable)? = nil
    ) {
        self.entropy = entropy
        self.tls = tls
        self.resolver = resolver
    }

    package func connect(to address: String, on loop: any Loop, receiver: any MessageReceiver) {
        guard let loop = loop as? NIOLoop else {
            preconditionFailure("a WebSocket needs a loop of NIO, not \(type(of: loop))")
        }
        guard let address = WebSocketClientAddress(address) else {
            loop.execute { receiver.closed(reason: "not a ws:// or wss:// address") }
            return
        }
        let eventLoop = loop.eventLoop
        // The answer never comes inside the call: the caller may not be ready for it.
        eventLoop.execute { [self] in
            let attempt = WebSocketClientAttempt(receiver: receiver)
            let deadline = NIODeadline.now() + .milliseconds(Limits.connectMillisMax)
            let timeout = eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
                attempt.fail("no connection within \(Limits.connectMillisMax) ms")
            }
            attempt.whenOver { timeout.cancel() }
            // A host may have several addresses, of which several may be tried at the same time. What is ours comes into
            // the channel that won, not into each of them: the end of one that lost means nothing.
            ClientBootstrap(group: eventLoop)
                .resolver(resolver)
                .connectTimeout(.milliseconds(Limits.connectMillisMax))
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .connect(host: address.host, port: address.port)
                .assumeIsolated()
                .whenComplete { [self] outcome in
                    switch outcome {
                    case .success(let channel):
                        begin(attempt, on: channel, to: address)
                    case .failure(let error):
                        attempt.fail(describe(connecting: error))
                    }
                }
        }
    }

    /// Goes on with a channel that is connected; the timeout goes on as well, until the attempt is over.
    private func begin(
        _ attempt: WebSocketClientAttempt, on channel: any Channel, to address: WebSocketClientAddress
    ) {
        guard attempt.take(channel) else {
            channel.close(promise: nil)
            return
        }
        do {
            try channel.pipeline.syncOperations.addHandlers(handlers(for: address, attempt))
        } catch {
            attempt.fail(describe(connecting: error))
        }
    }

    private func handlers(
        for address: WebSocketClientAddress, _ attempt: WebSocketClientAttempt
    ) throws -> [any ChannelHandler] {
        var handlers: [any ChannelHandler] = []
        if address.isSecure { handlers.append(try address.makeTLSHandler(tls)) }
        handlers += WebSocketClientUpgrade.handlers(address: address, attempt: attempt, entropy: entropy)
        return handlers
    }
}

extension WebSocketClientAddress {
    /// What speaks TLS with the host.
    func makeTLSHandler(_ tls: TLSConfiguration) throws -> NIOSSLClientHandler {
        // Whether the host is an IP address is asked by trying; then the certificate has to hold the address, and
        // no server name is indicated, which must be a name.
        let isAddress = (try? SocketAddress(ipAddress: host, port: port)) != nil
        return try NIOSSLClientHandler(
            context: try NIOSSLContext(configuration: tls), serverHostname: isAddress ? nil : host)
    }
}

/// One attempt to connect, until it has become a connection or failed; confined to its loop.
final class WebSocketClientAttempt {
    private enum State {
        case underWay((any MessageReceiver))
        case over
    }

    private var state: State
    private var observer: (() -> Void)?
    private var channel: (any Channel)?

    init(receiver: any MessageReceiver) {
        state = .underWay(receiver)
    }

    /// Makes the channel the attempt's own, to be closed with its failure; `false` when it has failed already.
    func take(_ channel: any Channel) -> Bool {
        switch state {
        case .underWay:
            precondition(self.channel == nil, "an attempt with two channels")
            self.channel = channel
            return true
        case .over:
            return false
        }
    }

    /// Takes the receiver over, once; `nil` when the attempt has failed in the meantime.
    func succeed() -> (any MessageReceiver)? {
        switch state {
        case .underWay(let receiver):
            end()
            return receiver
        case .over:
            return nil
        }
    }

    func fail(_ reason: String) {
        switch state {
        case .underWay(let receiver):
            end()
            channel?.close(promise: nil)
            receiver.closed(reason: reason)
        case .over:
            return
        }
    }

    /// Calls back when the attempt is over; at once if it is.
    func whenOver(_ body: @escaping () -> Void) {
        switch state {
        case .underWay: observer = body
        case .over: body()
        }
    }

    private func end() {
        state = .over
        observer?()
        observer = nil
    }
}

// Confined to the event loop of its connection; the bootstrap's closures, which demand `Sendable`, run there too.
extension WebSocketClientAttempt: @unchecked Sendable {}

/// What a person needs to know of a connection that failed.
func describe(connecting error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
        if error.connectionErrors.isEmpty { return "cannot find the host \(error.host)" }
        return error.connectionErrors.map { describe(connecting: $0.error) }.joined(separator: "; ")
    case let error as ChannelError:
        if case .connectTimeout = error { return "no connection within \(Limits.connectMillisMax) ms" }
        return "\(error)"
    case let error as IOError:
        return String(cString: strerror(error.errnoCode))
    default:
        return "\(error)"
    }
}
