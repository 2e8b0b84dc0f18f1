import TopGunEnvironment
import TopGunModel
import TopGunWire

// Who a device is, before its greeting is answered (protocol.md 2.4).
//
//   presented ──► the loop that keeps it: known? ──yes──► greeting with the id
//        │ none, or malformed       │ no
//        └──────────────────────────┴──► a new pair, kept, on disk ──► greeting with id and token
//
// A greeting never fails and hardly ever waits: where the new pair is not on disk in time, or there is no room for one
// more, it leaves without, and the client is served like any other. A connection is one device however often it greets:
// a greeting that comes while the first is being looked up shares what is found, and the secret is told once.

/// A greeting that waits for the device to be known. Confined to the gateway's loop.
final class PendingGreeting {
    enum Kind {
        case device(isAnnounced: Bool)
        case authentication(userID: String?, isAnnounced: Bool)
    }

    let session: SessionID
    let kind: Kind
    fileprivate var isAnswered = false
    fileprivate var patience: (any ScheduledJob)?

    init(_ session: SessionID, _ kind: Kind) {
        self.session = session
        self.kind = kind
    }
}

/// What is known of the device behind a connection.
enum DeviceSearch {
    /// Nobody has asked, or nothing could be found out or kept: the next greeting asks.
    case open
    case underWay([PendingGreeting])
    /// The token is there until a greeting tells it.
    case done(id: String, untoldToken: String?)
}

extension GatewayCore {
    /// Answers a greeting, once the device is recognised by what it presented or has been given a new identity.
    func greet(_ shell: SessionShell, _ kind: PendingGreeting.Kind) {
        let pending = PendingGreeting(shell.id, kind)
        guard let identity = shell.identity else { return answer(pending, deviceID: nil) }
        switch shell.device {
        case .done(let id, let token):
            shell.device = .done(id: id, untoldToken: nil)
            answer(pending, deviceID: id, deviceToken: token)
        case .underWay(let others):
            shell.device = .underWay(others + [pending])
            wait(pending)
        case .open:
            shell.device = .underWay([pending])
            wait(pending)
            search(for: shell, identity)
        }
    }

    private func wait(_ pending: PendingGreeting) {
        let waiting = LoopBound(pending, on: loop)
        pending.patience = loop.schedule(afterMillis: Limits.devicePatienceMillis) { [door] in
            door.value.answer(waiting.value, deviceID: nil)
        }
    }

    private func search(for shell: SessionShell, _ identity: ClientSession.Identity) {
        let id = shell.id
        guard let presented = shell.core.presentedDevice.flatMap({ DeviceCredential($0) }) else {
            return enrol(id, identity)
        }
        let key = DeviceRecords.key(of: presented, principal: identity.userID)
        let (digest, nameSpace) = (presented.digest, identity.nameSpace)
        ask(keeperOf: key) { group, reply in
            reply(group.knowsDevice(key, digest: digest, in: nameSpace))
        } then: { [self] isKnown in
            switch isKnown {
            case true?: found(id, deviceID: presented.id, token: nil)
            case false?: enrol(id, identity)
            // The device keeps what it has and is recognised another time.
            case nil: found(id, deviceID: nil, token: nil)
            }
        }
    }

    /// Gives the device a new identity, and tells it once the server can no longer forget it.
    private func enrol(_ id: SessionID, _ identity: ClientSession.Identity) {
        let credential = DeviceCredential(using: terms.entropy)
        let key = DeviceRecords.key(of: credential, principal: identity.userID)
        let (digest, nameSpace, limit) = (credential.digest, identity.nameSpace, terms.devicesPerLoopMax)
        ask(keeperOf: key) { group, reply in
            guard group.keepDevice(key, digest: digest, in: nameSpace, limit: limit) else { return reply(false) }
            group.afterGate { reply(true) }
        } then: { [self] isKept in
            found(id, deviceID: isKept ? credential.id : nil, token: isKept ? credential.text : nil)
        }
    }

