import TopGunModel
import TopGunReplica

/// Effects as MessagePack, for JavaScript. Absent parts are left out.
///
/// ```
/// { frames: [bin], close: code, open: true (a new one, after it), loads: [map], state: n, timer: ms,
///   changes: [[map, key, record?]], queryChanges: [[query, key, value?]],
///   results: [[write, id, map, key, outcome, level or code]],
///   transaction: { number, identity?, cleared: [map], maps: [[map, ms]], entries: [[map, key, isOwn, record?]],
///                  operations: [[map, key, record]], restamped: [[id, map, key, record]], retired: [id],
///                  setAside: [[id, map, key, record, code]], forgotten: [id] } }
/// record = [value, millis, counter, node, ttl]
/// ```
struct EffectsWriter {
    private let out: MessagePackWriter

    init(_ sink: ByteSink) {
        out = MessagePackWriter(sink)
    }

    func write(_ effects: ReplicaEffects) {
        var parts = 5
        parts += effects.connection.count
        if effects.syncState != nil { parts += 1 }
        if effects.timerMillis != nil { parts += 1 }
        if effects.transaction != nil { parts += 1 }
        out.writeMapHead(parts)
        list("frames", effects.frames) { bytes($0) }
        list("loads", effects.loads) { out.write($0.index) }
        list("changes", effects.changes) { write($0) }
        list("results", effects.results) { write($0) }
        list("queryChanges", effects.queryChanges) { change in
            out.writeArrayHead(3)
            out.write(change.query.number)
            text(change.key)
            if let value = change.value { out.write(value) } else { out.writeNil() }
        }
        // At most one of each, and never first the new one.
        for connection in effects.connection {
            switch connection {
            case .open:
                out.write("open")
                out.write(true)
            case .close(let code):
                out.write("close")
                out.write(Int(code))
            }
        }
        if let state = effects.syncState {
            out.write("state")
            out.write(Int(state.rawValue))
        }
        if let timer = effects.timerMillis {
            out.write("timer")
            out.write(timer)
        }
        if let transaction = effects.transaction {
            out.write("transaction")
            write(transaction)
        }
    }

    private func write(_ change: MapChange) {
        out.writeArrayHead(3)
        out.write(change.map.index)
        text(change.key)
        write(change.record)
    }

    private func write(_ result: WriteResult) {
        out.writeArrayHead(6)
        out.write(result.write?.number ?? 0)
        out.write(result.id)
        text(result.map)
        text(result.key)
        switch result.outcome {
        case .stored:
            out.write("stored")
            out.writeNil()
        case .reached(let level):
            out.write("reached")
            out.write(Int(level.rawValue))
        case .superseded(_, let winning):
            out.write("superseded")
            write(winning)
        case .refused(let code, _):
            out.write("refused")
            text(code)
        case .notStored:
            out.write("notStored")
            out.writeNil()
        }
    }

    private func write(_ transaction: StoreTransaction) {
        out.writeMapHead(transaction.identity == nil ? 9 : 10)
        out.write("number")
        out.write(transaction.number)
        if let identity = transaction.identity {
            out.write("identity")
            write(identity)
        }
        list("cleared", transaction.clearedMaps) { text($0) }
        list("maps", transaction.maps) { map in
            out.writeArrayHead(2)
            text(map.name)
            out.write(map.lastSyncMillis)
        }
        list("entries", transaction.entries) { entry in
            out.writeArrayHead(4)
            text(entry.map)
            text(entry.key)
            out.write(entry.isOwn)
            write(entry.record)
        }
        list("operations", transaction.newOperations) { operation in
            out.writeArrayHead(3)
            text(operation.map)
            text(operation.key)
            write(operation.record)
        }
        list("restamped", transaction.restamped) { operation in
            out.writeArrayHead(4)
            write(operation)
        }
        list("retired", transaction.retired) { out.write($0) }
        list("setAside", transaction.setAside) { refused in
            out.writeArrayHead(5)
            write(refused.operation)
            text(refused.code)
        }
        list("forgotten", transaction.forgotten) { out.write($0) }
    }

    /// The four elements of an operation.
    private func write(_ operation: StoredOperation) {
        out.write(operation.id)
        text(operation.map)
        text(operation.key)
        write(operation.record)
    }

    private func write(_ identity: StoredIdentity) {
        out.writeArrayHead(7)
        text(identity.node)
        out.write(identity.clockBound)
        for name in [identity.clusterID, identity.userID, identity.deviceID, identity.deviceToken] {
            if let name { text(name) } else { out.writeNil() }
        }
        if let epoch = identity.restoreEpoch { out.write(epoch) } else { out.writeNil() }
    }

    private func write(_ record: LWWRecord?) {
        guard let record else { return out.writeNil() }
        out.writeArrayHead(5)
        bytes(record.value.bytes)
        out.write(record.timestamp.millis)
        out.write(record.timestamp.counter)
        text(record.timestamp.node)
        out.write(record.ttlMillis)
    }

    private func bytes(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { out.writeBinary($0) }
    }

    private func text(_ text: ByteString) {
        out.write(text)
    }

    private func list<Element>(_ name: StaticString, _ elements: [Element], _ write: (Element) -> Void) {
        out.write(name)
        out.writeArrayHead(elements.count)
        for element in elements { write(element) }
    }
}
