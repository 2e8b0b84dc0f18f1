import Testing
import TopGunModel
import TopGunPartition
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

extension Gateway {
    fileprivate func close(partitionOf key: ByteString) { _ = door.value.group.close(PartitionID(of: key)) }
}

/// What an official client hears after a write that does not stand as it was sent.
@Suite struct CorrectionTests {
    private let wall = SimulatedClock.epochMillis

    private func server(loops: Int = 1) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        return server
    }

    private func events(_ messages: [ServerMessage]) -> [ServerEvent] {
        messages.compactMap { if case .event(let event) = $0 { event } else { nil } }
    }

    private func resets(_ messages: [ServerMessage]) -> Int {
        messages.count { if case .syncResetRequired = $0 { true } else { false } }
    }

    /// Whether no event came before the last acknowledgement.
    private func isInOrder(_ messages: [ServerMessage]) -> Bool {
        let acknowledgement = messages.lastIndex { if case .acknowledgement = $0 { true } else { false } }
        let event = messages.firstIndex { if case .event = $0 { true } else { false } }
        guard let acknowledgement, let event else { return false }
        return acknowledgement < event
    }

    /// A write whose value nests too deep: the decoder refuses it, before any partition sees it.
    private func deep(
        _ id: UInt64, _ key: String, millis: Int64, counter: UInt32 = 0, map: String = "todos"
    ) -> ClientOperation {
        let value = Payload(Array(repeating: 0x91, count: ModelLimits.valueDepthMax + 1) + [0xc0])
        return put(id, key, value, millis: millis, counter: counter, map: map)
    }

    /// A write whose value is too long: its partition refuses it.
    private func long(_ id: UInt64, _ key: String, millis: Int64) -> ClientOperation {
        let count = 1 << 20
        let head: [UInt8] = [0xdb, 0x00, 0x10, 0x00, 0x00]
        return put(id, key, Payload(head + Array(repeating: 0x61, count: count)), millis: millis)
    }

    private func put(
        _ id: UInt64, _ key: String, _ value: Payload, millis: Int64, counter: UInt32 = 0, map: String = "todos",
        ttlMillis: Int64 = 0
    ) -> ClientOperation {
        ClientOperation(
            id: id, mapName: ByteString(map), key: ByteString(key),
            change: .put(
                LWWRecord(
                    value: value, timestamp: Timestamp(millis: millis, counter: counter, node: "n9"),
                    ttlMillis: ttlMillis)))
    }

    private func batch(_ operations: [ClientOperation]) -> ClientMessage {
        .operations(OperationBatch(operations: operations))
    }

    // MARK: Partitions that are being rebuilt

    /// A superseded write of a client on another loop, whose partition is torn down before its winner is told.
    private func supersede(_ client: TestClient, _ server: SimulatedServer, tearDown: (ByteString) -> Void) {
        let key = "key-1"
        let loop = PartitionPlacement.loop(of: PartitionID(of: ByteString(key)), loops: 3)
        let author = server.connect(to: loop)
        author.send(batch([Make.put(1, key, 7, millis: wall - 1_000)]))
        server.settle()
        _ = client.received()
        server.setDiskHanging(true)
        client.send(
            batch([Make.put(1, "key-2", 1, millis: wall), Make.put(2, key, 6, millis: wall - 2_000, node: "n2")]))
        server.settle()
        tearDown(ByteString(key))
        server.settle()
        server.setDiskHanging(false)
        server.settle()
    }

    private func connect(_ server: SimulatedServer, isOfficial: Bool) -> TestClient {
        let loop = (PartitionPlacement.loop(of: PartitionID(of: "key-1"), loops: 3) + 1) % 3
        return isOfficial ? server.connect(to: loop) : server.connect(to: loop, hello: .hello([.results]))
    }

    @Test(arguments: [true, false])
    func `what stands in a partition that is rebuilt is told when it is there, and nobody starts over for it`(
        _ isOfficial: Bool
    ) throws {
        let server = server(loops: 3)
        let client = connect(server, isOfficial: isOfficial)
        let node = try #require(server.node)
        supersede(client, server) { key in
            server.spawn { _ = await node.restart(partition: PartitionID(of: key).index) }
        }
        server.run(millis: 1_000)
        let received = client.received()
        #expect(resets(received) == 0)
        #expect(
            events(received).filter { $0.key == "key-1" }.compactMap { $0.record.flatMap { Make.number($0.value) } }
                == [7])
    }

    @Test(arguments: [true, false])
    func `who hears in no other way what stands in a partition that stays closed syncs its map anew`(
        _ isOfficial: Bool
    ) throws {
        let server = server(loops: 3)
        let client = connect(server, isOfficial: isOfficial)
        let loop = PartitionPlacement.loop(of: PartitionID(of: "key-1"), loops: 3)
        let gateway = try #require(server.node?.owners[loop] as? Gateway)
        supersede(client, server) { key in server.spawn { await gateway.close(partitionOf: key) } }
        #expect(resets(client.received()) == 0, "it may yet come back")
        server.run(millis: Limits.wholePatienceMillis + 100)
        #expect(resets(client.received()) == (isOfficial ? 1 : 0))
    }

    // MARK: What is sent

    @Test(arguments: [1, 3])
    func `a refused write of an official client is followed by the record that stands, wherever it lives`(
        _ loops: Int
    ) {
        let server = server(loops: loops)
        let author = server.connect()
        author.send(batch((1...9).map { (id: UInt64) in Make.put(id, "key-\(id)", 7, millis: wall - 1_000) }))
        server.settle()
        for isDeep in [true, false] {
            let writer = server.connect()
            _ = writer.received()
            writer.send(
                batch(
                    (1...9).map { (id: UInt64) in
                        isDeep ? deep(id, "key-\(id)", millis: wall) : long(id, "key-\(id)", millis: wall)
                    }))
            server.settle()
            let messages = writer.received()
            let events = events(messages)
            #expect(Set(events.map(\.key)) == Set((1...9).map { ByteString("key-\($0)") }))
            #expect(events.count == 9)
            for event in events {
                #expect(event.record.flatMap { Make.number($0.value) } == 7)
                #expect(event.record?.timestamp.millis == wall)
                #expect(event.record?.timestamp.counter == 1)
            }
            #expect(isInOrder(messages))
        }
    }

    @Test(arguments: [1, 3])
    func `a batch is followed by one event for each key, behind its acknowledgement and with what stands at the end`(
        _ loops: Int
    ) {
        let server = server(loops: loops)
        let author = server.connect(to: loops - 1)
        author.send(batch([Make.put(1, "a", 10, millis: 9_000), Make.put(2, "b", 11, millis: 5_000)]))
        server.settle()
        let writer = server.connect()
        _ = writer.received()
        writer.send(
            batch([
                Make.put(1, "a", 1, millis: 8_000), Make.put(2, "a", 2, millis: 8_001), deep(3, "b", millis: 6_000),
                Make.put(4, "b", 4, millis: 7_000), Make.put(5, "c", 5), Make.put(6, "a", 6, millis: 8_002),
            ]))
        server.settle()
        let messages = writer.received()
        let heard = events(messages).sorted { $0.key < $1.key }
        #expect(heard.map(\.key) == ["a", "b"])
        #expect(heard.map { $0.record?.timestamp.millis } == [9_000, 7_000])
        #expect(heard.map { $0.record.flatMap { Make.number($0.value) } } == [10, 4])
        #expect(isInOrder(messages))
    }

    @Test func `a correction is stamped just behind the refused write and rolls into the next millisecond`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        writer.send(batch([deep(1, "a", millis: 5_000, counter: 4), deep(2, "b", millis: 6_000, counter: .max)]))
        server.settle()
        let records = events(writer.received()).compactMap(\.record)
        #expect(records.map(\.isTombstone) == [true, true])
        #expect(records.map(\.timestamp.millis) == [5_000, 6_001])
        #expect(records.map(\.timestamp.counter) == [5, 0])
    }

    @Test func `a correction brings no expired record back and leaves a lifetime its end`() {
        let server = server()
        let writer = server.connect()
        let value = Payload([0x01])
        writer.send(
            batch([
                put(1, "over", value, millis: wall - 1_000, ttlMillis: 1_200),
                put(2, "left", value, millis: wall, ttlMillis: 60_000),
            ]))
        server.settle()
        server.run(millis: 300)
        _ = writer.received()
        writer.send(batch([deep(3, "over", millis: wall + 300), deep(4, "left", millis: wall + 300)]))
        server.settle()
        let records = events(writer.received()).compactMap(\.record)
        #expect(records.map(\.isTombstone) == [true, false])
        #expect(records.map(\.ttlMillis) == [0, 59_700])
    }

    @Test func `a refused write that names no key or no map is followed by no event`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        let stamp: [UInt8] =
            [0x83] + text("millis") + [0x01] + text("counter") + [0x00] + text("nodeId") + text("n")
        let record = text("record") + [0x82] + text("value") + [0x01] + text("timestamp") + stamp
        let withoutKey = [0x83] + text("id") + text("1") + text("mapName") + text("todos") + record
        let withoutMap = [0x83] + text("id") + text("2") + text("key") + text("k") + record
        let frame =
            [0x82] + text("type") + text("OP_BATCH") + text("payload") + [0x81] + text("ops") + [0x92] + withoutKey
            + withoutMap
        writer.send(frames: [frame])
        server.settle()
        let messages = writer.received()
        #expect(events(messages) == [])
        #expect(
            messages.contains {
                if case .acknowledgement(let message) = $0 { message.lastID == 2 } else { false }
            })
    }

    private func text(_ text: String) -> [UInt8] {
        [0xa0 | UInt8(text.utf8.count)] + Array(text.utf8)
    }

    @Test func `a client without features is told of a refusal in the words of the protocol and no others`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        writer.send(batch([Make.put(1, "a", 1), deep(2, "b", millis: 1)]))
        server.settle()
        var good = OperationResult(id: 1, level: .replicated)
        good.isSuccess = true
        var bad = OperationResult(id: 2, level: .fireAndForget)
        bad.isSuccess = false
        bad.error = "the key, the value or a name is too large"
        #expect(
            writer.received().contains(
                .acknowledgement(Acknowledgement(lastID: 2, level: .replicated, results: [good, bad]))))
    }

    // MARK: Resets

    @Test func `each refused write of the far future is followed by a reset, a burst of them by one more`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        let ahead = wall + 3_600_000
        writer.send(batch([deep(1, "a", millis: ahead)]))
        server.settle()
        let first = writer.received()
        #expect(resets(first) == 1)
        #expect(events(first) == [])
        for id in UInt64(2)...6 { writer.send(batch([deep(id, "a", millis: ahead + Int64(id))])) }
        server.settle()
        #expect(resets(writer.received()) == 0)
        server.run(millis: Limits.resetPauseMillis)
        #expect(resets(writer.received()) == 1)
        server.run(millis: 5 * Limits.resetPauseMillis)
        #expect(resets(writer.received()) == 0)
    }

    // MARK: Access

    @Test func `a write to a name that clients may not see is undone with a removal that reveals nothing`() {
        let server = server()
        let writer = server.connect()
        _ = writer.received()
        writer.send(batch([Make.put(1, "k", 1, map: "_topgun_secret", millis: 5_000)]))
        server.settle()
        let heard = events(writer.received())
        #expect(heard.map(\.record?.isTombstone) == [true])
        #expect(heard.map(\.record?.timestamp.counter) == [1])
    }
}
