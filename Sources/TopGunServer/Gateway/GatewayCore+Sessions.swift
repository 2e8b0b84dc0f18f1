import TopGunEnvironment
import TopGunModel
import TopGunWire

// Greetings: what the session's core asks for is done here.

extension GatewayCore {
    func perform(_ action: ClientSession.Action, for shell: SessionShell) {
        shell.identity = shell.core.identity
        if shell.identity != nil { shell.connection.admit() }
        switch action {
        case .nothing: break
        case .demandAuthentication: send(shell, .authenticationRequired)
        case .verify(let token): verify(token, for: shell)
        case .acknowledgeAuthentication(let userID, let isAnnounced):
            metrics.counts.authenticationsAccepted += 1
            greet(shell, .authentication(userID: userID, isAnnounced: isAnnounced))
        case .acknowledgeDevice(let isAnnounced):
            greet(shell, .device(isAnnounced: isAnnounced))
        case .refuseAuthentication:
            metrics.counts.authenticationsRefused += 1
            send(shell, .authenticationFailed(error: "Authentication failed", code: 401))
            close(shell, code: 1008, reason: "authentication failed")
        case .close(let code, let reason): close(shell, code: code, reason: reason)
        }
    }

    func greeting(
        _ shell: SessionShell, userID: String?, isAnnounced: Bool, lastSeen: UInt64
    ) -> Greeting {
        guard isAnnounced else { return Greeting(userID: userID) }
        if shell.core.features.contains(.hash128), shell.hashKey == nil {
            shell.hashKey = SipHash128.Key(low: terms.entropy.next(), high: terms.entropy.next())
        }
        return Greeting(
            protocolVersion: FeatureSet.protocolVersion, userID: userID,
            server: ServerIdentity(
                features: shell.core.features, clusterID: terms.clusterID, serverID: terms.serverID,
                restoreEpoch: terms.restoreEpoch, serverTime: clock.wallMillis(),
                connectionID: ByteString(String(shell.id.number)), lastSeenOperationID: lastSeen,
                hashKey: shell.hashKey?.bytes))
    }

    /// Asks the verifier; the verdict comes back on this loop, if the connection is still there.
    private func verify(_ token: String, for shell: SessionShell) {
        let id = shell.id
        guard let tokens = terms.tokens else { return verified(id, .failure(AuthFailure(.malformed))) }
        terms.spawner.spawn("token verification") { [door] in
            let verdict = await tokens.verify(token)
            door.loop.execute { door.value.verified(id, verdict) }
        }
    }

    private func verified(_ id: SessionID, _ verdict: Result<Principal, AuthFailure>) {
        guard let shell = shell(id), !shell.isClosing else { return }
        switch verdict {
        case .success(let principal):
            perform(shell.core.verified(identity(of: principal)), for: shell)
        case .failure(let failure):
            terms.log.info("a token was refused", [.address: shell.peer.address, .error: failure])
            perform(shell.core.verified(nil), for: shell)
        }
        flush()
    }

    private func identity(of principal: Principal) -> ClientSession.Identity {
        let mayAll = terms.mayByDefault
        // A token may say that it never ends.
        let end = principal.expiresAtMillis.addingReportingOverflow(terms.tokenLeewayMillis)
        return ClientSession.Identity(
            userID: principal.subject, nameSpace: terms.anonymous.nameSpace, mayRead: mayAll, mayWrite: mayAll,
            expiresAtMillis: end.overflow ? .max : end.partialValue)
    }
}

// MARK: - Errors

extension GatewayCore {
    func sendError(
        _ shell: SessionShell, code: Int, message: String, refusal: Refusal? = nil, request: ByteString? = nil,
        requestID: ByteString? = nil, map: ByteString? = nil
    ) {
        send(
            shell,
            .error(
                ErrorMessage(
                    code: Int64(code), message: message,
                    details: ErrorDetails(
                        requestType: request, requestID: requestID, mapName: map, refusal: refusal,
                        retryAfterMillis: refusal.flatMap(retryAfter)))))
    }

    /// When to try again, for what is only refused for now.
    func retryAfter(_ refusal: Refusal) -> Int64? {
        switch refusal {
        case .busy: Limits.busyRetryMillis
        case .nodeFull, .notReady: Limits.fullRetryMillis
        case .badRequest, .badStamp, .clockAhead, .unauthenticated, .forbidden, .tooLarge, .tooOld, .fenced,
            .replicaIDConflict, .concernUnavailable, .upgradeRequired:
            nil
        }
    }

    /// Whether the client may read a map; if not it was told.
    func mayRead(_ shell: SessionShell, _ map: ByteString, request: ByteString) -> Bool {
        guard let identity = shell.identity else { return false }
        guard identity.mayRead, !map.isEmpty, !map.isReserved else {
            let message =
                terms.session.requiresAuthentication && !terms.mayByDefault
                ? explanation(.forbidden) : "read access denied"
            sendError(shell, code: 403, message: message, refusal: .forbidden, request: request, map: map)
            return false
        }
        guard map.isPossible else {
            sendError(
                shell, code: 400, message: "no map has so long a name", refusal: .badRequest, request: request)
            return false
        }
        return true
    }
}

extension ByteString {
    /// Whether a map may have the name.
    var isPossible: Bool { count <= WireLimits.mapNameBytesMax }

    /// Whether it is a name that clients may not touch.
    var isReserved: Bool { bytes.withUnsafeBytes { ReservedNames.contain($0) } }
}
