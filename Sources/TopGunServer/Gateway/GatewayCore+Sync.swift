import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// Sync of last-writer-wins maps: the root, and the walk down to the records that differ (protocol.md 4).
//
//   SYNC_INIT ──► interest ──► leaves of all groups, added up ──► SYNC_RESP_ROOT
//   MERKLE_REQ_BUCKET ──► small subtree, or a leaf: the records     large one: the hashes below
//                         path "" of a client that has nothing: everything, as a `LeafStream`

extension GatewayCore {
    func sync(_ shell: SessionShell, map name: ByteString, lastSyncMillis: Int64) {
        guard mayRead(shell, name, request: "SYNC_INIT") else { return }
        guard takeInterest(shell, in: name) else {
            return sendError(
                shell, code: 429, message: "too many maps on one connection", refusal: .busy, request: "SYNC_INIT",
                map: name)
        }
        shell.synced.insert(name)
        if lastSyncMillis == 0 { shell.isEmptyHanded.insert(name) } else { shell.isEmptyHanded.remove(name) }
        sendRoot(shell, of: name)
    }

    /// Sends the root of a map, asked for or not.
    func sendRoot(_ shell: SessionShell, of name: ByteString) {
        guard let nameSpace = shell.identity?.nameSpace else { return }
        let id = shell.id
        gather { group, reply in
            group.withLeaves(of: name, in: nameSpace) { tree in reply((tree, group.present())) }
        } then: { [self] (parts: [(MerkleTree32, Timestamp)]) in
            guard let shell = self.shell(id), let latest = parts.map(\.1).max() else { return }
            metrics.counts.merkleAnswers += 1
            send(
                shell,
                .syncRoot(
                    SyncRoot(mapName: name, rootHash: Self.compose(parts.map(\.0)).root, timestamp: latest)))
            flush()
        }
    }

    /// An official client asks for roots only right after connecting; a map it opened later is offered to it.
    func scheduleUnaskedRoot(_ shell: SessionShell, of name: ByteString) {
        guard !shell.core.isAnnounced, !shell.synced.contains(name) else { return }
        let id = shell.id
        loop.schedule(afterMillis: Limits.unaskedRootDelayMillis) { [door] in
            guard let shell = door.value.shell(id), shell.synced.insert(name).inserted else { return }
            guard shell.identity?.mayRead == true else { return }
            door.value.sendRoot(shell, of: name)
        }
    }

    func walk(_ shell: SessionShell, map name: ByteString, path: MerklePath) {
        guard mayRead(shell, name, request: "MERKLE_REQ_BUCKET"), let nameSpace = shell.identity?.nameSpace else {
            return
        }
        let id = shell.id
        gather { group, reply in
            group.withLeaves(of: name, in: nameSpace) { tree in
                reply(SubtreePart(tree: tree, size: group.leafSize(of: name, in: nameSpace, at: path)))
            }
        } then: { [self] (parts: [SubtreePart]) in
            guard let shell = self.shell(id) else { return }
            metrics.counts.merkleAnswers += 1
            let records = parts.reduce(0) { $0 + $1.size.records }
            let bytes = parts.reduce(0) { $0 + $1.size.bytes }
            let isSmall = records <= Limits.leafAtOnceRecordsMax && bytes <= Limits.leafAtOnceBytesMax
            let wantsAll = path == .root && shell.isEmptyHanded.remove(name) != nil
            if path.isLeaf || isSmall || wantsAll {
                shell.streams.append(LeafStream(map: name, nameSpace: nameSpace, path: path, isWhole: wantsAll))
                advanceStreams(shell)
            } else {
                let hashes = Self.compose(parts.map(\.tree)).buckets(at: path)
                let buckets = hashes.enumerated().filter { $0.element != 0 }.map {
                    SyncBuckets.Bucket(digit: UInt8($0.offset), hash: $0.element)
                }
                send(shell, .syncBuckets(SyncBuckets(mapName: name, path: path, buckets: buckets)))
            }
            flush()
        }
    }

    static func compose(_ trees: [MerkleTree32]) -> MerkleTree32 {
        guard var sum = trees.first else { return MerkleTree32() }
        for tree in trees.dropFirst() { sum.formUnion(tree) }
        return sum
    }
}

private struct SubtreePart: Sendable {
    var tree: MerkleTree32
    var size: (records: Int, bytes: Int)
}

// MARK: - Records

/// Records below one path on their way to a client, in messages of bounded size and no faster than it reads them.
struct LeafStream {
    let map: ByteString
    let nameSpace: ByteString
    let path: MerklePath
    /// Whether it is everything, for a client that had nothing.
    let isWhole: Bool
    var nextLeaf: Int
    var nextLoop = 0
    /// Whether an answer is on its way.
    var isAsking = false

