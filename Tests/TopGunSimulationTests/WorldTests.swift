import NIOCore
import Synchronization
import Testing
import TopGunEnvironment
import TopGunServer

@testable import TopGunSimulation

/// The parts of the world below a run.
@Suite struct WorldTests {
    private final class Notes: Sendable {
        private let notes = Mutex<[String]>([])
        var all: [String] { notes.withLock { $0 } }

        func add(_ note: String) {
            notes.withLock { $0.append(note) }
        }
    }

    @Test func `a blocking call holds up its loop and what the rest of its turn hands to others, nobody else`() {
        let scheduler = SimulatedScheduler(seed: 1)
        let (slow, other) = (scheduler.makeLoop(named: "slow"), scheduler.makeLoop(named: "other"))
        let notes = Notes()
        slow.execute {
            scheduler.block(forNanos: 5_000_000)
            other.execute { notes.add("handed over at \(scheduler.nowNanos / 1_000_000)") }
        }
        slow.execute { notes.add("next at \(scheduler.nowNanos / 1_000_000)") }
        other.schedule(afterMillis: 1) { notes.add("meanwhile") }
        scheduler.run(forMillis: 10)
        #expect(notes.all.first == "meanwhile")
        #expect(Set(notes.all.dropFirst()) == ["handed over at 5", "next at 5"])
    }

    @Test func `a stopped process runs nothing until it goes on, and then everything, timers late`() {
        let scheduler = SimulatedScheduler(seed: 1)
        let loop = scheduler.makeLoop(named: "paused")
        let notes = Notes()
        loop.setPaused(true)
        loop.execute { notes.add("job") }
        loop.schedule(afterMillis: 5) { notes.add("timer at \(scheduler.nowNanos / 1_000_000)") }
        scheduler.run(forMillis: 50)
        #expect(notes.all.isEmpty)
        loop.setPaused(false)
        scheduler.run(forMillis: 1)
        #expect(notes.all == ["job", "timer at 50"])
    }

    @Test func `timers ring by deadline, then in the order they were set, cancelled ones never`() {
        let scheduler = SimulatedScheduler(seed: 1)
        let loop = scheduler.makeLoop(named: "loop")
        let notes = Notes()
        for (millis, name) in [(30, "c"), (10, "a"), (20, "b"), (10, "a2"), (5, "first")] {
            loop.schedule(afterMillis: Int64(millis)) { notes.add(name) }
        }
        loop.schedule(afterMillis: 15) { notes.add("never") }.cancel()
        scheduler.run(forMillis: 100)
        #expect(notes.all == ["first", "a", "a2", "b", "c"])
    }

    @Test func `a failed sync loses what it was for, and a second one says nothing of it`() throws {
        let disk = SimulatedDisk(seed: 2)
        try disk.createDirectory("/d")
        try disk.syncDirectory("/")
        let file = try disk.open("/d/f", .create)
        try disk.syncDirectory("/d")
        let seen = Notes()
        var witness = SimulatedDisk.Witness()
        witness.onPlatter = { seen.add("\($0.count) bytes") }
        disk.watch(witness)
        let bytes = [UInt8](repeating: 7, count: 4_096)
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
        disk.faults.syncsUntilFailure = 0
        #expect(throws: DiskError.self) { try file.sync() }
        try file.sync()
        #expect(seen.all.isEmpty, "nothing was dirty any more")
        disk.powerCut()
        #expect(disk.content("/d/f") != bytes)
    }

    @Test func `a disk that lies brings a wrong bit once, and says where to the world alone`() throws {
        let disk = SimulatedDisk(seed: 4)
        let file = try disk.open("/f", .create)
        let bytes = (0..<2_048).map { UInt8(truncatingIfNeeded: $0 / 3) }
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
        try file.sync()
        let told = Notes()
        var witness = SimulatedDisk.Witness()
        witness.onMisread = { told.add("tail: \($0)") }
        disk.watch(witness)
        for kind in [SimulatedDisk.WrongRead.flipped, .misdirected] {
            disk.faults.wrongRead = kind
            disk.faults.readsUntilWrong = 1
            let reads = try (0..<3).map { _ in try file.readAll(2_048) }
            #expect(reads[0] == bytes && reads[1] != bytes && reads[2] == bytes)
        }
        #expect(told.all == ["tail: false", "tail: false"])
    }

