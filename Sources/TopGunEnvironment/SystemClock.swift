#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The clocks of the machine. The monotonic one goes on while the machine is suspended, as leases and deadlines need.
package struct SystemClock: Clock {
    package init() {}

    package func wallMillis() -> Int64 {
        let now = read(CLOCK_REALTIME)
        return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
    }

    package func monotonicNanos() -> Int64 {
        #if canImport(Darwin)
        let now = read(CLOCK_MONOTONIC)
        #else
        let now = read(CLOCK_BOOTTIME)
        #endif
        return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
    }

    private func read(_ clock: clockid_t) -> timespec {
        var now = timespec()
        clock_gettime(clock, &now)
        return now
    }
}
