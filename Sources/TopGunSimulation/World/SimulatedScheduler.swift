import Synchronization

/// The one thread that a simulated world runs on, and its time.
///
/// Every job of every loop of every node is a turn. While some loops have work, the seed picks which of them goes next;
/// within a loop jobs keep their order. When none has, time jumps to the next timer. Whoever calls the `run` methods is
/// the thread; they must not be called by a job.
///
/// A blocking call takes time by ``block(forNanos:)``: the loop that made it does nothing until then, and what the rest
/// of its turn hands to others reaches them only then. A paused loop keeps everything it is given and runs none of it.
package final class SimulatedScheduler: Sendable {
    private let state: Mutex<State>

    enum Job: Sendable {
        case closure(@Sendable () -> Void)
        case actorJob(UnownedJob, SimulatedLoop)
        /// A blocking call is over.
        case unblock
    }

    fileprivate struct Queue {
        var jobs: [Job] = []
        /// How many of ``jobs`` have run.
        var head = 0
        var isStopped = false
        var isPaused = false
        /// Until when a blocking call keeps it busy.
        var blockedUntil: Int64 = 0
        var isBlocked: Bool { blockedUntil > 0 }
        /// Where the loop stands in the list of those that are ready; -1 if it does not.
        var readyIndex = -1

        var isReady: Bool { head < jobs.count && !isPaused && !isBlocked }

        mutating func pop() -> Job {
            let job = jobs[head]
            head += 1
            if head == jobs.count {
                jobs.removeAll(keepingCapacity: true)
                head = 0
            }
            return job
        }
    }

    fileprivate struct State {
        var now: Int64 = 0
        var generator: SeededGenerator
        var queues: [Queue] = []
        var ready: [Int] = []
        var timers = TimerHeap()
        var timersSet: UInt64 = 0
        var current: Int?
        /// How long the current turn has blocked so far.
        var blockedNanos: Int64 = 0
        var turns = 0
        var trace: UInt64 = 0
        var onJobBetweenTurns: (@Sendable () -> Void)?
    }

    package init(seed: UInt64) {
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
    }

    /// True time in nanoseconds since the world began; a turn that blocked has come further than the world.
    package var nowNanos: Int64 { state.withLock { $0.now + $0.blockedNanos } }

    /// How many turns were taken so far.
    package var turns: Int { state.withLock { $0.turns } }

    /// A hash over which loop took each turn and when; two runs of one seed that differ here are not deterministic.
    package var trace: UInt64 { state.withLock { $0.trace } }

    /// Hears of each job that somebody gives while no turn is being taken, as only other threads do. Called on theirs.
    package func onJobBetweenTurns(_ body: (@Sendable () -> Void)?) {
        state.withLock { $0.onJobBetweenTurns = body }
    }

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
        case .unblock: break
        }
        state.withLock { state in
            state.current = nil
            state.blockedNanos = 0
        }
        return true
    }

    // MARK: - What loops ask for

    func add(_ job: Job, to loop: Int) {
        let listener = state.withLock { state -> (@Sendable () -> Void)? in
            guard !state.queues[loop].isStopped else { return nil }
            if state.blockedNanos > 0, state.current != loop {
                _ = state.setTimer(to: loop, afterNanos: state.blockedNanos, job)
            } else {
                state.append(job, to: loop)
            }
            return state.current == nil ? state.onJobBetweenTurns : nil
        }
        listener?()
    }

    func addTimer(to loop: Int, afterNanos delay: Int64, _ job: @escaping @Sendable () -> Void) -> UInt64 {
        state.withLock { state in
            guard !state.queues[loop].isStopped else { return 0 }
            return state.setTimer(to: loop, afterNanos: max(delay, 0) + state.blockedNanos, .closure(job))
        }
    }

    func cancelTimer(_ id: UInt64) {
        state.withLock { state in state.timers.cancel(id) }
    }

    func isCurrent(_ loop: Int) -> Bool {
        state.withLock { $0.current == loop }
    }

    /// The loop whose turn it is spends time in a blocking call. Outside a turn nothing happens.
    package func block(forNanos nanos: Int64) {
        guard nanos > 0 else { return }
        state.withLock { state in
            guard let current = state.current, !state.queues[current].isStopped else { return }
            state.blockedNanos += nanos
            state.queues[current].blockedUntil = state.now + state.blockedNanos
            state.updateReady(current)
            _ = state.setTimer(to: current, afterNanos: state.blockedNanos, .unblock)
        }
    }

    func setPaused(_ loop: Int, _ isPaused: Bool) {
        state.withLock { state in
            state.queues[loop].isPaused = isPaused
            state.updateReady(loop)
        }
    }

    func stop(_ loop: Int) {
        // Dropped jobs are released outside the lock: what they hold may call back.
        let dropped = state.withLock { state in
            let jobs = state.queues[loop].jobs
            state.queues[loop].jobs = []
            state.queues[loop].head = 0
            state.queues[loop].isStopped = true
            state.updateReady(loop)
            return (jobs, state.timers.removeAll(of: loop))
        }
        withExtendedLifetime(dropped) {}
    }
}

extension SimulatedScheduler.State {
    mutating func append(_ job: SimulatedScheduler.Job, to loop: Int) {
        queues[loop].jobs.append(job)
        updateReady(loop)
    }

    mutating func setTimer(to loop: Int, afterNanos delay: Int64, _ job: SimulatedScheduler.Job) -> UInt64 {
        timersSet += 1
        timers.insert(TimerHeap.Timer(deadline: now + delay, id: timersSet, loop: loop, job: job))
        return timersSet
    }

    /// Puts the loop into the list of those that are ready, or takes it out.
    mutating func updateReady(_ loop: Int) {
        let index = queues[loop].readyIndex
        if queues[loop].isReady {
            guard index < 0 else { return }
            queues[loop].readyIndex = ready.count
            ready.append(loop)
        } else if index >= 0 {
            let last = ready.removeLast()
            if last != loop {
                ready[index] = last
                queues[last].readyIndex = index
            }
            queues[loop].readyIndex = -1
        }
    }

    mutating func nextJob(until limit: Int64?) -> SimulatedScheduler.Job? {
        precondition(current == nil, "a job of the simulated world runs the world")
        while ready.isEmpty {
            guard let limit, let deadline = timers.nextDeadline(), deadline <= limit else { return nil }
            ring(timers.pop())
        }
        // A long turn must not hide that others are due meanwhile.
        while let deadline = timers.nextDeadline(), deadline <= now { ring(timers.pop()) }
        guard !ready.isEmpty else { return nextJob(until: limit) }
        let loop = ready[generator.below(ready.count)]
        now += Int64(generator.below(2000))
        turns += 1
        trace = (trace ^ UInt64(loop)) &* 0x0000_0100_0000_01b3 ^ UInt64(now)
        current = loop
        let job = queues[loop].pop()
        updateReady(loop)
        return job
    }

    private mutating func ring(_ timer: TimerHeap.Timer) {
        now = max(now, timer.deadline)
        if case .unblock = timer.job {
            // Not the last of several calls of one turn.
            guard timer.deadline >= queues[timer.loop].blockedUntil else { return }
            queues[timer.loop].blockedUntil = 0
            updateReady(timer.loop)
        } else {
            append(timer.job, to: timer.loop)
        }
    }
}
