import Testing
import TopGunModel
import TopGunSimulation
import TopGunStorage
import TopGunWire

@testable import TopGunServer

/// What only clients have after the server's data was restored (protocol.md 16, `pull`).
@Suite struct PullTests {
    private static let features: FeatureSet = [.results, .pull]

    private func write(_ server: SimulatedServer, _ operations: [ClientOperation]) {
        let writer = server.connect(hello: .hello([.results]))
        for start in stride(from: 0, to: operations.count, by: 500) {
            let batch = Array(operations[start..<min(start + 500, operations.count)])
            writer.send(.operations(OperationBatch(operations: batch)))
        }
        server.settle()
        writer.cut()
        server.settle()
    }

    /// A server with so many records whose data was restored once.
    private func restored(_ count: Int, loops: Int = 1) throws
        -> SimulatedServer
    {
        let server = SimulatedServer(loops: loops)
        server.start()
        write(server, (0..<count).map { Make.put(UInt64($0 + 1), "key-\($0)", 1) })
        server.kill()
        _ = try Salvage.run(path: "/data", disk: server.disk, entropy: SeededEntropy(seed: 5))
        server.disk.processKill()
        #expect(server.start() == nil)
        return server
    }

    /// A client that walks and gives what it is asked for.
    private struct Holder {
        var records: [ByteString: LWWRecord] = [:]
        var tree = MerkleTree32()
        var pulls: [MerklePath] = []
        var pushed = 0
        var root: UInt32?
        var others: [ServerMessage] = []

        mutating func hold(_ key: ByteString, _ record: LWWRecord) {
            let hash = KeyHash.of(key)
            if let old = records[key] {
                guard record.replaces(old, tie: .repeatChangesNothing) else { return }
                tree.remove(item: old.merkleItem(key: key), keyHash: hash)
            }
            tree.add(item: record.merkleItem(key: key), keyHash: hash)
            records[key] = record
        }

        mutating func converse(_ client: TestClient, _ server: SimulatedServer) {
            for _ in 0..<10_000 {
                let messages = client.received()
                if messages.isEmpty { return }
                for message in messages { answer(message, client) }
                server.settle()
            }
        }

        private mutating func answer(_ message: ServerMessage, _ client: TestClient) {
            switch message {
            case .syncRoot(let root):
                self.root = root.rootHash
                if root.rootHash != tree.root {
                    client.send(.merkleRequest(MapPath(mapName: root.mapName, path: .root)))
                }
            case .syncBuckets(let buckets):
                for bucket in buckets.buckets {
                    let child = buckets.path.child(Int(bucket.digit))
                    guard tree.hash(at: child) != bucket.hash else { continue }
                    client.send(.merkleRequest(MapPath(mapName: buckets.mapName, path: child)))
                }
            case .syncLeaf(let leaf): for keyed in leaf.records { hold(keyed.key, keyed.record) }
            case .merklePull(let request):
                pulls.append(request.path)
                let found = records.filter { request.path.contains(keyHash: KeyHash.of($0.key)) }
                    .map { KeyedRecord(key: $0.key, record: $0.value) }
                pushed += found.count
                client.send(
                    .merklePush(SyncLeaf(mapName: request.mapName, path: request.path, records: found)))
            default: others.append(message)
            }
        }
    }

    private func record(_ value: Int64, millis: Int64 = 1_000_000, node: String = "n1") -> LWWRecord? {
        guard case .put(let record) = Make.put(nil, "", value, millis: millis, node: node).change else { return nil }
        return record
    }

