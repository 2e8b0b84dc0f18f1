import TopGunModel
import TopGunQuery

/// A query whose rows are kept up to date.
///
/// The rows are what the local records say. Only while a map has not been compared with the servers on this connection,
/// the server's own answer stands in for keys without local writes, because it knows more than we do.
struct LiveQuery: Sendable {
    let id: QueryID
    let map: Int
    let filter: QueryFilter
    /// MessagePack of the `where`, as it goes to the server.
    let whereMap: Payload?
    /// What the application sees, by place in the map's table.
    var rows: [Int32: Payload] = [:]
    /// What the server said of a place; `nil` inside says that it is no row.
    var answers: [Int32: Payload?] = [:]
    /// Whether every place that ``answers`` lacks is no row for the server.
    var isAnswerComplete = false
    /// Places whose record came, with its stamp, after the answer did.
    var fresh: Set<Int32> = []
    var isConfirmed = false
    /// Whether the server is to be asked, for the first time or again.
    var isSubscriptionDue = false
    /// When it was asked on this connection; `nil` once it has answered.
    var askedMillis: Int64?

    mutating func forgetAnswers() {
        answers.removeAll()
        isAnswerComplete = false
        fresh.removeAll()
    }

    /// From now on the record of a place counts, not what the answer said.
    mutating func trust(_ place: Int32) {
        guard isAnswerComplete || answers[place] != nil else { return }
        answers.removeValue(forKey: place)
        fresh.insert(place)
    }
}
