import TopGunModel
import TopGunPartition

/// Which of the operations of one read came in one frame, and so are answered together.
struct OperationFrame {
    var first: Int
    var end: Int
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
    var wasAnsweredEarly = false

    init(session: SessionID, count: Int) {
        self.session = session
        self.ids = []
        self.concerns = []
        self.outcomes = Array(repeating: nil, count: count)
        self.unknown = count
        self.unstored = count
    }
}
