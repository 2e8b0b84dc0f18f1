import TopGunModel
import TopGunReplica
import TopGunWire

/// A small server over the wire codec: one cluster of one node, whose every answer is simple enough to be believed.
///
/// It merges by stamp, keeps one tree per map, answers walks, queries and pulls, and tells every session of a map what
/// changed. Nothing is ever lost on it but by ``restore(to:)``.
final class ModelServer {
    var maps: [ByteString: [ByteString: LWWRecord]] = [:]
    var wallMillis: Int64
    var features: FeatureSet = [.results, .levels, .clock, .delta, .seq, .pull, .binary, .flow]
    var restoreEpoch: Int64 = 1
    /// What an operation is answered with instead of being merged.
    var refuse: (ClientOperation) -> Refusal? = { _ in nil }
    /// The level of an acknowledgement; the rest of the way comes with ``raiseLevels()``.
    var level = WriteConcern.replicated
    /// How many items a subtree may have to be answered as one leaf.
    var leafItems = 3
    /// How often a value changed the state; 0 for one that only ever arrived too late.
    private(set) var effects: [Payload: Int] = [:]
    /// When each key last changed, for clients that come back with a cursor.
    private var changed: [ByteString: [ByteString: Int]] = [:]
    private var changes = 0
    private var trees: [ByteString: MerkleTree32] = [:]
    private var sessions: [Int: Session] = [:]
    private var lastSession = 0

    struct Session {
        var features: FeatureSet = []
        var isGreeted = false
        var interests: Set<ByteString> = []
        var queries: [ByteString: ByteString] = [:]
        var sequence: Int64 = 0
        var unraised: [UInt64] = []
        /// Frames for the client.
        var outbox: [[UInt8]] = []
    }

    init(wallMillis: Int64) {
        self.wallMillis = wallMillis
    }

    // MARK: Sessions

    func connect() -> Int {
        lastSession += 1
        sessions[lastSession] = Session()
        return lastSession
    }

    func disconnect(_ session: Int) {
        sessions[session] = nil
    }

    var isQuiet: Bool { sessions.values.allSatisfy { $0.outbox.isEmpty && $0.unraised.isEmpty } }

    func takeFrames(_ session: Int) -> [[UInt8]] {
        defer { sessions[session]?.outbox = [] }
        return sessions[session]?.outbox ?? []
    }

    func receive(_ frame: [UInt8], from session: Int) throws {
        guard sessions[session] != nil else { return }
        handle(try frame.withUnsafeBytes { try ClientMessage.decode($0) }, session)
    }

    private func send(_ message: ServerMessage, to session: Int) {
        let sink = ByteSink()
        message.encode(into: sink)
        sessions[session]?.outbox.append(Array(sink.bytes))
    }

    private func stamp() -> Timestamp { Timestamp(millis: wallMillis, counter: 0, node: "srv-1") }

    private func tree(_ map: ByteString) -> MerkleTree32 { trees[map] ?? MerkleTree32() }

    // MARK: Messages

    private func handle(_ message: ClientMessage, _ session: Int) {
        switch message {
        case .deviceHello(let hello): greet(hello.features, session)
        case .authenticate(let authentication): greet(authentication.features, session)
        case .ping(let timestamp): send(.pong(timestamp: timestamp, serverTime: wallMillis), to: session)
        case .operations(let batch): apply(batch, session)
        case .syncStart(let start):
            sessions[session]?.interests.insert(start.mapName)
            sendChanges(start, session)
            sendRoot(start.mapName, session)
        case .merkleRequest(let request): answer(request, session)
        case .merklePush(let push): for keyed in push.records { merge(keyed.record, push.mapName, keyed.key) }
        case .querySubscribe(let subscription):
            sessions[session]?.queries[subscription.queryID] = subscription.mapName
            let rows = (maps[subscription.mapName] ?? [:]).filter { !$0.value.isTombstone }
                .sorted { $0.key < $1.key }.map { QueryRow(key: $0.key, value: $0.value.value) }
            send(.queryResponse(QueryResponse(queryID: subscription.queryID, results: rows)), to: session)
        case .queryUnsubscribe(let id): sessions[session]?.queries[id] = nil
        default: break
        }
    }

