import Synchronization

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A ``Loop`` on a thread of its own, for calls that block.
///
/// When it runs out of work it looks for more for a moment before it sleeps: waking a sleeping thread costs 10-60 us,
/// more than the rest of a lone durable write. A thread that looked in vain does so ever more rarely. Signals are blocked on the thread, so that no system call it makes is
/// interrupted. The thread ends when the loop is released and everything given to it has run.
package final class ThreadLoop: Loop, SerialExecutor {
    private let core: ThreadCore

    package init(name: String) {
        let core = ThreadCore(name: name, spinNanos: Limits.threadSpinMicros * 1000)
        self.core = core
        core.start()
    }

    deinit {
        core.stop()
    }

    package var executor: UnownedSerialExecutor { asUnownedSerialExecutor() }

    package var isCurrent: Bool { core.isCurrent }

    package func execute(_ job: @escaping @Sendable () -> Void) {
        core.add(.closure(job))
    }

    @discardableResult
    package func schedule(afterMillis delay: Int64, _ job: @escaping @Sendable () -> Void) -> any ScheduledJob {
        let timer = ThreadTimer(job)
        core.add(timer, afterNanos: max(delay, 0) * 1_000_000)
        return timer
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        core.add(.actorJob(UnownedJob(job), asUnownedSerialExecutor()))
    }

    package func checkIsolated() {
        precondition(isCurrent, "not on the thread \(core.name)")
    }
}

private final class ThreadTimer: ScheduledJob {
    private let job: Mutex<(@Sendable () -> Void)?>

    init(_ job: @escaping @Sendable () -> Void) {
        self.job = Mutex(job)
    }

    func cancel() {
        job.withLock { $0 = nil }
    }

    func run() {
        let job = job.withLock { job in
            defer { job = nil }
            return job
        }
        job?()
    }
}

/// What the thread and the loop share. The thread holds it, so it may outlive the loop by the jobs still queued.
///
/// Unchecked because the mutable properties and the two POSIX objects are guarded by `mutex`, which the type system
/// cannot see: a condition variable needs a POSIX mutex, and `Synchronization` has neither.
private final class ThreadCore: @unchecked Sendable {
    enum Job {
        case closure(@Sendable () -> Void)
        case actorJob(UnownedJob, UnownedSerialExecutor)
    }

    private struct Alarm {
        var deadline: Int64
        var timer: ThreadTimer
    }

    let name: String
    private let spinNanos: Int64
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Set by the thread itself before its first job; 0 until then.
    private let threadID = Atomic<UInt>(0)
    /// Jobs in `jobs`; read without the mutex while spinning.
    private let queued = Atomic<Int>(0)
    private var jobs: [Job] = []
    /// Ascending by deadline; equal deadlines in the order they were set.
    private var alarms: [Alarm] = []
    private var isAsleep = false
    private var isStopped = false
    /// How many times to go to sleep at once before the next look for work, and how many are left; the thread's own.
    private var sleepsBetweenLooks = 0
    private var sleepsLeft = 0

