import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
package import TopGunEnvironment

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The one port of the node: HTTP through hummingbird, and clients through the ``ClientDoor``.
package struct Listener: Service {
    let configuration: ServerConfiguration
    let spawner: LiveSpawner
    let clock: any Clock
    let door: ClientDoor
    let report: StatusReport
    let log: ServerLog
    /// What it shows to clients; without it there is no TLS.
    let credentials: TLSCredentials?
    /// Told the port once it listens.
    let onListening: @Sendable (Int) async -> Void

    package init(
        configuration: ServerConfiguration, spawner: LiveSpawner, clock: any Clock, door: ClientDoor,
        report: StatusReport, log: ServerLog, credentials: TLSCredentials? = nil,
        onListening: @escaping @Sendable (Int) async -> Void
    ) {
        self.configuration = configuration
        self.spawner = spawner
        self.clock = clock
        self.door = door
        self.report = report
        self.log = log
        self.credentials = credentials
        self.onListening = onListening
    }

    /// Listens until a graceful shutdown, which lets requests finish but no client wait: those are the door's.
    package func run() async throws {
        let handshake = WebSocketHandshake(configuration)
        let upgrader = ClientUpgrader(
            door: door, handshake: handshake, messageBytesMax: configuration.messageBytesMax, clock: clock,
            log: log, isSecure: credentials != nil)
        let log = log
        let application = Application(
            router: Routes(report: report).router(),
            server: HTTPServerBuilder { [credentials] responder in
                ClientChildChannel(upgrader: upgrader, credentials: credentials, responder: responder)
            },
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                backlog: Limits.acceptBacklog,
                availableConnectionsDelegate: ConnectionLimit(limit: configuration.connectionsMax, log: log)),
            onServerRunning: { [clock, onListening] channel in
                // Fails only if the channel is closed already, which ends the service anyway.
                try? await channel.eventLoop.submit {
                    try channel.pipeline.syncOperations.addHandler(
                        AcceptBackoff(clock: clock, log: log), position: .first)
                }.get()
                await onListening(channel.localAddress?.port ?? 0)
            },
            eventLoopGroupProvider: .shared(spawner.group),
            logger: Self.quiet(log.logger))
        do {
            try await application.run()
        } catch let error as IOError {
            throw refusal(error)
        } catch is SocketAddressError {
            throw notAnAddress
        } catch is SocketAddressError.UnknownHost {
            throw notAnAddress
        }
    }

    private func refusal(_ error: IOError) -> ServerError {
        let address = "\(configuration.host):\(configuration.port)"
        switch error.errnoCode {
        case EADDRINUSE:
            return ServerError(
                .address,
                "Another process listens on \(address): stop it, or choose another port with --listen HOST:PORT.")
        case EACCES:
            return ServerError(
                .address,
                "This user may not listen on \(address): choose a port from 1024 on with --listen HOST:PORT.")
        case EADDRNOTAVAIL:
            return notAnAddress
        default:
            return ServerError(.address, "Cannot listen on \(address): \(error).")
        }
    }

    private var notAnAddress: ServerError {
        ServerError(
            .address,
            "\(configuration.host) is no address of this machine: choose one that is with --listen HOST:PORT.")
    }

    /// What hummingbird tells of is of no use to an operator: each request, and its own way of stopping, as errors.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = .critical
        return logger
    }
}

/// Stops accepting at the limit: further connections wait in the kernel until one goes.
private struct ConnectionLimit: AvailableConnectionsDelegate {
    let limit: Int
    let log: ServerLog
    private var count = 0
    private var isFull = false

    init(limit: Int, log: ServerLog) {
        self.limit = limit
        self.log = log
    }

    mutating func connectionOpened() {
        count += 1
        if count == limit, !isFull {
            isFull = true
            log.warning("connection limit reached: new connections wait", [.limit: limit])
        }
    }

    mutating func connectionClosed() {
        count -= 1
        if count < limit * 9 / 10 { isFull = false }
    }

    func isAcceptingNewConnections() -> Bool { count < limit }
}
