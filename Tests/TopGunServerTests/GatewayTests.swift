import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// The gateway and everything behind it, on simulated loops and a simulated disk.
@Suite struct GatewayTests {
    private func server(loops: Int = 1, seed: UInt64 = 1) -> SimulatedServer {
        let server = SimulatedServer(seed: seed, loops: loops)
        server.start()
        return server
    }

    private func acknowledgements(_ messages: [ServerMessage]) -> [Acknowledgement] {
        messages.compactMap { if case .acknowledgement(let message) = $0 { message } else { nil } }
    }

    private func events(_ messages: [ServerMessage]) -> [ServerEvent] {
        messages.compactMap { if case .event(let event) = $0 { event } else { nil } }
    }

    // MARK: Writes

    @Test(arguments: [1, 2, 3])
    func `a write is acknowledged and reaches every client that holds the map`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect()
        let reader = server.connect(to: loops - 1)
        reader.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        server.settle()
        _ = writer.received()
        _ = reader.received()
        writer.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2), Make.put(3, "c", 3)))
        server.settle()
        let answers = writer.received()
        #expect(answers == [.acknowledgement(Acknowledgement(lastID: 3, level: .replicated))])
        let heard = events(reader.received())
        #expect(Set(heard.map(\.key)) == ["a", "b", "c"])
        #expect(heard.allSatisfy { $0.sequence == nil })
    }

    @Test func `repeats change nothing, publish nothing and are acknowledged`() {
        let server = server()
        let writer = server.connect()
        let reader = server.connect()
        reader.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        writer.send(Make.batch(Make.put(1, "a", 1)))
        server.settle()
        _ = reader.received()
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2)), Make.batch(Make.put(1, "a", 1)))
        server.settle()
        #expect(acknowledgements(writer.received()).map(\.lastID) == [2, 2])
        #expect(events(reader.received()).map(\.key) == ["b"])
    }

    @Test func `a write that lost is acknowledged and its writer hears what stands`() {
        let server = server()
        let writer = server.connect(hello: .hello([.results]))
        let other = server.connect()
        other.send(Make.batch(Make.put(1, "a", 7, millis: 2_000_000, node: "n2")))
        server.settle()
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1)))
        server.settle()
        let answers = writer.received()
        let results = acknowledgements(answers).first?.results
        #expect(results?.first?.isSuperseded == true)
        #expect(results?.first?.isSuccess == true)
        #expect(events(answers).first?.record.flatMap { Make.number($0.value) } == 7)
    }

    @Test func `B19 an official client's stamp from the future is replaced, and repeats get the same answer`() {
        let server = server()
        let writer = server.connect()
        let future = server.clock.wallMillis() + 3_600_000
        writer.send(Make.batch(Make.put(1, "a", 1, millis: future)))
        server.settle()
        let first = events(writer.received()).first?.record
        #expect(first.map { $0.timestamp.millis < future } == true)
        writer.send(Make.batch(Make.put(1, "a", 1, millis: future)))
        server.settle()
        #expect(events(writer.received()).first?.record == first)
    }

    @Test func `B19 a client with the feature clock is told to stamp anew and the operation stays open`() {
        let server = server()
        let writer = server.connect(hello: .hello([.results, .clock]))
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1, millis: server.clock.wallMillis() + 3_600_000), Make.put(2, "b", 2)))
        server.settle()
        let acknowledgement = acknowledgements(writer.received()).first
        #expect(acknowledgement?.lastID == 0)
        #expect(acknowledgement?.results?.map(\.isSuccess) == [false, true])
        #expect(acknowledgement?.results?.first?.refusal == .clockAhead)
        #expect(acknowledgement?.results?.first?.isFinal == false)
        #expect(acknowledgement?.results?.first?.serverTime != nil)
    }

    @Test(arguments: [1, 2])
    func `MEMORY is acknowledged at once and raised once it is on disk`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect(hello: .hello([.results, .levels]))
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 1), Make.put(3, "c", 1), concern: .memory))
        server.settle()
        let messages = writer.received()
        let early = acknowledgements(messages)
        #expect(early.count == 1)
        #expect(early.first?.results?.map(\.level) == [.memory, .memory, .memory])
        let raised = messages.compactMap { if case .levelUp(let operations) = $0 { operations } else { nil } }
        #expect(raised == [[1, 2, 3].map { LevelUp(id: $0, level: .persisted) }])
    }

    @Test func `an early acknowledgement never covers a write that is not on disk`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1)), Make.batch(Make.put(2, "b", 2, concern: .memory)))
        server.settle()
        let answers = acknowledgements(writer.received())
        #expect(answers.map(\.level) == [.memory, .replicated])
        #expect(answers.first?.lastID == 0)
        #expect(answers.first?.results?.map(\.id) == [2])
    }

    @Test func `a client that knows levels is told of all that a single node has, though it asked for less`() {
        let server = server()
        let writer = server.connect(hello: .hello([.results, .levels]))
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1), concern: .applied), Make.batch(Make.put(2, "b", 1)))
        server.settle()
        #expect(
            acknowledgements(writer.received()).flatMap { $0.results ?? [] }.map(\.level) == [.persisted, .persisted])
    }

    @Test func `FIRE_AND_FORGET is not answered and PERSISTED is named`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1), concern: .fireAndForget))
        server.settle()
        #expect(writer.received() == [])
        writer.send(Make.batch(Make.put(2, "b", 1), concern: .persisted))
        server.settle()
        #expect(acknowledgements(writer.received()) == [Acknowledgement(lastID: 2, level: .persisted)])
    }

    @Test func `M14 a reserved name is refused for good and the rest of the batch is taken`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1, map: "_TopGun_x"), Make.put(2, "b", 2)))
        server.settle()
        let messages = writer.received()
        #expect(
            messages.contains { if case .operationRejected(1, _, 403) = $0 { true } else { false } })
        let acknowledgement = acknowledgements(messages).first
        #expect(acknowledgement?.lastID == 2)
        #expect(acknowledgement?.results?.map(\.isSuccess) == [false, true])
    }

    /// A batch with good writes at both ends, and between them what nobody takes.
    private func mixedBatch(hasUnknownConcern: Bool = false) -> [UInt8] {
        func nested(_ id: UInt64, _ depth: Int) -> ClientOperation {
            ClientOperation(
                id: id, mapName: "todos", key: ByteString("deep-\(id)"),
                change: .put(
                    LWWRecord(
                        value: Payload([UInt8](repeating: 0x91, count: depth) + [0x01]),
                        timestamp: Timestamp(millis: 5, counter: 0, node: "n1"))))
        }
        let sink = ByteSink()
        Make.batch(
            Make.put(1, "a", 1), Make.put(2, "nul\u{0}", 2), nested(3, ModelLimits.valueDepthMax + 1), nested(4, 300),
            Make.put(5, "soon", 5, concern: .memory), Make.put(6, "z", 6),
            concern: hasUnknownConcern ? .persisted : nil
        ).encode(into: sink)
        // Words of the same length that nobody knows.
        return replaced("PERSISTED", "SOMETIMES", in: replaced("MEMORY", "SOONER", in: Array(sink.bytes)))
    }

    private func replaced(_ word: String, _ other: String, in bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let (word, other) = (Array(word.utf8), Array(other.utf8))
        for start in 0...(bytes.count - word.count) where bytes[start...].starts(with: word) {
            bytes.replaceSubrange(start..<start + word.count, with: other)
        }
        return bytes
    }

    @Test(arguments: [1, 3])
    func `an official client survives the refusal of what it may not write, one by one`(_ loops: Int) {
        let server = server(loops: loops)
        let writer = server.connect()
        _ = writer.received()
        for round in 0..<2 {
            writer.send(frames: [mixedBatch()])
            server.run(millis: 100)
            let messages = writer.received()
            let rejected = messages.compactMap { message -> [Int64]? in
                if case .operationRejected(let id, _, let code) = message { return [Int64(id), code ?? 0] }
                return nil
            }
            #expect(
                rejected.sorted { $0[0] < $1[0] } == [[2, 400], [3, 413], [4, 413], [5, 400]], "round \(round)")
            let told = acknowledgements(messages)
            #expect(told.last?.lastID == 6, "everything is decided, so nothing is sent again")
            let results = told.flatMap { $0.results ?? [] }.sorted { $0.id < $1.id }
            #expect(results.filter { !$0.isSuccess }.map(\.id) == [2, 3, 4, 5])
            #expect(results.filter { !$0.isSuccess }.allSatisfy { $0.level == .fireAndForget && $0.error != nil })
        }
        #expect(writer.connection.closeCode == nil)

        let other = server.connect(hello: .hello([.results]))
        _ = other.received()
        other.send(frames: [mixedBatch(hasUnknownConcern: true)])
        server.run(millis: 100)
        let results = acknowledgements(other.received()).flatMap { $0.results ?? [] }.sorted { $0.id < $1.id }
        #expect(
            results.map(\.refusal) == [.badRequest, .badRequest, .tooLarge, .tooLarge, .badRequest, .badRequest])
        #expect(results.allSatisfy { !$0.isSuccess })
    }

    @Test func `a frame of two megabytes is taken, and of a value of that length only its own write is refused`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        let megabyte = 1 << 20
        writer.send(
            Make.batch(
                Make.blob(1, "a", bytes: megabyte - 100, millis: 1),
                Make.blob(2, "b", bytes: megabyte - 100, millis: 1),
                Make.blob(3, "c", bytes: 2 * megabyte, millis: 1), Make.put(4, "d", 4)))
        server.run(millis: 100)
        let messages = writer.received()
        #expect(messages.contains { if case .operationRejected(3, _, 413) = $0 { true } else { false } })
        #expect(acknowledgements(messages).last?.lastID == 4)
        #expect(acknowledgements(messages).flatMap { $0.results ?? [] }.filter { !$0.isSuccess }.map(\.id) == [3])
        #expect(writer.connection.closeCode == nil)
    }

    @Test func `OR-Map operations are kept by the client and block no other`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        let remove = ClientOperation(id: 1, mapName: "tags", key: "k", change: .orRemove(tag: "t"))
        writer.send(.operations(OperationBatch(operations: [remove, Make.put(2, "b", 2)])))
        server.settle()
        let acknowledgement = acknowledgements(writer.received()).first
        #expect(acknowledgement?.lastID == 0)
        #expect(acknowledgement?.results?.map(\.id) == [2])
    }

    @Test func `M05 garbage is answered with ERROR and the connection goes on`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        writer.send(frames: [[0xc1], [], [0x81, 0xa4], Array(repeating: 0x91, count: 300)])
        writer.send(.ping(timestamp: 5))
        server.settle()
        let messages = writer.received()
        let errors = messages.compactMap { if case .error(let error) = $0 { error.code } else { nil } }
        #expect(errors == [400, 400, 400, 400])
        #expect(messages.contains { if case .pong(5, _) = $0 { true } else { false } })
        #expect(writer.connection.closeCode == nil)
    }

    @Test func `messages in a BATCH are taken one by one`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        let inner = [Make.batch(Make.put(1, "a", 1)), .ping(timestamp: 1), Make.batch(Make.put(2, "b", 1))].map {
            message in
            let sink = ByteSink()
            message.encode(into: sink)
            return sink
        }
        let data = ByteSink()
        BatchContent.append(forServer: inner.map(\.bytes), to: data)
        writer.send(.batch(Batch(count: 99, data: Array(data.bytes))))
        server.settle()
        let messages = writer.received()
        #expect(acknowledgements(messages).map(\.lastID) == [1, 2])
        #expect(messages.contains { if case .pong(1, _) = $0 { true } else { false } })
    }

    // MARK: The gate

    @Test(arguments: 0..<40)
    func `P01 B01 B03 whatever was acknowledged survives a kill or a power cut at any turn`(_ seed: UInt64) {
        #expect(Self.losses(seed: seed, acknowledgesEarly: false) == 0, "seed \(seed)")
    }

    @Test func `the control: acknowledging before the write is noticed`() {
        let losses = (0..<40).reduce(0) { $0 + Self.losses(seed: $1, acknowledgesEarly: true) }
        #expect(losses > 0)
    }

    /// Runs a load, ends the process at a random turn, and counts what was acknowledged and is gone, or was seen by
    /// another client and is gone.
    private static func losses(seed: UInt64, acknowledgesEarly: Bool) -> Int {
        var generator = SeededGenerator(seed: seed)
        let server = SimulatedServer(seed: seed, loops: 1 + generator.below(3))
        server.options.acknowledgesEarly = acknowledgesEarly
        server.options.checkpointLogBytes = 100_000
        var lost = 0
        var known: [ByteString: Int64] = [:]
        for life in 0..<3 {
            guard server.start() == nil else { return lost + 1 }
            lost += missing(known, on: server)
            let clients = (0..<3).map { server.connect(to: $0 % server.loops) }
            clients[2].send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
            var sent: [[UInt64: (ByteString, Int64)]] = [[:], [:], [:]]
            for step in 1...(20 + generator.below(100)) {
                let who = generator.below(2)
                let id = UInt64(step)
                let version = Int64(life * 1_000 + step)
                let key = "k\(generator.below(10))"
                clients[who].send(Make.batch(Make.put(id, key, version, millis: version, node: "n\(who)")))
                sent[who][id] = (ByteString(key), version)
                for _ in 0..<generator.below(40) { server.scheduler.runOne() }
            }
            for who in 0..<3 {
                for message in clients[who].received() {
                    switch message {
                    case .acknowledgement(let message):
                        for (id, (key, version)) in sent[who] where id <= message.lastID ?? 0 {
                            known[key] = max(known[key] ?? 0, version)
                        }
                    case .event(let event):
                        known[event.key] = max(known[event.key] ?? 0, event.record?.timestamp.millis ?? 0)
                    default: break
                    }
                }
            }
            if generator.chance(1, in: 2) { server.kill() } else { server.cutPower() }
        }
        guard server.start() == nil else { return lost + 1 }
        return lost + missing(known, on: server)
    }

    private static func missing(_ known: [ByteString: Int64], on server: SimulatedServer) -> Int {
        let reader = server.connect(hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        server.settle()
        var found: [ByteString: Int64] = [:]
        for message in reader.received() {
            guard case .queryResponse(let response) = message else { continue }
            for row in response.results { found[row.key] = Make.number(row.value) }
        }
        reader.cut()
        server.settle()
        return known.count { (found[$0.key] ?? 0) < $0.value }
    }

    @Test func `D02 after a failed sync nothing is acknowledged and the node says so`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        server.disk.faults.syncsUntilFailure = 0
        writer.send(Make.batch(Make.put(1, "a", 1)))
        server.settle()
        #expect(acknowledgements(writer.received()).isEmpty)
        #expect(server.failures.with { $0.map(\.exitCode) } == [ExitCode.disk])
        writer.send(Make.batch(Make.put(2, "b", 1)))
        server.settle()
        #expect(acknowledgements(writer.received()).isEmpty)
    }
}
