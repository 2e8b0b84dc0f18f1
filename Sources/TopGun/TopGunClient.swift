public import Logging
import Synchronization
package import TopGunEnvironment
import TopGunModel
import TopGunReplica

/// A replica of the grid on this device: typed maps that are read and written in memory, kept on disk, and synced with
/// the servers in the background.
///
/// ```swift
/// let client = try await TopGunClient(server: "ws://localhost:8080/ws", store: .file("todos.db"))
/// let todos = try await client.map("todos", of: Todo.self)
/// let receipt = try todos.set(Todo(title: "Buy milk"), for: "milk")
/// print(todos["milk"]?.title ?? "")
/// try await receipt.reaches(.replicated)
/// ```
///
/// - Reads and writes never wait for the network, and work without any server. A write is visible to this process at
///   once, durable on this device about a disk sync later (``WriteReceipt/Level/stored``), and sent when there is a
///   connection. What was not acknowledged is sent again, also by the next run of the app.
/// - Conflicts are resolved by hybrid logical time, per key: the newest write wins on every device. A write of this store
///   that did not win, or that a server refused, is in ``lostWrites``.
/// - Two processes, such as an app and its widget, may open one store: both read and write, one of them syncs, and the
///   other takes over when it goes. They see each other's writes within about ``Limits/storePollMillis`` ms.
///
/// Safe to use from any thread or actor. Lives until ``close()`` is called or the last reference to it and its maps goes.
public final class TopGunClient: Sendable {
    let engine: ReplicaEngine
    private let maps = Mutex<[MapRegistration: any Sendable]>([:])

    private struct MapRegistration: Hashable {
        var name: ByteString
        var type: ObjectIdentifier
    }

    /// Opens the store and begins to sync.
    ///
    /// - Parameters:
    ///   - server: a `ws://` or `wss://` address; `nil` to work on this device only.
    ///   - store: where the replica is kept.
    ///   - token: what is shown to a server that demands authentication.
    ///   - logger: life cycle at `info` and below, what somebody should look at above. Never holds keys, values or tokens.
    /// - Throws: ``TopGunError`` with the code `storage` or `storeTooNew` when the store cannot be opened,
    ///   `invalidArgument` when the address is none. An unreachable server is no error: see ``syncState``.
    public convenience init(
        server: String? = nil, store: StoreLocation, token: TokenSource? = nil,
        logger: Logger = Logger(label: "topgun")
    ) async throws(TopGunError) {
        try await self.init(server: server, store: store, token: token, logger: logger, environment: .shared)
    }

    package init(
        server: String?, store: StoreLocation, token: TokenSource?, logger: Logger, environment: Environment
    ) async throws(TopGunError) {
        if let server, WebSocketClientAddress(server) == nil {
            throw TopGunError(.invalidArgument, "the server's address must begin with ws:// or wss://")
        }
        engine = try await ReplicaEngine.open(
            environment: environment, logger: logger, server: server, tokens: token, location: store)
    }

    deinit {
        engine.shutDown()
    }

    // MARK: Maps

    /// Opens a map: reads it from the store, unless that was done before, and begins to sync it.
    ///
    /// What the store holds can be read when the call returns; it takes about a second per million records. Asking again
    /// for the same name and type gives the same map.
    ///
    /// - Parameter name: up to 256 bytes, not empty, without `:` and NUL; names that begin with `_topgun_` are the system's.
    /// - Throws: ``TopGunError`` with the code `invalidArgument`, `storage` or `closed`.
    public func map<Value: Codable & Sendable>(
        _ name: String, of type: Value.Type
    ) async throws(TopGunError) -> TopGunMap<Value> {
        let id = try await engine.openMap(ByteString(name))
        let registration = MapRegistration(name: ByteString(name), type: ObjectIdentifier(type))
        let store = maps.withLock { maps in
            if let known = maps[registration] as? MapStore<Value> { return known }
            let store = MapStore<Value>(engine: engine, id: id, name: name)
            maps[registration] = store
            engine.register(store, for: id)
            return store
        }
        return TopGunMap(client: self, store: store)
    }

    // MARK: Sync

    /// How far this client is from its servers, now and from now on.
    public var syncState: SyncStates { SyncStates(hub: engine.syncStates) }

    /// Writes that the servers do not hold safely yet: made here, and not yet acknowledged as replicated.
    public var pendingCount: Int { engine.core.withLock { $0.replica.pendingCount } }

    /// Writes of this store that do not stand, with their values.
    public var lostWrites: LostWrites { LostWrites(engine: engine) }

    /// Says that a lost write was dealt with; later readers of ``lostWrites`` are not told of it, nor, if it was refused,
    /// the next run of the application. Forgetting it twice does nothing.
    public func forget(_ lost: LostWrite) {
        engine.lostWrites.forget(lost)
        guard case .refused = lost.reason else { return }
        engine.tell { replica, _ in replica.forgetSetAside(lost.operation) }
    }

    /// Connects, or stays offline from now on. Connecting again while the client waits for its next attempt makes that
    /// attempt at once, which is what to do when the device gets its network back.
    public func setOnline(_ isOnline: Bool) {
        engine.setOnline(isOnline)
    }

    /// Shows this token from the next time on that a server wants one; at once, if one waits for it.
    public func setToken(_ token: String) {
        engine.tell { replica, now in replica.setToken(token, at: now) }
    }

    /// Who this replica is and which servers it belongs to.
    public var info: ReplicaInfo { engine.info }

    /// Writes everything to the store that is not there yet and ends the connection. Writes that were not sent stay in
    /// the store for the next run. Every sequence of this client ends; its maps can still be read, but not written.
    public func close() async {
        await engine.close()
    }
}

/// Where a replica is kept.
public struct StoreLocation: Sendable {
    enum Kind: Sendable {
        case file(String)
        case memory
        case device(DeviceStore)
    }

    let kind: Kind

    /// In an SQLite file, made if it is not there, with its `-wal`, `-shm` and `-lock` beside it. Readable by its owner
    /// only. The folder must exist.
    public static func file(_ path: String) -> StoreLocation { StoreLocation(kind: .file(path)) }

    /// In memory: gone with the client.
    public static var memory: StoreLocation { StoreLocation(kind: .memory) }

    /// On a simulated device.
    package static func device(_ store: DeviceStore) -> StoreLocation { StoreLocation(kind: .device(store)) }
}

/// Who a replica is and which servers it belongs to.
public struct ReplicaInfo: Sendable, Hashable {
    /// The id that this process's writes are stamped with.
    public var nodeID: String
    /// The cluster that the store belongs to, once one was met.
    public var clusterID: String?
    /// The user that the store belongs to, once one was authenticated.
    public var userID: String?
    /// Whether this process syncs; otherwise another process that has the store open does.
    public var isSyncing: Bool
}

extension Environment {
    /// The real world, shared by the clients of a process: one event loop does for all of them.
    static let shared: Environment = .live(loops: 1, network: WebSocketClientNetwork(entropy: SystemEntropy()))
}