    /// Tells every greeting that still waits. Where all have left without, the next one is told.
    private func found(_ id: SessionID, deviceID: String?, token: String?) {
        guard let shell = shell(id), case .underWay(let greetings) = shell.device else { return }
        var token = token
        let waiting = greetings.filter { !$0.isAnswered }
        shell.device = deviceID.map { .done(id: $0, untoldToken: waiting.isEmpty ? token : nil) } ?? .open
        for pending in waiting {
            answer(pending, deviceID: deviceID, deviceToken: token)
            token = nil
        }
    }

    private func answer(_ pending: PendingGreeting, deviceID: String?, deviceToken: String? = nil) {
        guard !pending.isAnswered else { return }
        pending.isAnswered = true
        pending.patience?.cancel()
        guard let shell = shell(pending.session), !shell.isClosing else { return }
        let lastSeen = arrive(shell, deviceID)
        switch pending.kind {
        case .device(let isAnnounced):
            var greeting = greeting(shell, userID: nil, isAnnounced: isAnnounced, lastSeen: lastSeen)
            greeting.deviceID = deviceID
            greeting.deviceToken = deviceToken
            send(shell, .deviceAcknowledged(greeting))
        case .authentication(let userID, let isAnnounced):
            var greeting = greeting(shell, userID: userID, isAnnounced: isAnnounced, lastSeen: lastSeen)
            greeting.deviceID = deviceID
            greeting.deviceToken = deviceToken
            send(shell, .authenticationAcknowledged(greeting))
            sendOwedMap(shell)
        }
        flush()
    }

    // MARK: What it sent before

    /// A connection has turned out to be a device's; returns the `lastSeenOpId` of its greeting.
    private func arrive(_ shell: SessionShell, _ deviceID: String?) -> UInt64 {
        guard let deviceID, shell.deviceID == nil else { return 0 }
        shell.deviceID = deviceID
        let (lastSeen, open) = terms.devices.arrive(deviceID)
        shell.openBefore = open.isEmpty ? nil : open
        return lastSeen
    }

    /// A connection is gone. What it brought is in memory at most, so the device is told of it once it is on disk.
    func leave(_ shell: SessionShell) {
        guard let deviceID = shell.deviceID else { return }
        let (ledger, decided) = (shell.core.ledger, shell.decidedBefore)
        var undecided = ledger.undecided
        // Acknowledged at MEMORY, maybe, and not on the disk of another loop's group yet.
        for token in splitFrames.keys.sorted() {
            guard let split = splitFrames[token], split.session == shell.id else { continue }
            for case let id? in split.ids { undecided.insert(id, rangesMax: Limits.undecidedRangesMax) }
        }
        group.afterGate { [devices = terms.devices, undecided] in
            devices.leave(deviceID, highest: ledger.highest, undecided: undecided, decided: decided)
        }
    }

    /// Keeps note of ids that earlier connections of the device left open; of no more than fit, because whatever is not
    /// noted only counts as open for longer.
    func noteDecided(_ shell: SessionShell, _ open: IDRanges) {
        for answer in answers where answer.way != .later {
            guard shell.decidedBefore.rangeCount < Limits.undecidedRangesMax else { return }
            if let id = answer.id, open.contains(id) { shell.decidedBefore.insert(id) }
        }
    }

    /// Asks the group that keeps a key, and goes on here with its answer.
    private func ask<Part: Sendable>(
        keeperOf key: ByteString, _ ask: @escaping @Sendable (GroupCore, _ reply: @escaping (Part) -> Void) -> Void,
        then: @escaping (Part) -> Void
    ) {
        let target = PartitionPlacement.loop(of: PartitionID(hash: KeyHash.of(key)), loops: crew.count)
        guard target != index else { return ask(group, then) }
        let home = LoopBound(then, on: loop)
        crew[target].loop.execute { [door = crew[target]] in
            ask(door.value) { part in home.loop.execute { home.value(part) } }
        }
    }
}
