package import TopGunModel

/// A map that is open in a replica.
package struct MapID: Hashable, Sendable {
    package var index: Int

    package init(index: Int) {
        self.index = index
    }
}

/// A live query of a replica.
package struct QueryID: Hashable, Sendable {
    package var number: UInt64

    package init(number: UInt64) {
        self.number = number
    }
}

/// What a replica wants done; taken after every event with ``ReplicaState/takeEffects(at:)`` and carried out in the
/// order of the properties.
package struct ReplicaEffects: Sendable {
    /// To be committed in the background; answer with ``ReplicaState/committed(_:at:)`` or
    /// ``ReplicaState/commitFailed(_:at:)``. The next one comes only after that.
    package var transaction: StoreTransaction?
    /// Messages for the open connection, in order.
    package var frames: [[UInt8]] = []
    /// What is to be done with the socket, in order: a new one may be wanted before the old one was closed.
    package var connection: [ConnectionEffect] = []
    /// Maps whose entries the shell reads from the store and hands to ``ReplicaState/loaded(map:entries:isLast:at:)``.
    package var loads: [MapID] = []
    package var results: [WriteResult] = []
    /// Keys whose visible value may have changed, of maps that are watched.
    package var changes: [MapChange] = []
    package var queryChanges: [QueryChange] = []
    /// Set when it changed.
    package var syncState: SyncState?
    package var notices: [ReplicaNotice] = []
    /// When to call ``ReplicaState/tick(at:)`` next, as ``ReplicaTime/steadyMillis``; replaces the timer before.
    package var timerMillis: Int64?

    package init() {}
}

package enum ConnectionEffect: Sendable, Equatable {
    /// Open a socket; answer with ``ReplicaState/connected(at:)`` or ``ReplicaState/disconnected(at:)``.
    case open
    /// Close the socket with this WebSocket code, or stop opening it. No answer is expected, and what the old socket
    /// still brings must not be handed in any more.
    case close(code: UInt16)
}

/// One key of a watched map that changed, for whatever reason.
package struct MapChange: Sendable, Equatable {
    package var map: MapID
    package var key: ByteString
    /// What stands now; `nil` if the key has no record.
    package var record: LWWRecord?
    /// Whether the change was made here.
    package var isLocal: Bool

    package init(map: MapID, key: ByteString, record: LWWRecord?, isLocal: Bool) {
        self.map = map
        self.key = key
        self.record = record
        self.isLocal = isLocal
    }
}

/// One row of a live query that came, changed or went.
package struct QueryChange: Sendable, Equatable {
    package var query: QueryID
    package var key: ByteString
    /// `nil` when the row left the result.
    package var value: Payload?

    package init(query: QueryID, key: ByteString, value: Payload?) {
        self.query = query
        self.key = key
        self.value = value
    }
}

/// Something that the application or its developer should know.
package enum ReplicaNotice: Sendable, Equatable {
    /// The servers want a token and there is none, or the last one was refused: ``ReplicaState/setToken(_:at:)``.
    case tokenNeeded
    /// The token was refused.
    case authenticationFailed
    /// The address leads to another cluster than the one this data belongs to; nothing was sent to it.
    case otherCluster
    /// The token belongs to another user than this data; nothing was sent.
    case otherUser
    /// The servers take no client this old. The log is kept.
    case upgradeRequired
    /// The servers sent something that makes no sense; nothing was done with it.
    case protocolError(ServerFault)
    /// The server reported an error, by number (protocol.md 1.7).
    case serverError(code: Int)
    /// The store failed; what came from the servers is written again later.
    case storeFailed(StoreError)
    /// A live query has been confirmed by the server.
    case queryConfirmed(QueryID)
    /// The server cannot answer a live query; it goes on with what is here.
    case queryRefused(QueryID)
    /// A map is completely read from the store.
    case mapLoaded(MapID)
}

/// What a server sent that makes no sense.
package enum ServerFault: UInt8, Sendable, Equatable {
    /// Not a message, or one that does not come from servers.
    case undecodable
    /// A message that does not fit the state of the connection.
    case outOfPlace
    /// An acknowledgement of an operation that was never sent on this connection, or whose number is none.
    case unknownOperation
    /// A path, map or query that was never asked for, where only an answer makes sense.
    case unknownRequest
    /// A map was reset again and again.
    case repeatedReset
}
