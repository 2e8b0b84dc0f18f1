import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// A node whose disk is full: what it refuses, what it takes, and what comes of it.
@Suite struct FullDiskTests {
    /// Writes large values, each under an id of its own, until one is refused; returns the next free id.
    private func fill(_ server: SimulatedServer, _ client: TestClient, from first: UInt64) -> UInt64 {
        server.disk.faults.capacityBytes = server.disk.usedBytes
        var id = first
        while id < first + 2_000 {
            client.send(Make.batch(Make.blob(id, "blob-\(id % 7)", bytes: 4_000, millis: Int64(id))))
            server.run(millis: 1)
            id += 1
            if results(client).contains(where: { $0.refusal == .nodeFull }) { return id }
        }
        Issue.record("the disk never became full")
        return id
    }

    private func results(_ client: TestClient) -> [OperationResult] {
        client.received().flatMap { message -> [OperationResult] in
            if case .acknowledgement(let message) = message { return message.results ?? [] }
            return []
        }
    }

    @Test(arguments: [1, 3])
    func `D01 B13: a batch on a full disk is refused its writes and keeps its removals`(_ loops: Int) {
        let server = SimulatedServer(seed: 2, loops: loops)
        server.start()
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        client.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2), Make.put(3, "c", 3)))
        server.settle()
        #expect(results(client).count == 3)
        let id = fill(server, client, from: 10)

        client.send(
            Make.batch(
                Make.put(id, "d", 4), Make.remove(id + 1, "a"), Make.put(id + 2, "e", 5), Make.remove(id + 3, "b")))
        server.run(millis: 10)
        let answers = results(client)
        #expect(answers.filter { $0.refusal == .nodeFull }.map(\.id).sorted() == [id, id + 2])
        let removed = answers.filter(\.isSuccess)
        #expect(removed.map(\.id).sorted() == [id + 1, id + 3])
        #expect(removed.allSatisfy { $0.level == .replicated })
        #expect(answers.allSatisfy { $0.isFinal != true })

        // A crash keeps the removals, and whoever comes back with room for it may write.
        server.cutPower()
        server.disk.faults.capacityBytes = nil
        server.start()
        let reader = server.connect(hello: .hello([.results]))
        #expect(rows(server, reader).isDisjoint(with: ["a", "b", "d", "e"]))
        #expect(rows(server, reader).contains("c"))
        reader.send(Make.batch(Make.put(1, "d", 4)))
        server.run(millis: 10)
        #expect(results(reader).map(\.isSuccess) == [true])
    }

    @Test func `D01 B13: removals are refused once the reserve is used up, and taken before writes when there is room`()
    {
        let server = SimulatedServer(seed: 3)
        server.start()
        let client = server.connect(hello: .hello([.results]))
        var id = fill(server, client, from: 10)
        var taken = 0
        while taken < 5_000 {
            client.send(Make.batch(Make.remove(id, "gone-\(id)")))
            server.run(millis: 1)
            id += 1
            if results(client).contains(where: { $0.refusal == .nodeFull }) { break }
            taken += 1
        }
        #expect(taken > 100 && taken < 5_000, "\(taken) removals were taken")
        server.disk.faults.capacityBytes = server.disk.usedBytes + 64 * 1_024
        server.run(millis: 1_000)
        client.send(Make.batch(Make.remove(id, "x"), Make.put(id + 1, "y", 1)))
        server.run(millis: 10)
        let answers = results(client)
        #expect(answers.filter(\.isSuccess).map(\.id) == [id])
        #expect(answers.filter { $0.refusal == .nodeFull }.map(\.id) == [id + 1])
        server.disk.faults.capacityBytes = nil
        server.run(millis: 1_000)
        client.send(Make.batch(Make.put(id + 2, "y", 1)))
        server.run(millis: 10)
        #expect(results(client).map(\.isSuccess) == [true])
        #expect(server.failures.with { $0.isEmpty })
    }

    @Test(arguments: [1, 3])
    func `D01 B13: what outlives itself on a full disk is hidden, and leaves the reserve to removals`(_ loops: Int) {
        let server = SimulatedServer(seed: 4, loops: loops)
        server.start()
        let client = server.connect(hello: .hello([.results]))
        let now = server.clock.wallMillis()
        let lifetime: Int64 = 5_000
        let short = (0..<4_000).map { number -> ClientOperation in
            let stamp = Timestamp(millis: now, counter: 0, node: "n1")
            return ClientOperation(
                id: UInt64(number + 1), mapName: "todos", key: ByteString("short-\(number)"),
                change: .put(LWWRecord(value: Payload([0x01]), timestamp: stamp, ttlMillis: lifetime)))
        }
        for start in stride(from: 0, to: short.count, by: 500) {
            client.send(.operations(OperationBatch(operations: Array(short[start..<start + 500]))))
            server.run(millis: 10)
        }
        client.send(Make.batch(Make.put(5_000, "a", 1)))
        server.run(millis: 10)
        #expect(results(client).filter(\.isSuccess).count == short.count + 1)
        let id = fill(server, client, from: 6_000)

        server.run(millis: 3 * lifetime)
        let seen = rows(server, client)
        #expect(seen.contains("a"))
        #expect(!seen.contains { $0.bytes.starts(with: Array("short".utf8)) })
        client.send(Make.batch(Make.remove(id, "a")))
        server.run(millis: 10)
        #expect(results(client).map(\.isSuccess) == [true])

        // Once there is room they go for good.
        server.disk.faults.capacityBytes = nil
        server.run(millis: 20_000)
        #expect(server.counts.recordsExpired == short.count)
    }

    private func rows(_ server: SimulatedServer, _ client: TestClient) -> Set<ByteString> {
        client.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        for case .queryResponse(let answer) in client.received() { return Set(answer.results.map(\.key)) }
        return []
    }
}
