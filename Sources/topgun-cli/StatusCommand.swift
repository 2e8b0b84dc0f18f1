import ArgumentParser
import TopGun
import TopGunEnvironment

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says whether the server answers, to whom, and how fast.")

    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let clock = SystemClock()
        let started = clock.monotonicNanos()
        let session = try await Session(options)
        try await session.connected()
        session.arrived()
        let micros = (clock.monotonicNanos() - started) / 1000
        let info = session.client.info
        if options.json {
            print(
                JSONValue.object([
                    "server": .text(session.settings.server), "state": .text("live"),
                    "cluster": info.clusterID.map { .text($0) } ?? .null,
                    "user": info.userID.map { .text($0) } ?? .null, "connectMicros": .integer(micros),
                ]).json)
        } else {
            print("server   \(session.settings.server)")
            print("state    live after \(Double(micros / 100) / 10) ms")
            print("cluster  \(info.clusterID ?? "unknown")")
            print("user     \(info.userID ?? "anonymous")")
        }
    }
}

/// Sends on what was printed so far, as somebody may be reading along.
func flushOutput() {
    fflush(nil)
}
