package import TopGunEnvironment

/// Who owns the client connections of one event loop: the other side of the listener.
///
/// An actor whose executor is that loop. The listener calls it with `assumeIsolated`, once per read of a socket and
/// never from another thread, so everything here runs to its end before the next read.
package protocol ClientConnectionOwner: Actor {
    /// A client finished its WebSocket handshake. Nothing was received yet; the owner may already send.
    func opened(_ connection: any ClientConnection, peer: PeerInfo) -> SessionID

    /// Every binary message that one read of the socket completed, in their order. The bytes are valid until this call
    /// returns. After ``MessageConnection/setReading(_:)`` with `false` nothing more comes until reading goes on.
    func received(_ session: SessionID, messages: UnsafeBufferPointer<UnsafeRawBufferPointer>)

    /// The connection's queue, which had grown above `Limits.socketQueueBytesHigh`, is down to half of it or less.
    func drained(_ session: SessionID)

    /// The connection is gone, whoever closed it; the last call for this session, made exactly once.
    func closed(_ session: SessionID)

    /// The process is about to end: takes no new operations, lets out what is owed to each client, closes each session
    /// with 1001, and returns when none is left.
    func drain() async
}

/// The socket of one client, as its owner knows it.
package protocol ClientConnection: MessageConnection {
    /// The client has said who it is, or need not: its messages may be as long as the configuration allows, and not only
    /// as long as a token. Idempotent.
    func admit()
}

/// One client connection, as its owner names it; unique among the connections of one owner.
package struct SessionID: Hashable, Sendable {
    package var number: UInt64

    package init(number: UInt64) {
        self.number = number
    }
}

/// What the handshake told about the other side.
package struct PeerInfo: Sendable {
    /// Address and port, for logs.
    package var address: String
    /// The `Origin` header, if there was one: a browser.
    package var origin: String?
    /// What it dialed, as far as its request says.
    package var dialedURL: String?

    package init(address: String, origin: String? = nil, dialedURL: String? = nil) {
        self.address = address
        self.origin = origin
        self.dialedURL = dialedURL
    }
}
