import Logging
import NIOCore
import TopGunEnvironment
import TopGunModel
package import TopGunServer

/// A server node as its process runs it, on a machine of the simulated world: killed between any two turns, or in the
/// middle of a call of its disk, and started again on what the disk kept.
package final class SimulatedNode: SimulatedListener, @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    package enum State: Equatable, Sendable {
        case down
        case starting
        case serving
        /// It was asked to end and takes no more connections.
        case stopping
        /// It would not start, or gave up by itself.
        case failed
    }

    package struct Settings: Sendable {
        package var loops = 1
        package var segmentBytes = 16 << 10
        package var checkpointLogBytes: Int64 = 64 << 10
        /// Bytes queued for a connection above which events are dropped.
        package var broadcastQueueBytesMax = 32 << 10
        /// The mutant `acknowledgeBeforeSync`.
        package var acknowledgesEarly = false
        /// The mutant `syncFailureIgnored`.
        package var ignoresSyncFailures = false

        package init() {}
    }

    package let name: String
    package let disk: SimulatedDisk
    package let clock: SimulatedClock
    package private(set) var state = State.down
    package private(set) var metrics: ServerMetrics
    package var onServing: (() -> Void)?
    package var onRefused: ((ServerError) -> Void)?
    package var onFailed: ((ServerError) -> Void)?
    /// It was asked to end and has; without it, that ends its process.
    package var onStopped: (() -> Void)?
    /// The parser takes what a client sent for something that no client may send.
    package var onBrokenFrame: (() -> Void)?

    private let scheduler: SimulatedScheduler
    package private(set) var settings: Settings
    private let seed: UInt64
    private var lives: UInt64 = 0
    private var spawner: SimulatedSpawner
    private var node: (any ServingNode)?
    private var ends: [LinkEnd] = []
    private var nextLoop = 0
    private let scratch = ReadScratch()
    private let log: ServerLog

    package init(name: String, settings: Settings, seed: UInt64, scheduler: SimulatedScheduler) {
        self.name = name
        self.settings = settings
        self.seed = seed
        self.scheduler = scheduler
        disk = SimulatedDisk(seed: seed, scheduler: scheduler)
        clock = SimulatedClock(scheduler: scheduler)
        metrics = ServerMetrics(loops: settings.loops)
        spawner = SimulatedSpawner(node: name, loops: settings.loops, scheduler: scheduler)
        var logger = Logger(label: name) { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        log = ServerLog(logger)
    }

    // MARK: - Life

    /// Starts the process; ``onServing`` or ``onRefused`` tells how it went.
    package func start() {
        precondition(state == .down || state == .failed, "\(name) runs already")
        lives += 1
        state = .starting
        spawner = SimulatedSpawner(node: name, loops: settings.loops, scheduler: scheduler)
        metrics = ServerMetrics(loops: settings.loops)
        let life = lives
        var configuration = ServerConfiguration()
        configuration.dataDirectory = "/data"
        let disk: any Disk = settings.ignoresSyncFailures ? CarelessDisk(disk) : disk
        let context = NodeContext(
            configuration: configuration,
            environment: Environment(
                clock: clock, disk: disk, network: ClosedNetwork(), entropy: SeededEntropy(seed: seed &+ life),
                spawner: spawner),
            metrics: metrics, tokens: nil, log: log
        ) { [self] error in failed(error, life: life) }
        var options = NodeOptions()
        options.segmentBytes = settings.segmentBytes
        options.checkpointLogBytes = settings.checkpointLogBytes
        // Nothing breaks the memory of this world, so little of it is checked.
        options.checkVisitsPerTurn = 128
        options.broadcastQueueBytesMax = settings.broadcastQueueBytesMax
        options.acknowledgesEarly = settings.acknowledgesEarly
        spawner.spawn("start") { [self, options] in
            do throws(ServerError) {
                let node = try await Node.start(context, options: options)
                started(node, life: life)
            } catch {
                refused(error, life: life)
            }
        }
    }

    private func started(_ node: any ServingNode, life: UInt64) {
        guard life == lives, state == .starting else { return }
        self.node = node
        state = .serving
        onServing?()
    }

    private func refused(_ error: ServerError, life: UInt64) {
        guard life == lives, state == .starting else { return }
        state = .failed
        onRefused?(error)
    }

    private func failed(_ error: ServerError, life: UInt64) {
        guard life == lives, state == .serving || state == .starting || state == .stopping else { return }
        onFailed?(error)
    }

    /// Ends the process between two turns: `kill -9`, or with the power of the whole machine.
    package func crash(power: Bool) {
        spawner.crash()
        if power { disk.powerCut() } else { disk.processKill() }
        node = nil
        state = .down
        for end in ends { end.link?.lose(.node, tells: !power) }
        ends = []
    }

    /// Lets the process end as it does when it is asked to: nothing of it stays behind, as tasks of a killed one do.
    package func stop() {
        guard let node, state == .serving else { return crash(power: false) }
        let life = lives
        state = .stopping
        for end in ends { end.close(code: 1001, reason: "stopping") }
        spawner.spawn("stop") { [self] in
            do throws(ServerError) {
                try await node.stop()
            } catch {
                // It ends all the same: its disk has failed, and whoever watches this node was told of that.
            }
            guard life == lives, state == .stopping else { return }
            if let onStopped { onStopped() } else { crash(power: false) }
        }
    }

    /// How many loops its next process has.
    package func changeLoops(to loops: Int) {
        precondition(state == .down, "\(name) runs")
        settings.loops = loops
    }

    /// What an operator may ask of a node that serves: a partition is torn down and rebuilt while the others go on.
    package func restart(partition: Int) {
        guard let node else { return }
        spawner.spawn("restart") { _ = await node.restart(partition: partition) }
    }

    package func setPaused(_ isPaused: Bool) {
        spawner.setPaused(isPaused)
    }

    /// The machine drops every connection without a word to this process's clients or itself.
    package var openEnds: [LinkEnd] { ends.filter { $0.link != nil } }

    // MARK: - SimulatedListener

    package var isAccepting: Bool { state == .serving && !disk.isHalted }
    package var isReachable: Bool { state != .down || !disk.isHalted }
    package var isSilenced: Bool { disk.isHalted }

    package func loopForNextConnection() -> SimulatedLoop {
        guard let loop = spawner.loops[nextLoop % settings.loops] as? SimulatedLoop else {
            preconditionFailure("a simulated node has simulated loops")
        }
        nextLoop += 1
        return loop
    }

    package func accept(_ end: LinkEnd) {
        guard let node, let owner = owner(of: end, node) else { return }
        ends.removeAll { $0.link == nil }
        ends.append(end)
        let peer = NodeSide(owner, scratch: scratch) { [self] in onBrokenFrame?() }
        end.receiver = peer
        peer.open(end)
    }

    private func owner(of end: LinkEnd, _ node: any ServingNode) -> (any ClientConnectionOwner)? {
        let index = spawner.loops.firstIndex { $0 === end.loop }
        return index.map { node.owners[$0] }
    }
}

