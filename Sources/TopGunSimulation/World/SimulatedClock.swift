import Synchronization
import TopGunEnvironment

/// The clocks of one simulated node: the world's true time with an offset and a drift of their own.
package final class SimulatedClock: Clock {
    private let scheduler: SimulatedScheduler
    private let error = Mutex(ClockError())

    private struct ClockError {
        var offsetMillis: Int64 = 0
        /// How much faster than true time, in millionths.
        var driftMillionths: Int64 = 0
        var suspendedNanos: Int64 = 0
    }

    /// The wall clock when the world begins: 2026-01-01.
    package static let epochMillis: Int64 = 1_767_225_600_000

    package init(scheduler: SimulatedScheduler) {
        self.scheduler = scheduler
    }

    package func wallMillis() -> Int64 {
        let elapsed = scheduler.nowNanos / 1_000_000
        return error.withLock { error in
            Self.epochMillis + elapsed + elapsed * error.driftMillionths / 1_000_000 + error.offsetMillis
        }
    }

    package func monotonicNanos() -> Int64 {
        let now = scheduler.nowNanos
        return error.withLock { now - $0.suspendedNanos }
    }

    /// Sets how far the wall clock is off, as an operator or a time server would: at once.
    package func jump(toOffsetMillis offset: Int64) {
        error.withLock { $0.offsetMillis = offset }
    }

    /// Shows the time that another clock shows, from here on.
    func setTime(of other: SimulatedClock) {
        let time = other.error.withLock { $0 }
        error.withLock { error in
            error.offsetMillis = time.offsetMillis
            error.driftMillionths = time.driftMillionths
        }
    }

    /// Sets the wall clock forward from where it stands.
    package func advance(byMillis millis: Int64) {
        error.withLock { $0.offsetMillis += millis }
    }

    package func drift(byMillionths drift: Int64) {
        error.withLock { $0.driftMillionths = drift }
    }

    /// Leaves a stretch of true time out of the monotonic clock.
    package func suspend(forNanos nanos: Int64) {
        error.withLock { $0.suspendedNanos += nanos }
    }
}
