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
    private let decoded = Mutex(DecodedValues())
    private let all = Hub<ChangedKeys>()
    private let single = Mutex(SingleKeys())

    /// Readers of one key each.
    private struct SingleKeys {
        var hubs: [ByteString: Hub<ChangedKeys>] = [:]
        var isFinished = false
    }

    init(engine: ReplicaEngine, id: MapID, name: String) {
        self.engine = engine
        self.id = id
        self.name = name
    }

    func value(of key: String) throws(TopGunError) -> Value? {
        var changes: UInt64 = 0
        let known = decoded.withLock { decoded in
            changes = decoded.changes
            return decoded.values[TextKey(key)]
        }
        // Only this map's values are in there.
        if let known { return unsafeDowncast(known, to: DecodedValueOf<Value>.self).value }
        guard let (payload, isLasting) = engine.payload(ByteString(key), id) else { return nil }
        let value = try PayloadDecoder.decode(Value.self, from: payload)
        guard isLasting else { return value }
        let kept = DecodedValueOf(value)
        decoded.withLock { decoded in
            if decoded.changes == changes { decoded.keep(kept, for: TextKey(key)) }
        }
        return value
    }

    /// Writes a value, and keeps it as its readers will see it: decoded from what was encoded, for the two may differ,
    /// as a date does below the millisecond.
    func set(_ value: Value, for key: String, lifetimeMillis: Int64) throws(TopGunError) -> WriteReceipt {
        let payload = try PayloadEncoder.encode(value)
        // A value that can be encoded and not decoded again is written all the same; its readers are told.
        let read = lifetimeMillis == 0 ? try? PayloadDecoder.decode(Value.self, from: payload) : nil
        let kept = read.map { DecodedValueOf($0) }
        return try engine.write { [id] replica, now throws(ReplicaError) in
            try replica.set(payload, for: ByteString(key), in: id, ttlMillis: lifetimeMillis, at: now)
        } whileLocked: {
            guard let kept else { return }
            decoded.withLock { $0.keep(kept, for: TextKey(key)) }
        }
    }

    func remove(_ key: String) throws(TopGunError) -> WriteReceipt {
        try engine.write { [id] replica, now throws(ReplicaError) in
            try replica.remove(ByteString(key), in: id, at: now)
        } whileLocked: {
        }
    }

    func entries() -> [(key: String, value: Value)] {
        var entries: [(key: String, value: Value)] = []
        for key in keys() {
            let key = key.string
            // What is no `Value` is not there for this type.
            if let value = (try? value(of: key)) ?? nil { entries.append((key, value)) }
        }
        return entries
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
            single.hubs = single.hubs.filter { !$0.value.isEmpty }
            let hub = single.hubs[key] ?? Hub()
            // Whoever comes too late must not wait for news that never come.
            if single.isFinished { hub.finish() } else { single.hubs[key] = hub }
            return hub.subscribe(ChangedKeys())
        }
    }

    func invalidate(_ key: ByteString) {
        decoded.withLock { decoded in
            decoded.changes &+= 1
            if !decoded.values.isEmpty { decoded.values[TextKey(key.string)] = nil }
        }
    }

    var isObserved: Bool { !all.isEmpty || single.withLock { !$0.hubs.isEmpty } }

    func deliver(_ key: ByteString, isLocal: Bool) {
        all.change { $0.push(key, isLocal) }
        let hub = single.withLock { $0.hubs[key] }
        hub?.change { $0.push(key, isLocal) }
    }

    func finish() {
        all.finish()
        let hubs = single.withLock { single in
            single.isFinished = true
            return single.hubs.sorted { $0.key < $1.key }.map { $0.value }
        }
        for hub in hubs { hub.finish() }
    }
}

/// The values of one map that were decoded already. Not generic, so that looking one up is compiled for what it is.
struct DecodedValues: Sendable {
    var values: [TextKey: DecodedValue] = [:]
    /// Changes of the map so far.
    var changes: UInt64 = 0

    mutating func keep(_ value: DecodedValue, for key: TextKey) {
        if values.count >= Limits.decodedValuesMax { values = [:] }
        values[key] = value
    }
}

// Unchecked because a class that is inherited from cannot be checked; there is no state here, and the one subclass is
// final with a constant of a `Sendable` type.
class DecodedValue: @unchecked Sendable {}

final class DecodedValueOf<Value: Sendable>: DecodedValue, @unchecked Sendable {
    // See the superclass.
    let value: Value

    init(_ value: Value) {
        self.value = value
    }
}

/// A key as the application has it, compared and hashed by its bytes: no copy of it is made to look it up.
struct TextKey: Hashable {
    private let text: String

    init(_ text: String) {
        self.text = text
    }

    static func == (left: TextKey, right: TextKey) -> Bool {
        let (left, right) = (left.text.utf8, right.text.utf8)
        let isEqual = left.withContiguousStorageIfAvailable { left in
            right.withContiguousStorageIfAvailable { right in
                left.count == right.count && left.elementsEqual(right)
            }
        }
        return (isEqual ?? nil) ?? left.elementsEqual(right)
    }

    func hash(into hasher: inout Hasher) {
        let isHashed: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if isHashed == nil {
            Array(text.utf8).withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }
}

/// Keys that changed and were not read yet, each once, in the order of their first change.
struct ChangedKeys: Sendable {
    private var order: [ByteString] = []
    private var start = 0
    private var isLocal: [ByteString: Bool] = [:]

    /// Keys held, those already read included.
    var heldCount: Int { order.count }

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
        } else if start >= Limits.readKeysMax, start * 2 >= order.count {
            // A reader that never quite catches up must not make the list grow with the number of changes.
            order.removeFirst(start)
            start = 0
        }
        return (key, isLocal.removeValue(forKey: key) ?? false)
    }
}
