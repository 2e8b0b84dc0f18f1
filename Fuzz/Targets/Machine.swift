import Logging
import NIOCore
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// A node on simulated loops and a simulated disk; every one does the same as every other.
final class Machine {
    let loops: Int
    private let disk = SimulatedDisk(seed: 1)
    private var scheduler = SimulatedScheduler(seed: 1)
    private var spawner: SimulatedSpawner
    private var clock: SimulatedClock
    private var node: Node?
    private let told = Told()

    /// What the node said when it gave up.
    private final class Told: Sendable {
        let message = Mutex<String?>(nil)
    }

    init(loops: Int) {
        self.loops = loops
        spawner = SimulatedSpawner(node: "node", loops: loops, scheduler: scheduler)
        clock = SimulatedClock(scheduler: scheduler)
    }

    /// Why the node gave up, if it did.
    var failure: String? { told.message.withLock { $0 } }

    func start() {
        scheduler = SimulatedScheduler(seed: 1)
        spawner = SimulatedSpawner(node: "node", loops: loops, scheduler: scheduler)
        clock = SimulatedClock(scheduler: scheduler)
        var configuration = ServerConfiguration()
        configuration.dataDirectory = "/data"
        var logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        let context = NodeContext(
            configuration: configuration,
            environment: Environment(
                clock: clock, disk: disk, network: NoNetwork(), entropy: SeededEntropy(seed: 1), spawner: spawner),
            metrics: ServerMetrics(loops: loops), tokens: nil, log: ServerLog(logger)
        ) { [told] error in told.message.withLock { $0 = $0 ?? error.message } }
        var options = NodeOptions()
        options.segmentBytes = 32 * 1_024
        options.checkpointLogBytes = 64 * 1_024
        let outcome = Outcome()
        spawner.spawn("start") { [options] in
            do throws(ServerError) {
                let node = try await Node.start(context, options: options)
                outcome.node.withLock { $0 = node }
            } catch {
                fatalError("the node does not start: \(error.message)")
            }
        }
        expect(scheduler.run { outcome.node.withLock { $0 != nil } }, "the node never started")
        node = outcome.node.withLock { $0 }
    }

    private final class Outcome: Sendable {
        let node = Mutex<Node?>(nil)
    }

    func kill() {
        spawner.crash()
        disk.processKill()
        node = nil
    }

    func connect(loop: Int) -> Peer {
        guard let gateway = node?.owners[loop] as? Gateway else { fatalError("the node is down") }
        let peer = Peer(gateway: gateway, loop: spawner.loops[loop])
        peer.open()
        settle()
        return peer
    }

    /// Runs what is to be done at once.
    func settle() { scheduler.runUntilIdle() }
    func run(millis: Int64) { scheduler.run(forMillis: millis) }
    func wallMillis() -> Int64 { clock.wallMillis() }
}

private struct NoNetwork: Network {
    func connect(to address: String, on loop: any Loop, receiver: any MessageReceiver) {
        fatalError("a server connects to nobody")
    }
}

/// The client's end of a connection that exists in memory only.
final class Peer: Sendable {
    let connection = PeerConnection()
    private let gateway: Gateway
    private let loop: any Loop
    private let session = Mutex<SessionID?>(nil)

    init(gateway: Gateway, loop: any Loop) {
        self.gateway = gateway
        self.loop = loop
    }

    func open() {
        loop.execute { [self] in
            let id = gateway.assumeIsolated { $0.opened(connection, peer: PeerInfo(address: "fuzz")) }
            session.withLock { $0 = id }
        }
    }

    /// One read of the socket with these messages in it, unless the gateway reads no more.
    func send(_ frames: [[UInt8]]) {
        loop.execute { [self] in
            guard let id = session.withLock({ $0 }), connection.closeCode == nil, connection.isReading else { return }
            let sinks = frames.map { frame in
                let sink = ByteSink(capacity: frame.count)
                sink.append(frame)
                return sink
            }
            let views = sinks.map(\.bytes)
            views.withUnsafeBufferPointer { buffer in
                // The gateway is on this very loop, and the views outlive the call.
                nonisolated(unsafe) let views = buffer
                gateway.assumeIsolated { $0.received(id, messages: views) }
            }
            withExtendedLifetime(sinks) {}
        }
    }

    func cut() {
        loop.execute { [self] in
            guard let id = session.withLock({ $0 }) else { return }
            session.withLock { $0 = nil }
            gateway.assumeIsolated { $0.closed(id) }
        }
    }

    /// The socket takes what was queued.
    func drain() {
        loop.execute { [self] in
            guard let id = session.withLock({ $0 }) else { return }
            connection.take()
            gateway.assumeIsolated { $0.drained(id) }
        }
    }

    /// What has arrived since the last call; all of it must be messages.
    func received() -> [ServerMessage] {
        connection.takeFlushed().map { frame in
            frame.withUnsafeBytes { bytes in
                do throws(WireError) {
                    return try ServerMessage.decode(bytes)
                } catch {
                    fatalError("a server sent what is no message: \(error) \(frame)")
                }
            }
        }
    }
}

final class PeerConnection: ClientConnection {
    private struct State {
        var queued: [[UInt8]] = []
        var flushed: [[UInt8]] = []
        var isStuck = false
        var isReading = true
        var closeCode: UInt16?
    }

    private let state = Mutex(State())

    func send(_ message: ByteBuffer) {
        state.withLock { $0.queued.append(Array(message.readableBytesView)) }
    }

    func send(copying message: UnsafeRawBufferPointer) {
        let bytes = Array(message)
        state.withLock { $0.queued.append(bytes) }
    }

    func flush() {
        state.withLock { state in
            guard !state.isStuck else { return }
            state.flushed += state.queued
            state.queued = []
        }
    }

    var queuedBytes: Int { state.withLock { state in state.queued.reduce(0) { $0 + $1.count } } }
    func admit() {}
    func setReading(_ reading: Bool) { state.withLock { $0.isReading = reading } }
    var isReading: Bool { state.withLock { $0.isReading } }

    func close(code: UInt16, reason: String) {
        state.withLock { state in
            state.closeCode = state.closeCode ?? code
            state.flushed += state.queued
            state.queued = []
        }
    }

    var closeCode: UInt16? { state.withLock { $0.closeCode } }

    var isStuck: Bool {
        get { state.withLock { $0.isStuck } }
        set { state.withLock { $0.isStuck = newValue } }
    }

    func take() {
        state.withLock { $0.isStuck = false }
        flush()
    }

    func takeFlushed() -> [[UInt8]] {
        state.withLock { state in
            defer { state.flushed = [] }
            return state.flushed
        }
    }
}
