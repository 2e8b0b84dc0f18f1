import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// Partitions that are torn down and rebuilt while the node serves.
@Suite struct RestartTests {
    private static let keys = 40

    private func results(_ client: TestClient) -> [OperationResult] {
        client.received().flatMap { message -> [OperationResult] in
            if case .acknowledgement(let message) = message { return message.results ?? [] }
            return []
        }
    }

    private func restart(_ partition: Int, of server: SimulatedServer) {
        guard let node = server.node else { return }
        server.spawn { _ = await node.restart(partition: partition) }
    }

    private func health(of server: SimulatedServer) -> NodeHealth? {
        let health = Shared<NodeHealth?>(nil)
        guard let node = server.node else { return nil }
        server.spawn {
            let now = await node.health()
            health.with { $0 = now }
        }
        server.settle()
        return health.with { $0 }
    }

    /// What a new client is shown: all rows, and the root of the map.
    private func shown(_ server: SimulatedServer) -> (rows: [ByteString: Int64], root: UInt32?) {
        let reader = server.connect(hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        reader.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.run(millis: 100)
        var rows: [ByteString: Int64] = [:]
        var root: UInt32?
        for message in reader.received() {
            switch message {
            case .queryResponse(let answer):
                for row in answer.results { rows[row.key] = Make.number(row.value) }
            case .syncRoot(let answer): root = answer.rootHash
            default: break
            }
        }
        reader.cut()
        server.settle()
        return (rows, root)
    }

    @Test(arguments: 0..<24)
    func `partitions killed at any turn under load lose nothing that was acknowledged`(seed: Int) {
        var generator = SeededGenerator(seed: UInt64(seed))
        let server = SimulatedServer(seed: UInt64(seed), loops: 1 + seed % 3)
        server.options.checkpointLogBytes = 100_000
        server.start()
        let writer = server.connect(hello: .hello([.results]))
        _ = shown(server)
        var sent: [UInt64: (key: ByteString, version: Int64)] = [:]
        var known: [ByteString: Int64] = [:]
        var (id, version, refused): (UInt64, Int64, Int) = (0, 1_000, 0)
        func learn() {
            for result in results(writer) {
                guard let operation = sent.removeValue(forKey: result.id) else { continue }
                if result.isSuccess {
                    known[operation.key] = max(known[operation.key] ?? 0, operation.version)
                } else {
                    #expect(result.refusal == .notReady && result.isFinal == false, "\(result)")
                    refused += 1
                }
            }
        }
        for round in 0..<400 {
            var operations: [ClientOperation] = []
            for _ in 0..<16 {
                (id, version) = (id + 1, version + 1)
                let key = "key-\(generator.below(Self.keys))"
                operations.append(Make.put(id, key, version, millis: version))
                sent[id] = (ByteString(key), version)
            }
            writer.send(.operations(OperationBatch(operations: operations)))
            for _ in 0..<generator.below(40) { server.scheduler.runOne() }
            if round % 3 == 0 {
                let key = ByteString("key-\(generator.below(Self.keys))")
                restart(PartitionID(hash: KeyHash.of(key)).index, of: server)
            }
            for _ in 0..<generator.below(40) { server.scheduler.runOne() }
            learn()
        }
        server.run(millis: 5_000)
        learn()
        #expect(sent.isEmpty, "everything is answered")
        #expect(refused > 0 && known.count > Self.keys / 2, "seed \(seed): \(refused) refused, \(known.count) known")
        #expect(health(of: server)?.closedPartitions == [])
        let living = shown(server)
        for (key, version) in known { #expect((living.rows[key] ?? 0) >= version, "seed \(seed), \(key)") }

        // A node that comes back from the same disk shows the same.
        server.kill()
        server.start()
        let restarted = shown(server)
        #expect(living.rows == restarted.rows, "seed \(seed)")
        #expect(living.root != nil && living.root == restarted.root, "seed \(seed)")
        #expect(server.failures.with { $0.isEmpty })
    }

    @Test(arguments: [1, 3])
    func `a partition that cannot be read stays closed, and nobody is shown less than there is`(_ loops: Int) throws {
        let server = SimulatedServer(seed: 5, loops: loops)
        server.start()
        let writer = server.connect(hello: .hello([.results]))
        writer.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2)))
        server.settle()
        #expect(results(writer).count == 2)
        let before = shown(server)
        let partition = PartitionID(hash: KeyHash.of("a" as ByteString)).index
        // The log is written in whole blocks: what is damaged below must not lie in the one that it still writes.
        let others = (10..<210 as Range<UInt64>).map { id in Make.put(id, "other-\(id)", 1, map: "others") }
        writer.send(.operations(OperationBatch(operations: others)))
        server.settle()
        #expect(results(writer).count == others.count)

        // The first group of the log is unreadable for a while, and so what is behind it is not trusted either.
        let segment = try #require(server.disk.paths.first { $0.contains("/segment-") })
        let place = 512 + 104 + 40
        server.disk.flip(segment, at: place, mask: 0x55)
        restart(partition, of: server)
        server.run(millis: 500)
        let now = try #require(health(of: server))
        #expect(now.closedPartitions == [partition])
        #expect(now.detail == "partition \(partition) is being rebuilt")
        #expect(now.state == .ready)

        // Its own operations are to be tried again, those of others are taken.
        writer.send(Make.batch(Make.put(3, "a", 3, millis: 3_000_000), Make.put(4, "b", 4, millis: 3_000_000)))
        server.run(millis: 100)
        let answers = results(writer)
        #expect(answers.filter { $0.refusal == .notReady && $0.isFinal == false }.map(\.id) == [3])
        #expect(answers.filter(\.isSuccess).map(\.id) == [4])

        // Whoever looks at the whole map waits, and is told once.
        let reader = server.connect(hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        reader.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.run(millis: 500)
        #expect(
            reader.received().allSatisfy { message in
                switch message {
                case .queryResponse, .syncRoot: false
                default: true
                }
            })

        server.disk.flip(segment, at: place, mask: 0x55)
        server.run(millis: 5_000)
        #expect(health(of: server)?.closedPartitions == [])
        let told = reader.received()
        let rows = told.compactMap { message -> [ByteString]? in
            if case .queryResponse(let answer) = message { return answer.results.map(\.key).sorted() }
            return nil
        }
        #expect(rows == [["a", "b"]])
        writer.send(Make.batch(Make.put(3, "a", 3, millis: 3_000_000)))
        server.run(millis: 100)
        #expect(results(writer).map(\.isSuccess) == [true])
        #expect(before.rows == ["a": 1, "b": 2])
        #expect(shown(server).rows == ["a": 3, "b": 4])
    }

    @Test(arguments: 0..<20)
    func `what was merged and not yet on disk when a partition died is there when it is back`(turns: Int) {
        let server = SimulatedServer(seed: 6)
        server.start()
        let writer = server.connect(hello: .hello([.results]))
        let partition = PartitionID(hash: KeyHash.of("a" as ByteString)).index
        writer.send(Make.batch(Make.put(1, "a", 7)))
        for _ in 0..<turns { server.scheduler.runOne() }
        restart(partition, of: server)
        server.run(millis: 1_000)
        let answers = results(writer)
        #expect(answers.map(\.id) == [1])
        // Torn down before it came: then it was not taken.
        let isTaken = answers.first?.isSuccess == true
        #expect(isTaken || answers.first?.refusal == .notReady)
        #expect(shown(server).rows == (isTaken ? ["a": 7] : [:]))
    }
}
