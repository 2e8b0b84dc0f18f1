import Testing
import TopGunModel
import TopGunReplica
import TopGunWire

/// Replicas and a server with a network between them that cuts, repeats and reorders, crashes included: from a seed.
///
/// At the end everything heals; then every replica must be as the server, no operation that was ever in a log may be
/// missing or have taken effect twice, and every receipt must have come to an end.
@Suite struct SimulationTests {
    @Test(arguments: 0..<40) func `replicas converge and lose nothing (C01, B20, B21, C14, C15)`(seed: Int) throws {
        var world = try SimulatedWorld(seed: UInt64(seed))
        try world.run(steps: 400)
    }

    @Test(arguments: 0..<20) func `clocks that are hours off change neither (B19, K07, K08)`(seed: Int) throws {
        var world = try SimulatedWorld(
            seed: UInt64(1000 + seed), skewMillis: [3_600_000, -3_600_000, 0, 59_000, 61_000])
        try world.run(steps: 300)
    }

    @Test(arguments: 0..<20) func `refusals and overload decide their own operations only (C09, C11, B13)`(seed: Int)
        throws
    {
        var world = try SimulatedWorld(seed: UInt64(3000 + seed), isRefusing: true)
        try world.run(steps: 300)
    }

    @Test(arguments: 0..<20) func `a backup put back on the server loses nothing that a client wrote (B17)`(seed: Int)
        throws
    {
        var world = try SimulatedWorld(seed: UInt64(4000 + seed), isRestoring: true)
        try world.run(steps: 300)
    }

    @Test(arguments: 0..<20) func `maps compared by content converge as well`(seed: Int) throws {
        var world = try SimulatedWorld(
            seed: UInt64(6000 + seed),
            features: [.results, .levels, .clock, .hash128, .delta, .seq, .pull, .binary, .flow])
        try world.run(steps: 300)
    }

    @Test(arguments: 0..<20) func `what changed is walked for where the server does not tell it`(seed: Int) throws {
        var world = try SimulatedWorld(
            seed: UInt64(5000 + seed), features: [.results, .levels, .clock, .seq, .pull, .binary, .flow])
        try world.run(steps: 300)
    }

    @Test(arguments: 0..<10) func `a server without extensions serves too`(seed: Int) throws {
        var world = try SimulatedWorld(seed: UInt64(2000 + seed), features: [])
        try world.run(steps: 300)
    }
}

/// A stream of numbers from a seed (SplitMix64).
struct Dice {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }
    mutating func oneIn(_ bound: Int) -> Bool { below(bound) == 0 }
}

struct SimulatedWorld {
    private let seed: UInt64
    private var dice: Dice
    private let server: ModelServer
    private var clients: [SimulatedClient] = []
    private var nextValue = 0
    private var isHealing = false
    private let hasFeatures: Bool
    /// Whether the network repeats frames, which a socket does not. An answer does not say which stamp it is about, so a
    /// repeated `CLOCK_AHEAD` can be taken for one about the new stamp.
    private let isRepeating: Bool
    private let isRefusing: Bool
    private let isRestoring: Bool
    private var backup: [ByteString: [ByteString: LWWRecord]] = [:]

    final class SimulatedClient {
        var client: TestClient
        var session: Int?
        var upstream: [[UInt8]] = []
        var downstream: [[UInt8]] = []
        let skewMillis: Int64
        let node: ByteString
        var maps: [MapID] = []
        /// Values in the log of the store at some time: they must not be lost.
        var logged: Set<Payload> = []

        init(client: TestClient, node: ByteString, skewMillis: Int64) {
            self.client = client
            self.node = node
            self.skewMillis = skewMillis
        }
    }

    private static let names: [ByteString] = ["todos", "notes"]

