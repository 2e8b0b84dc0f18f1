import TopGunSimulation

/// The true time of a world: begins at zero, passes only in it, and costs nothing to wait for.
///
/// For application code that is handed a `Clock`. May be used from any thread.
public struct WorldClock: Clock, Sendable {
    /// A moment of a world.
    public struct Instant: InstantProtocol, Sendable, Hashable {
        /// The time since the world began.
        public var elapsed: Duration

        public func advanced(by duration: Duration) -> Instant { Instant(elapsed: elapsed + duration) }

        public func duration(to other: Instant) -> Duration { other.elapsed - elapsed }

        public static func < (left: Instant, right: Instant) -> Bool { left.elapsed < right.elapsed }
    }

    let driver: WorldDriver

    /// This moment.
    public var now: Instant { Instant(elapsed: .nanoseconds(driver.scheduler.nowNanos)) }

    /// The smallest step.
    public var minimumResolution: Duration { .nanoseconds(1) }

    /// Waits while the world goes on.
    ///
    /// - Throws: `CancellationError` when the task is cancelled.
    public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        try await driver.sleep(forNanos: (deadline.elapsed - now.elapsed).nanos)
    }
}
