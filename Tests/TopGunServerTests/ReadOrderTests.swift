import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// What comes in one read is done in its order, whatever loops it concerns.
@Suite struct ReadOrderTests {
    private static let keys = (0..<60).map { "k\($0)" }

    private func server(_ seed: UInt64) -> (SimulatedServer, TestClient, writes: ClientMessage) {
        let server = SimulatedServer(seed: seed, loops: 3)
        server.start()
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        let operations = Self.keys.enumerated().map { Make.put(UInt64($0 + 1), $1, 1) }
        return (server, client, .operations(OperationBatch(operations: operations)))
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `a query sees the writes before it, wherever they are merged`(seed: UInt64) {
        let (server, client, writes) = server(seed)
        client.send(
            writes, .querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        let answers = client.received().compactMap { if case .queryResponse(let answer) = $0 { answer } else { nil } }
        #expect(answers.map { Set($0.results.map(\.key)) } == [Set(Self.keys.map { ByteString($0) })], "seed \(seed)")
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `a walk sees the writes before it, wherever they are merged`(seed: UInt64) {
        let (server, client, writes) = server(seed)
        client.send(writes, .merkleRequest(MapPath(mapName: "todos", path: .root)))
        server.settle()
        var keys: Set<ByteString> = []
        for case .syncLeaf(let leaf) in client.received() { keys.formUnion(leaf.records.map(\.key)) }
        #expect(keys == Set(Self.keys.map { ByteString($0) }), "seed \(seed)")
    }
}
