/// How much a connection may ask for: refilled continuously, may go below zero by what one read brought.
///
/// Going below zero is answered by not reading the socket until the debt is paid, never by dropping (protocol.md 1.8).
struct TokenBucket {
    private var tokens: Double
    private var filledNanos: Int64
    private let perSecond: Double
    private let burst: Double

    init(perSecond: Int, burst: Int, nowNanos: Int64) {
        self.perSecond = Double(perSecond)
        self.burst = Double(burst)
        self.tokens = Double(burst)
        self.filledNanos = nowNanos
    }

    /// Takes the cost of what was read; returns how long the connection should not be read, 0 if it may go on.
    mutating func take(_ cost: Int, nowNanos: Int64) -> Int64 {
        let elapsed = Double(max(0, nowNanos - filledNanos)) / 1e9
        filledNanos = max(filledNanos, nowNanos)
        tokens = min(burst, tokens + elapsed * perSecond) - Double(cost)
        guard tokens < 0 else { return 0 }
        return min(Limits.readPauseMillisMax, Int64((-tokens / perSecond * 1_000).rounded(.up)))
    }
}
