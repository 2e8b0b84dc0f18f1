import TopGunModel
import TopGunWire

/// The life of one client connection as a core: who it is, what it may do, what is owed to it.
///
/// ```
///              AUTH                  accepted
///  greeting ─────────► verifying ──────────────► open ──► closed
///     │ authentication off: open from the start    │  ▲
///     └── after 10 s without an accepted token ────┼──┘ AUTH with a newer token renews
///                                                  └── 60 s without a word, token expired
/// ```
///
/// The ten seconds are for saying who one is. Where nobody has to, a client may be silent for as long as an open
/// connection may (protocol.md 1.5, 2.7).
///
/// It reads no clock and sends nothing: every call returns what is to be done. One `AUTH` more or a `DEVICE_HELLO` too
/// many is normal (protocol.md 2.1) and never an error.
struct ClientSession: ~Copyable {
    /// What the server says about itself in a greeting, and what it demands.
    struct Terms: Sendable {
        var requiresAuthentication: Bool
        var features: FeatureSet
    }

    /// Who a connection speaks for.
    struct Identity: Sendable, Equatable {
        var userID: String?
        var nameSpace: ByteString
        var mayRead: Bool
        var mayWrite: Bool
        /// When the token ends, in wall milliseconds.
        var expiresAtMillis: Int64?
    }

    /// What the shell is to do.
    enum Action: Equatable {
        case nothing
        case demandAuthentication
        /// Check the token and report with ``verified(_:nowMillis:)``.
        case verify(token: String)
        case acknowledgeAuthentication(userID: String?, announced: Bool)
        case refuseAuthentication
        case acknowledgeDevice(announced: Bool)
        case close(code: UInt16, reason: String)
    }

    private enum State {
        case greeting
        case verifying(token: String)
        case open(Identity, token: String?, renewing: String?)
        case closed
    }

    private var state: State
    private let terms: Terms
    private var openedMillis: Int64
    private var heardMillis: Int64
    private var helloAnswered = false
    private var authAnswered = false
    /// Whether the client said that it knows features at all.
    private(set) var isAnnounced = false
    /// The credential that its greeting presented, unread.
    private(set) var presentedDevice: String?
    /// The features both sides have.
    private(set) var features: FeatureSet = []
    var ledger = AcknowledgementLedger()

    /// Starts at the upgrade, with monotonic milliseconds; the first action is ``opening``.
    init(terms: Terms, anonymous: Identity, nowMillis: Int64) {
        self.terms = terms
        self.openedMillis = nowMillis
        self.heardMillis = nowMillis
        self.state = terms.requiresAuthentication ? .greeting : .open(anonymous, token: nil, renewing: nil)
    }

    /// What is to be sent before anything was received.
    var opening: Action { terms.requiresAuthentication ? .demandAuthentication : .nothing }

    /// Who the connection speaks for; `nil` while messages other than greetings and PING are to be dropped.
    var identity: Identity? {
        if case .open(let identity, _, _) = state { return identity }
        return nil
    }

    var isClosed: Bool {
        if case .closed = state { return true }
        return false
    }
}

// MARK: - Greetings

extension ClientSession {
    /// Any message counts as a sign of life.
    mutating func heard(nowMillis: Int64) {
        heardMillis = nowMillis
    }

    mutating func authenticate(
        token: String, version: Int64?, features: FeatureSet, device: String? = nil
    ) -> Action {
        switch state {
        case .greeting:
            announce(version: version, features: features)
            presentedDevice = device
            state = .verifying(token: token)
            return .verify(token: token)
        case .verifying, .closed:
            return .nothing
        case .open(let identity, let known, let renewing):
            guard terms.requiresAuthentication else {
                guard !authAnswered else { return .nothing }
                authAnswered = true
                announce(version: version, features: features)
                presentedDevice = device
                return .acknowledgeAuthentication(userID: identity.userID, announced: isAnnounced)
            }
            if token == known || renewing != nil { return .nothing }
            state = .open(identity, token: known, renewing: token)
            return .verify(token: token)
        }
    }

    /// The verdict on the token that was last asked about; `nil` if it is not accepted.
    mutating func verified(_ verdict: Identity?) -> Action {
        switch state {
        case .verifying(let token):
            guard let verdict else {
                state = .closed
                return .refuseAuthentication
            }
            state = .open(verdict, token: token, renewing: nil)
            authAnswered = true
            return .acknowledgeAuthentication(userID: verdict.userID, announced: isAnnounced)
        case .open(let identity, _, let renewing):
            guard let token = renewing else { return .nothing }
            guard let verdict, verdict.userID == identity.userID, verdict.nameSpace == identity.nameSpace else {
                state = .closed
                return .refuseAuthentication
            }
            state = .open(verdict, token: token, renewing: nil)
            return .acknowledgeAuthentication(userID: verdict.userID, announced: isAnnounced)
        case .greeting, .closed:
            return .nothing
        }
    }

    mutating func greetDevice(version: Int64?, features: FeatureSet, device: String? = nil) -> Action {
        // A server that demands authentication must not answer in any way: an answer would let the client go on.
        guard case .open = state, !helloAnswered else { return .nothing }
        helloAnswered = true
        guard !terms.requiresAuthentication else { return .nothing }
        announce(version: version, features: features)
        presentedDevice = device
        return .acknowledgeDevice(announced: isAnnounced)
    }

    private mutating func announce(version: Int64?, features: FeatureSet) {
        guard let version, version >= Self.protocolVersion else { return }
        isAnnounced = true
        self.features = features.intersection(terms.features)
    }

    /// The version of the protocol that has features.
    static let protocolVersion: Int64 = 3
}

// MARK: - Time

extension ClientSession {
    /// What the passing of time asks for.
    mutating func timePassed(nowMillis: Int64, wallMillis: Int64) -> Action {
        switch state {
        case .closed: return .nothing
        case .greeting, .verifying: return handshakeOverdue(nowMillis)
        case .open(let identity, _, _):
            if nowMillis - heardMillis > Limits.idleMillisMax {
                state = .closed
                return .close(code: 1000, reason: "idle timeout")
            }
            if let end = identity.expiresAtMillis, wallMillis > end {
                state = .closed
                return .close(code: 1008, reason: "token expired")
            }
            return .nothing
        }
    }

    private mutating func handshakeOverdue(_ nowMillis: Int64) -> Action {
        guard nowMillis - openedMillis > Limits.handshakeMillisMax else { return .nothing }
        state = .closed
        return .close(code: 1000, reason: "handshake timeout")
    }

    mutating func close() {
        state = .closed
    }
}
