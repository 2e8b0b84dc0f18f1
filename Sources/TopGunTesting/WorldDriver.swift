import Synchronization
import TopGunEnvironment
import TopGunSimulation

/// The one real thread of a world: it takes the turns, those of the test among them, and says when there will be none.
///
/// ```
///   test ── jobs ──> WorldExecutor ──> test's loop ─┐
///   server, clients, their threads ── jobs, timers ─┴──> SimulatedScheduler ── one turn at a time ──> this thread
///                                                              ^
///   other threads (main actor, real timers) ── jobs ───────────┘ wake it
/// ```
///
/// Time jumps whenever nobody has work. A test may wait for something outside, of which the world knows nothing: so when no
/// job of it has run for ``Limits/waitNanosMax`` of virtual time, the world stands still, and after
/// ``Limits/standstillMillisMax`` of real time it is found stuck.
final class WorldDriver: Sendable {
    let scheduler: SimulatedScheduler
    let testLoop: SimulatedLoop
    /// Says what everybody waits for; called on the thread.
    let report = Mutex<(@Sendable () -> String)?>(nil)
    private let standstillMillis: Int64
    private let thread = ThreadLoop(name: "topgun-world")
    private let state = Mutex(State())

    private struct State {
        var isDriving = false
        /// A job came from another thread since the last look.
        var hasOutsideJob = false
        var isEnded = false
        /// When the test last did something.
        var activeNanos: Int64 = 0
        /// Calls of ``WorldDriver/sleep(forNanos:)`` under way, in the order in which they came.
        var sleeps: [(number: UInt64, sleep: Sleep)] = []
        var lastSleep: UInt64 = 0
        var standstills = 0
        var verdict: Verdict?
        var watcher: CheckedContinuation<Verdict, Never>?

        mutating func judge(_ verdict: Verdict) -> CheckedContinuation<Verdict, Never>? {
            if self.verdict == nil { self.verdict = verdict }
            defer { watcher = nil }
            return watcher
        }
    }

    /// How the watch over a test ends.
    enum Verdict: Sendable, Equatable {
        case over
        /// With what everybody waits for.
        case stuck(String)
    }

    init(seed: UInt64, standstillMillis: Int64) {
        self.standstillMillis = standstillMillis
        scheduler = SimulatedScheduler(seed: seed)
        testLoop = scheduler.makeLoop(named: "test")
        scheduler.onJobBetweenTurns { [weak self] in self?.wake() }
    }

    /// Everything of a world is the business of its thread.
    func check() {
        precondition(
            thread.isCurrent,
            """
            a TopGunWorld, its server or one of its devices is used outside of TopGunWorld.run, or in it from a task that \
            does not belong to the world: start such tasks with async let, a task group, or \
            Task(executorPreference: world.executor)
            """)
    }

    /// A piece of the test takes its turn.
    func testActs() {
        let now = scheduler.nowNanos
        state.withLock { $0.activeNanos = now }
    }

    // MARK: - Driving

    private func wake() {
        let now = scheduler.nowNanos
        let isIdle = state.withLock { state in
            state.hasOutsideJob = true
            state.activeNanos = now
            guard !state.isDriving, !state.isEnded else { return false }
            state.isDriving = true
            return true
        }
        if isIdle { thread.execute { [self] in drive() } }
    }

    private func drive() {
        for _ in 0..<Limits.turnsPerSliceMax {
            let now = scheduler.nowNanos
            let (isEnded, isOverdue) = state.withLock { state in
                (state.isEnded, state.sleeps.isEmpty && now - state.activeNanos > Limits.waitNanosMax)
            }
            if isEnded || isOverdue || !scheduler.runOne() {
                if rests() { return }
            }
        }
        thread.execute { [self] in drive() }
    }

    /// Stops driving unless somebody outside has just given the world something to do; the next such job wakes it.
    private func rests() -> Bool {
        let (rests, standstill): (Bool, Int?) = state.withLock { state in
            if state.isEnded { return (true, nil) }
            if state.hasOutsideJob {
                state.hasOutsideJob = false
                return (false, nil)
            }
            state.isDriving = false
            state.standstills += 1
            return (true, state.standstills)
        }
        guard let standstill else { return rests }
        thread.schedule(afterMillis: standstillMillis) { [weak self] in self?.judge(standstill) }
        return true
    }

    /// Finds the test stuck if the world has stood still all the time.
    private func judge(_ standstill: Int) {
        let isStill = state.withLock { !$0.isDriving && !$0.isEnded && $0.standstills == standstill }
        guard isStill else { return }
        let text = report.withLock { $0 }?() ?? ""
        state.withLock { $0.judge(.stuck(text)) }?.resume(returning: .stuck(text))
    }

    /// Takes no further turn; on the thread, by the last job of the test.
    func end() {
        state.withLock { $0.isEnded = true }
    }

    /// Whoever still waits for time to pass is told that it will not.
    func cancelSleeps() {
        let sleeps = state.withLock { $0.sleeps }
        for (_, sleep) in sleeps { sleep.end(isCancelled: true) }
    }

    /// Runs something on the thread between two turns, and waits for it.
    func perform(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            thread.execute {
                body()
                continuation.resume()
            }
        }
    }

    /// Waits until the world has stood still for too long, or until the task is cancelled.
    func verdict() async -> Verdict {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let verdict = state.withLock { state in
                    if state.verdict == nil { state.watcher = continuation }
                    return state.verdict
                }
                if let verdict { continuation.resume(returning: verdict) }
            }
        } onCancel: {
            state.withLock { $0.judge(.over) }?.resume(returning: .over)
        }
    }

    // MARK: - Waiting

    /// Waits for a stretch of virtual time; throws when the task is cancelled, or the world at its end.
    func sleep(forNanos nanos: Int64) async throws {
        let sleep = Sleep()
        let number: UInt64? = state.withLock { state in
            guard !state.isEnded else { return nil }
            state.lastSleep += 1
            state.sleeps.append((state.lastSleep, sleep))
            return state.lastSleep
        }
        guard let number else { throw CancellationError() }
        defer { state.withLock { $0.sleeps.removeAll { $0.number == number } } }
        let timer = testLoop.schedule(afterNanos: max(nanos, 0)) { sleep.end() }
        defer { timer.cancel() }
        if !thread.isCurrent { wake() }
        try await sleep.wait()
    }
}
