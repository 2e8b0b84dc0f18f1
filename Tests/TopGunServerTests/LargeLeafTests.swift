import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// A leaf of the tree that holds more than one message does.
@Suite struct LargeLeafTests {
    private static let leaf = 0x374
    private static let keys = Array(
        (0...).lazy.map { "key-\($0)" }.filter { MerkleTree32.leaf(ofKeyHash: KeyHash.of(ByteString($0))) == leaf }
            .prefix(40))
    private static let valueBytes = 100_000

    private func fill(_ server: SimulatedServer) {
        let writer = server.connect(hello: .hello([.results]))
        for (number, key) in Self.keys.enumerated() {
            writer.send(Make.batch(Make.blob(UInt64(number + 1), key, bytes: Self.valueBytes, millis: 1_000)))
            server.settle()
        }
        writer.cut()
        server.settle()
    }

    /// The LEAF messages that came, none of them longer than one may be.
    private func leaves(_ client: TestClient) -> [SyncLeaf] {
        client.received().compactMap { message -> SyncLeaf? in
            guard case .syncLeaf(let leaf) = message else { return nil }
            let bytes = leaf.records.reduce(0) { $0 + $1.key.count + $1.record.value.bytes.count }
            #expect(bytes <= Limits.leafBytesMax + Self.valueBytes + 100)
            return leaf
        }
    }

    @Test(arguments: [1, 3], [MerklePath(leaf: leaf), .root])
    func `a leaf comes in messages of bounded size, the one that ends it last`(_ loops: Int, path: MerklePath) {
        let server = SimulatedServer(loops: loops)
        server.start()
        fill(server)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        if path == .root { client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0))) }
        client.send(.merkleRequest(MapPath(mapName: "todos", path: path)))
        server.settle()
        let messages = leaves(client)
        #expect(messages.count > 10)
        #expect(messages.flatMap(\.records).map(\.key).sorted() == Self.keys.map { ByteString($0) }.sorted())
        #expect(messages.last?.path == path)
        #expect(messages.dropLast().allSatisfy { $0.path != path })
    }

    @Test(arguments: [1, 3])
    func `a leaf that changed since comes in messages of bounded size`(_ loops: Int) throws {
        let server = SimulatedServer(loops: loops)
        server.start()
        let client = server.connect(hello: .hello([.results, .delta]))
        // So that every loop has the map.
        let others = (1...200 as ClosedRange<UInt64>).map { Make.put($0, "other-\($0)", 1) }
        client.send(.operations(OperationBatch(operations: others)))
        server.settle()
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.settle()
        let root = client.received().compactMap { if case .syncRoot(let root) = $0 { root } else { nil } }.last
        let cursor = try #require(root?.syncCursor)
        client.cut()
        fill(server)
        let again = server.connect(hello: .hello([.results, .delta]))
        _ = again.received()
        again.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 1, syncCursor: cursor)))
        server.settle()
        let messages = leaves(again)
        #expect(messages.count > 10)
        #expect(Set(messages.flatMap(\.records).map(\.key)) == Set(Self.keys.map { ByteString($0) }))
    }
}
