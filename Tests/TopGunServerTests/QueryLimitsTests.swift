import Testing
import TopGunModel
import TopGunQuery
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// Queries that ask for more than a server does for one client.
@Suite struct QueryLimitsTests {
    private func server(loops: Int = 1) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        return server
    }

    private func answers(_ client: TestClient) -> [QueryResponse] {
        client.received().compactMap { if case .queryResponse(let answer) = $0 { answer } else { nil } }
    }

    private func ask(_ client: TestClient, _ queryID: ByteString, limit: Int64? = nil) {
        let request = QueryRequest(limit: limit)
        client.send(.querySubscribe(QuerySubscription(queryID: queryID, mapName: "todos", query: request)))
    }

    private func write(_ operations: [ClientOperation], to server: SimulatedServer) {
        let writer = server.connect(hello: .hello([.results]))
        for operation in operations {
            writer.send(Make.batch(operation))
            server.settle()
        }
        writer.cut()
        server.settle()
    }

    @Test func `a query that sorts by too many fields, or shows too many, is refused`() {
        let server = server()
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        func ask(sortFields: Int, fields: Int) {
            let sort = (0..<sortFields).map { QueryRequest.Order(field: ByteString("s\($0)")) }
            let shown = (0..<fields).map { ByteString("longer-\($0)") }
            client.send(
                .querySubscribe(
                    QuerySubscription(
                        queryID: "q", mapName: "todos", query: QueryRequest(sort: sort), fields: shown)))
            server.settle()
        }
        ask(sortFields: QueryLimits.sortFieldsMax, fields: Limits.shownFieldsMax)
        #expect(answers(client).map(\.code) == [nil])
        ask(sortFields: QueryLimits.sortFieldsMax + 1, fields: 1)
        #expect(answers(client).map(\.code) == ["TOO_LARGE"])
        ask(sortFields: 1, fields: Limits.shownFieldsMax + 1)
        #expect(answers(client).map(\.code) == ["TOO_LARGE"])
    }

    @Test func `a projection finds its fields, in whatever order they are named`() throws {
        let value: [UInt8] = [0x84, 0xa1, 0x61, 0x01, 0xa1, 0x62, 0x02, 0x07, 0x03, 0xa2, 0x61, 0x62, 0x04]
        func shown(_ names: ByteString..., of value: [UInt8]) throws -> [UInt8] {
            let sink = ByteSink()
            let fields = try FieldProjection(names)
            value.withUnsafeBytes { fields.write($0, to: sink) }
            return Array(sink.bytes)
        }
        #expect(try shown("b", "ab", "aa", of: value) == [0x82, 0xa1, 0x62, 0x02, 0xa2, 0x61, 0x62, 0x04])
        #expect(try shown("", "c", of: value) == [0x80])
        #expect(try shown("a", of: [0x05]) == [0x05])
        // What is no value goes as it is.
        #expect(try shown("a", of: [0x81, 0xa1]) == [0x81, 0xa1])
    }

    @Test(arguments: [1, 3])
    func `a scan is in many turns where the values are large`(_ loops: Int) {
        let server = server(loops: loops)
        let (count, bytes) = (120, 200_000)
        write((0..<count).map { Make.blob(UInt64($0 + 1), "k\($0)", bytes: bytes, millis: 1_000) }, to: server)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        ask(client, "q", limit: 2)
        var turns = 0
        var results: [ByteString] = []
        while results.isEmpty, turns < 1_000 {
            server.scheduler.runOne()
            turns += 1
            results = answers(client).flatMap(\.results).map(\.key)
        }
        #expect(results == ["k0", "k1"])
        #expect(turns > count * bytes / Limits.scanBytesPerTurn)
    }

    @Test(arguments: [1, 3])
    func `a window over more than an answer holds is exact`(_ loops: Int) {
        let server = server(loops: loops)
        let (count, bytes) = (100, 1_000_000)
        write((0..<count).map { Make.blob(UInt64($0 + 1), "k\($0)", bytes: bytes, millis: 1_000) }, to: server)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        ask(client, "w", limit: 3)
        server.settle()
        #expect(answers(client).map { $0.results.map(\.key) } == [["k0", "k1", "k10"]])
        ask(client, "a")
        server.settle()
        #expect(answers(client).map(\.code) == ["QUERY_SNAPSHOT_OVERFLOW"])
    }

    @Test func `an answer that fits is given, however much each loop had to offer`() {
        let server = server(loops: 3)
        // Each loop has some fifteen of them, of which the answer shows twelve in all.
        write((0..<45).map { Make.blob(UInt64($0 + 1), "k\(10 + $0)", bytes: 1_000_000, millis: 1_000) }, to: server)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        ask(client, "q", limit: 12)
        server.settle()
        #expect(answers(client).map(\.results.count) == [12])
    }
}
