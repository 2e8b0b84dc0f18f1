import Crypto
import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

@Suite struct QueryCursorTests {
    private static let query = QueryRequest(sort: [QueryRequest.Order(field: "n")], limit: 3)

    @Test func `a cursor is read for the question and by the process that made it, whole, and by no other`() throws {
        let key = SymmetricKey(data: [UInt8](repeating: 1, count: 32))
        let question = QueryCursor.Question("todos", in: "", Self.query)
        let cursor = try #require(QueryCursor(after: "some\u{0}key", madeMillis: 1_234_567_890_123))
        let text = cursor.text(for: question, signedWith: key)
        #expect(QueryCursor(text, for: question, signedWith: key) == cursor)
        #expect(
            QueryCursor(text, for: question, signedWith: SymmetricKey(data: [UInt8](repeating: 2, count: 32))) == nil)
        var limited = Self.query
        limited.limit = 7
        #expect(QueryCursor.Question("todos", in: "", limited) == question, "pages may change their size")
        var others = [
            QueryCursor.Question("other", in: "", Self.query), QueryCursor.Question("todos", in: "t", Self.query),
        ]
        var changed = Self.query
        changed.sort[0].isDescending = true
        others.append(QueryCursor.Question("todos", in: "", changed))
        changed = Self.query
        changed.equals = Payload([0x80])
        others.append(QueryCursor.Question("todos", in: "", changed))
        changed = Self.query
        changed.predicate = Payload([0x80])
        others.append(QueryCursor.Question("todos", in: "", changed))
        for other in others { #expect(QueryCursor(text, for: other, signedWith: key) == nil) }
        for index in text.bytes.indices {
            var bytes = text.bytes
            bytes[index] = bytes[index] == UInt8(ascii: "0") ? UInt8(ascii: "1") : UInt8(ascii: "0")
            #expect(QueryCursor(ByteString(bytes), for: question, signedWith: key) == nil)
            #expect(QueryCursor(ByteString(Array(bytes[..<index])), for: question, signedWith: key) == nil)
        }
        for nonsense in ["", "0", "zz", "00", String(repeating: "0", count: 200), "é"] {
            #expect(QueryCursor(ByteString(nonsense), for: question, signedWith: key) == nil)
        }
        #expect(QueryCursor(after: ByteString([UInt8](repeating: 1, count: 4_097)), madeMillis: 0) == nil)
    }

    private func server(_ loops: Int, rows: Int) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        let writer = server.connect(hello: .hello([.results]))
        writer.send(
            .operations(
                OperationBatch(
                    operations: (0..<rows).map { Make.put(UInt64($0 + 1), "key-\($0)", Int64($0 % 10)) })))
        server.settle()
        return server
    }

    /// Asks under an id, and takes the answer.
    private func ask(
        _ client: TestClient, _ server: SimulatedServer, _ id: String, _ query: QueryRequest, map: String = "todos"
    ) -> QueryResponse? {
        client.send(
            .querySubscribe(QuerySubscription(queryID: ByteString(id), mapName: ByteString(map), query: query)))
        server.run(millis: 10)
        for case .queryResponse(let answer) in client.received() where answer.queryID == ByteString(id) {
            return answer
        }
        return nil
    }

    @Test(arguments: [1, 3], [[], [QueryRequest.Order(field: "_key", isDescending: true)]])
    func `pages hold every row once, in order, to the last`(_ loops: Int, _ sort: [QueryRequest.Order]) throws {
        let server = server(loops, rows: 100)
        let client = server.connect(hello: .hello([.results]))
        var keys: [ByteString] = []
        var cursor: ByteString?
        for page in 0..<20 {
            let answer = try #require(
                ask(client, server, "p\(page)", QueryRequest(sort: sort, limit: 7, cursor: cursor)))
            #expect(
                answer.error == nil && answer.cursorStatus == (page == 0 ? QueryResponse.CursorStatus.none : .valid))
            keys += answer.results.map(\.key)
            client.send(.queryUnsubscribe(queryID: ByteString("p\(page)")))
            #expect((answer.nextCursor != nil) == (answer.hasMore == true))
            cursor = answer.nextCursor
            if cursor == nil { break }
        }
        let expected = (0..<100).map { ByteString("key-\($0)") }.sorted()
        #expect(keys == (sort.isEmpty ? expected : expected.reversed()))
        // Without a limit nobody asked for pages.
        #expect(try #require(ask(client, server, "all", QueryRequest(sort: sort))).nextCursor == nil)
    }

    @Test func `a cursor that is no good any more begins anew and says why`() throws {
        let server = server(1, rows: 20)
        let client = server.connect(hello: .hello([.results]))
        let first = try #require(ask(client, server, "a", QueryRequest(limit: 5)))
        let cursor = try #require(first.nextCursor)
        for (text, query) in [
            ("nonsense" as ByteString, QueryRequest(limit: 5)),
            (cursor, QueryRequest(sort: [QueryRequest.Order(field: "_key", isDescending: true)], limit: 5)),
        ] {
            var query = query
            query.cursor = text
            let answer = try #require(ask(client, server, "b", query))
            #expect(answer.cursorStatus == .invalid && answer.results.count == 5 && answer.error == nil)
        }
        #expect(
            try #require(ask(client, server, "o", QueryRequest(limit: 5, cursor: cursor), map: "other")).cursorStatus
                == .invalid)
        let good = try #require(ask(client, server, "c", QueryRequest(limit: 5, cursor: cursor)))
        #expect(good.cursorStatus == .valid && Set(good.results.map(\.key)).isDisjoint(with: first.results.map(\.key)))
        client.send(.ping(timestamp: 1))
        for _ in 0..<12 {
            server.run(millis: 51_000)
            client.send(.ping(timestamp: 1))
        }
        _ = client.received()
        let late = try #require(ask(client, server, "d", QueryRequest(limit: 5, cursor: cursor)))
        #expect(late.cursorStatus == .expired && late.results == first.results)

        // And one of another life of the node.
        server.kill()
        server.start()
        let again = server.connect(hello: .hello([.results]))
        let other = try #require(ask(again, server, "e", QueryRequest(limit: 5, cursor: cursor)))
        #expect(other.cursorStatus == .invalid && other.results == first.results)
    }

    @Test func `a page follows the changes within it, and hears of none outside`() throws {
        let server = server(1, rows: 10)
        let client = server.connect(hello: .hello([.results]))
        let first = try #require(ask(client, server, "a", QueryRequest(limit: 5)))
        client.send(.queryUnsubscribe(queryID: "a"))
        let second = try #require(ask(client, server, "b", QueryRequest(limit: 3, cursor: first.nextCursor)))
        #expect(second.results.map(\.key) == ["key-5", "key-6", "key-7"])
        let writer = server.connect(hello: .hello([.results]))
        writer.send(Make.batch(Make.put(1, "key-0", 99, millis: 5_000_000), Make.remove(2, "key-6", millis: 5_000_000)))
        server.run(millis: 200)
        let rows = client.received().compactMap { message -> [ByteString]? in
            if case .queryResponse(let answer) = message { return answer.results.map(\.key) }
            return nil
        }
        #expect(rows.last == ["key-5", "key-7", "key-8"])
    }
}
