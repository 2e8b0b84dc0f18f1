/// How far a replica is from its servers.
package enum SyncState: UInt8, Sendable, Equatable {
    /// No connection, and none being made right now; local reads and writes go on.
    case offline
    case connecting
    /// The socket is open; the servers have not said yet that they know us.
    case authenticating
    /// Connected; open maps are being compared.
    case syncing
    /// Every open map was compared with the servers', and changes arrive as they happen; operations may still be on their
    /// way.
    case live
}

/// Which of the processes that share one store a replica is.
package enum ReplicaRole: UInt8, Sendable, Equatable {
    /// Talks to the servers.
    case leader
    /// Leaves that to another process: its writes reach the servers, and theirs reach it, through the store.
    case follower
}
