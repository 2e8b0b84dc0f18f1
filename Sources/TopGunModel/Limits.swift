/// The named limits of the model (promises.md B.3, protocol.md 9).
package enum ModelLimits {
    /// The highest whole number that every party carries without loss: JavaScript's 2^53 - 1.
    package static let millisMax: Int64 = 9_007_199_254_740_991

    /// How far ahead of the wall clock a client's stamp may lie; beyond it the operation is refused.
    package static let clientAheadMillisMax: Int64 = 60_000

    /// How far ahead a stamp made by a node's own clock may lie.
    package static let nodeAheadMillisMax: Int64 = 500

    /// How far ahead a stamp may lie that an in-epoch peer admitted: the client's bound and what clocks may differ by.
    package static let peerAheadMillisMax: Int64 = 62_000

    /// How far ahead of its need a clock asks for its bound to be raised; a restart leaves at most this much unused.
    package static let clockReserveMillis: Int64 = 200

    /// Nesting of a value beyond which nothing looks inside; nothing deeper gets past the decoder.
    package static let valueDepthMax = 64

    /// Digits of the path to a leaf in the trees of the client protocol.
    package static let merkleDigits = 3

    /// Leaves of a tree of the client protocol: one per three-digit path.
    package static let merkleLeafCount = 4096

    /// Hex digits of the path to a leaf of a replica's tree; both ends of a link must agree on it.
    package static let replicaMerkleDigits = 2
}
