import TopGunModel
import TopGunWire

// Connecting, being recognised, staying connected (protocol.md 2).

extension ReplicaState {
    /// What this client can do beyond the official one, and uses on this connection. Comparing content costs the server a
    /// hash of every record, so it is done once in a run and not with every reconnect.
    var features: FeatureSet {
        wasContentCompared ? configuration.features.subtracting(.hash128) : configuration.features
    }

    private var protocolVersion: Int64? { configuration.features.isEmpty ? nil : FeatureSet.protocolVersion }

    /// Whether the replica should be connected at all. Setting it again while waiting for the next attempt makes that
    /// attempt at once, which is what to do when the device gets its network back.
    package mutating func setOnline(_ isWanted: Bool, at now: ReplicaTime) {
        isOnlineWanted = isWanted
        if isWanted {
            link.attempt = 0
            connectIfWanted(at: now)
        } else {
            drop(code: 1000, retryMillis: nil, at: now)
        }
    }

    /// The token to present; `nil` to present none.
    ///
    /// A person who signs in wants to be connected at once. A token that a program fetched because the last one was
    /// refused waits for the next attempt: it may be the same one, and the servers are not asked as fast as they answer.
    package mutating func setToken(_ token: String?, connectsAtOnce: Bool = true, at now: ReplicaTime) {
        self.token = token
        switch link.state {
        case .awaitingToken: authenticate(at: now)
        case .idle: if connectsAtOnce { connectIfWanted(at: now) }
        case .opening, .greeting, .authenticating, .ready: break
        }
    }

    mutating func connectIfWanted(at now: ReplicaTime) {
        guard case .idle = link.state, isStarted, isOnlineWanted, role == .leader, !isUpgradeRequired else { return }
        link.state = .opening(deadlineMillis: now.steadyMillis + ReplicaLimits.connectMillisMax)
        effects.connection.append(.open)
    }

    /// The socket is open.
    package mutating func connected(at now: ReplicaTime) {
        guard case .opening = link.state else { return }
        link.begin()
        if token != nil {
            authenticate(at: now)
        } else {
            link.state = .greeting(deadlineMillis: now.steadyMillis + ReplicaLimits.graceMillis)
            link.greetedWallMillis = now.wallMillis
            send(
                .deviceHello(
                    DeviceHello(
                        deviceToken: identity.deviceToken?.string, protocolVersion: protocolVersion,
                        features: features)))
        }
    }

    /// The socket is gone, or could not be opened.
    package mutating func disconnected(at now: ReplicaTime) {
        if case .idle = link.state { return }
        lost(retryMillis: nextAttemptMillis(at: now))
    }

    /// Closes the socket, and tries again at that time.
    mutating func drop(code: UInt16, retryMillis: Int64?, at now: ReplicaTime) {
        if case .idle = link.state {
            link.state = .idle(retryMillis: retryMillis)
            return
        }
        if effects.connection.last == .open {
            // Nobody has begun to open it.
            effects.connection.removeLast()
        } else {
            effects.connection.append(.close(code: code))
        }
        lost(retryMillis: retryMillis)
    }

    /// Closes the socket after a failure, and tries again after the usual delay.
    mutating func dropAndRetry(code: UInt16, at now: ReplicaTime) {
        drop(code: code, retryMillis: nextAttemptMillis(at: now), at: now)
    }

    /// `min(1000·2^attempt, 30000)` times 0.5 to 1.5 (protocol.md 2.8).
    private mutating func nextAttemptMillis(at now: ReplicaTime) -> Int64? {
        guard isOnlineWanted, !isUpgradeRequired else { return nil }
        let doublings = min(link.attempt, 16)
        let delay = min(ReplicaLimits.reconnectMillisMin << Int64(doublings), ReplicaLimits.reconnectMillisMax)
        link.attempt += 1
        return now.steadyMillis + chance.jittered(delay)
    }

