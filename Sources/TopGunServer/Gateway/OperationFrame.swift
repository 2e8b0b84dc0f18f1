import TopGunModel
import TopGunPartition

/// Which of the operations of one read came in one frame, and so are answered together.
struct OperationFrame {
    var first: Int
    var end: Int
    /// Whether any of them has a time limit of its own.
    var hasTimeouts = false
    /// Whether they are records that a client was asked for: merged like writes, and not answered.
    var isPush = false
}

/// An operation frame whose operations belong to partitions of several loops: answered when all of them have.
final class SplitFrame {
    let session: SessionID
    var ids: [UInt64?]
    var concerns: [WriteConcern]
    var outcomes: [Outcome?]
    /// Operations whose outcome is not known yet, and not on disk yet.
    var unknown: Int
    var unstored: Int
    var isPush = false
    /// What its writer is told after the acknowledgement.
    var corrections = CorrectionList()
    /// When it came, by the monotonic clock; up to which age its client was told that it is late; and the time limits of
    /// operations that do not have the usual one.
    let sinceMillis: Int64
    var toldMillis: Int64 = -1
    var timeouts: [UInt64: Int64] = [:]

    init(session: SessionID, count: Int, nowMillis: Int64) {
        self.session = session
        self.sinceMillis = nowMillis
        self.ids = []
        self.concerns = []
        self.outcomes = Array(repeating: nil, count: count)
        self.unknown = count
        self.unstored = count
    }
}
