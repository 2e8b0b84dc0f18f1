public import Observation
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunReplica

/// The rows of a map that a query finds, kept up to date.
///
/// Answered from this replica at once, and from the server too while connected: what both know is shown as soon as either
/// does, and every write of this process at once. As a sequence it gives the whole result now and after every change; a
/// slow reader gets the newest. Ends when the client is closed. The query lives as long as somebody holds it or iterates.
public struct LiveQuery<Value: Codable & Sendable>: AsyncSequence, Sendable {
    /// One row of a result.
    public struct Row: Sendable, Identifiable {
        /// The key in the map.
        public var key: String
        /// What stands under it.
        public var value: Value
        /// The key.
        public var id: String { key }
    }

    /// All rows of a query at one moment.
    public struct Result: Sendable {
        /// In the order of the keys' bytes.
        public var rows: [Row]
        /// Whether the server has answered the query on the present connection. `false` while offline; then these are
        /// the rows that this replica knows of.
        public var isConfirmed: Bool
        /// Rows that were found and are no `Value`.
        public var undecodableKeys: [String]
    }

    let client: TopGunClient
    let rows: QueryRows<Value>

    /// The rows at this moment.
    public var current: Result { rows.result() }

    /// A reader of its own, whose first result is the present one.
    public func makeAsyncIterator() -> Iterator {
        Iterator(client: client, rows: rows, subscription: rows.changes.subscribe(true))
    }

    /// One reader; for one task at a time.
    public struct Iterator: AsyncIteratorProtocol {
        let client: TopGunClient
        let rows: QueryRows<Value>
        let subscription: HubSubscription<Bool>

        /// Waits until there is a result that was not read; `nil` when the client is closed or the task is cancelled. Rows
        /// are decoded here, on the task that reads.
        public mutating func next() async -> Result? {
            await subscription.inbox.nextNews() ? rows.result() : nil
        }
    }
}

/// A value that a field is compared with: numbers by value, text by bytes.
public enum QueryValue: Sendable, Hashable, Encodable {
    case bool(Bool)
    case integer(Int64)
    case double(Double)
    case text(String)

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .text(let value): try container.encode(value)
        }
    }
}

extension QueryValue: ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral
{
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .integer(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .text(value) }
}

/// The rows of one live query, and who wants to know when they change.
final class QueryRows<Value: Codable & Sendable>: QuerySink {
    let changes = Hub<Bool>()
    private let engine: ReplicaEngine
    private let state: Mutex<State>

    private struct State {
        /// Ascending.
        var keys: [ByteString] = []
        var rows: [ByteString: Content] = [:]
        var isConfirmed = false
        var query: QueryID?
    }

    /// A row is decoded when a reader first asks for it, on that reader's task.
    private enum Content {
        case encoded(Payload)
        case decoded(Value)
        case undecodable
    }

    init(map: MapStore<Value>, fields: [String: QueryValue]) throws(TopGunError) {
        engine = map.engine
        state = Mutex(State())
        let filter: Payload? = fields.isEmpty ? nil : try PayloadEncoder.encode(fields)
        try engine.subscribe(map.id, filter, self)
    }

    deinit {
        if let query = state.withLock({ $0.query }) { engine.unsubscribe(query) }
    }

    /// The first rows; before any change.
    func begin(_ query: QueryID, _ rows: [(key: ByteString, value: Payload)]) {
        state.withLock { state in
            state.query = query
            state.keys = rows.map(\.key)
            state.rows = Dictionary(rows.map { ($0.key, .encoded($0.value)) }, uniquingKeysWith: { $1 })
        }
    }

    func changed(_ key: ByteString, _ value: Payload?) {
        state.withLock { state in
            let old = state.rows[key]
            state.rows[key] = value.map { .encoded($0) }
            guard (old == nil) != (value == nil) else { return }
            var (low, high) = (0, state.keys.count)
            while low < high {
                let middle = (low + high) / 2
                if state.keys[middle] < key { low = middle + 1 } else { high = middle }
            }
            if value == nil { state.keys.remove(at: low) } else { state.keys.insert(key, at: low) }
        }
        changes.change { $0 = true }
    }

    func confirmed(_ isConfirmed: Bool) {
        let isNews = state.withLock { state in
            defer { state.isConfirmed = isConfirmed }
            return state.isConfirmed != isConfirmed
        }
        if isNews { changes.change { $0 = true } }
    }

    func finish() { changes.finish() }