    init(
        seed: UInt64, skewMillis: [Int64] = [0],
        features: FeatureSet = [.results, .levels, .clock, .delta, .seq, .pull, .binary, .flow],
        isRefusing: Bool = false,
        isRestoring: Bool = false
    ) throws {
        self.seed = seed
        self.isRefusing = isRefusing
        self.isRestoring = isRestoring
        dice = Dice(state: seed)
        hasFeatures = !features.isEmpty
        isRepeating = skewMillis == [0]
        server = ModelServer(wallMillis: TestClient.start.wallMillis)
        server.features = features
        if isRefusing { server.refuse = Self.refusal(busy: 3) }
        let count = 2 + dice.below(4)
        for index in 0..<count {
            let skew = skewMillis[dice.below(skewMillis.count)]
            let node = ByteString("node-\(index)")
            let now = ReplicaTime(wallMillis: server.wallMillis + skew, steadyMillis: 0)
            let client = try TestClient(node: node, seed: seed &* 31 &+ UInt64(index), now: now)
            client.commitsAtOnce = false
            let simulated = SimulatedClient(client: client, node: node, skewMillis: skew)
            simulated.maps = try Self.names.map { try client.open($0) }
            clients.append(simulated)
        }
    }

    mutating func run(steps: Int) throws {
        for _ in 0..<steps { try step() }
        isHealing = true
        for client in clients { client.client.store.failure = nil }
        server.level = .replicated
        if isRefusing { server.refuse = Self.refusal(busy: nil) }
        for _ in 0..<4000 {
            try step()
            server.raiseLevels()
            if isQuiet { break }
        }
        check()
    }

    /// Refuses some values for good, and every n-th operation for now.
    private static func refusal(busy: Int?) -> (ClientOperation) -> Refusal? {
        var asked = 0
        return { operation in
            asked += 1
            if case .put(let record) = operation.change, isForbidden(record.value) { return .forbidden }
            return busy.map { asked % $0 == 0 } ?? false ? .busy : nil
        }
    }

    private static func isForbidden(_ value: Payload) -> Bool {
        value.int.map { $0 % 11 == 0 } ?? false
    }

    private var isQuiet: Bool {
        server.isQuiet
            && clients.allSatisfy {
                $0.client.pendingCount == 0 && $0.client.syncState == .live && $0.upstream.isEmpty
                    && $0.downstream.isEmpty && $0.client.isSaved
            }
    }

    // MARK: One step

    private mutating func step() throws {
        let pass = Int64(dice.oneIn(20) ? dice.below(3_000) : dice.below(40))
        server.wallMillis += pass
        for client in clients { client.client.pass(pass) }
        if !isHealing { try disturb() }
        for client in clients {
            noteClosed(client)
            if client.client.connections.contains(.open), client.session == nil, !dice.oneIn(4) { connect(client) }
            pump(client)
            try deliver(client)
            if client.client.transaction != nil, isHealing || !dice.oneIn(3) { commit(client) }
        }
    }

    private mutating func disturb() throws {
        let client = clients[dice.below(clients.count)]
        switch dice.below(10) {
        case 0...4: try write(client)
        case 5: if dice.oneIn(2) { cut(client, tells: true) }
        case 6: if dice.oneIn(3) { try crash(client) }
        case 7: server.level = dice.oneIn(2) ? .applied : .replicated
        case 8: server.raiseLevels()
        default:
            if dice.oneIn(4) {
                client.client.store.failure =
                    client.client.store.failure == nil ? StoreError(code: .full, message: "full") : nil
            }
        }
        if dice.oneIn(10) { client.client.store.failure = nil }
        if isRestoring, dice.oneIn(30) { backup = server.maps }
        if isRestoring, dice.oneIn(60) {
            for client in clients { cut(client, tells: true) }
            server.restore(to: backup)
        }
    }

    private mutating func write(_ client: SimulatedClient) throws {
        let map = client.maps[dice.below(client.maps.count)]
        let key = ByteString("k\(dice.below(12))")
        nextValue += 1
        try client.client.set(key, nextValue, in: map)
    }

    private mutating func connect(_ client: SimulatedClient) {
        client.client.connections = []
        client.session = server.connect()
        client.upstream = []
        client.downstream = []
        client.client.frames = []
        client.client.state.connected(at: client.client.now)
        client.client.settle()
    }

    /// The client closed its socket itself, and may have asked for another one since.
    private func noteClosed(_ client: SimulatedClient) {
        guard let last = client.client.connections.last, client.client.connections != [.open] else { return }
        cut(client, tells: false)
        client.client.connections = last == .open ? [.open] : []
    }

    /// What was on its way in either direction is lost.
    private func cut(_ client: SimulatedClient, tells: Bool) {
        if let session = client.session { server.disconnect(session) }
        let wasConnected = client.session != nil
        client.session = nil
        client.upstream = []
        client.downstream = []
        client.client.frames = []
        guard tells, wasConnected else { return }
        client.client.disconnect()
    }

