import TopGunModel
import TopGunWire

extension ReplicaState {
    /// One message from the servers. Whatever it holds, it never traps; what makes no sense changes nothing.
    package mutating func received(_ frame: UnsafeRawBufferPointer, at now: ReplicaTime) {
        link.takesAnswers = link.isReady
        take(frame, at: now)
    }

    /// A frame, or a message of a batch.
    private mutating func take(_ frame: UnsafeRawBufferPointer, at now: ReplicaTime) {
        guard link.isOpen else { return }
        guard frame.count <= ReplicaLimits.receivedFrameBytesMax else { return fault(.undecodable) }
        do throws(WireError) {
            receive(try ServerMessage.decode(frame), at: now)
        } catch {
            fault(.undecodable)
        }
    }

    private mutating func receive(_ message: ServerMessage, at now: ReplicaTime) {
        switch message {
        case .authenticationRequired: authenticationRequired(at: now)
        case .authenticationAcknowledged(let greeting): greeted(greeting, isAuthenticated: true, at: now)
        case .deviceAcknowledged(let greeting): greeted(greeting, isAuthenticated: false, at: now)
        case .authenticationFailed(_, let code): authenticationFailed(code: code, at: now)
        case .error(let error): failed(error, at: now)
        case .pong(let timestamp, let serverTime): pongArrived(timestamp, serverTime: serverTime, at: now)
        default:
            // Any other message says that the servers take us as we are (protocol.md 2.1).
            if case .greeting = link.state { graceEnded(at: now) }
            guard link.isReady else { return fault(.outOfPlace) }
            receiveData(message, at: now)
        }
    }

    private mutating func receiveData(_ message: ServerMessage, at now: ReplicaTime) {
        switch message {
        case .acknowledgement, .operationRejected, .levelUp:
            guard link.takesAnswers else { return fault(.unknownOperation) }
            receiveAnswer(message, at: now)
        case .event(let event): eventArrived(event, at: now)
        case .events(let events): for event in events { eventArrived(event, at: now) }
        case .resync(let name): resyncRequired(name)
        case .syncRoot(let root): rootArrived(root, at: now)
        case .syncBuckets(let buckets): bucketsArrived(buckets, at: now)
        case .syncLeaf(let leaf): leafArrived(leaf, at: now)
        case .syncResetRequired(let name, _): resetRequired(name, at: now)
        case .merklePull(let request): pulled(request, at: now)
        case .prune(let stamp): prune(olderThan: stamp, at: now)
        case .queryResponse(let response): queryAnswered(response, at: now)
        case .queryUpdate(let update): queryUpdated(update, at: now)
        case .batch(let batch): receive(batch, at: now)
        default:
            // What belongs to features that this client does not have yet; a server may send it all the same.
            break
        }
    }

    private mutating func receiveAnswer(_ message: ServerMessage, at now: ReplicaTime) {
        switch message {
        case .acknowledgement(let acknowledgement): acknowledged(acknowledgement, at: now)
        case .operationRejected(let id, _, let code): rejected(id, code: Self.code(ofNumber: code), at: now)
        case .levelUp(let rises): for rise in rises { levelRose(rise.id, to: rise.level, at: now) }
        default: break
        }
    }

    private mutating func receive(_ batch: Batch, at now: ReplicaTime) {
        batch.data.withUnsafeBytes { data in
            do throws(WireError) {
                for message in try BatchContent.messages(fromServer: data) { take(message, at: now) }
            } catch {
                fault(.undecodable)
            }
        }
    }

    /// ERROR. It decides nothing about operations: what was not answered is sent again in time.
    private mutating func failed(_ error: ErrorMessage, at now: ReplicaTime) {
        if error.details?.refusal == .upgradeRequired || error.code == Int64(Refusal.upgradeRequired.errorCode) {
            return upgradeRequired(at: now)
        }
        effects.notices.append(.serverError(code: Int(truncatingIfNeeded: error.code)))
        switch error.code {
        case 401: authenticationFailed(code: nil, at: now)
        case 429, 503, 507:
            pause(retryAfterMillis: error.details?.retryAfterMillis, at: now)
            // The server dropped the message, so its operations are on their way no more.
            if error.details?.requestType.map({ $0 == "OP_BATCH" }) ?? true { unsendUndecided(at: now) }
        default: break
        }
    }

    /// The word for the number in OP_REJECTED.
    private static func code(ofNumber number: Int64?) -> ByteString {
        switch number {
        case 403?: ByteString(Array("FORBIDDEN".utf8))
        case 413?: ByteString(Array("TOO_LARGE".utf8))
        case 422?: ByteString(Array("BAD_REQUEST".utf8))
        default: ByteString(Array("REJECTED".utf8))
        }
    }

    /// The servers sent what makes no sense; said once per batch of effects.
    mutating func fault(_ fault: ServerFault) {
        if effects.notices.last != .protocolError(fault) { effects.notices.append(.protocolError(fault)) }
    }

    mutating func send(_ message: ClientMessage) {
        guard link.isOpen else { return }
        scratch.removeAll()
        message.encode(into: scratch)
        effects.frames.append(Array(scratch.bytes))
    }
}
