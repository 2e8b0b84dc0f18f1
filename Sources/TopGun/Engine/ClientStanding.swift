import Synchronization
import TopGunModel
import TopGunReplica

/// How far a client is from rest: what is asked by whoever waits until nothing is left to do.
package struct ClientStanding: Sendable {
    /// A map that the application has open.
    package struct Map: Sendable {
        package var name: String
        package var isLoaded: Bool
        /// The root of the tree over its records: equal where the records are.
        package var root: UInt32
    }

    /// Writes that the servers do not hold safely yet.
    package var pendingCount: Int
    /// Whether the store has everything that is in memory.
    package var isSaved: Bool
    /// Whether the application wants to be connected.
    package var isOnlineWanted: Bool
    package var isClosed: Bool
    package var maps: [Map]
}

extension TopGunClient {
    package var standing: ClientStanding {
        engine.core.withLock { core in
            ClientStanding(
                pendingCount: core.replica.pendingCount, isSaved: core.replica.isSaved,
                isOnlineWanted: core.replica.isOnlineWanted, isClosed: core.isClosed,
                maps: core.replica.openMaps.map { map in
                    ClientStanding.Map(
                        name: core.replica.name(of: map).string, isLoaded: core.replica.isLoaded(map),
                        root: core.replica.merkleRoot(of: map))
                })
        }
    }

    /// What ends the client as the death of its process does, the client itself let go or not; see
    /// ``ReplicaEngine/abandon()``.
    package var abandonment: @Sendable () -> Void {
        { [engine] in engine.abandon() }
    }
}
