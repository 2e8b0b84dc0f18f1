import Foundation
import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

/// Writers that keep a real server busy and note what it acknowledged at `APPLIED` or above, for a look at what a crash
/// left of it.
final class Load: Sendable {
    typealias Versions = [ByteString: Int64]

    private static let writers = 3
    private let known: Shared<Versions>
    private let count = Shared(0)

    /// - Parameter known: what was acknowledged in earlier rounds on the same data.
    init(_ known: Versions = [:]) {
        self.known = Shared(known)
    }

    /// The newest version of each key that was acknowledged so far.
    var acknowledged: Versions { known.with { $0 } }

    /// Operations acknowledged in this round.
    var operations: Int { count.with { $0 } }

    /// Writes until the server is gone.
    func run(round: Int, port: Int) async {
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<Self.writers {
                group.addTask { await self.write(writer, round: round, to: port) }
            }
        }
    }

    /// Waits until so many operations were acknowledged; `false` if that takes too long.
    func reaches(_ operations: Int) async -> Bool {
        await Poll.until { self.operations >= operations }
    }

    /// Writes with several batches in flight until the connection ends; notes what was acknowledged.
    private func write(_ writer: Int, round: Int, to port: Int) async {
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
                    count.with { $0 += 1 }
                }
                sendBatch()
            }
        } catch {
            Issue.record("the server sent what nobody can read: \(error)")
        }
    }

    /// How many keys are older on a server than what was acknowledged, by the judgement of the simulator's checker.
    static func lost(_ known: Versions, port: Int) async throws -> Int {
        var history = History()
        for (number, (key, version)) in known.sorted(by: { $0.key < $1.key }).enumerated() {
            var stored = event(.stored, "load", key, version)
            stored.op = UInt64(number)
            history.append(stored)
            var acknowledged = HistoryEvent(.acknowledged, "topgund")
            (acknowledged.to, acknowledged.op, acknowledged.level) = ("load", UInt64(number), .applied)
            history.append(acknowledged)
        }
        for (key, value) in try await rows(port: port) {
            history.append(event(.holds, "auditor", key, Make.number(value) ?? 0))
        }
        // One that holds nothing has a root all the same.
        history.append(HistoryEvent(.root, "auditor"))
        return Checker.ackSurvival.check(history).count
    }

    /// Every version is its own stamp.
    private static func event(
        _ kind: HistoryEvent.Kind, _ who: String, _ key: ByteString, _ version: Int64
    ) -> HistoryEvent {
        var event = HistoryEvent(kind, who)
        event.map = "todos"
        event.key = key.string
        event.stamp = Stamp(millis: version, counter: 0, node: "")
        return event
    }

    /// Everything that a map holds on a server.
    static func rows(of map: ByteString = "todos", port: Int) async throws -> [ByteString: Payload] {
        let client = try #require(await SocketClient.connect(port: port))
        client.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: map, query: QueryRequest())))
        let rows = try #require(
            try await client.first { message -> [QueryRow]? in
                if case .queryResponse(let response) = message { response.results } else { nil }
            })
        client.close()
        return Dictionary(rows.map { ($0.key, $0.value) }) { $1 }
    }
}

/// Waiting for something that only real processes can bring about.
enum Poll {
    /// Looks again and again until it is so; `false` after a while without.
    static func until(seconds: Int = 60, _ isSo: () async throws -> Bool) async rethrows -> Bool {
        let end = Date().addingTimeInterval(TimeInterval(seconds))
        while Date() < end {
            if try await isSo() { return true }
            // Ends early only with the test.
            try? await Task.sleep(for: .milliseconds(5))
        }
        return false
    }
}
