import ArgumentParser
import Foundation
import TopGun
import TopGunEnvironment

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says whether the server answers, to whom, how fast, and how it is.")

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let clock = SystemClock()
        let started = clock.monotonicNanos()
        let session = try await Session(options)
        try await session.connected()
        session.arrived()
        let micros = (clock.monotonicNanos() - started) / 1000
        let info = session.client.info
        let node = await NodeStatus.fetch(session.settings.server)
        if options.json {
            print(
                JSONValue.object([
                    "server": .text(session.settings.server), "state": .text("live"),
                    "cluster": info.clusterID.map { .text($0) } ?? .null,
                    "user": info.userID.map { .text($0) } ?? .null, "connectMicros": .integer(micros),
                    "node": node.map { .text($0.detail) } ?? .null,
                    "partitionsNotOpen": node.map { .integer(Int64($0.partitionsNotOpen.count)) } ?? .null,
                    "partitionsLost": node.map { .integer(Int64($0.partitionsLost.count)) } ?? .null,
                ]).json)
        } else {
            print("server   \(session.settings.server)")
            print("state    live after \(Double(micros / 100) / 10) ms")
            print("cluster  \(info.clusterID ?? "unknown")")
            print("user     \(info.userID ?? "anonymous")")
            print("node     \(node?.detail ?? "does not say how it is")")
        }
    }
}

/// What a node says about itself on its page `/api/status`; a server of another kind may have none.
private struct NodeStatus: Decodable {
    var detail: String
    var partitionsNotOpen: [Int]
    var partitionsLost: [Int]

    static func fetch(_ server: String) async -> NodeStatus? {
        guard let address = WebSocketClientAddress(server) else { return nil }
        let spawner = LiveSpawner(loops: 1)
        do {
            let page = try await HTTPPage.get("/api/status", from: address, on: spawner.eventLoops[0])
            return try JSONDecoder().decode(NodeStatus.self, from: Data(page.body))
        } catch {
            // The server itself has answered: it is only not known how it is.
            return nil
        }
    }
}

/// Sends on what was printed so far, as somebody may be reading along.
func flushOutput() {
    fflush(nil)
}
