import Testing
import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// Clients that have, ask or invent more than anybody needs: what it costs, and that they are served all the same.
@Suite struct GatewayLimitsTests {
    private func server(loops: Int = 1) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        return server
    }

    private func acknowledgements(_ messages: [ServerMessage]) -> [Acknowledgement] {
        messages.compactMap { if case .acknowledgement(let message) = $0 { message } else { nil } }
    }

    private func answers(_ messages: [ServerMessage]) -> [QueryResponse] {
        messages.compactMap { if case .queryResponse(let answer) = $0 { answer } else { nil } }
    }

    private func write(_ operations: [ClientOperation], to server: SimulatedServer) {
        let writer = server.connect(hello: .hello([.results]))
        for start in stride(from: 0, to: operations.count, by: 500) {
            let frame = Array(operations[start..<min(start + 500, operations.count)])
            writer.send(.operations(OperationBatch(operations: frame)))
        }
        server.settle()
        writer.cut()
        server.settle()
    }

    private func query(_ id: String, limit: Int64? = nil) -> ClientMessage {
        .querySubscribe(
            QuerySubscription(queryID: ByteString(id), mapName: "todos", query: QueryRequest(limit: limit)))
    }

    // MARK: Operations

    @Test(arguments: [1, 3])
    func `every write is acknowledged, however many of its client's are not decided`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect()
        _ = writer.received()
        let count = 2 * UInt64(Limits.undecidedRangesMax) + 100
        let operations = (1...count).map { id -> ClientOperation in
            // OR-Map operations stay with the client until it meets a server that has them.
            id % 2 == 0
                ? Make.put(id, "k\(id)", 1)
                : ClientOperation(id: id, mapName: "tags", key: "k", change: .orRemove(tag: ByteString("t\(id)")))
        }
        writer.send(.operations(OperationBatch(operations: operations)))
        server.settle()
        writer.send(Make.batch(Make.put(count + 1, "late", 1)))
        server.settle()
        #expect(writer.connection.closeCode == nil)
        var done: Set<UInt64> = []
        for message in acknowledgements(writer.received()) {
            #expect(message.lastID == 0, "operation 1 is not decided")
            for result in message.results ?? [] where result.isSuccess { done.insert(result.id) }
        }
        #expect(done == Set((1...count).filter { $0 % 2 == 0 } + [count + 1]))
    }

    // MARK: Lifetimes

    @Test(arguments: [1, 2])
    func `whatever is over is gone with the next round, however much was only put off`(_ loops: Int) {
        let server = server(loops: loops)
        let reader = server.connect(hello: .hello([.results]))
        reader.send(query("q"))
        server.settle()
        let start = server.clock.wallMillis()
        func put(_ number: Int, at millis: Int64, ttlMillis: Int64) -> ClientOperation {
            ClientOperation(
                id: UInt64(number + 1), mapName: "todos", key: ByteString("k\(number)"),
                change: .put(
                    LWWRecord(
                        value: Payload([0x01]), timestamp: Timestamp(millis: millis, counter: 0, node: "n"),
                        ttlMillis: ttlMillis)))
        }
        let count = 3 * Limits.expiryBatchMax
        write((0..<count).map { put($0, at: start, ttlMillis: 5_000) }, to: server)
        write(
            stride(from: 0, to: count, by: 10).map { put($0, at: start + 1, ttlMillis: 3_600_000) }, to: server)
        server.run(millis: start + 4_000 - server.clock.wallMillis())
        func left() -> Int {
            reader.received().count { message in
                if case .queryUpdate(let update) = message { return update.change == .leave }
                return false
            }
        }
        #expect(left() == 0)
        let grace: Int64 = 1_000
        server.run(millis: 1_000 + grace + Limits.supervisorTickMillis + 200)
        #expect(left() == count - count / 10)
    }

    // MARK: Names

    @Test(arguments: [1, 3])
    func `maps that are only asked for take no number, and their first write is told`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect(hello: .hello([.results]))
        let readers = (0..<loops).map { server.connect(to: $0, hello: .hello([.results])) }
        server.run(millis: 1_000)
        let before = maps(of: server)
        for reader in readers {
            _ = reader.received()
            for number in 0..<50 {
                reader.send(.syncStart(SyncStart(mapName: ByteString("map-\(number)"), lastSyncTimestamp: 0)))
                reader.send(
                    .querySubscribe(
                        QuerySubscription(
                            queryID: ByteString("q\(number)"), mapName: ByteString("map-\(number)"),
                            query: QueryRequest())))
            }
        }
        server.settle()
        #expect(maps(of: server) == before)
        for reader in readers { #expect(answers(reader.received()).count == 50) }
        // On every loop, so that each has the map by its first key.
        let keys = (0..<200).map { "k\($0)" }
        writer.send(
            .operations(
                OperationBatch(operations: keys.enumerated().map { Make.put(UInt64($0 + 1), $1, 1, map: "map-7") })))
        server.settle()
        #expect(maps(of: server) == before.map { $0 + 1 })
        for reader in readers {
            var (events, rows): (Set<ByteString>, Set<ByteString>) = ([], [])
            for message in reader.received() {
                switch message {
                case .event(let event): events.insert(event.key)
                case .queryUpdate(let update) where update.queryID == "q7": rows.insert(update.key)
                default: break
                }
            }
            #expect(events == Set(keys.map { ByteString($0) }))
            #expect(rows == events)
        }
        // Those who go take their interest with them, in what came and in what did not.
        for reader in readers { reader.cut() }
        server.settle()
        writer.send(
            Make.batch(Make.put(300, "k0", 2, map: "map-7", millis: 2_000_000), Make.put(301, "k0", 2, map: "map-8")))
        server.settle()
        #expect(acknowledgements(writer.received()).flatMap { $0.results ?? [] }.filter(\.isSuccess).count == 202)
    }

    /// How many maps each loop knows.
    private func maps(of server: SimulatedServer) -> [Int] {
        guard let owners = server.node?.owners else { return [] }
        let counts = owners.map { owner -> Shared<Int> in
            let count = Shared(-1)
            guard let door = (owner as? Gateway)?.door else { return count }
            door.loop.execute {
                let maps = door.value.group.state.mapCount
                count.with { $0 = maps }
            }
            return count
        }
        server.settle()
        return counts.map { $0.with { $0 } }
    }
}
