import Foundation
import Logging
import TopGun
import TopGunEnvironment

/// A client that lives for one command, with a replica in memory.
struct Session {
    let client: TopGunClient
    let settings: Settings
    private let deadline: any ScheduledJob

    /// Begins to connect. When the timeout passes before ``arrived()`` the process ends.
    init(_ options: GlobalOptions) async throws {
        settings = try Settings(options, environment: ProcessInfo.processInfo.environment)
        let (server, seconds) = (settings.server, settings.timeoutSeconds)
        var logger = Logger(label: "topgun") { StreamLogHandler.standardError(label: $0) }
        logger.logLevel = .critical
        do {
            client = try await TopGunClient(
                server: server, store: .memory, token: settings.token.map { .fixed($0) }, logger: logger)
        } catch {
            throw Failure(.usage, error.message)
        }
        let client = client
        let timers = LiveSpawner(loops: 1)
        deadline = timers.loops[0].schedule(afterMillis: Int64(seconds * 1000)) {
            withExtendedLifetime(timers) {}
            Self.failure(of: client.syncState.current, server: server, seconds: seconds).leave()
        }
    }

    /// A map to write to.
    func emptyMap(_ name: String) async throws -> TopGunMap<JSONValue> {
        do {
            return try await client.map(name, of: JSONValue.self)
        } catch {
            throw Failure(.usage, error.message)
        }
    }

    /// A map that holds what the server holds.
    func map(_ name: String) async throws -> TopGunMap<JSONValue> {
        let map = try await emptyMap(name)
        try await connected()
        return map
    }

    /// Waits until the server has told all there is of the open maps.
    func connected() async throws {
        for await state in client.syncState {
            switch state {
            case .live: return
            case .offline(_?), .authenticating(_?), .syncing(_?):
                throw Self.failure(of: state, server: settings.server, seconds: settings.timeoutSeconds)
            case .offline(nil), .authenticating(nil), .syncing(nil), .connecting: continue
            }
        }
    }

    /// Everything that could take long is done.
    func arrived() {
        deadline.cancel()
    }

    /// Waits until a write is where it should be, or a token turns out to be wanted or wrong.
    func wait(for receipt: WriteReceipt, _ level: WriteReceipt.Level) async throws {
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await receipt.reaches(level) }
                group.addTask {
                    for await state in client.syncState {
                        switch state {
                        case .offline(_?), .authenticating(_?):
                            throw Self.failure(
                                of: state, server: settings.server, seconds: settings.timeoutSeconds)
                        case .offline(nil), .authenticating(nil), .connecting, .syncing, .live: continue
                        }
                    }
                }
                try await group.next()
                group.cancelAll()
            }
        } catch let failure as Failure {
            throw failure
        } catch let error as TopGunError where error.code == .refused {
            throw Failure(.refused, "the server refused: \(error.refusal ?? error.message)")
        } catch {
            throw Failure(.unreachable, "\(error)")
        }
    }

    private static func failure(of state: SyncState, server: String, seconds: Double) -> Failure {
        switch state {
        case .offline(let problem), .authenticating(let problem), .syncing(let problem):
            switch problem {
            case .unreachable(let reason): Failure(.unreachable, "cannot reach \(server): \(reason)")
            case .tokenNeeded: Failure(.refused, "\(server) demands a token: --token or TOPGUN_TOKEN")
            case .tokenRefused: Failure(.refused, "\(server) refused the token")
            case .forbidden: Failure(.refused, "\(server) does not let this user read that")
            case .upgradeRequired: Failure(.refused, "\(server) demands a newer client")
            case .foreignCluster, .foreignUser, .notWanted, .otherProcessSyncs, nil:
                Failure(.unreachable, "no answer from \(server) within \(seconds) seconds")
            }
        case .connecting, .live:
            Failure(.unreachable, "no answer from \(server) within \(seconds) seconds")
        }
    }
}