    func result() -> LiveQuery<Value>.Result {
        // Decoded outside the lock, because that runs the application's code.
        let encoded: [(ByteString, Payload)] = state.withLock { state in
            state.rows.compactMap { key, content in
                guard case .encoded(let payload) = content else { return nil }
                return (key, payload)
            }
        }
        let decoded: [(ByteString, Payload, Content)] = encoded.map { key, payload in
            do throws(TopGunError) {
                return (key, payload, .decoded(try PayloadDecoder.decode(Value.self, from: payload)))
            } catch {
                return (key, payload, .undecodable)
            }
        }
        return state.withLock { state in
            for (key, payload, content) in decoded {
                // Unless it has changed since.
                if case .encoded(payload)? = state.rows[key] { state.rows[key] = content }
            }
            var result = LiveQuery<Value>.Result(rows: [], isConfirmed: state.isConfirmed, undecodableKeys: [])
            result.rows.reserveCapacity(state.keys.count)
            for key in state.keys {
                switch state.rows[key] {
                case .decoded(let value): result.rows.append(.init(key: key.string, value: value))
                case .undecodable: result.undecodableKeys.append(key.string)
                case .encoded, nil: continue  // Changed in this moment; the next result has it.
                }
            }
            return result
        }
    }
}

extension ReplicaEngine {
    func subscribe<Value>(_ map: MapID, _ filter: Payload?, _ sink: QueryRows<Value>) throws(TopGunError) {
        let now = now
        do throws(ReplicaError) {
            try core.withLock { core throws(ReplicaError) in
                guard !core.isClosed else { throw ReplicaError(.unknownMap) }
                let query = try core.replica.subscribe(map, whereMap: filter, at: now)
                sink.begin(query, core.replica.rows(of: query))
                core.querySinks[query] = WeakQuerySink(sink)
                takeEffects(of: &core, at: now)
            }
        } catch {
            throw TopGunError(error)
        }
    }

    func unsubscribe(_ query: QueryID) {
        core.withLock { _ = $0.querySinks.removeValue(forKey: query) }
        tell { replica, now in replica.unsubscribe(query, at: now) }
    }

    /// The server's answers are of a connection; none counts when it is gone.
    func unconfirmQueries() {
        let sinks = core.withLock { $0.orderedQuerySinks }
        for sink in sinks { sink.confirmed(false) }
    }
}

extension Inbox<Bool> {
    /// Waits for the flag to be raised and lowers it; `false` when nothing comes any more.
    func nextNews() async -> Bool {
        let isRaised = await next { isRaised -> Bool? in
            defer { isRaised = false }
            return isRaised ? true : nil
        }
        return isRaised ?? false
    }
}

/// Keeps a query's rows known to the engine without keeping them alive.
private final class WeakQuerySink: QuerySink {
    private let sink: Mutex<WeakReference>

    private struct WeakReference {
        weak var sink: (any QuerySink)?
    }

    init(_ sink: any QuerySink) {
        self.sink = Mutex(WeakReference(sink: sink))
    }

    private var target: (any QuerySink)? { sink.withLock { $0.sink } }

    func changed(_ key: ByteString, _ value: Payload?) { target?.changed(key, value) }
    func confirmed(_ isConfirmed: Bool) { target?.confirmed(isConfirmed) }
    func finish() { target?.finish() }
}

// MARK: - For user interfaces

/// The rows of a live query as a model for views: `@Observable`, on the main actor.
@Observable @MainActor
public final class LiveRows<Value: Codable & Sendable> {
    /// In the order of the keys' bytes; see ``LiveQuery/Result/rows``.
    public private(set) var rows: [LiveQuery<Value>.Row]
    /// See ``LiveQuery/Result/isConfirmed``.
    public private(set) var isConfirmed: Bool

    @ObservationIgnored private let subscription: HubSubscription<Bool>

    /// Follows the query for as long as the model lives.
    public init(_ query: LiveQuery<Value>) {
        // Before the rows are read, so that no change falls between.
        subscription = query.rows.changes.subscribe(false)
        let now = query.current
        rows = now.rows
        isConfirmed = now.isConfirmed
        query.rows.follow(query.client, subscription.inbox) { [weak self] result in
            self?.rows = result.rows
            self?.isConfirmed = result.isConfirmed
        }
    }

    deinit {
        // Ends the task that follows the query.
        subscription.inbox.finish()
    }
}

extension QueryRows {
    /// Hands every result to the main actor until the inbox is finished.
    nonisolated func follow(
        _ client: TopGunClient, _ inbox: Inbox<Bool>,
        _ body: @escaping @MainActor @Sendable (LiveQuery<Value>.Result) -> Void
    ) {
        engine.environment.spawner.spawn("topgun live rows") { [self, client] in
            while await inbox.nextNews() {
                await body(result())
            }
            withExtendedLifetime(client) {}
        }
    }
}