    init(name: String, spinNanos: Int64) {
        self.name = name
        self.spinNanos = spinNanos
        pthread_mutex_init(mutex, nil)
        #if canImport(Darwin)
        pthread_cond_init(condition, nil)
        #else
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
        #endif
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    var isCurrent: Bool { threadID.load(ordering: .relaxed) == Self.currentThreadID() }

    func start() {
        #if canImport(Darwin)
        var thread: pthread_t?
        #else
        var thread = pthread_t()
        #endif
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(&thread, nil, threadMain, context)
        precondition(result == 0, "cannot start the thread \(name): error \(result)")
        #if canImport(Darwin)
        if let thread { pthread_detach(thread) }
        #else
        pthread_detach(thread)
        #endif
    }

    func stop() {
        withLock {
            isStopped = true
            wakeIfAsleep()
        }
    }

    func add(_ job: Job) {
        withLock {
            jobs.append(job)
            queued.store(jobs.count, ordering: .releasing)
            wakeIfAsleep()
        }
    }

    func add(_ timer: ThreadTimer, afterNanos delay: Int64) {
        let deadline = Self.now() + delay
        withLock {
            let index = alarms.lastIndex { $0.deadline <= deadline }.map { $0 + 1 } ?? 0
            alarms.insert(Alarm(deadline: deadline, timer: timer), at: index)
            wakeIfAsleep()
        }
    }

    // MARK: The thread

    func run() {
        threadID.store(Self.currentThreadID(), ordering: .relaxed)
        blockSignals()
        setName()
        var batch: [Job] = []
        pthread_mutex_lock(mutex)
        while true {
            ringAlarms()
            if !jobs.isEmpty {
                swap(&batch, &jobs)
                queued.store(0, ordering: .relaxed)
                pthread_mutex_unlock(mutex)
                for job in batch { run(job) }
                batch.removeAll(keepingCapacity: true)
                pthread_mutex_lock(mutex)
                continue
            }
            if isStopped { break }
            pthread_mutex_unlock(mutex)
            spin()
            pthread_mutex_lock(mutex)
            if jobs.isEmpty, !isStopped { sleep() }
        }
        pthread_mutex_unlock(mutex)
    }

    private func run(_ job: Job) {
        switch job {
        case .closure(let closure): closure()
        case .actorJob(let job, let executor): job.runSynchronously(on: executor)
        }
    }

    private func ringAlarms() {
        guard let first = alarms.first, first.deadline <= Self.now() else { return }
        let now = Self.now()
        let due = alarms.prefix { $0.deadline <= now }
        for alarm in due {
            jobs.append(.closure { alarm.timer.run() })
        }
        alarms.removeFirst(due.count)
    }

    /// Looks for work that comes within the spin time, and learns from it whether that is worth it.
    private func spin() {
        guard sleepsLeft == 0 else {
            sleepsLeft -= 1
            return
        }
        let deadline = Self.now() + spinNanos
        repeat {
            for _ in 0..<64 where queued.load(ordering: .acquiring) > 0 {
                sleepsBetweenLooks = 0
                return
            }
        } while Self.now() < deadline
        sleepsBetweenLooks = min(sleepsBetweenLooks * 2 + 1, Limits.threadSleepsBetweenLooksMax)
        sleepsLeft = sleepsBetweenLooks
    }

    /// Called with the mutex held; returns with it held.
    private func sleep() {
        isAsleep = true
        defer { isAsleep = false }
        guard let first = alarms.first else {
            pthread_cond_wait(condition, mutex)
            return
        }
        #if canImport(Darwin)
        var time = Self.time(max(first.deadline - Self.now(), 0))
        pthread_cond_timedwait_relative_np(condition, mutex, &time)
        #else
        var time = Self.time(first.deadline)
        pthread_cond_timedwait(condition, mutex, &time)
        #endif
    }

    private func wakeIfAsleep() {
        if isAsleep { pthread_cond_signal(condition) }
    }

    private func withLock(_ body: () -> Void) {
        pthread_mutex_lock(mutex)
        body()
        pthread_mutex_unlock(mutex)
    }

    private func blockSignals() {
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, nil)
    }

    private func setName() {
        let short = String(decoding: name.utf8.prefix(Limits.threadNameBytes), as: UTF8.self)
        #if canImport(Darwin)
        pthread_setname_np(short)
        #else
        // The C function for it is hidden from Swift; this file is the same door. A thread without a name is no error.
        let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = write(descriptor, short, short.utf8.count)
        close(descriptor)
        #endif
    }

    private static func currentThreadID() -> UInt {
        #if canImport(Darwin)
        UInt(bitPattern: pthread_self())
        #else
        UInt(pthread_self())
        #endif
    }

    private static func now() -> Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
    }

    private static func time(_ nanos: Int64) -> timespec {
        timespec(tv_sec: Int(nanos / 1_000_000_000), tv_nsec: Int(nanos % 1_000_000_000))
    }
}

#if canImport(Darwin)
private func threadMain(_ context: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    Unmanaged<ThreadCore>.fromOpaque(context).takeRetainedValue().run()
    return nil
}
#else
private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    Unmanaged<ThreadCore>.fromOpaque(context).takeRetainedValue().run()
    return nil
}
#endif
