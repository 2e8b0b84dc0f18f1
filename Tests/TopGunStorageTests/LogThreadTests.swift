import Synchronization
import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// What the log asks of its threads, and when.
@Suite struct LogThreadTests {
    private func open(_ disk: SimulatedDisk, _ spawner: ManualSpawner) throws -> WriteAheadLog {
        let directory = try DataDirectory.open(path: "/data", disk: disk, entropy: SeededEntropy(seed: 1))
        let recovered = try WriteAheadLog.recover(in: directory, covered: .none) { _, _ in }
        let clock = SimulatedClock(scheduler: SimulatedScheduler(seed: 1))
        return try WriteAheadLog(
            continuing: recovered, in: directory, spawner: spawner, clock: clock, segmentBytes: 2048
        ) { Issue.record("\($0)") }
    }

    @Test func `the log thread is given nothing to do before the start is done with its part`() throws {
        let spawner = ManualSpawner()
        // The segment thread is as fast as can be: it has done what it was asked before the call returns.
        spawner.runsAtOnce = ["topgun-segments"]
        let disk = SimulatedDisk(seed: 1)
        let early = Counter()
        let syncs = Counter()
        var witness = SimulatedDisk.Witness()
        witness.onPlatter = { [spawner] _ in
            syncs.add(1)
            early.add(spawner.jobs("topgun-log"))
        }
        disk.watch(witness)
        let log = try open(disk, spawner)
        disk.watch(SimulatedDisk.Witness())
        // The identity, the zeros of three files, the header, and the identity again, which is the last of it.
        #expect(syncs.value >= 6)
        #expect(early.value == 0)
        #expect(spawner.jobs("topgun-log") > 0)
        withExtendedLifetime(log) {}
    }

    @Test func `a log that is closed and let go lets its threads go`() throws {
        let spawner = ManualSpawner()
        let loop = ManualLoop()
        var log: WriteAheadLog? = try open(SimulatedDisk(seed: 1), spawner)
        spawner.runUntilIdle()
        let isClosed = Flag()
        log?.close(from: loop) { isClosed.raise() }
        spawner.runUntilIdle()
        loop.runAll()
        #expect(isClosed.isRaised)
        #expect(spawner.living == ["topgun-log", "topgun-segments"])
        log = nil
        #expect(spawner.living == [])
    }
}

/// Threads whose jobs run when the test says so, and that nobody but their users holds.
private final class ManualSpawner: Spawner {
    private struct Thread {
        var name: String
        weak var loop: ManualLoop?
    }

    private let state = Mutex<(threads: [Thread], runsAtOnce: Set<String>)>(([], []))

    var loops: [any Loop] { [] }

    var runsAtOnce: Set<String> {
        get { state.withLock { $0.runsAtOnce } }
        set { state.withLock { $0.runsAtOnce = newValue } }
    }

    func thread(named name: String) -> any Loop {
        state.withLock { state in
            let loop = ManualLoop(runsAtOnce: state.runsAtOnce.contains(name))
            state.threads.append(Thread(name: name, loop: loop))
            return loop
        }
    }

    func spawn(_ name: StaticString, _ operation: @escaping @Sendable () async -> Void) {
        preconditionFailure("storage has no tasks")
    }

    /// Names of the threads that somebody still holds.
    var living: [String] { state.withLock { state in state.threads.filter { $0.loop != nil }.map(\.name) } }

    func jobs(_ name: String) -> Int {
        state.withLock { state in state.threads.first { $0.name == name } }?.loop?.count ?? 0
    }

    func runUntilIdle() {
        let threads = state.withLock { $0.threads }
        while threads.contains(where: { $0.loop?.runAll() ?? false }) {}
    }
}

/// Its timers never ring.
private final class ManualLoop: Loop, SerialExecutor {
    private let runsAtOnce: Bool
    private let queue = Mutex<[@Sendable () -> Void]>([])

    init(runsAtOnce: Bool = false) {
        self.runsAtOnce = runsAtOnce
    }

    var executor: UnownedSerialExecutor { asUnownedSerialExecutor() }
    var isCurrent: Bool { true }
    var count: Int { queue.withLock { $0.count } }

    func execute(_ job: @escaping @Sendable () -> Void) {
        if runsAtOnce { job() } else { queue.withLock { $0.append(job) } }
    }

    @discardableResult
    func schedule(afterMillis delay: Int64, _ job: @escaping @Sendable () -> Void) -> any ScheduledJob {
        NeverRinging()
    }

    func enqueue(_ job: consuming ExecutorJob) {
        preconditionFailure("storage has no actors")
    }

    /// Runs what it was given so far; `false` if that is nothing.
    @discardableResult
    func runAll() -> Bool {
        let jobs = queue.withLock { queue in
            defer { queue = [] }
            return queue
        }
        for job in jobs { job() }
        return !jobs.isEmpty
    }
}

private struct NeverRinging: ScheduledJob {
    func cancel() {}
}