    @Test func `a sector is stale only if it was written twice`() throws {
        let disk = SimulatedDisk(seed: 5)
        disk.faults.keepsStale = true
        let file = try disk.open("/f", .create)
        let write = { (byte: UInt8) in
            try [UInt8](repeating: byte, count: 512).withUnsafeBytes { try file.write($0, at: 512) }
            try file.sync()
        }
        try [UInt8](repeating: 9, count: 1_024).withUnsafeBytes { try file.write($0, at: 0) }
        try file.sync()
        try write(1)
        disk.faults.wrongRead = .stale
        disk.faults.readsUntilWrong = 0
        #expect(try file.readAll(1_024).suffix(512).allSatisfy { $0 == 9 })
        #expect(try file.readAll(1_024).suffix(512).allSatisfy { $0 == 1 })
    }

    @Test(arguments: ["segment-1", "spare-1.log", "reserve.log", "preparing.log"])
    func `a write to another place of a segment, by whatever name it was made, leaves its own as it was`(
        name: String
    ) throws {
        let disk = SimulatedDisk(seed: 6)
        try disk.createDirectory("/log-0")
        let file = try disk.open("/log-0/\(name)", .create)
        try [UInt8](repeating: 0, count: 8_192).withUnsafeBytes { try file.write($0, at: 0) }
        disk.faults.writesUntilMisdirected = 0
        try [UInt8](repeating: 7, count: 512).withUnsafeBytes { try file.write($0, at: 4_096) }
        try file.sync()
        let content = try file.readAll(8_192)
        #expect(content.count { $0 == 7 } == 512 && content[4_096] == 0)
        #expect(disk.hasMisplaced)
        #expect(disk.isTailMisplaced, "nothing was written to the log after it")
        disk.forgetMisplaced()
        #expect(!disk.hasMisplaced)
    }

    @Test func `a disk is set back to what its machine saw`() throws {
        let disk = SimulatedDisk(seed: 7)
        let file = try disk.open("/f", .create)
        try disk.syncDirectory("/")
        try ([1, 2, 3] as [UInt8]).withUnsafeBytes { try file.write($0, at: 0) }
        try file.sync()
        try ([4] as [UInt8]).withUnsafeBytes { try file.write($0, at: 0) }
        let image = disk.image
        try file.sync()
        _ = try disk.open("/g", .create)
        for _ in 0..<2 {
            disk.processKill()
            disk.restore(image)
            #expect(disk.paths == ["/f"] && disk.content("/f") == [1, 2, 3])
            let again = try disk.open("/f", .readWrite)
            try ([9] as [UInt8]).withUnsafeBytes { try again.write($0, at: 0) }
            try again.sync()
        }
    }

    @Test func `a world has as many nodes as it wants, in one time`() {
        let scheduler = SimulatedScheduler(seed: 3)
        let nodes = (0..<3).map {
            SimulatedNode(name: "node-\($0)", settings: .init(), seed: UInt64($0), scheduler: scheduler)
        }
        for node in nodes { node.start() }
        #expect(scheduler.run { nodes.allSatisfy { $0.state == .serving } })
        nodes[1].crash(power: true)
        #expect(nodes.map(\.state) == [.serving, .down, .serving])
        nodes[1].start()
        #expect(scheduler.run { nodes[1].state == .serving })
    }

    // MARK: - Links

    /// A client's end and a node's end that note what they hear.
    private final class Peer: MessageReceiver, LinkReceiver, SimulatedListener, @unchecked Sendable {
        // Unchecked: the test's thread is the only one.
        let notes = Notes()
        let loop: SimulatedLoop
        var connection: (any MessageConnection)?
        var accepted: LinkEnd?
        private var frames = FrameReader(messageBytesMax: 1 << 20, scratch: ReadScratch())

        init(_ loop: SimulatedLoop) {
            self.loop = loop
        }

        var isAccepting: Bool { true }
        var isReachable: Bool { true }
        var isSilenced: Bool { false }
        func loopForNextConnection() -> SimulatedLoop { loop }

        func accept(_ end: LinkEnd) {
            accepted = end
            end.receiver = self
        }

