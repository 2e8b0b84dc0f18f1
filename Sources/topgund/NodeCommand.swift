import Foundation
import TopGunEnvironment
import TopGunServer

/// Runs a node from its settings to its end.
struct NodeCommand: Sendable {
    let flags: [Setting: String]
    let file: String?

    /// Off the main thread's actor: everything that is started here would come back to it otherwise.
    @concurrent
    func run() async throws(ServerError) {
        ProcessSetup.harden()
        var configuration = try await configuration()
        let processLog = ProcessLog(configuration.logLevel)
        let log = ServerLog(processLog.logger())
        try check(configuration, log)
        try fitConnections(&configuration, log)
        let spawner = LiveSpawner(loops: configuration.eventLoops)
        let process = ServerProcess(
            configuration: configuration, spawner: spawner,
            environment: .live(spawner: spawner, network: ClosedNetwork()), log: log, startNode: Node.start,
            onServing: { port in
                // Past any buffer: whoever started this waits for the line.
                FileHandle.standardOutput.write(Data("PORT=\(port)\n".utf8))
            },
            onReload: { await reload(processLog, log) },
            onFailure: { error in
                guard error.code == .disk else { return }
                // Nothing may wait for a disk that failed: what was acknowledged is on it already.
                log.error("the disk failed", [.error: error.message])
                Complaint(error).end()
            })
        try await process.run()
    }

    private func configuration() async throws(ServerError) -> ServerConfiguration {
        let environment = ProcessInfo.processInfo.environment
        let sources = try await SettingSources(flags: flags, environment: environment, file: file)
        return try ServerConfiguration(sources, environment: environment)
    }

    private func check(_ configuration: ServerConfiguration, _ log: ServerLog) throws(ServerError) {
        switch ProcessSetup.fault(ofDataDirectory: configuration.dataDirectory) {
        case .none: break
        case .isNoDirectory:
            throw ServerError(.configuration, "\(configuration.dataDirectory) is no directory: mend --data-dir.")
        case .isWritableByAll:
            throw ServerError(
                .configuration,
                "Every user of this machine may write to \(configuration.dataDirectory): run chmod 700 on it first.")
        case .isReadableByAll:
            log.warning(
                "every user of this machine may list the data directory: run chmod 700 on it",
                [.directory: configuration.dataDirectory])
        }
        if ProcessSetup.hasOpenKey(configuration) {
            log.warning("every user of this machine may read the key for tokens: run chmod 600 on its file")
        }
        if ProcessSetup.hasOpenTLSKey(configuration) {
            log.warning("every user of this machine may read the key for TLS: run chmod 600 on its file")
        }
        if case .none = configuration.authentication {
            log.notice("no authentication: every user of this machine may read and write everything")
        }
    }

    private func fitConnections(_ configuration: inout ServerConfiguration, _ log: ServerLog) throws(ServerError) {
        let files = ProcessSetup.raiseOpenFiles()
        let fitting = try ProcessSetup.connectionsMax(openFiles: files, for: configuration)
        guard fitting < configuration.connectionsMax else { return }
        log.warning(
            "fewer connections than --max-connections: raise the limit of open files",
            [.limit: files, .connections: fitting])
        configuration.connectionsMax = fitting
    }

    private func reload(_ processLog: ProcessLog, _ log: ServerLog) async {
        do throws(ServerError) {
            let configuration = try await configuration()
            processLog.setLevel(configuration.logLevel)
            log.notice("settings read again: the log level takes effect", [.level: configuration.logLevel])
        } catch {
            log.warning("settings not read again", [.error: error.message])
        }
    }
}