    private func greet(_ announced: FeatureSet, _ session: Int) {
        guard sessions[session]?.isGreeted == false else { return }
        sessions[session]?.isGreeted = true
        guard !features.isEmpty else { return send(.deviceAcknowledged(Greeting()), to: session) }
        let common = features.intersection(announced)
        sessions[session]?.features = common
        send(
            .deviceAcknowledged(
                Greeting(
                    protocolVersion: 3,
                    server: ServerIdentity(
                        features: common, clusterID: "cluster-1", serverID: "srv-1", restoreEpoch: restoreEpoch,
                        serverTime: wallMillis,
                        hashKey: common.contains(.hash128) ? Self.hashKey(session).bytes : nil))), to: session)
    }

    /// The content of a map under the key of a session.
    private func content(_ map: ByteString, _ session: Int) -> ContentTree? {
        guard sessions[session]?.features.contains(.hash128) ?? false else { return nil }
        var content = ContentTree(key: Self.hashKey(session))
        for (key, record) in maps[map] ?? [:] {
            content.add(content.digest(of: record, key: key), keyHash: KeyHash.of(key))
        }
        return content
    }

    private static func hashKey(_ session: Int) -> SipHash128.Key {
        SipHash128.Key(low: UInt64(session) &* 0x9e37_79b9_7f4a_7c15, high: 7)
    }

    private func sendRoot(_ map: ByteString, _ session: Int) {
        var root = SyncRoot(mapName: map, rootHash: tree(map).root, timestamp: stamp())
        root.rootHash128 = content(map, session)?.root.bytes
        if hasDelta(session) { root.syncCursor = ByteString("\(restoreEpoch).\(changes)") }
        send(.syncRoot(root), to: session)
    }

    private func hasDelta(_ session: Int) -> Bool { sessions[session]?.features.contains(.delta) ?? false }

    /// What changed since the cursor, if it is one of this state.
    private func sendChanges(_ start: SyncStart, _ session: Int) {
        guard hasDelta(session), let parts = start.syncCursor?.string.split(separator: "."), parts.count == 2,
            parts[0] == "\(restoreEpoch)", let since = Int(parts[1])
        else { return }
        let keys = (changed[start.mapName] ?? [:]).filter { $0.value > since }.keys.sorted()
        let records = keys.compactMap { key in
            maps[start.mapName]?[key].map { KeyedRecord(key: key, record: $0) }
        }
        guard !records.isEmpty else { return }
        send(.syncLeaf(SyncLeaf(mapName: start.mapName, path: MerklePath(leaf: 0), records: records)), to: session)
    }

    private func answer(_ request: MapPath, _ session: Int) {
        let tree = tree(request.mapName)
        if request.path.isLeaf || tree.count(at: request.path) <= leafItems {
            if pulls(session) { send(.merklePull(request), to: session) }
            let records = (maps[request.mapName] ?? [:]).filter { request.path.contains(keyHash: KeyHash.of($0.key)) }
                .sorted { $0.key < $1.key }.map { KeyedRecord(key: $0.key, record: $0.value) }
            // In two halves, as a server may do.
            for half in [records.prefix(records.count / 2), records.suffix(records.count - records.count / 2)] {
                send(
                    .syncLeaf(SyncLeaf(mapName: request.mapName, path: request.path, records: Array(half))),
                    to: session)
            }
            return
        }
        let buckets = tree.buckets(at: request.path).enumerated().filter { $0.element != 0 || pulls(session) }
            .map { SyncBuckets.Bucket(digit: UInt8($0.offset), hash: $0.element) }
        let contents = content(request.mapName, session)?.buckets(at: request.path).enumerated()
            .filter { $0.element != .zero }
            .map { SyncBuckets.Bucket128(digit: UInt8($0.offset), hash: $0.element.bytes) }
        send(
            .syncBuckets(
                SyncBuckets(mapName: request.mapName, path: request.path, buckets: buckets, buckets128: contents)),
            to: session)
    }

