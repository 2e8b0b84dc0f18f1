import Testing
import TopGunModel
import TopGunWire

@testable import TopGunReplica

@Suite struct ExpiryTests {
    @Test func `the queue grows with keys that have a lifetime, not with writes`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        for value in 0..<20_000 {
            client.advance(1)
            _ = try client.state.set(.int(value), for: "a", in: map, ttlMillis: 86_400_000, at: client.now)
        }
        #expect(client.state.expiries.count <= ReplicaLimits.voidExpiriesMax + 4)
        let keys = 2_000
        for round in 0..<10 {
            for key in 0..<keys {
                _ = try client.state.set(
                    .int(round), for: ByteString("k\(key)"), in: map, ttlMillis: 86_400_000, at: client.now)
            }
            client.advance(1)
        }
        #expect(client.state.expiries.count <= 2 * (keys + 1) + ReplicaLimits.voidExpiriesMax + 1)
    }

    @Test func `a row that is seen again because the clock went back ends again`() throws {
        let client = try TestClient()
        let map = try client.open("todos")
        let query = try client.state.subscribe(map, whereMap: nil, at: client.now)
        try client.set("a", 1, in: map, ttlMillis: 500)
        client.pass(600)
        client.queryChanges = []
        client.now.wallMillis -= 60_000
        // A comparison has the rows looked at again.
        client.connect()
        client.receive(
            .syncRoot(
                SyncRoot(mapName: "todos", rootHash: client.state.merkleRoot(of: map), timestamp: .server(0))))
        #expect(client.queryChanges == [QueryChange(query: query, key: "a", value: .int(1))])
        client.queryChanges = []
        client.answersPings = true
        client.pass(61_000)
        #expect(client.queryChanges == [QueryChange(query: query, key: "a", value: nil)])
    }

    @Test func `every value ends when its last write says, whatever was swept meanwhile`() throws {
        var dice = Dice(state: 7)
        let client = try TestClient()
        let map = try client.open("todos")
        client.state.watch(map, true)
        var ends: [ByteString: Int64] = [:]
        for _ in 0..<10_000 {
            let key = ByteString("k\(dice.below(50))")
            let lifetime = dice.oneIn(10) ? 0 : Int64(50_000 + dice.below(50_000))
            _ = try client.state.set(.int(1), for: key, in: map, ttlMillis: lifetime, at: client.now)
            let stamp = try #require(client.record(key, in: map)).timestamp
            ends[key] = lifetime > 0 ? stamp.millis + lifetime : nil
        }
        client.settle()
        client.changes = []
        var told: [ByteString: Int64] = [:]
        while let timer = client.timerMillis, client.now.steadyMillis < 300_000 {
            client.pass(max(timer - client.now.steadyMillis, 0))
            for change in client.changes { told[change.key] = client.now.wallMillis }
            client.changes = []
        }
        #expect(told == ends.mapValues { $0 + 1 })
    }
}
