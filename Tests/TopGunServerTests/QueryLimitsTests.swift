import Testing
import TopGunModel
import TopGunQuery
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
}