    init(map: ByteString, nameSpace: ByteString, path: MerklePath, isWhole: Bool) {
        self.map = map
        self.nameSpace = nameSpace
        self.path = path
        self.isWhole = isWhole
        self.nextLeaf = path.leafRange.lowerBound
    }
}

extension GatewayCore {
    /// Sends more of the first stream that waits, if the connection takes it.
    func advanceStreams(_ shell: SessionShell) {
        guard let stream = shell.streams.first, !stream.isAsking, !shell.isClosing else { return }
        guard shell.connection.queuedBytes <= Limits.answerQueueBytesMax else { return congest(shell) }
        shell.streams[0].isAsking = true
        let id = shell.id
        let target = crew[stream.nextLoop]
        let home = door
        let isHere = stream.nextLoop == index
        let ask: @Sendable () -> Void = {
            let group = target.value
            let part = group.leafPart(of: stream)
            group.afterGate {
                if isHere {
                    home.value.continueStream(id, with: part)
                } else {
                    home.loop.execute { home.value.continueStream(id, with: part) }
                }
            }
        }
        if isHere { ask() } else { target.loop.execute(ask) }
    }

    private func continueStream(_ id: SessionID, with part: LeafPart) {
        guard let shell = shell(id), !shell.streams.isEmpty else { return }
        var stream = shell.streams[0]
        stream.isAsking = false
        if let nextLeaf = part.nextLeaf {
            stream.nextLeaf = nextLeaf
        } else {
            stream.nextLeaf = stream.path.leafRange.lowerBound
            stream.nextLoop += 1
        }
        let isLast = stream.nextLoop == crew.count
        // The path asked for is answered once and last, if need be with nothing: a client takes that as the end of the
        // answer. The messages before it carry a path that nobody waits for.
        if part.count > 0 || isLast {
            let path = isLast ? stream.path : stream.path == .root ? MerklePath(leaf: 0) : .root
            scratch.removeAll()
            stream.map.bytes.withUnsafeBytes { map in
                ServerFrame.leafHead(map: map, path: path, count: part.count, into: scratch)
            }
            scratch.append(part.bytes)
            answer(shell, frame: scratch.bytes)
        }
        if isLast {
            shell.streams.removeFirst()
            // A client with features learns from equal roots that it has everything.
            if stream.isWhole, shell.core.isAnnounced { sendRoot(shell, of: stream.map) }
        } else {
            shell.streams[0] = stream
        }
        flush()
        advanceStreams(shell)
    }
}

/// Some records of one group, encoded as a LEAF carries them.
struct LeafPart: Sendable {
    var count = 0
    var bytes: [UInt8] = []
    /// Where to go on; `nil` when the group has no more.
    var nextLeaf: Int?
}

extension GroupCore {
    /// The map's tree, once its leaves are built: the first time in slices, between which the loop serves others.
    func withLeaves(of name: ByteString, in nameSpace: ByteString, _ body: @escaping (MerkleTree32) -> Void) {
        guard let map = state.existingMap(name, in: nameSpace) else { return body(MerkleTree32()) }
        if state.buildLeaves(of: map, records: Limits.leavesBuiltPerTurn) { return body(state.merkleTree(of: map)) }
        let bound = LoopBound(body, on: loop)
        loop.execute { [door = LoopBound(self, on: loop)] in
            door.value.withLeaves(of: name, in: nameSpace, bound.value)
        }
    }

    func leafSize(of name: ByteString, in nameSpace: ByteString, at path: MerklePath) -> (records: Int, bytes: Int) {
        guard let map = state.existingMap(name, in: nameSpace) else { return (0, 0) }
        return state.leafSummary(of: map, at: path)
    }

    /// The server's time as clients see it; nothing is stamped with it.
    func present() -> Timestamp {
        let clock = state.clock
        let wall = wallMillis
        return clock.millis >= wall
            ? Timestamp(millis: clock.millis, counter: clock.counter, node: clock.node)
            : Timestamp(millis: wall, counter: 0, node: clock.node)
    }

    /// The next records of a stream: whole leaves, about one message full.
    func leafPart(of stream: LeafStream) -> LeafPart {
        var part = LeafPart()
        guard let map = state.existingMap(stream.map, in: stream.nameSpace) else { return part }
        let sink = ByteSink(capacity: 16 * 1_024)
        let end = stream.path.leafRange.upperBound
        var leaf = stream.nextLeaf
        while leaf < end, sink.count < Limits.leafBytesMax {
            state.forEachRecord(in: map, at: MerklePath(leaf: leaf)) { record in
                part.count += 1
                ServerFrame.leafRecord(
                    key: record.key, value: record.value, millis: record.millis, counter: record.counter,
                    node: record.node, ttlMillis: record.ttlMillis, into: sink)
            }
            leaf += 1
        }
        part.bytes = Array(sink.bytes)
        part.nextLeaf = leaf < end ? leaf : nil
        return part
    }
}