    private mutating func lost(retryMillis: Int64?) {
        let wasOpen = link.isOpen
        link.state = .idle(retryMillis: retryMillis)
        pausedUntilMillis = nil
        pauseMillis = 0
        guard wasOpen else { return }
        unsendAll()
        stopSyncs()
        pulls.removeAll()
        wasGapSeen = false
        for id in sortedQueries { queries[id]?.isConfirmed = false }
    }

    private mutating func authenticate(at now: ReplicaTime) {
        // Once per connection: a server that wanted it again would get it on the next one.
        guard let token, !link.wasAuthSent else { return }
        link.wasAuthSent = true
        link.greetedWallMillis = now.wallMillis
        link.state = .authenticating(deadlineMillis: now.steadyMillis + ReplicaLimits.handshakeMillisMax)
        send(
            .authenticate(
                Authentication(
                    token: token, protocolVersion: protocolVersion,
                    deviceToken: identity.deviceToken?.string, features: features)))
    }
}

// MARK: - Handshake

extension ReplicaState {
    mutating func authenticationRequired(at now: ReplicaTime) {
        switch link.state {
        case .greeting, .ready:
            if link.isReady, link.wasAcknowledged { return fault(.outOfPlace) }
            stopSyncs()
            unsendAll()
            awaitToken(at: now)
        case .idle, .opening, .authenticating, .awaitingToken: break
        }
    }

    private mutating func awaitToken(at now: ReplicaTime) {
        link.state = .awaitingToken
        if token != nil {
            authenticate(at: now)
        } else {
            effects.notices.append(.tokenNeeded)
        }
    }

    mutating func authenticationFailed(code: Int64?, at now: ReplicaTime) {
        guard link.isOpen else { return }
        if code == Int64(Refusal.upgradeRequired.errorCode) { return upgradeRequired(at: now) }
        token = nil
        effects.notices.append(.authenticationFailed)
        effects.notices.append(.tokenNeeded)
        dropAndRetry(code: 1000, at: now)
    }

    mutating func upgradeRequired(at now: ReplicaTime) {
        isUpgradeRequired = true
        effects.notices.append(.upgradeRequired)
        drop(code: 1000, retryMillis: nil, at: now)
    }

    /// AUTH_ACK, DEVICE_ACK.
    mutating func greeted(_ greeting: Greeting, isAuthenticated: Bool, at now: ReplicaTime) {
        guard link.isOpen, !link.wasAcknowledged else { return }
        if !isAuthenticated, link.wasAuthSent { return }
        if let server = greeting.server {
            if let pinned = identity.clusterID, pinned != server.clusterID {
                effects.notices.append(.otherCluster)
                return dropAndRetry(code: 1000, at: now)
            }
        } else if identity.clusterID != nil {
            // Another kind of server than the one this data belongs to.
            effects.notices.append(.otherCluster)
            return dropAndRetry(code: 1000, at: now)
        }
        guard mayActAs(greeting, isAuthenticated: isAuthenticated, at: now) else { return }
        link.wasAcknowledged = true
        let wasContentCompared = wasContentCompared
        remember(greeting, at: now)
        if wasContentCompared, !self.wasContentCompared, features.contains(.hash128) {
            // This connection has no hashes of contents, which the next one asks for.
            return dropAndRetry(code: 1000, at: now)
        }
        if !link.isReady { becomeReady(at: now) }
    }

    /// Data of one user is never sent as another (promises.md C08).
    private mutating func mayActAs(_ greeting: Greeting, isAuthenticated: Bool, at now: ReplicaTime) -> Bool {
        guard let pinned = identity.userID else { return true }
        if !isAuthenticated {
            awaitToken(at: now)
            return false
        }
        // Who is not named is somebody else, too.
        guard greeting.userID.map({ ByteString($0) }) != pinned else { return true }
        token = nil
        effects.notices.append(.otherUser)
        dropAndRetry(code: 1000, at: now)
        return false
    }

