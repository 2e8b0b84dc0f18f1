import Logging
package import ServiceLifecycle
import Synchronization
package import TopGunEnvironment
package import UnixSignals

/// One node as a process: the listener, the node behind it, and what the outside may ask of them.
///
/// ```
///   bind ──► recover ──► open the door, PORT=<n>, READY=1
///                             │ SIGHUP: level and keys again
///                             │ SIGTERM
///                             ▼
///            close the door ──► clients go (1001) ──► log synced ──► stop listening ──► exit 0
/// ```
///
/// It listens before it recovers: a port that is taken is told before the data is touched, and probes see a node that is
/// starting.
package struct ServerProcess: Sendable {
    let configuration: ServerConfiguration
    let spawner: LiveSpawner
    let environment: Environment
    let log: ServerLog
    let startNode: NodeStarter
    /// Told the port once the node serves.
    let onServing: @Sendable (Int) -> Void
    /// Called on SIGHUP, before keys are read again.
    let onReload: @Sendable () async -> Void
    /// Called at once when the node cannot go on, before anything is stopped in an orderly way.
    let onFailure: @Sendable (ServerError) -> Void
    private let manager = ServiceManager()

    package init(
        configuration: ServerConfiguration, spawner: LiveSpawner, environment: Environment, log: ServerLog,
        startNode: @escaping NodeStarter, onServing: @escaping @Sendable (Int) -> Void,
        onReload: @escaping @Sendable () async -> Void = {},
        onFailure: @escaping @Sendable (ServerError) -> Void = { _ in }
    ) {
        self.configuration = configuration
        self.spawner = spawner
        self.environment = environment
        self.log = log
        self.startNode = startNode
        self.onServing = onServing
        self.onReload = onReload
        self.onFailure = onFailure
    }

    /// Everything that runs, ready to be run; it stops on a graceful shutdown, as the signals ask for.
    package func services(signals: [UnixSignal] = [.sigterm, .sigint]) async throws(ServerError) -> ServiceGroup {
        let credentials: TLSCredentials?
        switch configuration.tls {
        case .none: credentials = nil
        case .some(let files): credentials = try TLSCredentials(files)
        }
        let tokens: TokenAuthority?
        switch configuration.authentication {
        case .none: tokens = nil
        case .token(let rules): tokens = try await TokenAuthority(rules, clock: environment.clock)
        }
        if let bytes = tokens?.weakSecretBytes {
            log.warning("the secret for tokens is short and can be guessed: use 32 random bytes", [.count: bytes])
        }
        let metrics = ServerMetrics(loops: spawner.eventLoops.count)
        metrics.start(on: spawner.loops)
        let door = ClientDoor(loops: spawner.eventLoops, metrics: metrics)
        let report = StatusReport(
            door: door, metrics: metrics, requiresAuthentication: tokens != nil, clock: environment.clock,
            tokens: tokens)
        let (ports, portSink) = AsyncStream.makeStream(of: Int.self)
        let (failures, failureSink) = AsyncStream.makeStream(of: ServerError.self)

        let listener = Listener(
            configuration: configuration, spawner: spawner, clock: environment.clock, door: door, report: report,
            log: log, credentials: credentials
        ) { port in portSink.yield(port) }
        let node = NodeService(
            process: self, manager: manager, door: door, report: report, ports: ports, failures: failures,
            context: NodeContext(
                configuration: configuration, environment: environment, metrics: metrics, tokens: tokens, log: log
            ) { [onFailure] error in
                onFailure(error)
                failureSink.yield(error)
            })
        let reload = ReloadService(tokens: tokens, credentials: credentials, log: log, onReload: onReload)

        // They are stopped from the last to the first: clients go before the listener does.
        var group = ServiceGroupConfiguration(
            services: [listener, node, reload], gracefulShutdownSignals: signals, logger: quiet(log.logger))
        group.maximumGracefulShutdownDuration = .milliseconds(configuration.drainMillisMax + Limits.stopMillisMax)
        group.maximumCancellationDuration = .milliseconds(Limits.stopMillisMax)
        return ServiceGroup(configuration: group)
    }

    /// Runs to the end of the process.
    package func run() async throws(ServerError) {
        let services = try await services()
        do {
            try await services.run()
        } catch let error as ServerError {
            throw error
        } catch is CancellationError {
            return
        } catch {
            throw ServerError(.software, "\(error)")
        }
    }

    private func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .warning)
        return logger
    }
}

