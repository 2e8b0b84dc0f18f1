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

    // MARK: Queries

    @Test(arguments: [1, 3])
    func `C13 a window is not answered anew for a client that does not read`(_ loops: Int) throws {
        let server = server(loops: loops)
        write((0..<100).map { Make.blob(UInt64($0 + 1), "k\($0)", bytes: 8_000, millis: 1_000) }, to: server)
        let slow = server.connect(hello: .hello([.flow]))
        slow.send(query("q", limit: 100))
        server.settle()
        #expect(answers(slow.received()).map(\.results.count) == [100])
        slow.connection.isStuck = true
        let writer = server.connect(hello: .hello([.results]))
        for round in 0..<100 as Range<UInt64> {
            writer.send(Make.batch(Make.blob(round + 1, "k7", bytes: 8_000 + Int(round), millis: 2_000 + Int64(round))))
            server.run(millis: Limits.windowRefreshMillis)
        }
        #expect(slow.connection.closeCode == nil)
        #expect(slow.connection.peakBytes <= Limits.answerQueueBytesMax + 1_024 * 1_024)
        // Once it reads again it is shown what there is now.
        slow.drain()
        server.run(millis: 1_000)
        let last = try #require(answers(slow.received()).last)
        guard case .put(let newest) = Make.blob(1, "k7", bytes: 8_099, millis: 1).change else {
            Issue.record("not a put")
            return
        }
        #expect(last.results.count == 100)
        #expect(last.results.first { $0.key == "k7" }?.value == newest.value)
        // And is kept up to date.
        writer.send(Make.batch(Make.remove(200, "k7", millis: 9_000)))
        server.run(millis: 1_000)
        #expect(answers(slow.received()).last?.results.count == 99)
    }

    @Test(arguments: [1, 3])
    func `M20 a thousand queries in one read are answered as fast as their client reads, each once`(_ loops: Int) {
        let server = server(loops: loops)
        write((0..<100).map { Make.blob(UInt64($0 + 1), "k\($0)", bytes: 1_000, millis: 1_000) }, to: server)
        let slow = server.connect(hello: .hello([.flow]))
        _ = slow.received()
        slow.connection.isStuck = true
        let count = Limits.queriesPerSessionMax
        let messages = (0..<count).map { number in
            let sink = ByteSink()
            query("q\(number)").encode(into: sink)
            return Array(sink.bytes)
        }
        slow.send(frames: messages)
        server.run(millis: 1_000)
        #expect(!slow.isReading)
        #expect(
            slow.connection.peakBytes <= Limits.answerQueueBytesMax + Limits.queriesAskedMax * 256 * 1_024,
            "\(slow.connection.peakBytes)")
        // Those that wait may end and begin anew.
        slow.drain()
        slow.send(.queryUnsubscribe(queryID: "q999"), .queryUnsubscribe(queryID: "q998"), query("q998"))
        server.run(millis: 1_000)
        #expect(slow.isReading)
        var seen: [ByteString: Int] = [:]
        for answer in answers(slow.received()) {
            #expect(answer.error == nil && answer.results.count == 100)
            seen[answer.queryID, default: 0] += 1
        }
        #expect(seen.count == count - 1 && seen.values.allSatisfy { $0 == 1 } && seen["q999"] == nil)
        // All of them are live, but for the one that ended.
        let writer = server.connect(hello: .hello([.results]))
        writer.send(Make.batch(Make.blob(1, "k7", bytes: 10, millis: 2_000)))
        server.run(millis: 1_000)
        let updated = slow.received().compactMap { message in
            if case .queryUpdate(let update) = message { return update.queryID }
            return nil
        }
        #expect(updated.count == count - 1 && Set(updated).count == count - 1 && !updated.contains("q999"))
    }

    // MARK: Walks

    @Test(arguments: [1, 2])
    func `a client that asks for records faster than it is sent them is not read meanwhile`(_ loops: Int) throws {
        let server = server(loops: loops)
        write((0..<500).map { Make.put(UInt64($0 + 1), "k\($0)", 1) }, to: server)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        func frames(_ range: Range<Int>, of map: ByteString) -> [[UInt8]] {
            range.map { number in
                let sink = ByteSink()
                let path = MerklePath(leaf: number % ModelLimits.merkleLeafCount)
                ClientMessage.merkleRequest(MapPath(mapName: map, path: path)).encode(into: sink)
                return Array(sink.bytes)
            }
        }
        func count(_ messages: [ServerMessage]) -> (leaves: Int, refused: Int) {
            messages.reduce(into: (0, 0)) { counts, message in
                switch message {
                case .syncLeaf: counts.0 += 1
                case .error(let error) where error.code == 429: counts.1 += 1
                default: break
                }
            }
        }
        // In reads of a size that there is, nothing is refused; they end when too much is under way.
        var (asked, pauses) = (0, 0)
        while asked < 3 * Limits.walksPause {
            if client.isReading {
                client.send(frames: frames(asked..<asked + 200, of: "todos"))
                // The next read comes after this one.
                let isRead = Shared(false)
                try #require(server.node?.owners[0] as? Gateway).door.loop.execute { isRead.with { $0 = true } }
                while !isRead.with({ $0 }) { server.scheduler.runOne() }
                asked += 200
            } else {
                pauses += 1
                try #require(pauses < 1_000_000)
                server.scheduler.runOne()
            }
        }
        server.settle()
        #expect(client.isReading && pauses > 0)
        let fair = count(client.received())
        #expect(fair.refused == 0)
        #expect(fair.leaves >= asked)

        // Where one read brings more than that, the rest is refused.
        client.send(frames: frames(0..<Limits.walksMax + 500, of: "none"))
        server.settle()
        let flood = count(client.received())
        #expect(flood.refused == 500)
        #expect(flood.leaves >= Limits.walksMax)
        #expect(client.isReading && client.connection.closeCode == nil)
    }

    // MARK: What is not served

    @Test func `a batch of entry processors is refused with fewer words than it has keys`() throws {
        let server = server()
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        let keys = (10_000..<30_000).map { ByteString("key-\($0)") }
        client.send(
            .entryProcessBatch(
                EntryProcessBatch(
                    requestID: "r", mapName: "todos", keys: keys, processor: EntryProcessor(name: "p", code: "1"))))
        server.settle()
        guard case .entryProcessBatchResponse(let response) = try #require(client.received().last) else {
            Issue.record("no answer")
            return
        }
        #expect(response.requestID == "r")
        #expect(response.results.map(\.key).sorted() == keys[..<Limits.refusedKeysMax].sorted())
        #expect(response.results.allSatisfy { !$0.result.success && $0.result.error != nil })
    }

    // MARK: Names

    @Test(arguments: [true, false])
    func `a map whose name no map can have is not watched`(isAnnounced: Bool) {
        let server = server(loops: 2)
        let client = server.connect(hello: isAnnounced ? .hello([.results]) : .deviceHello(DeviceHello()))
        _ = client.received()
        let name = ByteString(String(repeating: "m", count: WireLimits.mapNameBytesMax + 1))
        client.send(
            .syncStart(SyncStart(mapName: name, lastSyncTimestamp: 0)),
            .merkleRequest(MapPath(mapName: name, path: .root)),
            .querySubscribe(QuerySubscription(queryID: "q", mapName: name, query: QueryRequest())))
        server.run(millis: 2_000)
        let messages = client.received()
        #expect(messages.compactMap { if case .error(let error) = $0 { Int(error.code) } else { nil } } == [400, 400])
        #expect(answers(messages).map(\.code) == ["BAD_REQUEST"])
        #expect(messages.count == 3)
    }

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
