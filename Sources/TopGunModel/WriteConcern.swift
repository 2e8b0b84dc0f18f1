/// How far a write must have come before it is acknowledged (promises.md B.1); each level includes the lower ones.
package enum WriteConcern: UInt8, Sendable, Comparable, CaseIterable {
    /// No acknowledgement at all.
    case fireAndForget
    /// Checked and merged in the memory of one replica.
    case memory
    /// On this node's disk.
    case applied
    /// On the disks of a majority of the replicas that the configuration asks for.
    case replicated
    /// Also in PostgreSQL; where none is configured the same as `replicated`.
    case persisted

    package static func < (left: WriteConcern, right: WriteConcern) -> Bool { left.rawValue < right.rawValue }

    /// The protocol's word for the level.
    package var wireName: StaticString {
        switch self {
        case .fireAndForget: "FIRE_AND_FORGET"
        case .memory: "MEMORY"
        case .applied: "APPLIED"
        case .replicated: "REPLICATED"
        case .persisted: "PERSISTED"
        }
    }
}
