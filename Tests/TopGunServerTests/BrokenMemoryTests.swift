import Testing
import TopGunModel
import TopGunPartition
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

extension Gateway {
    /// Breaks the memory of a record on its loop; see `GroupState.damage`.
    fileprivate func damage(_ key: ByteString, at offset: Int, mask: UInt8) -> Bool {
        let state = door.value.group.state
        guard let map = state.existingMap("todos", in: ByteString([])) else { return false }
        return state.damage(key, in: map, at: offset, mask: mask)
    }

    fileprivate var subscriptionCount: Int { door.value.group.state.subscriptionCount }
}

/// A node on a simulated disk with records in it, whose memory can be broken.
private struct Rig {
    let server: SimulatedServer
    let writer: TestClient
    let keys: [ByteString]
    static let records = 120

    init(loops: Int, checkpointLogBytes: Int64 = 1 << 40) {
        server = SimulatedServer(seed: 9, loops: loops)
        server.options.checkpointLogBytes = checkpointLogBytes
        server.start()
        writer = server.connect(hello: .hello([.results]))
        keys = (0..<Self.records).map { ByteString("key-\($0)") }
        writer.send(
            .operations(
                OperationBatch(
                    operations: (0..<Self.records).map { Make.put(UInt64($0 + 1), "key-\($0)", Int64($0)) })))
        server.settle()
    }

    func results() -> [OperationResult] {
        writer.received().flatMap { message -> [OperationResult] in
            if case .acknowledgement(let message) = message { return message.results ?? [] }
            return []
        }
    }

    /// Whether the record of a key could be broken.
    func damage(_ key: ByteString, at offset: Int, mask: UInt8 = 0x10) -> Bool {
        let isDone = Shared(false)
        let loop = PartitionPlacement.loop(of: PartitionID(of: key), loops: server.loops)
        guard let gateway = server.node?.owners[loop] as? Gateway else { return false }
        server.spawn {
            let done = await gateway.damage(key, at: offset, mask: mask)
            isDone.with { $0 = done }
        }
        server.settle()
        return isDone.with { $0 }
    }

    var counts: LoopCounts { server.counts }

    /// Of all loops.
    var subscriptionCount: Int {
        let sum = Shared(0)
        for owner in server.node?.owners ?? [] {
            guard let gateway = owner as? Gateway else { continue }
            server.spawn {
                let count = await gateway.subscriptionCount
                sum.with { $0 += count }
            }
        }
        server.settle()
        return sum.with { $0 }
    }

    func health() -> NodeHealth? {
        let health = Shared<NodeHealth?>(nil)
        guard let node = server.node else { return nil }
        server.spawn {
            let now = await node.health()
            health.with { $0 = now }
        }
        server.settle()
        return health.with { $0 }
    }

    func restart(_ partition: PartitionID) {
        guard let node = server.node else { return }
        server.spawn { _ = await node.restart(partition: partition.index) }
    }

    /// What a new client is shown: all rows, and the root of the map.
    func shown() -> (rows: [ByteString: Int64], root: UInt32?) {
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
}

/// Partitions whose memory no longer says what was written there: found, closed and rebuilt while the others go on.
@Suite struct BrokenMemoryTests {
    /// Places in a record: its stamp, the hash of its key, its map, its lengths, its place in the leaf, its key.
    private static let places = [3, 17, 20, 24, 32, 37, 44, 49]

    @Test(arguments: places, [1, 3])
    func `P05 D09: a partition whose memory breaks is found, rebuilt, and nothing acknowledged is missing`(
        _ place: Int, _ loops: Int
    ) {
        let rig = Rig(loops: loops)
        #expect(rig.results().count == Rig.records)
        let before = rig.shown()
        #expect(before.rows.count == Rig.records)
        #expect(rig.damage("key-7", at: place))
        rig.server.run(millis: 5_000)
        #expect(rig.counts.partitionsBroken == 1)
        #expect(rig.counts.partitionsRebuilt == 1)
        #expect(rig.health()?.closedPartitions == [])
        let after = rig.shown()
        #expect(after.rows == before.rows && after.root == before.root && after.root != nil)

        // What was written since the repair is there as well, and what the disk has is the same.
        rig.writer.send(Make.batch(Make.put(500, "key-7", 777, millis: 5_000_000)))
        rig.server.settle()
        #expect(rig.results().map(\.isSuccess) == [true])
        rig.server.kill()
        rig.server.start()
        var expected = before.rows
        expected["key-7"] = 777
        #expect(rig.shown().rows == expected)
    }

