/// The two clocks of a process.
package protocol Clock: Sendable {
    /// Milliseconds since 1970; may jump either way. For stamps, never for deadlines.
    func wallMillis() -> Int64

    /// Nanoseconds since an arbitrary start; never goes back. For deadlines and durations.
    func monotonicNanos() -> Int64
}
