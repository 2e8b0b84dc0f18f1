import TopGunSimulation

/// What the way between a device and the server is like.
public struct NetworkConditions: Sendable, Hashable {
    /// The share of packets that get lost, from 0 to 1.
    ///
    /// A connection hides losses from those who use it, here as everywhere: what was lost is sent again after 0.2 seconds,
    /// then 0.4, and so on; everything behind it waits; after 51 seconds the connection breaks. At 1 nothing gets through,
    /// and nobody is told: a tunnel. For a device that knows that it has no network see ``TestDevice/isOnline``.
    public var loss: Double = 0
    /// How long a message travels at most; each takes as long as the seed says.
    public var latency: Duration = .milliseconds(2)
    /// A narrow path; `nil` for one without end.
    public var bytesPerSecond: Int?
    /// Whole messages are lost, come twice and change places inside a connection that stays open. No socket does that; it
    /// shows what would happen if the layers below had a bug.
    public var isChaotic = false

    /// A good network.
    public init() {}

    var weather: Weather {
        var weather = Weather()
        weather.lossMillionths = Int(min(max(loss, 0), 1) * 1_000_000)
        weather.latencyNanosMax = latency.nanos
        weather.bytesPerSecond = bytesPerSecond.map { Int64(max($0, 1)) }
        weather.isChaotic = isChaotic
        return weather
    }
}

extension Duration {
    /// In whole nanoseconds, as far as those reach.
    var nanos: Int64 {
        let (seconds, attoseconds) = components
        let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (seconds < 0 ? .min : .max) : whole.addingWithoutOverflow(attoseconds / 1_000_000_000)
    }
}

extension Int64 {
    /// The sum, or the last number there is.
    func addingWithoutOverflow(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}