/// How long messages may be before somebody has said who he is is the business of the listener's own tests.
extension LinkEnd: ClientConnection {
    package func admit() {}
}

/// The gateway's side of a connection, in the place of the listener's channel handler: the same parser, fed with whatever
/// pieces the link brings.
private final class NodeSide: LinkReceiver, @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    private let owner: any ClientConnectionOwner
    private let onBrokenFrame: () -> Void
    private var frames: FrameReader
    private var session: SessionID?

    init(_ owner: any ClientConnectionOwner, scratch: ReadScratch, onBrokenFrame: @escaping () -> Void) {
        self.owner = owner
        self.onBrokenFrame = onBrokenFrame
        frames = FrameReader(messageBytesMax: Limits.messageBytesMax, scratch: scratch)
    }

    func open(_ end: LinkEnd) {
        session = owner.assumeIsolated { $0.opened(end, peer: PeerInfo(address: "simulated")) }
    }

    func linkReceived(_ pieces: [ByteBuffer]) {
        for piece in pieces {
            guard let session else { return }
            let isOrderly = frames.take(piece) { messages in
                let lent = LentMessages(messages: messages)
                owner.assumeIsolated { $0.received(session, messages: lent.messages) }
            }
            if !isOrderly { onBrokenFrame() }
        }
    }

    func linkDrained() {
        guard let session else { return }
        owner.assumeIsolated { $0.drained(session) }
    }

    func linkClosed(_ reason: String) {
        guard let session else { return }
        self.session = nil
        owner.assumeIsolated { $0.closed(session) }
    }
}

/// Views that go along with a call on this very loop, and outlive it.
private struct LentMessages: @unchecked Sendable {
    // Unchecked because the one who is called is on the loop of the caller.
    let messages: UnsafeBufferPointer<UnsafeRawBufferPointer>
}
