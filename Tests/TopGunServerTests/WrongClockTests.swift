import Foundation
import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// A real `topgund` whose wall clock is wrong.
@Suite(.timeLimit(.minutes(1)), .enabled(if: FakedClock.obstacle == nil, "\(FakedClock.obstacle ?? "")"))
struct WrongClockTests {
    @Test func `K01 K05 a server that starts with its clock an hour back gives out no stamp again`() async throws {
        let folder = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let library = try #require(FakedClock.library)
        var stamps: [Timestamp] = []
        for (round, shift) in [nil, "-1h", nil].enumerated() {
            // A process with this library sees no arguments, so that settings come by the environment.
            var environment = ["TOPGUN_LISTEN": "127.0.0.1:0", "TOPGUN_DATA_DIR": folder.path]
            if let shift {
                environment["LD_PRELOAD"] = library
                environment["FAKETIME"] = shift
                environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
            }
            let server = try TopgundProcess([], environment: environment)
            let port = try #require(await server.port(), "\(server.log)")
            if shift != nil {
                // The clock really is wrong: it is told to whoever asks.
                let told = try await Self.clock(of: port)
                #expect(abs(told + 3_600_000 - Self.nowMillis) < 60_000)
            }
            stamps += try await Self.givenStamps(port, round: round)
            server.signal(SIGKILL)
            _ = await server.end()
        }
        #expect(stamps.count == 9)
        for (earlier, later) in zip(stamps, stamps.dropFirst()) { #expect(earlier < later) }
        #expect(stamps.allSatisfy { $0.millis < Self.nowMillis + 60_000 }, "\(stamps)")
    }

    private static var nowMillis: Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    private static func clock(of port: Int) async throws -> Int64 {
        let client = try #require(await SocketClient.connect(port: port))
        client.send(.ping(timestamp: 1))
        return try #require(try await client.first { if case .pong(1, let time) = $0 { time } else { nil } })
    }

    /// The stamps that the server gives to three writes of an official client whose own are of the future.
    private static func givenStamps(_ port: Int, round: Int) async throws -> [Timestamp] {
        let watcher = try #require(await SocketClient.connect(port: port))
        watcher.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        _ = try await watcher.first { if case .syncRoot = $0 { true } else { nil } }
        let writer = try #require(await SocketClient.connect(port: port))
        var stamps: [Timestamp] = []
        for number in 0..<3 {
            let key = "r\(round)-\(number)"
            writer.send(Make.batch(Make.put(UInt64(number + 1), key, 1, millis: nowMillis + 600_000)))
            let stamp = try await watcher.first { message -> Timestamp? in
                switch message {
                case .event(let event) where event.key == ByteString(key): event.record?.timestamp
                case .events(let events): events.first { $0.key == ByteString(key) }?.record?.timestamp
                default: nil
                }
            }
            stamps.append(try #require(stamp))
        }
        return stamps
    }
}

/// A library that shows a process another time.
private enum FakedClock {
    static let library: String? = {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib")) ?? []
        return folders.map { "/usr/lib/\($0)/faketime/libfaketimeMT.so.1" }
            .first { FileManager.default.fileExists(atPath: $0) }
    }()

    static let obstacle: String? =
        library == nil && ProcessInfo.processInfo.environment["CI"] != "true"
        ? "libfaketime is not on this machine" : nil
}
