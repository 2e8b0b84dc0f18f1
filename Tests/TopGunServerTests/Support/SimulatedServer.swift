import Logging
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// A whole node on a simulated disk and simulated loops: the same seed gives the same run, turn by turn. It can be killed
/// between any two turns and started again on what the disk kept.
final class SimulatedServer {
    let seed: UInt64
    let disk: SimulatedDisk
    var loops: Int
    var options = NodeOptions()
    var configuration = ServerConfiguration()
    var tokens: (any TokenVerifier)?
    private(set) var scheduler: SimulatedScheduler
    private(set) var clock: SimulatedClock
    private var spawner: HangingSpawner
    private(set) var node: Node?
    let failures = Shared<[ServerError]>([])
    private var lives: UInt64 = 0

    init(seed: UInt64 = 1, loops: Int = 1) {
        self.seed = seed
        self.loops = loops
        disk = SimulatedDisk(seed: seed)
        scheduler = SimulatedScheduler(seed: seed)
        clock = SimulatedClock(scheduler: scheduler)
        spawner = HangingSpawner(SimulatedSpawner(node: "node", loops: loops, scheduler: scheduler))
        configuration.dataDirectory = "/data"
        options.segmentBytes = 64 * 1_024
    }

    /// Starts the node, for the first time or after a ``kill()``; returns the error if it refuses.
    @discardableResult
    func start() -> ServerError? {
        lives += 1
        scheduler = SimulatedScheduler(seed: seed &* 1_000 &+ lives)
        clock = SimulatedClock(scheduler: scheduler)
        spawner = HangingSpawner(SimulatedSpawner(node: "node", loops: loops, scheduler: scheduler))
        let context = NodeContext(
            configuration: configuration,
            environment: Environment(
                clock: clock, disk: disk, network: NoNetwork(), entropy: SeededEntropy(seed: seed &+ lives),
                spawner: spawner),
            metrics: ServerMetrics(loops: loops), tokens: tokens, log: ServerLog(Self.silent)
        ) { [failures] error in failures.with { $0.append(error) } }
        let outcome = Shared<Result<Node, ServerError>?>(nil)
        spawner.spawn("start") { [options] in
            do throws(ServerError) {
                let node = try await Node.start(context, options: options)
                outcome.with { $0 = .success(node) }
            } catch {
                outcome.with { $0 = .failure(error) }
            }
        }
        precondition(scheduler.run { outcome.with { $0 != nil } }, "the node never started")
        switch outcome.with({ $0 }) {
        case .success(let node):
            self.node = node
            return nil
        case .failure(let error): return error
        case nil: preconditionFailure("no outcome")
        }
    }

    /// Ends the process between two turns; what was written and not synced stays in the page cache.
    func kill() {
        spawner.crash()
        disk.processKill()
        node = nil
    }

    /// Takes the power away; what was not synced may be lost or torn.
    func cutPower() {
        spawner.crash()
        disk.powerCut()
        node = nil
    }

    /// Whether the log thread is stuck in the disk.
    func setDiskHanging(_ isHanging: Bool) {
        spawner.setHanging(isHanging)
    }

    func spawn(_ operation: @escaping @Sendable () async -> Void) {
        spawner.spawn("test", operation)
    }

    /// Runs until nothing is left to do at once.
    func settle() {
        scheduler.runUntilIdle()
    }

    func run(millis: Int64) {
        scheduler.run(forMillis: millis)
    }

    func connect(to loop: Int = 0, hello: ClientMessage? = .deviceHello(DeviceHello())) -> TestClient {
        guard let node, let gateway = node.owners[loop] as? Gateway else { preconditionFailure("the node is down") }
        let client = TestClient(gateway: gateway, loop: spawner.loops[loop])
        client.open()
        settle()
        if let hello {
            client.send(hello)
            settle()
        }
        return client
    }

    /// What all loops have counted.
    var counts: LoopCounts {
        let sum = Shared(LoopCounts())
        for owner in node?.owners ?? [] {
            guard let gateway = owner as? Gateway else { continue }
            spawn {
                let counts = await gateway.counts
                sum.with { $0.add(counts) }
            }
        }
        settle()
        return sum.with { $0 }
    }

    static var silent: Logger {
        var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        return logger
    }
}

extension Gateway {
    fileprivate var counts: LoopCounts { door.value.metrics.counts }
}

extension ClientMessage {
    /// The greeting of a client that has features.
    static func hello(_ features: FeatureSet) -> ClientMessage {
        .deviceHello(DeviceHello(protocolVersion: 3, features: features))
    }
}

/// A value that several simulated loops touch, one at a time.
final class Shared<Value: Sendable>: Sendable {
    private let held: Mutex<Value>

    init(_ value: Value) {
        held = Mutex(value)
    }

    func with<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        held.withLock { value in body(&value) }
    }
}

struct NoNetwork: Network {
    func connect(to address: String, on loop: any Loop, receiver: any MessageReceiver) {
        preconditionFailure("a server connects to nobody")
    }
}
