import Testing
import TopGunModel
import TopGunStorage
import TopGunWire

@testable import TopGunServer

/// The log of a node that goes on being written to does not grow for ever.
@Suite struct LogGrowthTests {
    /// A server whose log is worth a checkpoint above four segments.
    private func server() -> SimulatedServer {
        let server = SimulatedServer()
        server.options.checkpointLogBytes = Int64(4 * 64 * 1_024)
        return server
    }

    private func write(_ server: SimulatedServer, rounds: Range<UInt64>) {
        let client = server.connect(hello: .hello([.results]))
        for round in rounds {
            client.send(Make.batch(Make.blob(round + 1, "k\(round % 50)", bytes: 8_000, millis: Int64(round + 1))))
            server.run(millis: 20)
        }
    }

    @Test(arguments: [1, 3]) func `D13 a start that nothing was written after does not keep the log for ever`(
        quietStarts: Int
    ) throws {
        let server = server()
        for _ in 0..<quietStarts {
            server.start()
            server.run(millis: 500)
            server.kill()
        }
        server.start()
        write(server, rounds: 0..<200)
        server.run(millis: 30_000)
        let log = try #require(server.node).log
        #expect(log.durablePosition.rawValue > 200 * 8_000)
        #expect(log.retainedBytes <= server.options.checkpointLogBytes + 64 * 1_024)
        // What was let go is in checkpoints.
        server.cutPower()
        #expect(server.start() == nil)
        let reader = server.connect(hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        let rows = reader.received().compactMap { message in
            if case .queryResponse(let response) = message { response.results.map(\.key) } else { nil }
        }
        #expect(rows.map(\.count) == [50])
        #expect(server.failures.with { $0.isEmpty })
    }
}
