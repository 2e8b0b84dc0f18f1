import TopGunModel
import TopGunWire

/// The connection to the servers, from the first attempt to the heartbeat.
///
/// ```
///             open           connected        DEVICE_ACK, AUTH_ACK or grace
/// idle ───────────> opening ───────────> greeting / authenticating ───────────> ready
///  ^ delay             │                      │ AUTH_REQUIRED, no token           │
///  └───────────────────┴───────────── awaitingToken ──────────────────────────────┘ closed
/// ```
struct Link: Sendable {
    enum State: Sendable, Equatable {
        /// `retryMillis` is when to try again; `nil` if something must happen first.
        case idle(retryMillis: Int64?)
        case opening(deadlineMillis: Int64)
        /// DEVICE_HELLO is sent.
        case greeting(deadlineMillis: Int64)
        /// AUTH is sent.
        case authenticating(deadlineMillis: Int64)
        case awaitingToken
        case ready
    }

    var state = State.idle(retryMillis: nil)
    /// Attempts since a handshake last succeeded.
    var attempt = 0
    /// Counts connections, so that what was sent on an older one is told apart.
    var connection: UInt32 = 0
    /// What both ends of this connection know.
    var features: FeatureSet = []
    /// What the 128-bit hashes are keyed by, where both ends know them.
    var hashKey: SipHash128.Key?
    var wasAuthSent = false
    var wasAcknowledged = false
    /// The wall clock when the servers were last asked who they are.
    var greetedWallMillis: Int64 = 0
    var nextPingMillis: Int64 = 0
    var lastPongMillis: Int64 = 0
    /// When the handshake was done.
    var readyMillis: Int64 = 0
    /// Whether what is being read may answer operations: the connection was ready before it came. What makes it ready comes
    /// before the first operation is sent, whatever it says of them.
    var takesAnswers = false
    /// The ids of the operations sent on this connection lie between these.
    var sentIDs: ClosedRange<UInt64>?
    /// The number of the last event on this connection.
    var lastSequence: Int64?
    /// What the servers were answered, or will be once the map is read.
    var pulled: Set<ReplicaState.Pull> = []
    /// Whether the servers have not said yet that they read what was pushed so far.
    var isPushing = false

    var isReady: Bool { state == .ready }

    /// Whether there is a socket.
    var isOpen: Bool {
        switch state {
        case .idle, .opening: false
        case .greeting, .authenticating, .awaitingToken, .ready: true
        }
    }

    /// What every new connection starts from.
    mutating func begin() {
        connection &+= 1
        features = []
        hashKey = nil
        wasAuthSent = false
        wasAcknowledged = false
        sentIDs = nil
        lastSequence = nil
        pulled = []
        isPushing = false
    }

    mutating func noteSent(_ id: UInt64) {
        guard let range = sentIDs else {
            sentIDs = id...id
            return
        }
        sentIDs = min(range.lowerBound, id)...max(range.upperBound, id)
    }
}
