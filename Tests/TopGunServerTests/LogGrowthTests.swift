import Testing
import TopGunModel
import TopGunSimulation
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

    @Test func `D13 starts that little is written after do not fill the directory with segments`() throws {
        let server = SimulatedServer()
        let starts = UInt64(Limits.checkpointSegments) + 40
        for start in 0..<starts {
            #expect(server.start() == nil)
            let client = server.connect(hello: .hello([.results]))
            client.send(Make.batch(Make.put(1, "k\(start % 100)", Int64(start), millis: Int64(start + 1))))
            server.run(millis: 2 * Limits.supervisorTickMillis)
            server.kill()
        }
        let segments = server.disk.paths.count { $0.contains("/segment-") }
        #expect(segments <= Limits.checkpointSegments + 2)
        #expect(server.start() == nil)
        let reader = server.connect(hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        let values = reader.received().flatMap { message -> [Int64?] in
            guard case .queryResponse(let answer) = message else { return [] }
            return answer.results.map { Make.number($0.value) }
        }
        #expect(values.compactMap { $0 }.sorted() == (starts - 100..<starts).map { Int64($0) })
    }

    @Test func `what outlives itself goes during a round of checkpoints, too`() throws {
        let server = server()
        server.start()
        // In every partition, so that a round takes its time.
        let client = server.connect(hello: .hello([.results]))
        let operations = (1...2_000 as ClosedRange<UInt64>).map { Make.put($0, "key-\($0)", 1) }
        client.send(.operations(OperationBatch(operations: operations)))
        server.run(millis: 10)
        for round in 0..<60 as Range<UInt64> {
            client.send(Make.batch(Make.blob(3_000 + round, "blob", bytes: 8_000, millis: Int64(round + 1))))
            server.run(millis: 1)
        }
        while server.counts.checkpointsWritten == 0, server.clock.monotonicNanos() < 10_000_000_000 {
            server.run(millis: 10)
        }
        let stamp = Timestamp(millis: server.clock.wallMillis(), counter: 0, node: "n1")
        client.send(
            Make.batch(
                ClientOperation(
                    id: 4_000, mapName: "todos", key: "short",
                    change: .put(LWWRecord(value: Payload([0x01]), timestamp: stamp, ttlMillis: 100)))))
        let grace: Int64 = 1_000
        while server.counts.recordsExpired == 0, server.counts.checkpointsWritten < 200 { server.run(millis: 10) }
        #expect(server.counts.recordsExpired == 1)
        #expect(server.counts.checkpointsWritten < 200)
        #expect(server.clock.wallMillis() - stamp.millis <= 100 + grace + 2 * Limits.supervisorTickMillis)
    }
}