        func connected(_ connection: any MessageConnection) { self.connection = connection }
        func received(_ message: ByteBuffer) { notes.add(String(buffer: message)) }
        func closed(reason: String) { notes.add("closed") }
        func linkReceived(_ pieces: [ByteBuffer]) {
            for piece in pieces {
                let isOrderly = frames.take(piece) { messages in
                    for message in messages { notes.add(String(decoding: message, as: UTF8.self)) }
                }
                if !isOrderly { notes.add("broken") }
            }
        }
        func linkDrained() {}
        func linkClosed(_ reason: String) { closed(reason: reason) }
    }

    private struct Pair {
        let scheduler = SimulatedScheduler(seed: 9)
        let host: SimulatedHost
        let client: Peer
        let node: Peer
        let events = Notes()

        init(seed: UInt64 = 9) {
            let network = SimulatedNetwork(seed: seed, scheduler: scheduler)
            network.onEvent = { [events] in events.add($0.rawValue) }
            host = SimulatedHost(name: "c", network: network)
            client = Peer(scheduler.makeLoop(named: "client"))
            node = Peer(scheduler.makeLoop(named: "node"))
            network.listen(on: "node", node)
            host.connect(to: "node", on: client.loop, receiver: client)
            scheduler.run(forMillis: 20)
        }

        func send(_ messages: String...) {
            client.loop.execute { [client] in
                for message in messages { client.connection?.send(ByteBuffer(string: message)) }
                client.connection?.flush()
            }
        }
    }

    @Test func `messages arrive whole and in order, a blocked way keeps them, a cut loses some of the last`() {
        let pair = Pair()
        pair.send("1", "2")
        pair.send("3")
        pair.scheduler.run(forMillis: 20)
        #expect(pair.node.notes.all == ["1", "2", "3"])
        pair.host.weather.isUpBlocked = true
        pair.send("4")
        pair.scheduler.run(forMillis: 1_000)
        #expect(pair.node.notes.all.count == 3)
        pair.host.weather.isUpBlocked = false
        pair.scheduler.run(forMillis: 20)
        #expect(pair.node.notes.all == ["1", "2", "3", "4"])
        pair.send("5", "6", "7")
        pair.scheduler.runUntilIdle()
        for link in pair.host.links { link.cut(tellsClient: true, tellsNode: true) }
        pair.scheduler.run(forMillis: 20)
        let rest = Array(pair.node.notes.all.dropFirst(4))
        #expect(rest.last == "closed" && ["5", "6", "7"].starts(with: rest.dropLast()))
        #expect(pair.client.notes.all == ["closed"])
        #expect(!pair.host.isDeceived)
    }

    @Test func `what a client sends arrives whole whatever pieces it comes in`() {
        let pair = Pair()
        var sent: [String] = []
        for number in 0..<300 {
            let message = "\(number) " + String(repeating: "x", count: number)
            sent.append(message)
            pair.send(message)
            if number % 7 == 0 { pair.scheduler.run(forMillis: 5) }
        }
        pair.scheduler.run(forMillis: 100)
        #expect(pair.node.notes.all == sent)
        #expect(pair.events.all.contains("readSplit") && pair.events.all.contains("messageFragmented"))
    }

    @Test func `a cut inside a message leaves a node with its first bytes and no message`() {
        var broken = 0
        for seed in 0..<40 {
            let pair = Pair(seed: UInt64(seed))
            pair.send(String(repeating: "y", count: 500))
            pair.scheduler.runUntilIdle()
            for link in pair.host.links { link.cut(tellsClient: true, tellsNode: true) }
            pair.scheduler.run(forMillis: 20)
            #expect(pair.node.notes.all.last == "closed")
            if pair.node.notes.all.count == 1 { broken += 1 }
        }
        #expect(broken > 0 && broken < 40)
    }

    @Test func `the end that is not told goes on believing in the connection`() {
        let pair = Pair()
        for link in pair.host.links { link.cut(tellsClient: false, tellsNode: true) }
        pair.send("lost")
        pair.scheduler.run(forMillis: 1_000)
        #expect(pair.node.notes.all == ["closed"])
        #expect(pair.client.notes.all.isEmpty)
        #expect(pair.host.isDeceived, "nobody may call that world quiet")
    }

