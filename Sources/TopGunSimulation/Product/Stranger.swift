import NIOCore
import TopGunEnvironment
import TopGunModel
import TopGunReplica
import TopGunWire

/// Somebody who connects and says what nobody should. Nothing of it may be taken for right: each operation must be refused with
/// the code that the protocol has for it, every other message is answered or dropped, and nobody else notices.
///
/// It has one connection at a time. On each it either speaks our extensions, or knows nothing of them, or reads nothing of what it
/// is told, or says nothing and is gone without a word.
final class Stranger: @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    static let name = "stranger"

    /// An operation that breaks a rule.
    enum Offence: CaseIterable {
        case stampOutOfRange, longKey, longMapName, noMapName, reservedMap, endlessLifetime, otherKind
        /// The stamp of a write that stands, with another value (M12, C06).
        case stolenStamp

        var refusal: Refusal {
            switch self {
            case .stampOutOfRange: .badStamp
            case .longKey, .longMapName: .tooLarge
            case .noMapName, .endlessLifetime: .badRequest
            case .reservedMap: .forbidden
            case .otherKind: .notReady
            case .stolenStamp: .replicaIDConflict
            }
        }
    }

    /// A message without operations, most of which cannot be served.
    private enum Nuisance: CaseIterable {
        case noise, halfMessage, unknownType, wordOfServers, tooManyMessages
        case unaskedRecords, reservedMap, missingFeature, interest, flood
    }

    let host: SimulatedHost
    // It is the simulation's.
    private unowned let simulation: Simulation
    private let loop: SimulatedLoop
    private var dice: SeededGenerator
    private var visit: Visit?
    private var lastID: UInt64 = 0
    private let node: ByteString = "stranger-node"

    init(_ simulation: Simulation) {
        self.simulation = simulation
        host = SimulatedHost(name: Self.name, network: simulation.network)
        loop = simulation.scheduler.makeLoop(named: Self.name)
        dice = SeededGenerator(seed: simulation.scenario.seed ^ 0x7374_7261)
    }

    /// Connects anew; whoever was there before is gone.
    func call() {
        let manner = Visit.Manner.allCases[dice.below(Visit.Manner.allCases.count)]
        loop.execute { [self] in
            leave()
            let visit = Visit(self, manner)
            self.visit = visit
            host.connect(to: simulation.node.name, on: loop, receiver: visit)
        }
    }

    func leaveForGood() {
        loop.execute { [self] in leave() }
    }

    private func leave() {
        guard let visit else { return }
        self.visit = nil
        if visit.manner == .silent { host.crash(tells: false) } else { visit.connection?.close(code: 1000, reason: "") }
    }

    fileprivate func connected(_ visit: Visit, _ connection: any MessageConnection) {
        guard visit === self.visit else { return connection.close(code: 1000, reason: "") }
        if visit.manner == .deaf { connection.setReading(false) }
        guard visit.manner != .silent else { return }
        if visit.manner != .plain {
            let hello = DeviceHello(protocolVersion: 3, features: ReplicaConfiguration().features)
            send(.deviceHello(hello), to: connection)
        }
        for _ in 0...dice.below(8) {
            if dice.chance(1, in: 2) {
                offend(visit, connection)
            } else {
                annoy(connection)
            }
        }
        connection.flush()
    }

    private func send(_ message: ClientMessage, to connection: any MessageConnection) {
        send(Self.encoded(message), to: connection)
    }

    private func send(_ sink: ByteSink, _ count: Int? = nil, to connection: any MessageConnection) {
        withExtendedLifetime(sink) {
            connection.send(copying: UnsafeRawBufferPointer(rebasing: sink.bytes.prefix(count ?? sink.count)))
        }
    }

    private static func encoded(_ message: ClientMessage) -> ByteSink {
        let sink = ByteSink()
        message.encode(into: sink)
        return sink
    }

    // MARK: - Operations

    private func offend(_ visit: Visit, _ connection: any MessageConnection) {
        var operations: [ClientOperation] = []
        for _ in 0...dice.below(3) {
            let offence = Offence.allCases[dice.below(Offence.allCases.count)]
            guard let operation = operation(offence, visit) else { continue }
            operations.append(operation)
            var event = simulation.event(.offended, Self.name)
            event.op = operation.id
            // Who knows no `results` is told no code.
            let isNamed = visit.manner != .plain || !offence.refusal.isFinal
            event.code = isNamed ? "\(offence.refusal.wireName)" : "REJECTED"
            simulation.record(event)
        }
        let concern: WriteConcern? = dice.chance(1, in: 2) ? .memory : nil
        send(.operations(OperationBatch(operations: operations, concern: concern)), to: connection)
    }

    private func operation(_ offence: Offence, _ visit: Visit) -> ClientOperation? {
        lastID += 1
        // No client's value, so that it is found wherever it turns up.
        let value = Token.payload(0x8000_0000 | UInt32(truncatingIfNeeded: lastID), length: 20)
        let stamp = Timestamp(millis: simulation.node.clock.wallMillis() - 1_000, counter: 0, node: node)
        var record = LWWRecord(value: value, timestamp: stamp, ttlMillis: 0)
        var operation = ClientOperation(id: lastID, mapName: "map0", key: "k0", change: .put(record))
        switch offence {
        case .stampOutOfRange: record.timestamp.millis = dice.chance(1, in: 2) ? -1 : ModelLimits.millisMax + 1
        case .longKey: operation.key = ByteString([UInt8](repeating: 0x6b, count: WireLimits.keyBytesMax + 1))
        case .longMapName:
            operation.mapName = ByteString([UInt8](repeating: 0x6d, count: WireLimits.mapNameBytesMax + 1))
        case .noMapName: operation.mapName = ""
        case .reservedMap: operation.mapName = "_topgun_users"
        case .endlessLifetime: record.ttlMillis = ModelLimits.millisMax + 1
        case .otherKind:
            operation.change = .orRemove(tag: "t")
            return operation
        case .stolenStamp:
            // Without our extensions a stamp that was sent before is the same write.
            let standing = simulation.standing
            guard visit.manner != .plain, !standing.isEmpty else { return nil }
            let stolen = standing[dice.below(standing.count)]
            (operation.mapName, operation.key) = (ByteString(stolen.place.map), ByteString(stolen.place.key))
            record.timestamp = Timestamp(
                millis: stolen.stamp.millis, counter: stolen.stamp.counter, node: ByteString(stolen.stamp.node))
        }
        operation.change = .put(record)
        return operation
    }

    // MARK: - Everything else

    private func annoy(_ connection: any MessageConnection) {
        let drawn = Nuisance.allCases[dice.below(Nuisance.allCases.count)]
        // Heavy work, also for the world.
        let isHeavy = drawn == .flood || drawn == .tooManyMessages
        switch isHeavy && dice.chance(3, in: 4) ? .noise : drawn {
        case .noise:
            let noise = (0..<1 + dice.below(200)).map { _ in UInt8(dice.below(256)) }
            noise.withUnsafeBytes { connection.send(copying: $0) }
        case .halfMessage:
            let whole = Self.encoded(.syncStart(SyncStart(mapName: "map0")))
            send(whole, dice.below(whole.count), to: connection)
        case .unknownType:
            let sink = ByteSink()
            let writer = MessagePackWriter(sink)
            writer.writeMapHead(1)
            writer.write("type" as StaticString)
            writer.write("NO_SUCH_MESSAGE" as StaticString)
            send(sink, to: connection)
        case .wordOfServers:
            let sink = ByteSink()
            ServerMessage.resync(mapName: "map0").encode(into: sink)
            send(sink, to: connection)
        case .tooManyMessages: send(repeated(.ping(timestamp: 0), WireLimits.batchMessagesMax + 1), to: connection)
        case .unaskedRecords:
            let stamp = Timestamp(millis: simulation.node.clock.wallMillis(), counter: 0, node: node)
            lastID += 1
            let value = Token.payload(0x8000_0000 | UInt32(truncatingIfNeeded: lastID), length: 20)
            let record = KeyedRecord(key: "k0", record: LWWRecord(value: value, timestamp: stamp, ttlMillis: 0))
            send(.merklePush(SyncLeaf(mapName: "map0", path: .root, records: [record])), to: connection)
        case .reservedMap: send(.syncStart(SyncStart(mapName: "_topgun_users")), to: connection)
        case .missingFeature: send(.topicSubscribe(topic: "t"), to: connection)
        case .interest: send(.syncStart(SyncStart(mapName: "map0")), to: connection)
        case .flood:
            let request = ClientMessage.merkleRequest(MapPath(mapName: "nothing", path: .root))
            // More than any connection may have open.
            send(repeated(request, 4_200), to: connection)
        }
    }

    private func repeated(_ message: ClientMessage, _ count: Int) -> ClientMessage {
        let one = Self.encoded(message)
        let content = ByteSink()
        withExtendedLifetime(one) {
            BatchContent.append(forServer: Array(repeating: one.bytes, count: count), to: content)
        }
        return .batch(Batch(count: Int64(count), data: Array(content.bytes)))
    }
}

/// One connection of the stranger's.
private final class Visit: MessageReceiver, @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    enum Manner: CaseIterable {
        case announced, plain
        /// It does not read.
        case deaf
        /// It says nothing and goes without a word.
        case silent
    }

    let manner: Manner
    private let stranger: Stranger
    private(set) var connection: (any MessageConnection)?

    init(_ stranger: Stranger, _ manner: Manner) {
        self.stranger = stranger
        self.manner = manner
    }

    func connected(_ connection: any MessageConnection) {
        self.connection = connection
        stranger.connected(self, connection)
    }

    func received(_ message: ByteBuffer) {}

    func closed(reason: String) { connection = nil }
}
