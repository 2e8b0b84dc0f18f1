/// How far the servers' clock is ahead of ours, for as long as our wall clock runs on as it did when that was learnt.
struct ClockOffset: Sendable {
    private let millis: Int64
    private let wallAheadMillis: Int64

    init(_ millis: Int64, at now: ReplicaTime) {
        self.millis = millis
        self.wallAheadMillis = now.wallAheadMillis
    }

    /// `nil` once somebody has set the wall clock: it may be right now.
    func millis(at now: ReplicaTime) -> Int64? {
        let (step, overflow) = now.wallAheadMillis.subtractingReportingOverflow(wallAheadMillis)
        return !overflow && step.magnitude < UInt64(ReplicaLimits.clockOffsetMillisMin) ? millis : nil
    }
}

extension ReplicaTime {
    /// What only changes when the wall clock is set.
    fileprivate var wallAheadMillis: Int64 { wallMillis &- steadyMillis }
}
