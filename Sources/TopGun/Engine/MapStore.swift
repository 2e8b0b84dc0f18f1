import Synchronization
import TopGunModel
import TopGunReplica

/// What the typed handles of one map share: the way to the core, decoded values, and who watches.
///
/// Decoded values are kept because decoding costs more than everything else about a read. One is kept only if nothing of
/// the map changed while it was being decoded, and goes as soon as its key changes, before the lock of the core is let go:
/// so a read never shows what an earlier read of the same thread has seen replaced.
final class MapStore<Value: Codable & Sendable>: MapSink {
    let engine: ReplicaEngine
    let id: MapID
    let name: String
    private let decoded = Mutex(Decoded())
    private let all = Hub<ChangedKeys>()
    private let single = Mutex<[ByteString: Hub<ChangedKeys>]>([:])

    private struct Decoded {
        var values: [ByteString: Value] = [:]
        /// Changes of the map so far.
        var changes: UInt64 = 0
    }

    init(engine: ReplicaEngine, id: MapID, name: String) {
        self.engine = engine
        self.id = id
        self.name = name
    }

    func value(of key: ByteString) throws(TopGunError) -> Value? {
        let (known, changes) = decoded.withLock { ($0.values[key], $0.changes) }
        if let known { return known }
        guard let (payload, isLasting) = engine.payload(key, id) else { return nil }
        let value = try PayloadDecoder.decode(Value.self, from: payload)
        guard isLasting else { return value }
        decoded.withLock { decoded in
            guard decoded.changes == changes else { return }
            if decoded.values.count >= Limits.decodedValuesMax { decoded.values = [:] }
            decoded.values[key] = value
        }
        return value
    }

    func keys() -> [ByteString] {
        let now = engine.now
        return engine.core.withLock { core in
            var keys: [ByteString] = []
            core.replica.forEach(in: id, at: now) { key, _ in keys.append(key) }
            return keys
        }.sorted()
    }

    // MARK: Watching

    func observe(_ key: ByteString?) -> HubSubscription<ChangedKeys> {
        guard let key else { return all.subscribe(ChangedKeys()) }
        return single.withLock { single in
            single = single.filter { !$0.value.isEmpty }
            let hub = single[key] ?? Hub()
            single[key] = hub
            return hub.subscribe(ChangedKeys())
        }
    }

    func invalidate(_ key: ByteString) {
        decoded.withLock { decoded in
            decoded.changes &+= 1
            decoded.values[key] = nil
        }
    }

    var isObserved: Bool { !all.isEmpty || single.withLock { !$0.isEmpty } }

    func deliver(_ key: ByteString, isLocal: Bool) {
        all.change { $0.push(key, isLocal) }
        let hub = single.withLock { $0[key] }
        hub?.change { $0.push(key, isLocal) }
    }

    func finish() {
        all.finish()
        let hubs = single.withLock { Array($0.values) }
        for hub in hubs { hub.finish() }
    }
}

/// Keys that changed and were not read yet, each once, in the order of their first change.
struct ChangedKeys: Sendable {
    private var order: [ByteString] = []
    private var start = 0
    private var isLocal: [ByteString: Bool] = [:]

    mutating func push(_ key: ByteString, _ isLocal: Bool) {
        if self.isLocal.updateValue(isLocal, forKey: key) == nil { order.append(key) }
    }

    mutating func pop() -> (key: ByteString, isLocal: Bool)? {
        guard start < order.count else { return nil }
        let key = order[start]
        start += 1
        if start == order.count {
            order.removeAll(keepingCapacity: true)
            start = 0
        }
        return (key, isLocal.removeValue(forKey: key) ?? false)
    }
}
