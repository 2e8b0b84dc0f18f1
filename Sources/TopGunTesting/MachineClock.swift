import Synchronization
import TopGunSimulation

/// The wall clock of a device or of the server: what the machine believes the date to be.
///
/// Stamps and lifetimes go by it; time-outs go by a clock that is always right. Like everything of a world it is to be used
/// inside ``TopGunWorld/run(seed:_:)``.
public final class MachineClock: Sendable {
    private let clock: SimulatedClock
    private let driver: WorldDriver
    private let driftMillionths = Mutex<Int64>(0)

    init(_ clock: SimulatedClock, driver: WorldDriver) {
        self.clock = clock
        self.driver = driver
    }

    /// How far the clock is ahead of true time at this moment; negative if it is behind. Setting it lets the clock jump, as
    /// a person or a time server does.
    public var offset: Duration {
        get {
            driver.check()
            return .milliseconds(clock.wallMillis() - SimulatedClock.epochMillis - elapsedMillis)
        }
        set {
            driver.check()
            let drifted = elapsedMillis * driftMillionths.withLock { $0 } / 1_000_000
            clock.jump(toOffsetMillis: newValue.nanos / 1_000_000 - drifted)
        }
    }

    /// How much faster than true time the clock goes from now on, as a share: 0.0001 gains 8.6 seconds a day. Without a
    /// jump.
    public var drift: Double {
        get {
            driver.check()
            return Double(driftMillionths.withLock { $0 }) / 1_000_000
        }
        set {
            let offset = offset
            let millionths = Int64((newValue * 1_000_000).rounded())
            driftMillionths.withLock { $0 = millionths }
            clock.drift(byMillionths: millionths)
            self.offset = offset
        }
    }

    private var elapsedMillis: Int64 { driver.scheduler.nowNanos / 1_000_000 }
}
