import Foundation
import Testing

/// Power cuts under a real `topgund` on a real file system (promises.md F): the disk is copied at one instant, and a
/// server started on the copy must have everything that was acknowledged before.
@Suite(
    .serialized, .timeLimit(.minutes(4)),
    .enabled(if: PrivateDisk.obstacle == nil, "\(PrivateDisk.obstacle ?? "")")
) struct PowerCutTests {
    private static let rounds = 6

    @Test(arguments: PrivateDisk.Journal.allCases)
    func `B03 D07 a power cut of a real disk loses nothing that was acknowledged`(
        _ journal: PrivateDisk.Journal
    ) async throws {
        let outcome = try await Self.cutPower(rounds: Self.rounds, journal)
        #expect(outcome.losses == [])
        // Rounds that wrote nothing would lose nothing.
        #expect(outcome.operations >= Self.rounds)
    }

    @Test(.enabled(if: FailingCalls.obstacle == nil, "\(FailingCalls.obstacle ?? "")"))
    func `the control: a server whose syncs do nothing loses what it acknowledged in a power cut`() async throws {
        let outcome = try await Self.cutPower(rounds: Self.rounds, .journal, sabotage: .syncsNothing)
        #expect(outcome.losses != [])
        #expect(outcome.operations > 0)
    }

    @Test func `the control: a server that acknowledges before it writes loses in a power cut`() async throws {
        let outcome = try await Self.cutPower(rounds: Self.rounds, .journal, sabotage: .acknowledgesEarly)
        #expect(outcome.losses != [])
        #expect(outcome.operations > 0)
    }

    private enum Sabotage {
        /// Every sync succeeds without being made.
        case syncsNothing
        case acknowledgesEarly
    }

    private struct Outcome {
        var losses: [String] = []
        var operations = 0
    }

    /// Cuts the power of a server under load and goes on with what is left, every third time with an empty disk; stops
    /// at the first loss.
    private static func cutPower(
        rounds: Int, _ journal: PrivateDisk.Journal, sabotage: Sabotage? = nil
    ) async throws -> Outcome {
        var generator = Generator(seed: 11)
        var outcome = Outcome()
        var disk = try PrivateDisk(journal)
        var known: Load.Versions = [:]
        for round in 0..<rounds {
            if round % 3 == 0, round > 0 { (disk, known) = (try PrivateDisk(journal), [:]) }
            if round % 3 == 0, sabotage == .acknowledgesEarly {
                try disk.run("mkdir -m 700 disk/data; touch disk/data/acknowledge-early; sync")
            }
            let server = try TopgundProcess(on: disk)
            let port = try #require(await server.port(), "\(server.log)")
            let syncs = sabotage == .syncsNothing ? try FailingCalls(of: server.id, "fdatasync,fsync:retval=0") : nil
            let load = Load(known)
            async let writers: Void = load.run(round: round, port: port)
            let isBusy = await load.reaches(Int.random(in: 1...600, using: &generator))
            let cut = Result { try disk.cut(journal) { known = load.acknowledged } }
            server.signal(SIGKILL)
            _ = await (writers, server.end())
            syncs?.end()
            #expect(isBusy, "\(server.log)")
            outcome.operations += load.operations
            disk = try cut.get()
            if let loss = try await loss(of: known, on: disk) {
                outcome.losses = ["round \(round): \(loss)"]
                return outcome
            }
        }
        return outcome
    }

    /// What is wrong with a disk after a cut; `nil` if everything is there.
    private static func loss(of known: Load.Versions, on disk: PrivateDisk) async throws -> String? {
        let server = try TopgundProcess(on: disk)
        guard let port = await server.port() else { return "it does not start: \(server.log)" }
        let lost = try await Load.lost(known, port: port)
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
        return lost == 0 ? nil : "\(lost) of \(known.count) keys are older than what was acknowledged"
    }
}
