/// The named limits of queries.
package enum QueryLimits {
    /// Nesting of `and`, `or` and `not` beyond which a predicate is refused.
    package static let predicateDepthMax = 64

    /// Predicates in one query, all levels together.
    package static let predicatesMax = 4_096

    /// Fields that one `where` may name.
    package static let whereFieldsMax = 1_024

    /// Fields that one query may sort or group by.
    package static let sortFieldsMax = 64

    /// Rows of a query that sets no limit (protocol.md 6.4).
    package static let rowsMax = 10_000

    /// Steps that one `like` may take on one field; a pattern that needs more does not match.
    package static let likeStepsMax = 1_000_000

    /// Bytes that one test of one record may compare where each element of a list meets each of another; a test that
    /// would need more is false. What lists are made of is hostile, and the loop serves others too.
    package static let comparedBytesMax = 1 << 24
}
