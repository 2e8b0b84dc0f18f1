import TopGunModel
import TopGunWire

/// What the world sees of the node's messages, in the moment in which they are handed to a socket.
extension Simulation {
    func sniff(_ message: UnsafeRawBufferPointer, from end: LinkEnd) {
        Token.each(in: message) { token in noteShown(token) }
        guard Self.isClaim(message) else { return }
        do throws(WireError) {
            note(try ServerMessage.decode(message), to: end.link?.host.name ?? "")
        } catch {
            preconditionFailure("the node sent what nobody can read: \(error)")
        }
    }

    /// Whether it is one of the messages that tell of operations or trees: decoding all would take most of a run. The
    /// node's begin with their type; one that does not is looked at.
    private static func isClaim(_ message: UnsafeRawBufferPointer) -> Bool {
        let start = message.first == 0xde ? 3 : 1
        guard message.count > start + 6, message[start...].starts(with: typeKey) else { return true }
        let length = Int(message[start + 5] & 0x1f)
        let word = message[(start + 6)...].prefix(length)
        switch length {
        case 6: return word.elementsEqual("OP_ACK".utf8)
        case 8: return word.elementsEqual("LEVEL_UP".utf8)
        case 14: return word.elementsEqual("SYNC_RESP_ROOT".utf8)
        default: return false
        }
    }

    /// The text `type` as the first key of a message.
    private static let typeKey = [0xa4] + Array("type".utf8)

    private func noteShown(_ token: UInt32) {
        let isDurable = durable.contains(token)
        guard shown.insert(token).inserted || !isDurable else { return }
        var event = event(.shown, node.name)
        event.value = token
        event.isDurable = isDurable
        record(event)
    }

    private func note(_ message: ServerMessage, to client: String) {
        switch message {
        case .acknowledgement(let acknowledgement):
            for result in acknowledgement.results ?? [] { note(result, to: client) }
        case .levelUp(let rises):
            for rise in rises { noteClaim(.acknowledged, rise.id, Level(rise.level), to: client) }
        case .syncRoot(let root):
            var event = event(.root, node.name)
            event.to = client
            event.map = root.mapName.string
            event.count = Int64(root.rootHash)
            record(event)
        default: break
        }
    }

    // Not put together for each of the many thousand acknowledgements of a run.
    private static let levels = ["level.none", "level.memory", "level.applied", "level.replicated", "level.persisted"]
    private static let lateLevels = ["late.none", "late.memory", "late.applied", "late.replicated", "late.persisted"]

    private func note(_ result: OperationResult, to client: String) {
        if result.isNotYet { return noteClaim(.late, result.id, Level(result.level), to: client) }
        let code = result.code?.string
        if let code { reach("refusal.\(code)") }
        noteClaim(
            .acknowledged, result.id, Level(result.level), to: client, code: code, isSuperseded: result.isSuperseded)
    }

    /// The node says how far an operation has come.
    private func noteClaim(
        _ kind: HistoryEvent.Kind, _ id: UInt64, _ level: Level, to client: String, code: String? = nil,
        isSuperseded: Bool = false
    ) {
        var event = event(kind, node.name)
        event.to = client
        event.op = id
        event.level = level
        event.code = code
        event.isSuperseded = isSuperseded ? true : nil
        event.wall = node.clock.wallMillis()
        if code == nil, !isSuperseded, level >= .applied,
            let token = device(named: client)?.tokens[id]
        {
            event.isDurable = durable.contains(token)
        }
        reach((kind == .late ? Self.lateLevels : Self.levels)[level.rawValue])
        record(event)
    }
}
