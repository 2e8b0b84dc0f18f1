import Foundation
import Testing

/// `kill -9` of a real `topgund` under load, again and again on one data directory.
@Suite(.serialized, .timeLimit(.minutes(5))) struct KillTests {
    private static let rounds = 30

    @Test func `P01 B01 thirty kills lose nothing that was acknowledged`() async throws {
        let losses = try await Self.losses(rounds: Self.rounds, acknowledgesEarly: false)
        #expect(losses == 0)
    }

    @Test func `the control: a server that acknowledges before it writes is caught`() async throws {
        let losses = try await Self.losses(rounds: Self.rounds, acknowledgesEarly: true)
        #expect(losses > 0)
    }

    /// How many keys were older after a restart than what had been acknowledged, over all rounds; stops at the first
    /// round that lost something.
    private static func losses(rounds: Int, acknowledgesEarly: Bool) async throws -> Int {
        let directory = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        if acknowledgesEarly {
            try Data().write(to: directory.appendingPathComponent("acknowledge-early"))
        }
        var generator = Generator(seed: 7)
        var known: Load.Versions = [:]
        for round in 0..<rounds {
            let daemon = try #require(try Daemon(directory: directory), "it did not start, round \(round)")
            let lost = try await Load.lost(known, port: daemon.port)
            if lost > 0 {
                daemon.kill()
                return lost
            }
            let millis = UInt64.random(in: 5...150, using: &generator)
            let load = Load(known)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await load.run(round: round, port: daemon.port) }
                await pause(millis: millis)
                daemon.kill()
            }
            known = load.acknowledged
        }
        let daemon = try #require(try Daemon(directory: directory))
        let lost = try await Load.lost(known, port: daemon.port)
        #expect(daemon.stop() == 0)
        return lost
    }

    private static func pause(millis: UInt64) async {
        try? await Task.sleep(for: .milliseconds(millis))
    }
}
