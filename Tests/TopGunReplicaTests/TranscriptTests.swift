import GoldenVectors
import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// The recorded conversations of the official client with this client in its place: what it says of LWW maps and queries
/// must be the same, but for what protocol.md 11 asks it to do better.
@Suite struct TranscriptTests {
    /// A scenario, message by message; notes are left out.
    private func scenario(_ name: String) throws -> [(isClient: Bool, message: JSON)] {
        let scenarios = try JSON.vectors("transcripts")["scenarios"].elements
        let scenario = try #require(scenarios.first { $0["name"].text == name })
        return scenario["messages"].elements.compactMap { line in
            line.member("from").map { ($0.text == "client", line["msg"]) }
        }
    }

    private func endState(_ name: String) throws -> JSON {
        let scenarios = try JSON.vectors("transcripts")["scenarios"].elements
        return try #require(scenarios.first { $0["name"].text == name })["endState"]
    }

    private func clientMessage(_ json: JSON) throws -> ClientMessage {
        try json.messagePack(.officialClient).withUnsafeBytes { try ClientMessage.decode($0) }
    }

    /// What the official client cannot say, and when our clock was read, is not compared.
    private func plain(_ message: ClientMessage) -> ClientMessage {
        switch message {
        case .deviceHello(let hello): return .deviceHello(DeviceHello(deviceToken: hello.deviceToken))
        case .authenticate(let authentication): return .authenticate(Authentication(token: authentication.token))
        case .operations(var batch):
            batch.concern = nil
            for index in batch.operations.indices {
                guard case .put(var record) = batch.operations[index].change else { continue }
                record.timestamp = .server(0, node: "any")
                batch.operations[index].change = .put(record)
            }
            return .operations(batch)
        default: return message
        }
    }

    private func client(token: String? = nil) throws -> TestClient {
        let client = try TestClient(node: "11111111-1111-4111-8111-111111111111", token: token)
        client.answersPings = true
        return client
    }

    private func connect(_ client: TestClient) {
        while !client.connections.contains(.open) { client.pass(10) }
        client.connections = []
        client.state.connected(at: client.now)
        client.settle()
    }

    @Test func `write and echo without authentication`() throws {
        let client = try client()
        let map = try client.open("todos")
        connect(client)
        let value = JSON.object([JSON.Member(name: "t", value: .number("1"))]).messagePack(.officialClient)
        for (isClient, json) in try scenario("write and echo without authentication") {
            if isClient {
                let expected = try clientMessage(json)
                if case .operations = expected {
                    _ = try client.state.set(Payload(value), for: "a", in: map, at: client.now)
                    client.settle()
                } else if case .deviceHello(let hello) = expected, hello.deviceToken != nil {
                    client.disconnect()
                    connect(client)
                }
                try #require(!client.sent.isEmpty, "waits for \(expected)")
                #expect(plain(client.sent.removeFirst()) == plain(expected))
            } else {
                client.receive(frame: json.messagePack())
            }
        }
        let end = try endState("write and echo without authentication")
        let stamp = end["clientRecord"]["timestamp"]
        #expect(
            client.record("a", in: map)?.timestamp
                == Timestamp(
                    millis: stamp["millis"].int, counter: stamp["counter"].uint32,
                    node: ByteString(stamp["nodeId"].text)))
        #expect(client.state.merkleRoot(of: map) == end["clientRoot"].uint32)
        #expect(client.sent.isEmpty && client.syncState == .live)
    }

    @Test func `first sync of an LWW map`() throws {
        let client = try client()
        let map = try client.open("todos")
        connect(client)
        for (isClient, json) in try scenario("first sync of an LWW map") {
            if isClient {
                try #require(!client.sent.isEmpty)
                #expect(plain(client.sent.removeFirst()) == plain(try clientMessage(json)))
            } else {
                client.receive(frame: json.messagePack())
            }
        }
        let end = try endState("first sync of an LWW map")
        #expect(client.state.merkleRoot(of: map) == end["clientRoot"].uint32)
        #expect(client.contents(of: map).keys.sorted() == end["visible"].elements.map { ByteString($0.text) })
        #expect(client.sent.isEmpty)
    }

    @Test func `connect with a token: one AUTH, then operations, queries and maps`() throws {
        let client = try client(token: "header.payload.signature")
        let todos = try client.open("todos")
        let filter = JSON.object([JSON.Member(name: "done", value: .bool(false))]).messagePack(.officialClient)
        _ = try client.state.subscribe(todos, whereMap: Payload(filter), at: client.now)
        try client.set("x", 1, in: todos)
        connect(client)
        var wasAuthSent = false
        for (isClient, json) in try scenario("connect with a token") {
            guard isClient else {
                if json["type"].text != "ORMAP_SYNC_RESP_ROOT" { client.receive(frame: json.messagePack()) }
                continue
            }
            let expected = try clientMessage(json)
            switch expected {
            case .authenticate:
                if wasAuthSent { continue }
                wasAuthSent = true
                #expect(plain(client.sent.removeFirst()) == expected)
            case .operations, .syncStart:
                try #require(!client.sent.isEmpty)
                #expect(plain(client.sent.removeFirst()) == plain(expected))
            case .querySubscribe(let subscription):
                guard case .querySubscribe(let sent) = client.sent.removeFirst() else {
                    Issue.record("no QUERY_SUB")
                    continue
                }
                #expect(sent.mapName == subscription.mapName && sent.query.equals == subscription.query.equals)
            default:
                // Topics and OR-Maps are not of this client yet.
                continue
            }
        }
        #expect(client.pendingCount == 0)
    }

    @Test func `a live query takes the snapshot, then changes`() throws {
        let client = try client()
        let map = try client.open("todos")
        let filter = JSON.object([JSON.Member(name: "open", value: .bool(true))]).messagePack()
        let query = try client.state.subscribe(map, whereMap: Payload(filter), at: client.now)
        connect(client)
        var states: [[ByteString]] = []
        for (isClient, json) in try scenario("live query") where !isClient {
            var json = json
            if let payload = json.member("payload"), payload.member("queryId") != nil {
                json = .object([
                    JSON.Member(name: "type", value: json["type"]),
                    JSON.Member(
                        name: "payload",
                        value: .object(
                            payload.members.map { member in
                                member.name == "queryId"
                                    ? JSON.Member(name: "queryId", value: .string("q1")) : member
                            })),
                ])
            }
            client.receive(frame: json.messagePack())
            states.append(client.state.rows(of: query).map(\.key))
        }
        #expect(states == [[], ["a"], ["a", "b"], ["a", "b"], ["a"]])
        client.sent = []
        client.state.unsubscribe(query, at: client.now)
        client.settle()
        #expect(client.sent == [.queryUnsubscribe(queryID: "q1")])
    }
}
