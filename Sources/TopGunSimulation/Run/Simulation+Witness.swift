import TopGunModel
import TopGunReplica
import TopGunWire

/// What the world sees of the node's messages, in the moment in which they are handed to a socket.
extension Simulation {
    func sniff(_ message: UnsafeRawBufferPointer, from end: LinkEnd) {
        mix(message)
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
        case 5: return word.elementsEqual("ERROR".utf8)
        case 6: return word.elementsEqual("OP_ACK".utf8)
        case 8: return word.elementsEqual("LEVEL_UP".utf8)
        case 11: return word.elementsEqual("OP_REJECTED".utf8)
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
            noteCovered(acknowledgement, client)
        case .levelUp(let rises):
            for rise in rises { noteClaim(.acknowledged, rise.id, Level(rise.level), to: client, isSuperseded: nil) }
        case .operationRejected(let id, _, _):
            noteClaim(.acknowledged, id, .none, to: client, code: Self.rejection)
        case .error(let error): reach("error.\(error.code)")
        case .syncRoot(let root):
            var event = event(.root, node.name)
            event.to = client
            event.map = root.mapName.string
            event.count = Int64(root.rootHash)
            record(event)
        default: break
        }
    }

    private static let rejection = "REJECTED"

    // Not put together for each of the many thousand acknowledgements of a run.
    private static let levels = ["level.none", "level.memory", "level.applied", "level.replicated", "level.persisted"]
    private static let lateLevels = ["late.none", "late.memory", "late.applied", "late.replicated", "late.persisted"]

    private func note(_ result: OperationResult, to client: String) {
        if result.isNotYet { return noteClaim(.late, result.id, Level(result.level), to: client) }
        let code = result.code?.string ?? (result.isSuccess ? nil : Self.rejection)
        if let code { reach("refusal.\(code)") }
        if result.refusal == .replicaIDConflict, device(named: client) != nil { reach("client.sharesNodeID") }
        // Only clients with `results` are told so.
        let isSuperseded = hasResults(client) ? result.isSuperseded : nil
        noteClaim(.acknowledged, result.id, Level(result.level), to: client, code: code, isSuperseded: isSuperseded)
    }

    private func hasResults(_ client: String) -> Bool {
        device(named: client)?.configuration.features.contains(.results) ?? true
    }

    /// A client without `results` takes the number in an acknowledgement for all operations up to it.
    private func noteCovered(_ acknowledgement: Acknowledgement, _ client: String) {
        guard !hasResults(client), let device = device(named: client), let last = acknowledgement.lastID,
            let level = acknowledgement.level, last > device.coveredID
        else { return }
        let named = Set((acknowledgement.results ?? []).map(\.id))
        for id in device.coveredID + 1...last where device.logged[id] != nil && !named.contains(id) {
            noteClaim(.acknowledged, id, Level(level), to: client, isSuperseded: nil)
        }
        device.coveredID = last
    }

    /// The node says how far an operation has come, and whether something newer stands in its place, if it says that.
    private func noteClaim(
        _ kind: HistoryEvent.Kind, _ id: UInt64, _ level: Level, to client: String, code: String? = nil,
        isSuperseded: Bool? = false
    ) {
        var event = event(kind, node.name)
        event.to = client
        event.op = id
        event.level = level
        event.code = code
        event.isSuperseded = isSuperseded == true ? true : nil
        event.wall = node.clock.wallMillis()
        if code == nil, level >= .applied, let versions = device(named: client)?.logged[id] {
            let isItself = isSuperseded != true && versions.contains(where: isDurable)
            event.isDurable = isItself ? true : isSuperseded == false ? false : hasDurableWinner(over: versions)
            if isItself, versions.count == 1, let write = versions.first { noteStanding(write) }
        }
        reach((kind == .late ? Self.lateLevels : Self.levels)[level.rawValue])
        record(event)
    }

    // MARK: - What the disk has

    func noteOnPlatter(_ bytes: UnsafeRawBufferPointer) {
        mix(bytes)
        Token.each(in: bytes) { durable.insert($0) }
        StampMark.eachRemoval(in: bytes) { durableRemovals.insert($0) }
    }

    /// FNV-1a over words: two runs are the same only if every byte is.
    private func mix(_ bytes: UnsafeRawBufferPointer) {
        var hash = traffic ^ UInt64(bytes.count)
        var index = 0
        while index + 8 <= bytes.count {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)) &* 0x0000_0100_0000_01b3
            index += 8
        }
        for byte in bytes[index...] { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        traffic = hash
    }

    /// The disk is not what it was.
    func recountDurable() {
        durable = []
        durableRemovals = []
        for path in node.disk.paths { node.disk.content(path)?.withUnsafeBytes { noteOnPlatter($0) } }
    }

    func noteLogged(_ event: HistoryEvent) {
        guard let place = Place(event) else { return }
        writes[place, default: []].append(LoggedWrite(event))
    }

    private func isDurable(_ write: LoggedWrite) -> Bool {
        write.token.map { durable.contains($0) } ?? durableRemovals.contains(write.mark)
    }

    /// Whether something is on the disk that is newer than any version of an operation; `nil` where it may be the end of a
    /// value, which is nobody's write.
    private func hasDurableWinner(over versions: [LoggedWrite]) -> Bool? {
        guard let oldest = versions.map(\.stamp).min(), let place = versions.first?.place else { return nil }
        var mayHaveEnded = false
        for other in (writes[place] ?? []).reversed() {
            if other.stamp > oldest, isDurable(other) { return true }
            if let end = other.endMillis, end >= oldest.millis { mayHaveEnded = true }
        }
        return mayHaveEnded ? nil : false
    }
}
