import TopGunModel
import TopGunQuery

/// An open query of one connection.
struct LiveQuery {
    let number: SubscriptionNumber
    let map: ByteString
    let filter: QueryFilter
    let order: SortOrder
    /// A window of that many rows; `nil` for all rows.
    let limit: Int?
    /// What is shown of each value; `nil` for all of it.
    let fields: FieldProjection?
    /// Whether its last answer had the most rows that are sent, and there were more: a window that nobody asked for.
    var isCut = false
    /// Whether its first answer was sent; updates that come before are held.
    var isAnswered = false
    /// Whether it is to be asked and waits for its turn; what changes before is in the answer that it then gets.
    var isWaiting = false
    var held: [[UInt8]] = []
    var heldBytes = 0
    /// Whether a new answer is due, because a window changed.
    var isRefreshSet = false
}
