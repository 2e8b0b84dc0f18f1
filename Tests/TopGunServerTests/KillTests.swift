import Foundation
import Synchronization
import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// `kill -9` of a real `topgund` under load, again and again on one data directory.
@Suite(.serialized, .timeLimit(.minutes(5))) struct KillTests {
    private static let rounds = 30
    private static let writers = 3

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
        let known = Shared<[ByteString: Int64]>([:])
        for round in 0..<rounds {
            let daemon = try #require(try Daemon(directory: directory), "it did not start, round \(round)")
            let lost = try await lost(known.with { $0 }, on: daemon)
            if lost > 0 {
                daemon.kill()
                return lost
            }
            let millis = UInt64.random(in: 5...150, using: &generator)
            await withTaskGroup(of: Void.self) { group in
                for writer in 0..<writers {
                    group.addTask { await write(writer, round: round, to: daemon.port, known) }
                }
                await pause(millis: millis)
                daemon.kill()
            }
        }
        let daemon = try #require(try Daemon(directory: directory))
        let lost = try await lost(known.with { $0 }, on: daemon)
        #expect(daemon.stop() == 0)
        return lost
    }

    /// Writes with several batches in flight until the connection ends; notes what was acknowledged.
    private static func write(
        _ writer: Int, round: Int, to port: Int, _ known: Shared<[ByteString: Int64]>
    ) async {
        guard let client = await SocketClient.connect(port: port) else { return }
        var version = Int64(round) * 1_000_000
        var nextID: UInt64 = 1
        var sent: [UInt64: (key: ByteString, version: Int64)] = [:]
        var decided: UInt64 = 0
        func sendBatch() {
            var operations: [ClientOperation] = []
            for _ in 0..<8 {
                version += 1
                let key = "w\(writer)-\(nextID % 50)"
                operations.append(
                    Make.put(
                        nextID, key, version, millis: version, node: "n\(writer)",
                        concern: nextID % 2 == 0 ? .applied : nil))
                sent[nextID] = (ByteString(key), version)
                nextID += 1
            }
            client.send(.operations(OperationBatch(operations: operations)))
        }
        for _ in 0..<8 { sendBatch() }
        do {
            while let lastID = try await client.first({ message -> UInt64? in
                if case .acknowledgement(let message) = message { message.lastID } else { nil }
            }) {
                while decided < lastID {
                    decided += 1
                    guard let (key, version) = sent.removeValue(forKey: decided) else { continue }
                    known.with { $0[key] = max($0[key] ?? 0, version) }
                }
                sendBatch()
            }
        } catch {
            Issue.record("the server sent what nobody can read: \(error)")
        }
    }

    private static func lost(_ known: [ByteString: Int64], on daemon: Daemon) async throws -> Int {
        let client = try #require(await SocketClient.connect(port: daemon.port))
        client.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        let rows = try #require(
            try await client.first { message -> [QueryRow]? in
                if case .queryResponse(let response) = message { response.results } else { nil }
            })
        client.close()
        var found: [ByteString: Int64] = [:]
        for row in rows { found[row.key] = Make.number(row.value) }
        return known.count { (found[$0.key] ?? 0) < $0.value }
    }

    private static func pause(millis: UInt64) async {
        try? await Task.sleep(for: .milliseconds(millis))
    }
}
