import Synchronization
import TopGunEnvironment
import TopGunSimulation

/// The loops of a simulated node whose log thread can get stuck, as one does whose disk does not return from a sync.
final class HangingSpawner: Spawner {
    private let spawner: SimulatedSpawner
    private let log = Mutex<HangingThread?>(nil)

    init(_ spawner: SimulatedSpawner) {
        self.spawner = spawner
    }

    var loops: [any Loop] { spawner.loops }

    func thread(named name: String) -> any Loop {
        let thread = spawner.thread(named: name)
        guard name == "topgun-log" else { return thread }
        let hanging = HangingThread(thread)
        log.withLock { $0 = hanging }
        return hanging
    }

    func spawn(_ name: StaticString, _ operation: @escaping @Sendable () async -> Void) {
        spawner.spawn(name, operation)
    }

    func crash() {
        spawner.crash()
    }

    /// Whether the log thread is stuck; what it is given meanwhile it does once it is not.
    func setHanging(_ isHanging: Bool) {
        log.withLock { $0 }?.setHanging(isHanging)
    }
}

private final class HangingThread: Loop {
    private let thread: any Loop
    private let state = Mutex<(isHanging: Bool, held: [@Sendable () -> Void])>((false, []))

    init(_ thread: any Loop) {
        self.thread = thread
    }

    var executor: UnownedSerialExecutor { thread.executor }
    var isCurrent: Bool { thread.isCurrent }

    func execute(_ job: @escaping @Sendable () -> Void) {
        let isHeld = state.withLock { state in
            if state.isHanging { state.held.append(job) }
            return state.isHanging
        }
        if !isHeld { thread.execute(job) }
    }

    @discardableResult
    func schedule(afterMillis delay: Int64, _ job: @escaping @Sendable () -> Void) -> any ScheduledJob {
        thread.schedule(afterMillis: delay, job)
    }

    func setHanging(_ isHanging: Bool) {
        let released = state.withLock { state in
            state.isHanging = isHanging
            guard !isHanging else { return [@Sendable () -> Void]() }
            defer { state.held = [] }
            return state.held
        }
        for job in released { thread.execute(job) }
    }
}
