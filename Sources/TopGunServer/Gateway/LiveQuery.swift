import TopGunModel
import TopGunQuery

/// An open query of one connection.
struct LiveQuery {
    var number: SubscriptionNumber
    let map: ByteString
    let filter: QueryFilter
    let order: SortOrder
    /// Which of the rows.
    let page: QueryPage
    /// What is shown of each value; `nil` for all of it.
    let fields: FieldProjection?
    /// Whether its last answer had the most rows that are sent, and there were more: a window that nobody asked for.
    var isCut = false
    /// Whether its first answer was sent; updates that come before are held.
    var isAnswered = false
    /// Whether its client was told that there is no answer yet, and whether it is to be asked again in a while.
    var isRefused = false
    var isPutOff = false
    /// Whether it is to be asked and waits for its turn; what changes before is in the answer that it then gets.
    var isWaiting = false
    var held: [[UInt8]] = []
    var heldBytes = 0
    /// Whether a new answer is due, because a window changed.
    var isRefreshSet = false

    /// Whether it shows some of the rows only, so that a change of one may bring or take another.
    var isWindow: Bool { page.limit != nil || page.after != nil || isCut }
}
