package import TopGunEnvironment

/// A loop of a simulated node: its jobs are turns of the ``SimulatedScheduler``. Also an executor for actors and tasks.
package final class SimulatedLoop: Loop, SerialExecutor, TaskExecutor {
    package let name: String
    private let index: Int
    private let scheduler: SimulatedScheduler

    init(name: String, index: Int, scheduler: SimulatedScheduler) {
        self.name = name
        self.index = index
        self.scheduler = scheduler
    }

    package var executor: UnownedSerialExecutor { asUnownedSerialExecutor() }

    package var isCurrent: Bool { scheduler.isCurrent(index) }

    package func execute(_ job: @escaping @Sendable () -> Void) {
        scheduler.add(.closure(job), to: index)
    }

    @discardableResult
    package func schedule(afterMillis delay: Int64, _ job: @escaping @Sendable () -> Void) -> any ScheduledJob {
        schedule(afterNanos: delay * 1_000_000, job)
    }

    /// The same, for the world below the product, where a millisecond is long.
    @discardableResult
    package func schedule(afterNanos delay: Int64, _ job: @escaping @Sendable () -> Void) -> any ScheduledJob {
        SimulatedTimer(id: scheduler.addTimer(to: index, afterNanos: delay, job), scheduler: scheduler)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        scheduler.add(.actorJob(UnownedJob(job), self), to: index)
    }

    package func checkIsolated() {
        precondition(isCurrent, "not on the loop \(name)")
    }

    /// Runs nothing until it goes on, as a stopped process does; everything it is given meanwhile waits.
    package func setPaused(_ isPaused: Bool) {
        scheduler.setPaused(index, isPaused)
    }

    /// Ends the loop as a crash does: what it was given and has not run never runs.
    package func stop() {
        scheduler.stop(index)
    }

    func run(_ job: UnownedJob) {
        job.runSynchronously(isolatedTo: asUnownedSerialExecutor(), taskExecutor: asUnownedTaskExecutor())
    }
}

private struct SimulatedTimer: ScheduledJob {
    let id: UInt64
    let scheduler: SimulatedScheduler

    func cancel() {
        scheduler.cancelTimer(id)
    }
}