    @Test func `D09: a write that meets broken memory is told to come again, and finds it mended`() {
        let rig = Rig(loops: 1)
        _ = rig.results()
        #expect(rig.damage("key-7", at: 17))
        rig.writer.send(Make.batch(Make.put(500, "key-7", 777, millis: 5_000_000)))
        rig.server.settle()
        let refused = rig.results()
        #expect(refused.map(\.refusal) == [.notReady] && refused.first?.isFinal == false)
        #expect(rig.health()?.closedPartitions == [PartitionID(of: "key-7").index], "nobody is served from it")
        rig.server.run(millis: 3_000)
        rig.writer.send(Make.batch(Make.put(500, "key-7", 777, millis: 5_000_000)))
        rig.server.settle()
        #expect(rig.results().map(\.isSuccess) == [true])
    }

    @Test func `D09 D13: broken memory never reaches a checkpoint, and the log that it is rebuilt from stays`() {
        let rig = Rig(loops: 1, checkpointLogBytes: 1)
        _ = rig.results()
        let before = rig.shown().rows
        // The next round of checkpoints comes by before the background does.
        for key in rig.keys.prefix(30) { #expect(rig.damage(key, at: 24, mask: 0x01)) }
        for id in UInt64(1_000)..<1_200 {
            rig.writer.send(Make.batch(Make.blob(id, "blob-\(id % 3)", bytes: 4_000, millis: Int64(id))))
            rig.server.run(millis: 10)
        }
        rig.server.run(millis: 60_000)
        #expect(rig.counts.partitionsBroken > 20)
        #expect(rig.counts.checkpointsWritten > 0)
        rig.server.cutPower()
        #expect(rig.server.start() == nil)
        #expect(rig.shown().rows.filter { $0.key.string.hasPrefix("key-") } == before)
    }

    @Test func `D09: a partition that breaks for the fourth time stays out, says so, and comes back when told`() throws
    {
        let rig = Rig(loops: 3)
        _ = rig.results()
        let before = rig.shown()
        let key: ByteString = "key-7"
        let partition = PartitionID(of: key)
        for time in 1...Limits.repairsMax {
            #expect(rig.damage(key, at: 17))
            rig.server.run(millis: 10_000)
            #expect(rig.counts.partitionsRebuilt == time)
            #expect(rig.health()?.closedPartitions == [])
        }
        #expect(rig.damage(key, at: 17))
        rig.server.run(millis: 10_000)
        #expect(rig.counts.partitionsRebuilt == Limits.repairsMax)
        let health = try #require(rig.health())
        #expect(health.lostPartitions == [partition.index] && health.closedPartitions == [partition.index])
        #expect(health.state == .ready && health.detail.hasPrefix("partition \(partition.index) is out of service"))

        // Its operations are to be tried again, those of others are taken.
        let other = try #require(rig.keys.first { PartitionID(of: $0) != partition })
        rig.writer.send(
            Make.batch(
                Make.put(500, key.string, 1, millis: 5_000_000), Make.put(501, other.string, 2, millis: 5_000_000)))
        rig.server.settle()
        let answers = rig.results()
        #expect(answers.filter { $0.refusal == .notReady && $0.isFinal == false }.map(\.id) == [500])
        #expect(answers.filter(\.isSuccess).map(\.id) == [501])

        // Whoever asks about a whole map is refused at once, each in its own way.
        let reader = rig.server.connect(hello: .hello([.results]))
        _ = reader.received()
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        reader.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        reader.send(.merkleRequest(MapPath(mapName: "todos", path: .root)))
        rig.server.settle()
        expectRefused(reader.received(), requests: ["SYNC_INIT", "MERKLE_REQ_BUCKET"])
        rig.server.run(millis: 30_000)
        #expect(reader.received() == [], "each is told once")

        // An operator gives it another chance: the query gets its rows, the map its root, unasked.
        rig.restart(partition)
        rig.server.run(millis: 10_000)
        #expect(rig.health()?.lostPartitions == [])
        let told = reader.received()
        let rows = told.compactMap { if case .queryResponse(let answer) = $0 { answer.results.count } else { nil } }
        #expect(rows == [Rig.records])
        #expect(told.contains { if case .syncRoot(let root) = $0 { root.mapName == "todos" } else { false } })
        var expected = before.rows
        expected[other] = 2
        #expect(rig.shown().rows == expected)
    }

    @Test func `a question that is refused leaves nothing behind on any loop`() throws {
        let rig = Rig(loops: 3)
        let isNear = { (key: ByteString) in PartitionPlacement.loop(of: PartitionID(of: key), loops: 3) == 0 }
        let key = try #require(rig.keys.first(where: isNear))
        for _ in 0...Limits.repairsMax {
            #expect(rig.damage(key, at: 17))
            rig.server.run(millis: 10_000)
        }
        #expect(rig.health()?.lostPartitions == [PartitionID(of: key).index])
        let reader = rig.server.connect(to: 0, hello: .hello([.results]))
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        rig.server.run(millis: 30_000)
        #expect(rig.subscriptionCount <= 3, "one number for all loops, whatever was tried")
        reader.cut()
        rig.server.settle()
        rig.restart(PartitionID(of: key))
        rig.server.run(millis: 10_000)
        #expect(rig.subscriptionCount == 0)
    }

    @Test func `D13: a partition that stays out keeps nothing from the log's shrinking, and is whole after a restart`()
    {
        let rig = Rig(loops: 1, checkpointLogBytes: 200_000)
        _ = rig.results()
        let before = rig.shown().rows
        for _ in 0...Limits.repairsMax {
            #expect(rig.damage("key-7", at: 17))
            rig.server.run(millis: 10_000)
        }
        #expect(rig.health()?.lostPartitions == [PartitionID(of: "key-7").index])
        for id in UInt64(1_000)..<1_400 {
            rig.writer.send(Make.batch(Make.blob(id, "blob-\(id % 3)", bytes: 4_000, millis: Int64(id))))
            rig.server.run(millis: 20)
        }
        rig.server.run(millis: 20_000)
        let retained = rig.health()?.gauges.first { $0.name == "topgun_log_retained_bytes" }?.value
        #expect(retained.map { $0 < 600_000 } == true, "\(retained ?? -1) bytes of 1,600,000")
        rig.server.cutPower()
        #expect(rig.server.start() == nil)
        #expect(rig.shown().rows.filter { $0.key.string.hasPrefix("key-") } == before)
    }

    @Test func `D01: a stop does not wait for a checkpoint that waits for a log that fails`() throws {
        let rig = Rig(loops: 1, checkpointLogBytes: 1)
        for _ in 0...Limits.repairsMax {
            #expect(rig.damage("key-7", at: 17))
            rig.server.run(millis: 10_000)
        }
        #expect(rig.health()?.lostPartitions == [PartitionID(of: "key-7").index])
        rig.server.setDiskHanging(true)
        rig.writer.send(Make.batch(Make.put(1_000, "a", 1)))
        rig.server.run(millis: 30_000)
        let ended = Shared<Result<Void, ServerError>?>(nil)
        let node = try #require(rig.server.node)
        rig.server.spawn {
            let result: Result<Void, ServerError>
            do throws(ServerError) {
                try await node.stop()
                result = .success(())
            } catch {
                result = .failure(error)
            }
            ended.with { $0 = result }
        }
        rig.server.run(millis: 1_000)
        #expect(ended.with { $0 == nil })
        rig.server.disk.faults.writesUntilFailure = 0
        rig.server.setDiskHanging(false)
        rig.server.run(millis: 1_000)
        guard case .failure(let error)? = ended.with({ $0 }) else {
            Issue.record("the stop did not end, or claimed success")
            return
        }
        #expect(error.code == .disk)
    }

    private func expectRefused(_ messages: [ServerMessage], requests: [ByteString]) {
        var errors: [ByteString] = []
        for message in messages {
            switch message {
            case .queryResponse(let answer):
                #expect(answer.results.isEmpty && answer.code == "NOT_READY" && answer.error != nil)
            case .error(let error):
                #expect(error.code == 503 && error.details?.code == "NOT_READY" && error.details?.mapName == "todos")
                errors.append(error.details?.requestType ?? "none")
            default: Issue.record("unexpected \(message)")
            }
        }
        #expect(messages.count == requests.count + 1)
        #expect(errors.sorted() == requests.sorted())
    }

    @Test(arguments: [1, 3])
    func `a question waits for a rebuild as long as it has patience, and no more wait than there is room for`(
        _ loops: Int
    ) throws {
        let rig = Rig(loops: loops)
        _ = rig.results()
        let partition = PartitionID(of: "key-7")
        // The log is written in whole blocks: what is damaged below must not lie in the one that it still writes.
        let others = (1_000..<1_300 as Range<UInt64>).map { Make.put($0, "other-\($0)", 1, map: "others") }
        rig.writer.send(.operations(OperationBatch(operations: others)))
        rig.server.settle()
        let segment = try #require(rig.server.disk.paths.first { $0.contains("/segment-") })
        rig.server.disk.flip(segment, at: 512 + 104 + 40, mask: 0x55)
        rig.restart(partition)
        rig.server.run(millis: 100)

        let reader = rig.server.connect(hello: .hello([.results]))
        _ = reader.received()
        // As many as are asked of one client at a time, and a quarter more clients than there is room for.
        let count = Limits.queriesAskedMax
        let crowd = (0..<Limits.waitersMax * 5 / 4 / count).map { _ in rig.server.connect(hello: .hello([.results])) }
        reader.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        for client in crowd {
            _ = client.received()
            for number in 0..<count {
                client.send(
                    .querySubscribe(
                        QuerySubscription(
                            queryID: ByteString("q\(number)"), mapName: "todos", query: QueryRequest())))
            }
        }
        rig.server.run(millis: 500)
        #expect(reader.received() == [], "it waits")
        let busy = crowd.flatMap { $0.received() }.count {
            if case .queryResponse(let answer) = $0 { answer.code == "BUSY" } else { false }
        }
        #expect(busy == crowd.count * count + 1 - Limits.waitersMax)
        #expect(reader.isReading)
        rig.server.run(millis: Limits.wholePatienceMillis)
        expectRefused(reader.received(), requests: [])

        rig.server.disk.flip(segment, at: 512 + 104 + 40, mask: 0x55)
        rig.server.run(millis: 20_000)
        for client in crowd + [reader] {
            let rows = client.received().compactMap { message -> Int? in
                if case .queryResponse(let answer) = message, answer.error == nil { return answer.results.count }
                return nil
            }
            #expect(rows == Array(repeating: Rig.records, count: client === reader ? 1 : count))
        }
        // Each is subscribed once, whatever it went through.
        rig.writer.send(Make.batch(Make.put(2_000, "key-7", 1, millis: 5_000_000)))
        rig.server.settle()
        let updates = reader.received().count { if case .queryUpdate = $0 { true } else { false } }
        #expect(updates == 1)
    }
}

@Suite struct RepairBookTests {
    @Test func `three repairs in ten minutes, for each partition, and again when the time is over`() {
        var book = RepairBook()
        /// What is said when a partition breaks at these times.
        func answers(_ partition: Int, _ times: Int64...) -> [Bool] {
            times.map { book.admits(PartitionID(partition), nowMillis: $0) }
        }
        #expect(answers(1, 0, 1_000, 599_999) == [true, true, true])
        #expect(answers(2, 599_999) == [true])
        #expect(answers(1, 599_999) == [false])
        #expect(book.lost.members == [1])
        book.forget(PartitionID(1))
        #expect(book.lost.isEmpty)
        #expect(answers(1, 599_999) == [true])
        #expect(answers(3, 0, 300_000, 599_999, 600_000, 600_001) == [true, true, true, true, false])
    }
}