    /// The process dies: with its transaction written or not.
    private mutating func crash(_ client: SimulatedClient) throws {
        client.client.store.failure = nil
        if client.client.transaction != nil, dice.oneIn(2) { commit(client) }
        cut(client, tells: false)
        let old = client.client
        let reborn = try TestClient(
            store: old.store, node: client.node, seed: dice.next(),
            now: ReplicaTime(
                wallMillis: server.wallMillis + client.skewMillis, steadyMillis: 0))
        reborn.commitsAtOnce = false
        client.client = reborn
        client.maps = try Self.names.map { try reborn.open($0) }
    }

    private func commit(_ client: SimulatedClient) {
        let values = client.client.transaction?.newOperations.map(\.record.value) ?? []
        let isWritten = client.client.store.failure == nil
        client.client.commit()
        client.client.settle()
        if isWritten { client.logged.formUnion(values) }
    }

    private mutating func pump(_ client: SimulatedClient) {
        guard let session = client.session else { return }
        for frame in client.client.frames {
            client.upstream.append(frame)
            if !isHealing, isRepeating, dice.oneIn(15) { client.upstream.append(frame) }
        }
        client.client.frames = []
        client.client.sent = []
        client.downstream += server.takeFrames(session)
    }

    private mutating func deliver(_ client: SimulatedClient) throws {
        guard let session = client.session else { return }
        for _ in 0..<(isHealing ? 1000 : dice.below(4)) where !client.upstream.isEmpty {
            try server.receive(client.upstream.removeFirst(), from: session)
        }
        client.downstream += server.takeFrames(session)
        for _ in 0..<(isHealing ? 1000 : dice.below(5)) where !client.downstream.isEmpty && client.session != nil {
            // Two that follow each other may change places, but the greeting comes first.
            let isSwapped =
                !isHealing && hasFeatures && client.downstream.count > 1 && dice.oneIn(10)
                && client.client.syncState.rawValue >= SyncState.syncing.rawValue
            let frame = client.downstream.remove(at: isSwapped ? 1 : 0)
            client.client.receive(frame: frame)
            if !isHealing, isRepeating, dice.oneIn(15) { client.client.receive(frame: frame) }
            noteClosed(client)
        }
    }

    // MARK: Checks

    private func check() {
        let context: Comment = "seed \(seed)"
        #expect(isQuiet, context)
        for client in clients {
            for (name, map) in zip(Self.names, client.maps) {
                var expected: [ByteString: Payload] = [:]
                for (key, record) in server.maps[name] ?? [:] where !record.isTombstone { expected[key] = record.value }
                #expect(client.client.contents(of: map) == expected, context)
                for (key, record) in server.maps[name] ?? [:] {
                    #expect(client.client.record(key, in: map) == record, context)
                }
            }
            #expect(client.client.notices.allSatisfy { $0 != .protocolError(.undecodable) }, context)
            for value in client.logged { checkEffect(of: value, context) }
            let setAside = Set(client.client.setAside.map(\.operation.record.value))
            #expect(setAside == client.logged.filter { isRefusing && Self.isForbidden($0) }, context)
        }
        checkStores(context)
    }

    /// Exactly one effect: an operation that was logged arrived, and took effect once or was older than what stood.
    private func checkEffect(of value: Payload, _ context: Comment) {
        if isRefusing, Self.isForbidden(value) {
            #expect(server.effects[value] == nil, context)
            return
        }
        guard let effects = server.effects[value] else {
            Issue.record("seed \(seed): a logged operation is lost")
            return
        }
        #expect(effects <= 1 || isRestoring, context)
    }

    private func checkStores(_ context: Comment) {
        for client in clients {
            for name in Self.names {
                guard let entries = try? client.client.store.entries(ofMap: name, after: nil, limit: .max) else {
                    Issue.record(context)
                    continue
                }
                var stored: [ByteString: LWWRecord] = [:]
                for entry in entries { stored[entry.key] = entry.record }
                #expect(stored == server.maps[name] ?? [:], context)
            }
            #expect((try? client.client.store.operations(after: 0, limit: .max))?.isEmpty == true, context)
        }
    }
}
