import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// Maps compared to the last byte (protocol.md 16, `hash128`).
@Suite struct ContentTests {
    private func server(loops: Int = 1, records: Int = 0) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        write(server, (0..<records).map { Make.put(UInt64($0 + 1), "key-\($0)", Int64($0)) })
        return server
    }

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

    private func connect(_ server: SimulatedServer, _ features: FeatureSet = [.results, .hash128]) -> (
        client: TestClient, key: SipHash128.Key?
    ) {
        let client = server.connect(hello: .hello(features))
        for message in client.received() {
            guard case .deviceAcknowledged(let greeting) = message else { continue }
            return (client, greeting.server?.hashKey?.withUnsafeBytes { SipHash128.Key(bytes: $0) })
        }
        return (client, nil)
    }

    private func root(_ client: TestClient, _ server: SimulatedServer, map: ByteString = "todos") -> SyncRoot? {
        client.send(.syncStart(SyncStart(mapName: map, lastSyncTimestamp: 5)))
        server.settle()
        for message in client.received() {
            if case .syncRoot(let root) = message { return root }
        }
        return nil
    }

    private func reference(_ operations: [ClientOperation], under key: SipHash128.Key) -> ContentTree {
        var content = ContentTree(key: key)
        for operation in operations {
            guard case .put(let record) = operation.change else { continue }
            content.add(content.digest(of: record, key: operation.key), keyHash: KeyHash.of(operation.key))
        }
        return content
    }

    @Test(arguments: [1, 3])
    func `root and buckets are the sums of the records' digests, whatever loops they are on`(_ loops: Int) throws {
        let records = 3_000
        let server = server(loops: loops, records: records)
        var operations = (0..<records).map { Make.put(nil, "key-\($0)", Int64($0)) }
        let (client, found) = connect(server)
        let key = try #require(found)
        let told = try #require(root(client, server))
        #expect(told.rootHash128 == reference(operations, under: key).root.bytes)
        // Hashed again only where something changed.
        operations[17] = Make.put(nil, "key-17", 5, millis: 2_000_000)
        operations.append(Make.put(nil, "new", 1))
        write(server, [Make.put(1, "key-17", 5, millis: 2_000_000), Make.put(2, "new", 1)])
        _ = client.received()
        let content = reference(operations, under: key)
        #expect(root(client, server)?.rootHash128 == content.root.bytes)
        client.send(.merkleRequest(MapPath(mapName: "todos", path: .root)))
        server.settle()
        let buckets = client.received().compactMap { if case .syncBuckets(let buckets) = $0 { buckets } else { nil } }
        let expected = content.buckets(at: .root).enumerated().map {
            SyncBuckets.Bucket128(digit: UInt8($0.offset), hash: $0.element.bytes)
        }
        #expect(buckets.map(\.buckets128) == [expected])
    }

    @Test func `M16 every connection has a key of its own, and hashes that say nothing to another`() throws {
        let server = server(records: 10)
        let (first, second) = (connect(server), connect(server))
        #expect(first.key != nil && second.key != nil && first.key != second.key)
        let roots = [first, second].map { root($0.client, server) }
        #expect(roots[0]?.rootHash == roots[1]?.rootHash)
        #expect(roots[0]?.rootHash128 != nil && roots[0]?.rootHash128 != roots[1]?.rootHash128)
    }

    @Test func `an empty map has an empty root, and a client without the feature hears of none`() throws {
        let server = server(records: 3)
        let (client, _) = connect(server)
        #expect(root(client, server, map: "empty")?.rootHash128 == Digest128.zero.bytes)
        let (other, key) = connect(server, [.results])
        #expect(key == nil)
        #expect(root(other, server)?.rootHash128 == nil)
    }

    @Test func `what changes while a map is hashed in slices is hashed as it is in the end`() throws {
        let server = server()
        let large = Payload([0xc6, 0, 0, 0x80, 0] + [UInt8](repeating: 7, count: 0x8000))
        func put(_ id: UInt64, _ key: String, _ millis: Int64) -> ClientOperation {
            ClientOperation(
                id: id, mapName: "todos", key: ByteString(key),
                change: .put(
                    LWWRecord(value: large, timestamp: Timestamp(millis: millis, counter: 0, node: "n1"))))
        }
        var operations = (0..<100).map { put(UInt64($0 + 1), "key-\($0)", 1) }
        for operation in operations { write(server, [operation]) }
        let (client, found) = connect(server)
        let key = try #require(found)
        let writer = server.connect(hello: .hello([.results]))
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 5)))
        for number in 0..<10 {
            operations[number] = put(UInt64(number + 1), "key-\(number)", 2)
            writer.send(.operations(OperationBatch(operations: [operations[number]])))
            for _ in 0..<3 { server.scheduler.runOne() }
        }
        server.settle()
        let roots = client.received().compactMap { if case .syncRoot(let root) = $0 { root } else { nil } }
        #expect(roots.count == 1)
        // Whichever of the writes it saw, both roots are of one moment.
        let moments = (0...10).map { seen in
            operations.enumerated().map {
                $0.offset < 10 && $0.offset >= seen ? put(1, "key-\($0.offset)", 1) : $0.element
            }
        }
        let seen = moments.filter { reference($0, under: key).root.bytes == roots.first?.rootHash128 }
        #expect(seen.count == 1)
        var tree = MerkleTree32()
        for operation in seen.first ?? [] {
            guard case .put(let record) = operation.change else { continue }
            tree.add(item: record.merkleItem(key: operation.key), keyHash: KeyHash.of(operation.key))
        }
        #expect(roots.first?.rootHash == tree.root)
    }

    @Test func `a map beyond the limit is compared by its 32-bit hashes`() throws {
        let server = server()
        let value = Payload([0xc6, 0, 0x0f, 0, 0] + [UInt8](repeating: 7, count: 0x0f_0000))
        for number in 0...(Limits.contentBytesMax / 0x0f_0000) {
            let operation = ClientOperation(
                id: UInt64(number + 1), mapName: "todos", key: ByteString("key-\(number)"),
                change: .put(LWWRecord(value: value, timestamp: Timestamp(millis: 1, counter: 0, node: "n1"))))
            write(server, [operation])
        }
        let told = root(connect(server).client, server)
        #expect(told?.rootHash128 == nil)
        #expect(told.map { $0.rootHash != 0 } == true)
    }

    @Test func `M20 hashing is paid for like operations`() {
        let server = SimulatedServer()
        server.configuration.operationsPerSecond = 1_000
        server.configuration.operationsBurst = 500
        server.start()
        write(server, (0..<3_000).map { Make.put(UInt64($0 + 1), "key-\($0)", Int64($0)) })
        let (client, _) = connect(server)
        #expect(client.isReading)
        #expect(root(client, server)?.rootHash128 != nil)
        #expect(!client.isReading, "3,000 records are more than the burst")
        server.run(millis: 1_000)
        #expect(client.isReading)
        _ = root(client, server)
        #expect(client.isReading, "nothing changed, so nothing was hashed")
    }
}
