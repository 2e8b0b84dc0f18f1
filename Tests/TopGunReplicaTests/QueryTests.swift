import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

@Suite struct QueryTests {
    /// `{name: value}` as MessagePack.
    private func fields(_ fields: (StaticString, Int)...) -> Payload {
        let sink = ByteSink()
        let writer = MessagePackWriter(sink)
        writer.writeMapHead(fields.count)
        for (name, value) in fields {
            writer.write(name)
            writer.write(value)
        }
        return Payload(copying: sink.bytes)
    }

    private func live() throws -> (client: TestClient, map: MapID) {
        let client = try TestClient()
        let map = try client.open("todos")
        client.connect()
        client.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 0, timestamp: .server(0))))
        _ = client.takeSent()
        return (client, map)
    }

    private func set(_ key: ByteString, _ value: Payload, _ client: TestClient, _ map: MapID) throws {
        _ = try client.state.set(value, for: key, in: map, at: client.now)
        client.settle()
    }

    private func event(_ key: ByteString, _ value: Payload, _ millis: Int64) -> ServerMessage {
        .event(
            ServerEvent(
                mapName: "todos", kind: .put, key: key, record: LWWRecord(value: value, timestamp: .server(millis))))
    }

    @Test func `rows follow local writes at once, with no server`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        try set("a", fields(("done", 0)), client, map)
        try set("b", fields(("done", 1)), client, map)
        let query = try client.state.subscribe(map, whereMap: fields(("done", 0)), at: client.now)
        client.settle()
        #expect(client.state.rows(of: query).map(\.key) == ["a"])
        #expect(client.queryChanges.isEmpty, "the first rows are read, not told")
        try set("b", fields(("done", 0), ("n", 1)), client, map)
        try set("a", fields(("done", 1)), client, map)
        try set("c", fields(("done", 1)), client, map)
        #expect(
            client.queryChanges == [
                QueryChange(query: query, key: "b", value: fields(("done", 0), ("n", 1))),
                QueryChange(query: query, key: "a", value: nil),
            ])
        client.queryChanges = []
        try client.remove("b", in: map)
        #expect(client.queryChanges == [QueryChange(query: query, key: "b", value: nil)])
    }

    @Test func `rows leave when their lifetime ends`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        try client.set("a", 1, in: map, ttlMillis: 500)
        client.queryChanges = []
        client.pass(600)
        #expect(client.queryChanges == [QueryChange(query: query, key: "a", value: nil)])
    }

    @Test func `rows of an earlier run leave when their lifetime ends`() throws {
        let offline = try TestClient()
        try offline.set("a", 1, in: try offline.open("todos"), ttlMillis: 500)
        let client = try TestClient(store: offline.store)
        let map = try client.open("todos")
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        #expect(client.state.rows(of: query).map(\.key) == ["a"])
        client.pass(600)
        #expect(client.queryChanges == [QueryChange(query: query, key: "a", value: nil)])
    }

    @Test func `a query is confirmed for as long as the connection that did it`() throws {
        let (client, map) = try live()
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        #expect(!client.isConfirmed(query))
        client.receive(.queryResponse(QueryResponse(queryID: "q1", results: [])))
        #expect(client.isConfirmed(query))
        client.receive(
            .queryResponse(QueryResponse(queryID: "q1", results: [], error: "no", code: "QUERY_UNSUPPORTED")))
        #expect(!client.isConfirmed(query))
        client.receive(.queryResponse(QueryResponse(queryID: "q1", results: [])))
        client.disconnect()
        #expect(!client.isConfirmed(query))
    }

    @Test func `before the map is compared the server's answer stands in, and local writes above it`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        try client.set("mine", 1, in: map)
        client.connect()
        let rows = [QueryRow(key: "x", value: .int(7)), QueryRow(key: "y", value: .int(8))]
        client.receive(.queryResponse(QueryResponse(queryID: "q1", results: rows)))
        #expect(client.notices.contains(.queryConfirmed(query)))
        #expect(client.state.rows(of: query).map(\.key) == ["mine", "x", "y"])
        client.receive(.queryUpdate(QueryUpdate(queryID: "q1", key: "x", value: .int(9), change: .update)))
        client.receive(.queryUpdate(QueryUpdate(queryID: "q1", key: "y", value: .tombstone, change: .leave)))
        client.receive(.queryUpdate(QueryUpdate(queryID: "q1", key: "mine", value: .int(5), change: .update)))
        #expect(client.state.rows(of: query).map(\.value.int) == [1, 9])
        // Once the map is as the server's, its records are the truth.
        client.receive(.syncRoot(SyncRoot(mapName: "todos", rootHash: 9, timestamp: .server(0))))
        client.receive(
            .syncLeaf(
                SyncLeaf(mapName: "todos", path: .root, records: [KeyedRecord(key: "x", record: .server(9, 1))])))
        #expect(client.state.rows(of: query).map(\.key) == ["mine", "x"])
    }

    @Test func `a record with its stamp outweighs an older answer`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        client.connect()
        client.receive(.queryResponse(QueryResponse(queryID: "q1", results: [QueryRow(key: "x", value: .int(1))])))
        client.receive(event("x", .int(2), 5))
        client.receive(event("new", .int(3), 5))
        #expect(client.state.rows(of: query).map(\.value.int) == [3, 2])
    }

    @Test func `events move rows, and a reconnect subscribes again under the same id`() throws {
        let (client, map) = try live()
        let query = try client.state.subscribe(map, whereMap: fields(("done", 0)), at: client.now)
        client.settle()
        guard case .querySubscribe(let subscription)? = client.takeSent().first else {
            Issue.record("no QUERY_SUB")
            return
        }
        client.receive(event("a", fields(("done", 0)), 1))
        client.receive(event("a", fields(("done", 1)), 2))
        #expect(client.queryChanges.map(\.value) == [fields(("done", 0)), nil])
        #expect(client.state.rows(of: query).isEmpty)
        client.disconnect()
        client.reconnect()
        let again = client.takeSent().compactMap { message -> QuerySubscription? in
            if case .querySubscribe(let subscription) = message { subscription } else { nil }
        }
        #expect(again == [subscription])
    }

    @Test func `a query that the server refuses goes on with what is here`() throws {
        let (client, map) = try live()
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        client.receive(
            .queryResponse(QueryResponse(queryID: "q1", results: [], error: "no", code: "QUERY_UNSUPPORTED")))
        #expect(client.notices.contains(.queryRefused(query)))
        try client.set("a", 1, in: map)
        #expect(client.state.rows(of: query).count == 1)
    }

    @Test func `a filter that is no map of fields is refused`() throws {
        let (client, map) = try live()
        #expect(throws: ReplicaError(.badQuery)) {
            _ = try client.state.subscribe(map, whereMap: .int(3), at: client.now)
        }
        #expect(throws: ReplicaError(.badQuery), "what would break the frame that it goes in") {
            let twice = Payload(fields(("done", 0)).bytes + [0xc0])
            _ = try client.state.subscribe(map, whereMap: twice, at: client.now)
        }
    }
}
