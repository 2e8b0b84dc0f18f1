import GoldenVectors
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

extension FuzzTarget {
    /// A whole node, and clients that send it anything.
    ///
    /// Nothing they send traps or makes the node give up. Whatever leaves it can be read as a message. A client that does
    /// as it should is served all the time: its writes are acknowledged and shown to it, and are there after a kill.
    ///
    /// ```
    /// u8 flags: 1 two loops, 2 strangers greet with features, 4 killed and started at the end      steps
    /// u8 kind   what the kind needs
    /// ```
    static let gateway = FuzzTarget(
        name: "gateway", lengthMax: 16_384,
        seeds: {
            let frames = try vectors("frames-client")
            let batch = bytes(hex: try document("batch")["toServer"]["frame"].text)
            let one = (frames + [batch]).enumerated().map { index, frame -> [UInt8] in
                [UInt8(truncatingIfNeeded: index % 4), 0] + FuzzInput.piece(frame) + [5, 0xff, 0]
            }
            let all = frames.reduce(into: [UInt8(6)]) { $0 += [0] + FuzzInput.piece($1) }
            let together: [UInt8] = [7, 3, 4] + frames.prefix(4).flatMap { FuzzInput.piece($0) } + [6, 8, 5, 0, 8]
            let bare: [UInt8] = [5, 4, 6, 5, 0xff, 0xff, 7, 8]
            return one + [all, together, bare]
        },
        words: words(
            "type", "payload", "OP_BATCH", "CLIENT_OP", "ops", "mapName", "opType", "key", "record", "value",
            "timestamp",
            "millis", "counter", "nodeId", "ttlMs", "orRecord", "orTag", "writeConcern", "timeout", "QUERY_SUB",
            "queryId",
            "query", "predicate", "QUERY_UNSUB", "SYNC_INIT", "lastSyncTimestamp", "syncCursor", "MERKLE_REQ_BUCKET",
            "path", "MERKLE_PUSH", "DEVICE_HELLO", "deviceToken", "features", "AUTH", "token", "PING", "BATCH", "data",
            "PARTITION_MAP_REQUEST", "cursor", "groupBy", "limit", "id", "_topgun_devices"),
        body: { bytes in
            var input = FuzzInput(bytes)
            var world = HostileClients(flags: input.byte())
            var steps = 0
            while !input.isAtEnd, steps < 100 {
                world.step(&input)
                steps += 1
            }
            world.checkEnd()
        })
}

/// A node with two hostile clients and an honest one.
private struct HostileClients {
    private let flags: UInt8
    private let machine: Machine
    private var strangers: [Peer] = []
    private var honest: Peer
    /// What the honest client wrote.
    private var written = 0
    private var acknowledged: Set<UInt64> = []

    private static let map: ByteString = "the map of an honest client"
    private static let features: FeatureSet = [
        .results, .levels, .clock, .delta, .seq, .pull, .binary, .flow, .hash128,
    ]

    init(flags: UInt8) {
        self.flags = flags
        machine = Machine(loops: flags & 1 == 0 ? 1 : 2)
        machine.start()
        honest = machine.connect(loop: 0)
        greet(honest)
        for loop in [0, 1] { strangers.append(connectStranger(loop)) }
    }

    private func connectStranger(_ loop: Int) -> Peer {
        let stranger = machine.connect(loop: loop % machine.loops)
        if flags & 2 != 0 { greet(stranger) }
        return stranger
    }

    private func greet(_ peer: Peer) {
        peer.send([Self.encoded(.deviceHello(DeviceHello(protocolVersion: 3, features: Self.features)))])
        machine.settle()
    }

    private static func encoded(_ message: ClientMessage) -> [UInt8] {
        let sink = ByteSink()
        message.encode(into: sink)
        return Array(sink.bytes)
    }

    // MARK: Steps

    mutating func step(_ input: inout FuzzInput) {
        switch input.byte() % 9 {
        case 0, 1: send([Array(input.piece())], from: 0)
        case 2: send([Array(input.piece())], from: 1)
        case 3:
            let count = input.choice(8)
            send((0..<count).map { _ in Array(input.piece()) }, from: 0)
        case 4: write()
        case 5: pass(Int64(input.word()))
        case 6:
            strangers[0].cut()
            machine.settle()
            strangers[0] = connectStranger(0)
        case 7: strangers[1].connection.isStuck.toggle()
        default:
            strangers[1].drain()
            machine.settle()
        }
        listen()
    }

    private func send(_ frames: [[UInt8]], from index: Int) {
        strangers[index].send(frames)
        machine.settle()
    }

    private mutating func write() {
        let id = UInt64(written + 1)
        written += 1
        let stamp = Timestamp(millis: machine.wallMillis(), counter: UInt32(id), node: "honest")
        let operation = ClientOperation(
            id: id, mapName: Self.map, key: ByteString("key-\(id)"),
            change: .put(LWWRecord(value: Payload([0xcc, UInt8(truncatingIfNeeded: id)]), timestamp: stamp)))
        honest.send([Self.encoded(.operations(OperationBatch(operations: [operation], concern: .applied)))])
        machine.settle()
    }

    private mutating func pass(_ millis: Int64) {
        // Who says nothing for a minute is sent away, the honest one too.
        var left = millis
        while left > 0 {
            honest.send([Self.encoded(.ping(timestamp: 1))])
            machine.run(millis: min(left, 20_000))
            left -= 20_000
            listen()
        }
    }

    /// Takes what came, all of which must make sense.
    private mutating func listen() {
        for stranger in strangers { _ = stranger.received() }
        for message in honest.received() {
            if case .acknowledgement(let acknowledgement) = message {
                for result in acknowledgement.results ?? [] where result.isSuccess { acknowledged.insert(result.id) }
            }
        }
        expect(machine.failure == nil, "the node gave up: \(machine.failure ?? "")")
    }

    // MARK: The end

    mutating func checkEnd() {
        write()
        pass(3_000)
        expect(honest.connection.closeCode == nil, "an honest client was sent away")
        expect(acknowledged == Set(1...UInt64(written)), "\(written) writes, acknowledged \(acknowledged.sorted())")
        checkRows()
        machine.kill()
        guard flags & 4 != 0 else { return }
        machine.start()
        honest = machine.connect(loop: 0)
        greet(honest)
        checkRows()
        machine.kill()
    }

    private func checkRows() {
        let query = QuerySubscription(queryID: "all", mapName: Self.map, query: QueryRequest())
        honest.send([Self.encoded(.querySubscribe(query))])
        machine.run(millis: 500)
        var rows: [ByteString: Payload]?
        for message in honest.received() {
            if case .queryResponse(let response) = message, response.queryID == "all" {
                rows = Dictionary(response.results.map { ($0.key, $0.value) }) { $1 }
            }
        }
        guard let rows else { fatalError("a query without an answer") }
        for id in acknowledged {
            expect(
                rows[ByteString("key-\(id)")] == Payload([0xcc, UInt8(truncatingIfNeeded: id)]),
                "write \(id) was acknowledged and is not there")
        }
        honest.send([Self.encoded(.queryUnsubscribe(queryID: "all"))])
        machine.settle()
    }
}