/// The node from its recovery to its end.
private struct NodeService: Service {
    let process: ServerProcess
    let manager: ServiceManager
    let door: ClientDoor
    let report: StatusReport
    let ports: AsyncStream<Int>
    let failures: AsyncStream<ServerError>
    let context: NodeContext

    func run() async throws {
        var ports = ports.cancelOnGracefulShutdown().makeAsyncIterator()
        guard let port = await ports.next() else { return }
        manager.status("reading the log")
        let node = try await process.startNode(context)
        report.watch(node)
        door.open(node.owners)
        process.onServing(port)
        context.log.info("clients may connect", [.address: "\(context.configuration.host):\(port)"])
        let status = "serving on \(context.configuration.host):\(port)"
        manager.ready(status)
        do {
            try await watch(node, status)
            context.log.info("stopping: clients are let go")
            manager.stopping("letting clients go")
            await door.drain(withinMillis: context.configuration.drainMillisMax)
            try await node.stop()
            context.log.info("stopped")
        } catch let error as ServerError {
            manager.stopping(error.message)
            context.log.error("the node cannot go on", [.error: error.message])
            throw error
        }
    }

    /// Returns when the process is asked to stop, and throws what the node failed from.
    private func watch(_ node: any ServingNode, _ status: String) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for await failure in failures.cancelOnGracefulShutdown() { throw failure }
            }
            group.addTask { await tendManager(node, status) }
            // Ends with a failure, or with the first request to stop; while it stops, systemd watches the clock itself.
            try await group.next()
            group.cancelAll()
        }
    }

    /// Tells the service manager how it goes. The watchdog hears of it only after every loop and the log's thread have
    /// answered, or a slow disk explains why the latter has not: a process in which one of them is stuck is restarted.
    private func tendManager(_ node: any ServingNode, _ status: String) async {
        let watchdog = manager.watchdogMillis
        let interval = watchdog.map { max(1, min($0 / 3, Limits.statusMillis)) } ?? Limits.statusMillis
        for await _ in context.environment.spawner.loops[0].ticks(everyMillis: interval) {
            let detail = await node.health().detail
            let note = detail == NodeHealth.serving ? "" : "; \(detail)"
            let line = "\(status), \(report.connections) clients\(note)"
            guard watchdog != nil else {
                manager.status(line)
                continue
            }
            await node.pulse()
            manager.feedWatchdog(line)
        }
    }
}

/// SIGHUP: what can be read again is.
private struct ReloadService: Service {
    let tokens: TokenAuthority?
    let credentials: TLSCredentials?
    let log: ServerLog
    let onReload: @Sendable () async -> Void

    func run() async throws {
        for await _ in await UnixSignalsSequence(trapping: .sighup).cancelOnGracefulShutdown() {
            await onReload()
            await reloadTokens()
            reloadCredentials()
        }
    }

    private func reloadTokens() async {
        guard let tokens else { return }
        do throws(ServerError) {
            try await tokens.reload()
            log.info("keys for tokens read again")
        } catch {
            log.warning("keys for tokens not read again; the old ones stay", [.error: error.message])
        }
    }

    private func reloadCredentials() {
        guard let credentials else { return }
        do throws(ServerError) {
            try credentials.reload()
            log.info("certificate and key for TLS read again, for new connections")
        } catch {
            log.warning("certificate and key for TLS not read again; the old ones stay", [.error: error.message])
        }
    }
}
