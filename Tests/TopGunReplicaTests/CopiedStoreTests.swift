import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// One store on two devices: both make the same stamps, until the servers tell one of them (C06).
@Suite struct CopiedStoreTests {
    private func connected() throws -> (client: TestClient, map: MapID) {
        let client = try TestClient()
        let map = try client.open("todos")
        client.connect()
        _ = client.takeSent()
        return (client, map)
    }

    private static func ack(_ results: OperationResult...) -> ServerMessage {
        .acknowledgement(Acknowledgement(lastID: results.map(\.id).max() ?? 0, results: results))
    }

    private static func result(_ id: UInt64) -> OperationResult {
        OperationResult(id: id, level: .replicated)
    }

    private static func conflict(_ id: UInt64) -> OperationResult {
        var result = OperationResult(id: id, level: .fireAndForget)
        result.refusal = .replicaIDConflict
        return result
    }

    @Test func `a copied store gets a node id of its own and loses no edit (C06)`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        client.receive(Self.ack(Self.conflict(1)))
        let again = client.takeSent().operations
        #expect(again.last?.id == 1)
        let stamp = try #require(again.last?.record).timestamp
        #expect(stamp.node != "client-a" && stamp.node == client.node)
        #expect(client.value("a", in: map) == 1)
        client.receive(Self.ack(Self.result(1)))
        let restarted = try TestClient(store: client.store)
        #expect(restarted.node == stamp.node, "and keeps it")
    }

    @Test func `a write refused for its node id does not come to be newer than what this device wrote over it (C06)`()
        throws
    {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        let old = try #require(client.record("a", in: map)).timestamp
        try client.set("a", 2, in: map)
        client.receive(Self.ack(Self.conflict(1), Self.result(2)))
        let again = try #require(client.takeSent().operations.last)
        #expect(again.id == 1)
        let record = try #require(again.record)
        #expect(record.timestamp == Timestamp(millis: old.millis, counter: old.counter, node: client.node))
        #expect(client.value("a", in: map) == 2)
        // With its clock set back, the next run still stamps nothing as that.
        client.receive(Self.ack(Self.result(1)))
        var later = client.now
        later.wallMillis = old.millis
        let next = try TestClient(store: client.store, now: later)
        let todos = try next.open("todos")
        try next.set("b", 3, in: todos)
        #expect(try #require(next.record("b", in: todos)).timestamp > record.timestamp)
    }

    @Test func `what another device wrote under our stamp hides nothing, and who loses to it is told (C06, K08)`()
        throws
    {
        // Any new node id is lower.
        let client = try TestClient(node: "~")
        let map = try client.open("todos")
        client.connect()
        let write = try client.set("a", 1, in: map)
        let losing = try #require(client.record("a", in: map))
        let other = LWWRecord(value: .int(2), timestamp: losing.timestamp, ttlMillis: 0)
        client.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: other)))
        #expect(client.value("a", in: map) == 1, "it waits for the verdict")
        client.receive(Self.ack(Self.conflict(1)))
        let renamed = try #require(client.takeSent().operations.last?.record)
        #expect(renamed.timestamp < other.timestamp && client.value("a", in: map) == 2)
        var superseded = Self.result(1)
        superseded.isSuperseded = true
        client.receive(Self.ack(superseded))
        #expect(client.outcomes(of: write).contains(.superseded(losing: renamed, winning: other)))
        #expect(client.record("a", in: map) == other && client.pendingCount == 0)
    }

    @Test func `a write that restored servers took stands, whatever was there under its stamp before`() throws {
        let (client, map) = try connected()
        try client.set("a", 1, in: map)
        let own = try #require(client.record("a", in: map))
        let other = LWWRecord(value: .int(2), timestamp: own.timestamp, ttlMillis: 0)
        client.receive(.event(ServerEvent(mapName: "todos", kind: .put, key: "a", record: other)))
        client.receive(Self.ack(Self.result(1)))
        #expect(client.record("a", in: map) == own && client.pendingCount == 0)
    }

    @Test func `two copies of one store keep both sets of edits (C06)`() throws {
        let original = try TestClient(seed: 1)
        try original.set("shared", 0, in: try original.open("todos"))
        let server = ModelServer(wallMillis: TestClient.start.wallMillis)
        // The server knows the first one's stamps; the copy makes the same ones for other content.
        server.refuse = { operation in
            guard case .put(let record) = operation.change, let known = server.maps["todos"]?[operation.key] else {
                return nil
            }
            return known.timestamp == record.timestamp && known.value != record.value ? .replicaIDConflict : nil
        }
        let copies = try [3, 4].map { seed in
            try TestClient(store: original.store, node: "unused", seed: UInt64(seed))
        }
        for (index, copy) in copies.enumerated() {
            let map = try copy.open("todos")
            try copy.set("edit", 10 + index, in: map)
            try copy.set(ByteString("only-\(index)"), 20 + index, in: map)
            copy.state.connected(at: copy.now)
            copy.settle()
            let session = server.connect()
            for _ in 0..<20 {
                for frame in copy.frames { try server.receive(frame, from: session) }
                copy.frames = []
                for frame in server.takeFrames(session) { copy.receive(frame: frame) }
            }
            #expect(copy.pendingCount == 0)
        }
        #expect(copies[0].node != copies[1].node)
        #expect(Set((server.maps["todos"] ?? [:]).keys) == ["shared", "edit", "only-0", "only-1"])
        for value in [0, 10] { #expect(server.effects[.int(value)] == 1, "\(value)") }
        // At the same place and time one of both stands, as the node ids say.
        let stands = try #require(server.maps["todos"]?["edit"])
        let isNewer = copies[0].node < copies[1].node
        #expect(stands.value == .int(isNewer ? 11 : 10) && stands.timestamp.node == copies[isNewer ? 1 : 0].node)
    }
}