    @Test func `what a narrow path still brings is on its way, also after the path has become wide`() {
        let pair = Pair()
        #expect(!pair.host.isAwaited)
        pair.host.weather.bytesPerSecond = 8_000
        let large = String(repeating: "x", count: 32_000)
        pair.send(large)
        pair.scheduler.run(forMillis: 100)
        pair.host.weather.bytesPerSecond = nil
        pair.scheduler.run(forMillis: 3_500)
        #expect(pair.node.notes.all.isEmpty && pair.host.isAwaited, "nobody may call that world quiet")
        pair.scheduler.run(forMillis: 1_000)
        #expect(pair.node.notes.all == [large])
        #expect(!pair.host.isAwaited)
        pair.host.weather.isUpBlocked = true
        pair.send("held")
        pair.scheduler.run(forMillis: 100)
        #expect(!pair.host.isAwaited, "no longer on its way than a heartbeat")
        pair.scheduler.run(forMillis: 200)
        #expect(pair.host.isAwaited)
        for link in pair.host.links { link.cut(tellsClient: true, tellsNode: true) }
        #expect(!pair.host.isAwaited, "what is lost is not awaited")
    }

    @Test func `lost packets cost time and change no order, and the connection breaks when all are lost`() {
        // A seed at which no piece of a frame is lost so often that the connection breaks already here.
        let pair = Pair(seed: 10)
        pair.host.weather.lossMillionths = 500_000
        let sent = (0..<20).map { "\($0)" }
        for message in sent { pair.send(message) }
        pair.scheduler.run(forMillis: 100)
        #expect(pair.node.notes.all.count < 20)
        #expect(sent.starts(with: pair.node.notes.all))
        pair.scheduler.run(forMillis: 40_000)
        #expect(pair.node.notes.all == sent)

        pair.host.weather.lossMillionths = 1_000_000
        pair.send("20")
        pair.scheduler.run(forMillis: 50_000)
        // Nobody is told before it has been tried often enough.
        #expect(pair.node.notes.all == sent)
        #expect(pair.client.notes.all.isEmpty)
        pair.scheduler.run(forMillis: 10_000)
        #expect(pair.client.notes.all == ["closed"])
        #expect(pair.node.notes.all.last == "closed")
    }

    @Test func `jobs from outside a turn are heard of, those of turns are not`() {
        let scheduler = SimulatedScheduler(seed: 1)
        let loop = scheduler.makeLoop(named: "loop")
        let notes = Notes()
        scheduler.onJobBetweenTurns { notes.add("outside") }
        loop.execute { loop.execute { notes.add("inner") } }
        scheduler.runUntilIdle()
        #expect(notes.all == ["outside", "inner"])
        scheduler.onJobBetweenTurns(nil)
        loop.execute {}
        #expect(notes.all.count == 2)
    }

    @Test func `a node that is asked to end ends, and starts again on what it wrote`() {
        let scheduler = SimulatedScheduler(seed: 4)
        let node = SimulatedNode(name: "node", settings: .init(), seed: 4, scheduler: scheduler)
        node.start()
        #expect(scheduler.run { node.state == .serving })
        node.stop()
        #expect(scheduler.run { node.state == .down })
        node.start()
        #expect(scheduler.run { node.state == .serving })
    }

    @Test func `who does not read makes the other one's queue grow, and hears it all later`() {
        let pair = Pair()
        pair.node.accepted?.setReading(false)
        let large = String(repeating: "x", count: 100_000)
        pair.send(large, large)
        pair.scheduler.run(forMillis: 100)
        #expect(pair.node.notes.all.isEmpty)
        #expect((pair.client.connection?.queuedBytes ?? 0) > 100_000)
        pair.node.accepted?.setReading(true)
        pair.scheduler.run(forMillis: 100)
        #expect(pair.node.notes.all == [large, large])
        #expect(pair.client.connection?.queuedBytes == 0)
    }
}

extension DiskFile {
    /// What a read of so many bytes from the beginning brings.
    fileprivate func readAll(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        let read = try bytes.withUnsafeMutableBytes { try self.read(into: $0, at: 0) }
        return Array(bytes[..<read])
    }
}
