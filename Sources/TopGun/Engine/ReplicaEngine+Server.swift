import Logging
import NIOCore
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunReplica

// The socket, the token and what is told of both; on the loop.

extension ReplicaEngine {
    func carryOut(_ effect: ConnectionEffect) {
        switch effect {
        case .open:
            guard let server else { return }
            let link = ServerLink(engine: self)
            outside.withLock { $0.link = link }
            environment.network.connect(to: server, on: loop, receiver: link)
        case .close(let code):
            let link = outside.withLock { outside in
                defer { outside.link = nil }
                return outside.link
            }
            unconfirmQueries()
            link?.abandon(code: code)
        }
    }

    func linkOpened(_ link: ServerLink) {
        guard outside.withLock({ $0.link === link }) else { return }
        tell { replica, now in replica.connected(at: now) }
    }

    func linkReceived(_ message: ByteBuffer, _ link: ServerLink) {
        guard outside.withLock({ $0.link === link }) else { return }
        message.withUnsafeReadableBytes { bytes in
            tellSoon { replica, now in replica.received(bytes, at: now) }
        }
    }

    func linkClosed(_ link: ServerLink, reason: String) {
        let isCurrent = outside.withLock { outside in
            guard outside.link === link else { return false }
            outside.link = nil
            outside.problem = .unreachable(reason)
            return true
        }
        guard isCurrent else { return }
        unconfirmQueries()
        logger.debug("connection lost", metadata: [LogKey.reason: "\(reason)"])
        tell { replica, now in replica.disconnected(at: now) }
    }

    func note(_ state: TopGunReplica.SyncState) {
        outside.withLock { outside in
            outside.state = state
            switch state {
            case .syncing, .live: outside.problem = nil
            case .offline, .connecting, .authenticating: break
            }
        }
        showSyncState()
    }

    func showProblem(_ problem: SyncProblem?) {
        outside.withLock { $0.problem = problem }
        showSyncState()
    }

    private func showSyncState() {
        let (state, problem) = outside.withLock { ($0.state, $0.problem) }
        let shown: TopGun.SyncState =
            switch state {
            case .offline: .offline(problem)
            case .connecting: .connecting
            case .authenticating: .authenticating(problem)
            case .syncing: .syncing(problem)
            case .live: .live
            }
        syncStates.become(shown)
    }

    func note(_ notice: ReplicaNotice) {
        switch notice {
        case .tokenNeeded:
            askForToken()
        case .authenticationFailed:
            logger.warning("the server refused the token")
            showProblem(.tokenRefused)
        case .otherCluster:
            logger.error("the server belongs to another cluster than this store; nothing was sent")
            showProblem(.foreignCluster)
        case .otherUser:
            logger.error("the token belongs to another user than this store; nothing was sent")
            showProblem(.foreignUser)
        case .upgradeRequired:
            logger.error("the server takes no client this old; what was written is kept")
            showProblem(.upgradeRequired)
        case .protocolError(let fault):
            logger.warning("the server sent what makes no sense", metadata: [LogKey.reason: "\(fault)"])
        case .serverError(let code):
            logger.warning("the server reported an error", metadata: [LogKey.code: "\(code)"])
            if code == Refusal.forbidden.errorCode { showProblem(.forbidden) }
        case .storeFailed(let error):
            logger.error("the store failed", metadata: [LogKey.reason: "\(error.message)"])
        case .queryConfirmed(let query):
            // Not if the connection that confirmed it is gone meanwhile: that was told when it went, which is before this.
            core.withLock { $0.replica.isConfirmed(query) ? $0.querySinks[query] : nil }?.confirmed(true)
        case .queryRefused(let query):
            core.withLock { $0.querySinks[query] }?.confirmed(false)
        case .mapLoaded(let map):
            let waiters = core.withLock { $0.loadWaiters.removeValue(forKey: map) ?? [] }
            for waiter in waiters { waiter.resume(returning: map) }
        }
    }
}

// MARK: - Tokens

extension ReplicaEngine {
    private func askForToken() {
        switch tokens?.kind {
        case nil:
            showProblem(.tokenNeeded)
        case .fixed:
            // It was shown already, or will be; showing a refused one again changes nothing.
            let problem = outside.withLock { $0.problem }
            if problem != .tokenRefused, problem != .foreignUser { showProblem(.tokenNeeded) }
        case .provider(let provider):
            let isFirst = outside.withLock { outside in
                defer { outside.isAskingForToken = true }
                return !outside.isAskingForToken
            }
            guard isFirst else { return }
            environment.spawner.spawn("topgun token") { [self] in
                do {
                    let token = try await provider()
                    outside.withLock { outside in
                        outside.isAskingForToken = false
                        outside.tokenRetryMillis = Limits.tokenRetryMillisMin
                    }
                    tell { replica, now in replica.setToken(token, connectsAtOnce: false, at: now) }
                } catch {
                    loop.execute { [self] in providerFailed() }
                }
            }
        }
    }

    private func providerFailed() {
        logger.warning("the token provider threw")
        showProblem(.tokenNeeded)
        let delay = outside.withLock { outside in
            defer { outside.tokenRetryMillis = min(outside.tokenRetryMillis * 2, Limits.tokenRetryMillisMax) }
            return outside.tokenRetryMillis
        }
        loop.schedule(afterMillis: delay) { [self] in
            outside.withLock { $0.isAskingForToken = false }
            guard !core.withLock({ $0.isClosed }) else { return }
            askForToken()
        }
    }
}

/// One attempt to reach the server and the connection it became; callable only on the loop.
final class ServerLink: MessageReceiver {
    private enum State {
        case opening
        case open(any MessageConnection)
        /// Given up while it was being opened: closed as soon as it is there.
        case abandoned(code: UInt16)
        case closed
    }

    private let engine: ReplicaEngine
    private let state = Mutex(State.opening)

    init(engine: ReplicaEngine) {
        self.engine = engine
    }

    private var connection: (any MessageConnection)? {
        state.withLock { state in
            guard case .open(let connection) = state else { return nil }
            return connection
        }
    }

    func send(_ frame: [UInt8]) {
        frame.withUnsafeBytes { connection?.send(copying: $0) }
    }

    func flush() {
        connection?.flush()
    }

    func abandon(code: UInt16) {
        let connection = connection
        state.withLock { state in
            switch state {
            case .opening: state = .abandoned(code: code)
            case .open, .abandoned, .closed: state = .closed
            }
        }
        connection?.flush()
        connection?.close(code: code, reason: "")
    }

    func connected(_ connection: any MessageConnection) {
        let abandoned: UInt16? = state.withLock { state in
            switch state {
            case .opening:
                state = .open(connection)
                return nil
            case .abandoned(let code):
                state = .closed
                return code
            case .open, .closed:
                return 1000
            }
        }
        if let abandoned {
            connection.close(code: abandoned, reason: "")
        } else {
            engine.linkOpened(self)
        }
    }

    func received(_ message: ByteBuffer) {
        engine.linkReceived(message, self)
    }

    func closed(reason: String) {
        state.withLock { $0 = .closed }
        engine.linkClosed(self, reason: reason)
    }
}

/// The names of what log lines carry.
enum LogKey {
    static let reason = "reason"
    static let code = "code"
}
