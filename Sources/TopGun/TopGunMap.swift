import Synchronization
import TopGunModel
import TopGunReplica

/// A map of this replica: `String` keys, values of one `Codable` type.
///
/// Reading and writing are synchronous and work on memory; a read of a value that was read before takes well under a
/// microsecond. Keys are compared by their bytes: `é` as one character and as two are different keys. A map with the same
/// name may be used with another type, for instance one that decodes fewer fields.
///
/// Safe to use from any thread or actor. Holds its ``TopGunClient``.
public struct TopGunMap<Value: Codable & Sendable>: Sendable {
    let client: TopGunClient
    let store: MapStore<Value>

    /// The name the map was opened with.
    public var name: String { store.name }

    // MARK: Reading

    /// The value of a key; `nil` when there is none, when its lifetime is over, or when it is no `Value`.
    public subscript(key: String) -> Value? {
        // What cannot be decoded is not there for this type; `value(for:)` tells the two apart.
        (try? store.value(of: key)) ?? nil
    }

    /// The value of a key; `nil` when there is none or its lifetime is over.
    ///
    /// - Throws: ``TopGunError`` with the code `invalidValue` when what stands there is no `Value`.
    public func value(for key: String) throws(TopGunError) -> Value? {
        try store.value(of: key)
    }

    /// The keys that have a value, in the order of their bytes.
    public var keys: [String] { store.keys().map(\.string) }

    /// Every key with its value, in the order of the keys' bytes; without those whose value is no `Value`.
    public var entries: [(key: String, value: Value)] { store.entries() }

    /// How many keys have a value. Goes through all of them.
    public var count: Int { store.keys().count }

    // MARK: Writing

    /// Writes a value: visible here at once, on every device when it has arrived there.
    ///
    /// - Parameters:
    ///   - key: up to 4,096 bytes of UTF-8 without NUL; may be empty.
    ///   - lifetime: after this time the value is no longer seen, anywhere; at least a millisecond. `nil`: for ever.
    /// - Returns: the promise of what becomes of the write; may be ignored.
    /// - Throws: ``TopGunError`` with the code `invalidValue`, `tooLarge` (values take 1 MiB encoded), `invalidArgument` or
    ///   `closed`; then nothing was written.
    @discardableResult
    public func set(_ value: Value, for key: String, lifetime: Duration? = nil) throws(TopGunError) -> WriteReceipt {
        var millis: Int64 = 0
        if let lifetime {
            let (seconds, attoseconds) = lifetime.components
            let whole = seconds.multipliedReportingOverflow(by: 1000)
            let sum = whole.partialValue.addingReportingOverflow(attoseconds / 1_000_000_000_000_000)
            millis = sum.partialValue
            guard millis > 0, !whole.overflow, !sum.overflow else {
                throw TopGunError(.invalidArgument, "a lifetime is at least a millisecond, and ends some time")
            }
        }
        return try store.set(value, for: key, lifetimeMillis: millis)
    }

    /// Removes a key, also one that has no value here: another device may have written one.
    ///
    /// - Throws: ``TopGunError`` with the code `tooLarge`, `invalidArgument` or `closed`.
    @discardableResult
    public func remove(_ key: String) throws(TopGunError) -> WriteReceipt {
        try store.remove(key)
    }

    // MARK: Watching

    /// Every change of the map from now on, whoever made it; see ``MapChanges``.
    public var changes: MapChanges<Value> { MapChanges(client: client, store: store, key: nil) }

    /// The value of one key now, then after every change; a slow reader gets the newest. `nil`: no value.
    public func values(for key: String) -> KeyValues<Value> {
        KeyValues(changes: MapChanges(client: client, store: store, key: ByteString(key)), key: key)
    }

    /// The rows whose fields equal those given, kept up to date; without fields the whole map. See ``LiveQuery``.
    ///
    /// - Throws: ``TopGunError`` with the code `tooLarge` above 1,024 live queries, `invalidArgument` or `closed`.
    public func query(where fields: [String: QueryValue] = [:]) throws(TopGunError) -> LiveQuery<Value> {
        LiveQuery(client: client, rows: try QueryRows(map: store, fields: fields))
    }
}

/// The changes of a map, as they happen.
///
/// A slow reader never misses a key: changes of one key that were not read yet become one, with what stands now. Writes
/// of this process are among them. Begins when the iteration does; ends when the client is closed.
public struct MapChanges<Value: Codable & Sendable>: AsyncSequence, Sendable {
    /// One key that changed.
    public struct Change: Sendable {
        /// The key that changed.
        public var key: String
        /// What stands now; `nil` when the key has no value, or none that is a `Value`.
        public var value: Value?
        /// Set when what stands is no `Value`.
        public var error: TopGunError?
        /// Whether the last of the changes was made by this process.
        public var isLocal: Bool
    }

    let client: TopGunClient
    let store: MapStore<Value>
    let key: ByteString?

    /// A reader of its own, which is told of changes from now on.
    public func makeAsyncIterator() -> Iterator {
        Iterator(client: client, store: store, subscription: store.observe(key))
    }

    /// One reader; for one task at a time.
    public struct Iterator: AsyncIteratorProtocol {
        let client: TopGunClient
        let store: MapStore<Value>
        let subscription: HubSubscription<ChangedKeys>

        /// Waits for a key that changed since it was last read; `nil` when the client is closed or the task is cancelled.
        public mutating func next() async -> Change? {
            guard let changed = await subscription.inbox.next({ $0.pop() }) else { return nil }
            let (key, isLocal) = (changed.key.string, changed.isLocal)
            do throws(TopGunError) {
                return Change(key: key, value: try store.value(of: key), error: nil, isLocal: isLocal)
            } catch {
                return Change(key: key, value: nil, error: error, isLocal: isLocal)
            }
        }
    }
}

/// The value of one key, now and after every change.
public struct KeyValues<Value: Codable & Sendable>: AsyncSequence, Sendable {
    let changes: MapChanges<Value>
    let key: String

    /// A reader of its own, whose first value is the present one.
    public func makeAsyncIterator() -> Iterator {
        Iterator(changes: changes.makeAsyncIterator(), key: key)
    }

    /// One reader; for one task at a time.
    public struct Iterator: AsyncIteratorProtocol {
        var changes: MapChanges<Value>.Iterator
        let key: String
        var isFirst = true

        /// Waits for a value that was not read; `nil` when the client is closed or the task is cancelled, `.some(nil)` when
        /// the key has no value.
        public mutating func next() async -> Value?? {
            if isFirst {
                isFirst = false
                // What is no `Value` is not there for this type.
                return .some((try? changes.store.value(of: key)) ?? nil)
            }
            guard let change = await changes.next() else { return nil }
            return .some(change.value)
        }
    }
}