    private mutating func remember(_ greeting: Greeting, at now: ReplicaTime) {
        var known = identity
        if let user = greeting.userID { known.userID = ByteString(user) }
        if let deviceID = greeting.deviceID { known.deviceID = ByteString(deviceID) }
        if let deviceToken = greeting.deviceToken { known.deviceToken = ByteString(deviceToken) }
        if let server = greeting.server {
            link.features = server.features.intersection(features)
            link.hashKey = link.features.contains(.hash128) ? server.hashKey.flatMap { Self.hashKey($0) } : nil
            known.clusterID = server.clusterID
            noteServerTime(server.serverTime, askedWallMillis: link.greetedWallMillis, at: now)
            if known.restoreEpoch == nil { known.restoreEpoch = server.restoreEpoch }
        }
        if known != identity {
            identity = known
            saving.isIdentityUnsaved = true
        }
        // A lower one too: a server that was set back behind a restore that we know of.
        if let server = greeting.server, let epoch = known.restoreEpoch, server.restoreEpoch != epoch {
            beginReoffer(epoch: server.restoreEpoch, at: now)
        }
    }

    private static func hashKey(_ bytes: [UInt8]) -> SipHash128.Key? {
        bytes.withUnsafeBytes { SipHash128.Key(bytes: $0) }
    }

    private mutating func becomeReady(at now: ReplicaTime) {
        link.state = .ready
        link.attempt = 0
        link.readyMillis = now.steadyMillis
        link.lastPongMillis = now.steadyMillis
        link.nextPingMillis = now.steadyMillis + ReplicaLimits.pingEveryMillis
        for map in maps.indices {
            maps[map].wasReset = false
            if maps[map].isOpen { syncSoon(map) }
        }
        // Pending operations first, then queries, then maps (protocol.md 2.1).
        sendOperations(at: now)
        for id in sortedQueries { sendSubscription(id, at: now) }
    }

    /// Nobody answered DEVICE_HELLO in time: an official server does not, and goes on.
    mutating func graceEnded(at now: ReplicaTime) {
        guard identity.clusterID == nil else {
            // The servers of this data do answer: it is only slow, or it is another server.
            link.state = .authenticating(deadlineMillis: now.steadyMillis + ReplicaLimits.handshakeMillisMax)
            return
        }
        if identity.userID != nil { return awaitToken(at: now) }
        becomeReady(at: now)
    }
}

// MARK: - Heartbeat

extension ReplicaState {
    mutating func beat(at now: ReplicaTime) {
        guard link.isReady else { return }
        if now.steadyMillis - link.lastPongMillis >= ReplicaLimits.pongMissingMillis {
            return dropAndRetry(code: 1001, at: now)
        }
        guard now.steadyMillis >= link.nextPingMillis else { return }
        link.nextPingMillis = now.steadyMillis + ReplicaLimits.pingEveryMillis
        send(.ping(timestamp: now.wallMillis))
    }

    mutating func pongArrived(_ timestamp: Int64, serverTime: Int64?, at now: ReplicaTime) {
        link.lastPongMillis = now.steadyMillis
        link.isPushing = false
        noteServerTime(serverTime, askedWallMillis: timestamp, at: now)
    }

    func linkDeadline() -> Int64? {
        switch link.state {
        case .idle(let retryMillis): retryMillis
        case .opening(let deadline), .greeting(let deadline), .authenticating(let deadline): deadline
        case .awaitingToken: nil
        case .ready: min(link.nextPingMillis, link.lastPongMillis + ReplicaLimits.pongMissingMillis)
        }
    }

    mutating func linkTicked(at now: ReplicaTime) {
        guard let deadline = linkDeadline(), now.steadyMillis >= deadline else { return }
        switch link.state {
        case .idle: connectIfWanted(at: now)
        case .opening, .authenticating: dropAndRetry(code: 1000, at: now)
        case .greeting: graceEnded(at: now)
        case .awaitingToken: break
        case .ready: beat(at: now)
        }
    }
}
