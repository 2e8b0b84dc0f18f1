import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// A disk whose sync does not return for a while: what waits for it, what does not, and who is told (protocol.md 3.5).
@Suite struct HangingDiskTests {
    private func server(loops: Int = 1) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        return server
    }

    private func acknowledgements(_ messages: [ServerMessage]) -> [Acknowledgement] {
        messages.compactMap { if case .acknowledgement(let message) = $0 { message } else { nil } }
    }

    private func results(_ messages: [ServerMessage]) -> [OperationResult] {
        acknowledgements(messages).flatMap { $0.results ?? [] }
    }

    private func events(_ messages: [ServerMessage]) -> [ByteString] {
        messages.compactMap { if case .event(let event) = $0 { event.key } else { nil } }
    }

    @Test(arguments: [1, 3])
    func `D04 a hanging sync delays what it would reveal, and nothing else`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect(hello: .hello([.results]))
        let reader = server.connect(to: loops - 1, hello: .hello([.results]))
        let quiet = server.connect(to: loops - 1, hello: .hello([.results]))
        reader.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.settle()
        for client in [writer, reader, quiet] { _ = client.received() }

        server.setDiskHanging(true)
        writer.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2), Make.put(3, "c", 3)))
        server.settle()
        #expect(writer.received() == [])
        #expect(reader.received() == [], "what is not on disk is not shown")
        // Heartbeats, early acknowledgements and new clients go on, for as long as it takes.
        writer.send(.ping(timestamp: 1))
        quiet.send(.ping(timestamp: 2))
        writer.send(Make.batch(Make.put(4, "d", 4), concern: .memory))
        server.settle()
        let early = writer.received()
        #expect(early.contains { if case .pong(1, _) = $0 { true } else { false } })
        #expect(results(early).map(\.level) == [.memory])
        #expect(quiet.received().contains { if case .pong(2, _) = $0 { true } else { false } })
        let late = server.connect()
        server.run(millis: Limits.devicePatienceMillis + 1)
        #expect(late.received() == [.deviceAcknowledged(Greeting())], "greeted, without a new identity")
        server.run(millis: 4_000)
        #expect(writer.received() == [])

        server.setDiskHanging(false)
        server.settle()
        let answers = writer.received()
        #expect(results(answers).map(\.isSuccess) == [true, true, true])
        #expect(results(answers).allSatisfy { $0.level == .replicated })
        #expect(Set(events(reader.received())) == ["a", "b", "c", "d"])
    }

    @Test(arguments: [1, 3])
    func `D04 what cannot be taken at present is told at once, and only once`(_ loops: Int) {
        let server = server(loops: loops)
        let known = server.connect(hello: .hello([.results]))
        let official = server.connect(hello: nil)
        for client in [known, official] { _ = client.received() }
        server.setDiskHanging(true)
        for client in [known, official] {
            client.send(
                Make.batch(Make.put(1, "a", 1)), Make.batch(Make.orRemove(2, "b")), Make.batch(Make.put(3, "c", 3)))
        }
        server.settle()
        let told = acknowledgements(known.received())
        #expect(told.map(\.lastID) == [0] && told.map(\.level) == [.fireAndForget], "covers nothing")
        #expect(told.flatMap { $0.results ?? [] }.map { [$0.id: $0.refusal] } == [[2: .notReady]])
        let apologies = official.received()
        #expect(apologies.count == 1)
        #expect(apologies.allSatisfy { if case .error(let error) = $0 { error.code == 503 } else { false } })

        server.setDiskHanging(false)
        server.settle()
        let done = acknowledgements(known.received())
        #expect(done.map(\.lastID) == [1, 1], "what was refused is not covered")
        let results = done.flatMap { $0.results ?? [] }
        #expect(results.map(\.id).sorted() == [1, 3] && results.allSatisfy { $0.isSuccess })
        let covered = official.received()
        #expect(acknowledgements(covered).map(\.lastID) == [1, 1])
        #expect(!covered.contains { if case .error = $0 { true } else { false } })
    }

    @Test func `D04 a client that can tell not yet from no is told how far its writes have come`() {
        let server = server()
        let writer = server.connect(hello: .hello([.results]))
        _ = writer.received()
        server.setDiskHanging(true)
        writer.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2, concern: .fireAndForget)))
        server.run(millis: Limits.concernTimeoutMillis - 100)
        #expect(writer.received() == [])
        server.run(millis: 1_000)
        let told = acknowledgements(writer.received())
        #expect(told.count == 1)
        #expect(told.first?.lastID == 0, "covers nothing")
        var expected = OperationResult(id: 1, level: .memory)
        expected.isSuccess = false
        expected.isFinal = false
        expected.error = told.first?.results?.first?.error
        #expect(expected.error != nil && expected.isNotYet)
        #expect(told.first?.results == [expected])
        server.run(millis: 20_000)
        #expect(acknowledgements(writer.received()).isEmpty, "once")

        server.setDiskHanging(false)
        server.settle()
        let answer = acknowledgements(writer.received())
        #expect(answer.map(\.lastID) == [2])
        #expect(answer.first?.results == [OperationResult(id: 1, level: .replicated)], "it stood all the time")
    }

    @Test func `of operations on other loops no more is claimed than that they came`() {
        let server = server(loops: 3)
        let writer = server.connect(hello: .hello([.results]))
        _ = writer.received()
        server.setDiskHanging(true)
        writer.send(.operations(OperationBatch(operations: (UInt64(1)...30).map { Make.put($0, "k\($0)", 1) })))
        server.run(millis: Limits.concernTimeoutMillis + 1_000)
        let acknowledged = acknowledgements(writer.received())
        let told = acknowledged.flatMap { $0.results ?? [] }
        #expect(Set(told.map(\.id)) == Set(1...30))
        #expect(told.allSatisfy { $0.isNotYet })
        #expect(acknowledged.map(\.level) == [.fireAndForget], "the frame has come no further than its last operation")
        for result in told {
            let key = "k\(result.id)"
            let isHere = PartitionPlacement.loop(of: PartitionID(hash: KeyHash.of(ByteString(key))), loops: 3) == 0
            #expect(result.level == (isHere ? .memory : .fireAndForget), "\(result)")
            #expect(result.error?.hasPrefix(isHere ? "merged, " : "received, ") == true, "\(result)")
        }
        server.setDiskHanging(false)
        server.settle()
        let done = results(writer.received())
        #expect(Set(done.map(\.id)) == Set(1...30))
        #expect(done.allSatisfy { $0.isSuccess && $0.level == .replicated })
    }

    @Test(arguments: [1, 3])
    func `each operation has the time that its client gives it`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect(hello: .hello([.results]))
        _ = writer.received()
        server.setDiskHanging(true)
        var quick = Make.put(1, "a", 1)
        quick.timeoutMillis = 300
        var patient = Make.put(3, "c", 3)
        patient.timeoutMillis = 60_000
        writer.send(Make.batch(quick, Make.put(2, "b", 2), patient))
        writer.send(.operations(OperationBatch(operations: [Make.put(4, "d", 4)], timeoutMillis: 1_000)))
        var told: [[UInt64]] = []
        for millis in [200, 200, 700, 3_000, 2_000, 50_000, 5_000] as [Int64] {
            server.run(millis: millis)
            told.append(results(writer.received()).map(\.id))
            writer.send(.ping(timestamp: 1))
        }
        #expect(told == [[], [1], [4], [], [2], [], [3]])
    }

    @Test func `an operation that was refused, or that nobody has looked at, is not said to stand`() {
        let server = server(loops: 3)
        let writer = server.connect(hello: .hello([.results, .clock]))
        _ = writer.received()
        server.setDiskHanging(true)
        // So that something is in the way of what comes next, on every loop.
        writer.send(.operations(OperationBatch(operations: (UInt64(101)...130).map { Make.put($0, "k\($0)", 1) })))
        server.settle()
        let ahead = server.clock.wallMillis() + 10 * 365 * 86_400_000
        // Every stamp is ahead, so every one of these is going to be refused by its partition.
        writer.send(
            .operations(
                OperationBatch(operations: (UInt64(1)...30).map { Make.put($0, "k\($0)", 1, millis: ahead) })))
        server.run(millis: Limits.concernTimeoutMillis + 1_000)
        let told = results(writer.received()).filter { $0.id <= 30 }
        #expect(told.count > 5 && told.allSatisfy { $0.isNotYet && $0.level == .fireAndForget })
        server.setDiskHanging(false)
        server.settle()
        let done = results(writer.received()).filter { $0.id <= 30 }
        #expect(Set(done.map(\.id)) == Set(1...30))
        #expect(done.allSatisfy { $0.refusal == .clockAhead })
    }

    @Test func `a time limit counts for the frame it came with and for no other`() {
        let server = server()
        let writer = server.connect(hello: .hello([.results]))
        _ = writer.received()
        server.setDiskHanging(true)
        // The same operation twice in one read: the second asks for MEMORY, gets it at once, and gates nothing.
        var again = Make.put(1, "a", 1, concern: .memory)
        again.timeoutMillis = 300
        writer.send(Make.batch(Make.put(1, "a", 1)), Make.batch(again))
        server.settle()
        #expect(results(writer.received()).map(\.level) == [.memory])
        server.run(millis: 2_000)
        #expect(writer.received() == [])
        server.run(millis: Limits.concernTimeoutMillis)
        #expect(results(writer.received()).map(\.isNotYet) == [true])
    }

    @Test(arguments: [1, 3])
    func `an operation may be given more time than there is`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect(hello: .hello([.results]))
        // The node's own clock is added to that time, and has run for a while.
        server.run(millis: 1_000)
        _ = writer.received()
        server.setDiskHanging(true)
        var endless = Make.put(1, "a", 1)
        endless.timeoutMillis = .max
        writer.send(Make.batch(endless, Make.put(2, "b", 2), Make.put(3, "c", 3)))
        server.run(millis: Limits.concernTimeoutMillis + 1_000)
        #expect(Set(results(writer.received()).map(\.id)) == [2, 3])
        server.run(millis: 20_000)
        #expect(results(writer.received()).isEmpty)
        server.setDiskHanging(false)
        server.settle()
        let done = results(writer.received())
        #expect(Set(done.map(\.id)) == [1, 2, 3])
        #expect(done.allSatisfy { $0.isSuccess && $0.level == .replicated })
    }

    @Test func `an official client is told nothing that it would take for a refusal`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        server.setDiskHanging(true)
        writer.send(Make.batch(Make.put(1, "a", 1)))
        server.run(millis: 30_000)
        #expect(writer.received() == [])
        server.setDiskHanging(false)
        server.settle()
        #expect(acknowledgements(writer.received()) == [Acknowledgement(lastID: 1, level: .replicated)])
    }

    @Test func `D04 a kill while the sync hangs loses nothing that was acknowledged`() {
        let server = server()
        let writer = server.connect(hello: .hello([.results]))
        writer.send(Make.batch(Make.put(1, "a", 1)))
        server.settle()
        #expect(results(writer.received()).map(\.isSuccess) == [true])
        server.setDiskHanging(true)
        writer.send(Make.batch(Make.put(2, "b", 2)))
        server.run(millis: 10_000)
        #expect(results(writer.received()).map(\.isSuccess) == [false])
        server.cutPower()
        #expect(server.start() == nil)
        let reader = server.connect(hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        let rows = reader.received().compactMap { message in
            if case .queryResponse(let response) = message { response.results.map(\.key) } else { nil }
        }
        #expect(rows == [["a"]])
    }
}