    private func holder(of count: Int) throws -> Holder {
        var holder = Holder()
        for number in 0..<count { holder.hold(ByteString("key-\(number)"), try #require(record(1))) }
        return holder
    }

    private func connect(_ server: SimulatedServer, _ features: FeatureSet = PullTests.features) -> TestClient {
        let client = server.connect(hello: .hello(features))
        _ = client.received()
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 5)))
        server.settle()
        return client
    }

    private func rows(_ server: SimulatedServer) -> [ByteString: Int64] {
        let reader = server.connect(hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        var rows: [ByteString: Int64] = [:]
        for message in reader.received() {
            guard case .queryResponse(let response) = message else { continue }
            for row in response.results { rows[row.key] = Make.number(row.value) }
        }
        reader.cut()
        server.settle()
        return rows
    }

    @Test(arguments: [1, 3], [0, 100, 3_000])
    func `B07 what a restored server lost it gets back from a client, whoever wrote it`(_ loops: Int, _ count: Int)
        throws
    {
        let server = try restored(count, loops: loops)
        let reader = connect(server, [.results])
        _ = reader.received()
        var holder = try holder(of: count)
        for number in 0..<50 { holder.hold(ByteString("lost-\(number)"), try #require(record(7, node: "n2"))) }
        holder.hold("key-1", try #require(record(2, millis: 2_000_000, node: "n3")))
        holder.hold(
            "key-2", LWWRecord(value: .tombstone, timestamp: Timestamp(millis: 2_000_000, counter: 0, node: "n3")))
        let client = connect(server)
        holder.converse(client, server)
        #expect(!holder.pulls.isEmpty && Set(holder.pulls).count == holder.pulls.count)
        #expect(holder.others.isEmpty, "a push is answered by nothing")
        if count == 3_000 { #expect(holder.pushed < 1_000, "only below paths that differ: \(holder.pushed)") }
        let rows = rows(server)
        #expect(rows["key-1"] == 2 && rows["key-2"] == nil && rows["lost-49"] == 7)
        #expect(rows.count == holder.records.count - 1)
        let heard = reader.received().compactMap { if case .event(let event) = $0 { event.key } else { nil } }
        #expect(heard.count == 52 && Set(heard).count == 52, "others hear of exactly what was learned")
        server.run(millis: Limits.rootAfterPushMillis + 100)
        holder.converse(client, server)
        #expect(holder.root == holder.tree.root, "both see that they have the same")

        server.kill()
        #expect(server.start() == nil)
        #expect(self.rows(server) == rows, "and it is on disk")
    }

    @Test func `without a restore nobody is asked, and what nobody asked for is not taken`() throws {
        let server = SimulatedServer()
        server.start()
        write(server, [Make.put(1, "a", 1)])
        var holder = Holder()
        holder.hold("b", try #require(record(2)))
        let client = connect(server)
        holder.converse(client, server)
        #expect(holder.pulls.isEmpty)
        client.send(
            .merklePush(
                SyncLeaf(
                    mapName: "todos", path: .root,
                    records: [KeyedRecord(key: "b", record: try #require(record(2)))])))
        server.settle()
        let errors = client.received().compactMap { if case .error(let error) = $0 { error.code } else { nil } }
        #expect(errors == [400])
        #expect(rows(server) == ["a": 1])
    }

    @Test func `M18 what is pushed passes the checks of a write`() throws {
        let server = try restored(3)
        let client = connect(server)
        client.send(.merkleRequest(MapPath(mapName: "todos", path: .root)))
        server.settle()
        let asked = client.received().compactMap { if case .merklePull(let request) = $0 { request } else { nil } }
        #expect(asked == [MapPath(mapName: "todos", path: .root)])
        func push(_ map: ByteString, _ key: ByteString, _ record: LWWRecord?, below path: MerklePath = .root) throws {
            client.send(
                .merklePush(
                    SyncLeaf(
                        mapName: map, path: path, records: [KeyedRecord(key: key, record: try #require(record))])))
        }
        try push("_topgun_devices", "x", record(1))
        try push("notes", "x", record(1))
        try push("todos", "x", record(1), below: MerklePath(leaf: 7))
        try push("todos", "future", record(1, millis: server.clock.wallMillis() + 3_600_000))
        try push("todos", "nobody", record(1, node: "a:b"))
        try push("todos", "key-1", record(9, millis: 1))
        try push("todos", "key-2", record(9))
        try push("todos", "good", record(5))
        server.settle()
        #expect(rows(server) == ["key-0": 1, "key-1": 1, "key-2": 1, "good": 5])
        let acknowledged = client.received().contains { if case .acknowledgement = $0 { true } else { false } }
        #expect(!acknowledged)
    }

    @Test func `a client that does not know the feature is not asked`() throws {
        let server = try restored(3)
        var holder = try holder(of: 5)
        holder.converse(connect(server, [.results]), server)
        #expect(holder.pulls.isEmpty)
        #expect(rows(server).count == 3)
    }
}
