import Synchronization
package import TopGunEnvironment

/// The loops, threads and tasks of one simulated node; they end together when the node crashes.
package final class SimulatedSpawner: Spawner {
    private let node: String
    private let scheduler: SimulatedScheduler
    private let simulatedLoops: [SimulatedLoop]
    private let threads = Mutex<[SimulatedLoop]>([])

    package init(node: String, loops: Int, scheduler: SimulatedScheduler) {
        precondition(loops > 0, "a node needs at least one loop")
        self.node = node
        self.scheduler = scheduler
        simulatedLoops = (0..<loops).map { scheduler.makeLoop(named: "\(node) loop \($0)") }
    }

    package var loops: [any Loop] { simulatedLoops }

    package func thread(named name: String) -> any Loop {
        let thread = scheduler.makeLoop(named: "\(node) \(name)")
        threads.withLock { $0.append(thread) }
        return thread
    }

    package func spawn(_ name: StaticString, _ operation: @escaping @Sendable () async -> Void) {
        Task.detached(name: String(describing: name), executorPreference: simulatedLoops[0]) { await operation() }
    }

    /// Stops every loop and thread of the node, or lets them go on: SIGSTOP and SIGCONT.
    package func setPaused(_ isPaused: Bool) {
        for loop in simulatedLoops + threads.withLock({ $0 }) { loop.setPaused(isPaused) }
    }

    /// Drops everything the node had still to do.
    package func crash() {
        for loop in simulatedLoops + threads.withLock({ $0 }) { loop.stop() }
    }
}