    /// Whether it asks its clients for what it may have lost.
    private func pulls(_ session: Int) -> Bool {
        restoreEpoch > 1 && sessions[session]?.features.contains(.pull) ?? false
    }

    private func apply(_ batch: OperationBatch, _ session: Int) {
        guard sessions[session]?.isGreeted == true else { return }
        var results: [OperationResult] = []
        for operation in batch.operations {
            guard case .put(let record) = operation.change, let id = operation.id else { continue }
            sessions[session]?.interests.insert(operation.mapName)
            var result = OperationResult(id: id, level: level)
            if let refusal = refuse(operation) {
                result = OperationResult(id: id, level: .fireAndForget)
                result.refusal = refusal
            } else if record.timestamp.millis > wallMillis + ModelLimits.clientAheadMillisMax {
                result = OperationResult(id: id, level: .fireAndForget)
                result.refusal = .clockAhead
                result.serverTime = wallMillis
            } else {
                merge(record, operation.mapName, operation.key)
                let standing = maps[operation.mapName]?[operation.key]
                result.isSuperseded = standing.map { $0.timestamp > record.timestamp } ?? false
                if level < .replicated { sessions[session]?.unraised.append(id) }
                if result.isSuperseded, let standing { tell(standing, operation.mapName, operation.key, to: session) }
            }
            results.append(result)
        }
        guard let last = results.map(\.id).max() else { return }
        let hasResults = sessions[session]?.features.contains(.results) ?? false
        send(
            .acknowledgement(
                Acknowledgement(lastID: last, level: level, results: hasResults ? results : nil)), to: session)
    }

    /// What was acknowledged below `replicated` gets there.
    func raiseLevels() {
        for session in sessions.keys.sorted() {
            let ids = sessions[session]?.unraised ?? []
            sessions[session]?.unraised = []
            if !ids.isEmpty { send(.levelUp(ids.map { LevelUp(id: $0, level: .replicated) }), to: session) }
        }
    }

    // MARK: State

    func merge(_ record: LWWRecord, _ map: ByteString, _ key: ByteString) {
        effects[record.value, default: 0] += 0
        if let stored = maps[map]?[key], !record.replaces(stored, tie: .repeatChangesNothing) { return }
        let hash = KeyHash.of(key)
        if let old = maps[map]?[key] { trees[map]?.remove(item: old.merkleItem(key: key), keyHash: hash) }
        trees[map, default: MerkleTree32()].add(item: record.merkleItem(key: key), keyHash: hash)
        maps[map, default: [:]][key] = record
        changes += 1
        changed[map, default: [:]][key] = changes
        effects[record.value, default: 0] += 1
        for session in sessions.keys.sorted() {
            if sessions[session]?.interests.contains(map) ?? false { tell(record, map, key, to: session) }
            for (query, queried) in (sessions[session]?.queries ?? [:]).sorted(by: { $0.key < $1.key })
            where queried == map {
                send(
                    .queryUpdate(
                        QueryUpdate(
                            queryID: query, key: key, value: record.value,
                            change: record.isTombstone ? .leave : .update,
                            sequence: nextSequence(session))), to: session)
            }
        }
    }

    private func tell(_ record: LWWRecord, _ map: ByteString, _ key: ByteString, to session: Int) {
        send(
            .event(
                ServerEvent(
                    mapName: map, kind: record.isTombstone ? .remove : .put, key: key, record: record,
                    sequence: nextSequence(session))), to: session)
    }

    private func nextSequence(_ session: Int) -> Int64? {
        guard sessions[session]?.features.contains(.seq) ?? false else { return nil }
        sessions[session]?.sequence += 1
        return sessions[session]?.sequence
    }

    /// A backup is put back: the state is as it was, and the epoch says so.
    func restore(to backup: [ByteString: [ByteString: LWWRecord]]) {
        maps = backup
        trees = backup.mapValues { records in
            var tree = MerkleTree32()
            for (key, record) in records { tree.add(item: record.merkleItem(key: key), keyHash: KeyHash.of(key)) }
            return tree
        }
        restoreEpoch += 1
        sessions = [:]
    }
}
