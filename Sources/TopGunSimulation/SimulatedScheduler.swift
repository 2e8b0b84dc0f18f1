import Synchronization

/// The one thread that a simulated world runs on, and its time.
///
/// Every job of every loop of every node is a turn. While some loops have work, the seed picks which of them goes next;
/// within a loop jobs keep their order. When none has, time jumps to the next timer. Whoever calls the `run` methods is
/// the thread; they must not be called by a job.
package final class SimulatedScheduler: Sendable {
    private let state: Mutex<State>

    enum Job {
        case closure(@Sendable () -> Void)
        case actorJob(UnownedJob, SimulatedLoop)
    }

    fileprivate struct Queue {
        var jobs: [Job] = []
        var isStopped = false
    }

    fileprivate struct Timer {
        var deadline: Int64
        var id: UInt64
        var loop: Int
        var job: @Sendable () -> Void
    }

    fileprivate struct State {
        var now: Int64 = 0
        var generator: SeededGenerator
        var queues: [Queue] = []
        /// Ascending by deadline, equal ones in the order they were set.
        var timers: [Timer] = []
        var timersSet: UInt64 = 0
        var current: Int?
        var turns = 0
        var trace: UInt64 = 0
    }

    package init(seed: UInt64) {
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
    }

    /// True time in nanoseconds since the world began.
    package var nowNanos: Int64 { state.withLock { $0.now } }

    /// How many turns were taken so far.
    package var turns: Int { state.withLock { $0.turns } }

    /// A hash over which loop took each turn and when; two runs of one seed that differ here are not deterministic.
    package var trace: UInt64 { state.withLock { $0.trace } }

    package func makeLoop(named name: String) -> SimulatedLoop {
        let index = state.withLock { state in
            state.queues.append(Queue())
            return state.queues.count - 1
        }
        return SimulatedLoop(name: name, index: index, scheduler: self)
    }

    // MARK: - Turns

    /// Takes one turn; `false` if no job and no timer is left.
    @discardableResult
    package func runOne() -> Bool {
        takeTurn(until: .max)
    }

    /// Takes turns until no job is left, without letting time jump to a timer.
    package func runUntilIdle() {
        while takeTurn(until: nil) {}
    }

    /// Takes every turn that falls due in the next stretch of time, then stands at its end.
    package func run(forMillis millis: Int64) {
        let end = nowNanos + millis * 1_000_000
        while nowNanos <= end, takeTurn(until: end) {}
        state.withLock { $0.now = max($0.now, end) }
    }

    /// Takes turns until the condition holds; `false` if nothing is left to do, or the turns ran out, before that.
    package func run(turnsMax: Int = 1_000_000, until condition: () -> Bool) -> Bool {
        for _ in 0..<turnsMax {
            if condition() { return true }
            if !runOne() { break }
        }
        return condition()
    }

    /// `limit` is how far time may jump to find work; `nil` for not at all.
    private func takeTurn(until limit: Int64?) -> Bool {
        let job = state.withLock { state in state.nextJob(until: limit) }
        guard let job else { return false }
        switch job {
        case .closure(let closure): closure()
        case .actorJob(let job, let loop): loop.run(job)
        }
        state.withLock { $0.current = nil }
        return true
    }

    // MARK: - What loops ask for

    func add(_ job: Job, to loop: Int) {
        state.withLock { state in
            if !state.queues[loop].isStopped { state.queues[loop].jobs.append(job) }
        }
    }

    func addTimer(to loop: Int, afterMillis delay: Int64, _ job: @escaping @Sendable () -> Void) -> UInt64 {
        state.withLock { state in
            state.timersSet += 1
            let deadline = state.now + max(delay, 0) * 1_000_000
            let index = state.timers.lastIndex { $0.deadline <= deadline }.map { $0 + 1 } ?? 0
            let timer = Timer(deadline: deadline, id: state.timersSet, loop: loop, job: job)
            if !state.queues[loop].isStopped { state.timers.insert(timer, at: index) }
            return timer.id
        }
    }

    func cancelTimer(_ id: UInt64) {
        state.withLock { state in state.timers.removeAll { $0.id == id } }
    }

    func isCurrent(_ loop: Int) -> Bool {
        state.withLock { $0.current == loop }
    }

    func stop(_ loop: Int) {
        // Dropped jobs are released outside the lock: what they hold may call back.
        let dropped = state.withLock { state in
            defer {
                state.queues[loop] = Queue(isStopped: true)
                state.timers.removeAll { $0.loop == loop }
            }
            return (state.queues[loop], state.timers)
        }
        withExtendedLifetime(dropped) {}
    }
}

extension SimulatedScheduler.State {
    mutating func nextJob(until limit: Int64?) -> SimulatedScheduler.Job? {
        precondition(current == nil, "a job of the simulated world runs the world")
        var ready = queues.indices.filter { !queues[$0].jobs.isEmpty }
        if ready.isEmpty, let limit, let timer = timers.first, timer.deadline <= limit {
            timers.removeFirst()
            now = max(now, timer.deadline)
            queues[timer.loop].jobs.append(.closure(timer.job))
            ready = [timer.loop]
        }
        guard !ready.isEmpty else { return nil }
        let loop = ready[generator.below(ready.count)]
        now += Int64(generator.below(2000))
        turns += 1
        trace = (trace ^ UInt64(loop)) &* 0x0000_0100_0000_01b3 ^ UInt64(now)
        current = loop
        return queues[loop].jobs.removeFirst()
    }
}
