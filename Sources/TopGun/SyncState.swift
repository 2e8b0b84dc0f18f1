/// How far a client is from its servers. Reads and writes work in every state.
public enum SyncState: Sendable, Hashable {
    /// Not connected, and why, as far as that is known. The client tries again by itself, after 1 to 30 seconds.
    case offline(SyncProblem?)
    case connecting
    /// Connected; the server has not said yet that it knows us, or waits for a token.
    case authenticating(SyncProblem?)
    /// The open maps are being compared with the server's. A problem means that this cannot end for one of them.
    case syncing(SyncProblem?)
    /// Every open map was compared with the server's, and changes arrive as they happen. Writes may still be on their
    /// way: ``TopGunClient/pendingCount``.
    case live
}

/// Why a client is not in step with its servers.
public enum SyncProblem: Sendable, Hashable {
    /// The client was made without a server, or told to stay offline.
    case notWanted
    /// Another process of this device syncs the store that this one shares with it.
    case otherProcessSyncs
    /// No connection could be made, or it broke; the text is for people.
    case unreachable(String)
    /// The server demands a token and none was given, or its provider threw.
    case tokenNeeded
    /// The server did not accept the token.
    case tokenRefused
    /// The server belongs to another cluster than the one this store was synced with. Nothing was exchanged.
    case foreignCluster
    /// The token belongs to another user than the data of this store. Nothing was exchanged.
    case foreignUser
    /// The server takes no client this old. What was written is kept.
    case upgradeRequired
    /// The server does not let this user read a map or query that is open.
    case forbidden
}

/// The sync state now, and every one that follows; a slow reader gets the newest.
///
/// Ends when the client is closed.
public struct SyncStates: AsyncSequence, Sendable {
    let hub: SyncStateHub

    /// The state at this moment.
    public var current: SyncState { hub.current }

    /// A reader of its own, whose first state is the present one.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: hub.subscribe()) }

    /// One reader; for one task at a time.
    public struct Iterator: AsyncIteratorProtocol {
        let subscription: HubSubscription<SyncState?>

        /// Waits for a state that was not read; `nil` when the client is closed or the task is cancelled.
        public mutating func next() async -> SyncState? {
            await subscription.inbox.next { state in
                defer { state = nil }
                return state
            }
        }
    }
}
