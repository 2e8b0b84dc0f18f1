import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// Sync of last-writer-wins maps: the root, and the walk down to the records that differ (protocol.md 4).
//
//   SYNC_INIT ──► interest ──► leaves of all groups, added up ──► SYNC_RESP_ROOT
//   MERKLE_REQ_BUCKET ──► small subtree, or a leaf: the records     large one: the hashes below
//                         path "" of a client that has nothing: everything, as a `LeafStream`
//   SYNC_INIT with a cursor ──► the leaves that changed since, as a `LeafStream` ──► SYNC_RESP_ROOT

extension GatewayCore {
    func sync(_ shell: SessionShell, map name: ByteString, lastSyncMillis: Int64, cursor: ByteString?) {
        guard mayRead(shell, name, request: "SYNC_INIT") else { return }
        guard takeInterest(shell, in: name) else {
            return sendError(
                shell, code: 429, message: "too many maps on one connection", refusal: .busy, request: "SYNC_INIT",
                map: name)
        }
        shell.synced.insert(name)
        if lastSyncMillis == 0 { shell.isEmptyHanded.insert(name) } else { shell.isEmptyHanded.remove(name) }
        if shell.core.features.contains(.delta), let cursor,
            let since = SyncCursor(cursor, incarnation: terms.incarnation, loops: crew.count)
        {
            sendChanges(shell, of: name, since: since)
        } else {
            sendRoot(shell, of: name, isAsked: true)
        }
    }

    /// Sends what changed since, then the root; the root alone if that is not known any more: a client whose own then
    /// differs walks the tree, so a change that is not told is not missed either.
    private func sendChanges(_ shell: SessionShell, of name: ByteString, since: SyncCursor) {
        guard let nameSpace = shell.identity?.nameSpace, beginWalk(shell, name, request: "SYNC_INIT") else { return }
        let id = shell.id
        gather { group, reply in
            group.withLeaves(of: name, in: nameSpace) { _ in
                reply(.success(group.changes(of: name, in: nameSpace, since: since.marks[group.index])))
            } orElse: {
                reply(.failure($0))
            }
        } then: { [self] (answer: Result<[GroupCore.Changes], Refusal>) in
            defer { endWalk(id) }
            guard let shell = self.shell(id) else { return }
            guard let parts = parts(answer, for: shell, name, request: "SYNC_INIT") else { return }
            guard !parts.contains(.unknown), parts.contains(.some) else {
                return sendRoot(shell, of: name, isAsked: true)
            }
            metrics.counts.deltasSent += 1
            shell.streams.append(LeafStream(map: name, nameSpace: nameSpace, since: since))
            advanceStreams(shell)
            flush()
        }
    }

    /// The parts of an answer. Where it was refused the client is told, if it asked, and is sent a root later: from that it
    /// starts anew.
    private func parts<Part>(
        _ answer: Result<[Part], Refusal>, for shell: SessionShell, _ name: ByteString, request: ByteString?
    ) -> [Part]? {
        switch answer {
        case .success(let parts): return parts
        case .failure(let refusal):
            if let request {
                sendError(
                    shell, code: refusal.errorCode, message: explanation(refusal), refusal: refusal, request: request,
                    map: name)
            }
            scheduleRoot(shell, of: name, afterMillis: Limits.wholeRetryMillis)
            flush()
            return nil
        }
    }

    /// Sends a client the root of a map in a while, once for all that ask for it meanwhile.
    func scheduleRoot(_ shell: SessionShell, of name: ByteString, afterMillis: Int64) {
        guard shell.rootsDue.insert(name).inserted else { return }
        let id = shell.id
        loop.schedule(afterMillis: afterMillis) { [door] in
            guard let shell = door.value.shell(id), shell.rootsDue.remove(name) != nil else { return }
            door.value.sendRoot(shell, of: name, isAsked: false)
        }
    }

    /// Sends the root of a map, asked for or not.
    func sendRoot(_ shell: SessionShell, of name: ByteString, isAsked: Bool = false) {
        guard let nameSpace = shell.identity?.nameSpace else { return }
        let id = shell.id
        let hasCursors = shell.core.features.contains(.delta)
        // Who has nothing is sent everything first, and hears then what it comes to.
        let key = shell.isEmptyHanded.contains(name) ? nil : contentKey(of: shell)
        gather { group, reply in
            group.withTrees(of: name, in: nameSpace, under: key) { tree, content in
                let mark = hasCursors ? group.mark(name, in: nameSpace) : .beginning
                reply(
                    .success(
                        RootPart(
                            tree: tree, time: group.present(), mark: mark,
                            content: ContentPart(content, hasMap: group.hasMap(name, in: nameSpace)) { [$0.root] })))
            } orElse: {
                reply(.failure($0))
            }
        } then: { [self] (answer: Result<[RootPart], Refusal>) in
            guard let shell = self.shell(id),
                let parts = parts(answer, for: shell, name, request: isAsked ? "SYNC_INIT" : nil),
                let latest = parts.map(\.time).max()
            else { return }
            metrics.counts.merkleAnswers += 1
            var root = SyncRoot(mapName: name, rootHash: Self.compose(parts.map(\.tree)).root, timestamp: latest)
            if key != nil { root.rootHash128 = pay(shell, for: parts.map(\.content))?[0].bytes }
            if hasCursors {
                root.syncCursor = SyncCursor(marks: parts.map(\.mark)).text(incarnation: terms.incarnation)
            }
            send(shell, .syncRoot(root))
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
        guard mayRead(shell, name, request: "MERKLE_REQ_BUCKET"), let nameSpace = shell.identity?.nameSpace,
            beginWalk(shell, name, request: "MERKLE_REQ_BUCKET")
        else { return }
        let id = shell.id
        let key = path.isLeaf ? nil : contentKey(of: shell)
        gather { group, reply in
            group.withTrees(of: name, in: nameSpace, under: key) { tree, content in
                reply(
                    .success(
                        SubtreePart(
                            tree: tree, size: group.leafSize(of: name, in: nameSpace, at: path),
                            content: ContentPart(content, hasMap: group.hasMap(name, in: nameSpace)) {
                                $0.buckets(at: path)
                            })))
            } orElse: {
                reply(.failure($0))
            }
        } then: { [self] (answer: Result<[SubtreePart], Refusal>) in
            defer { endWalk(id) }
            guard let shell = self.shell(id),
                let parts = parts(answer, for: shell, name, request: "MERKLE_REQ_BUCKET")
            else { return }
            metrics.counts.merkleAnswers += 1
            let sums = pay(shell, for: parts.map(\.content))
            let records = parts.reduce(0) { $0 + $1.size.records }
            let bytes = parts.reduce(0) { $0 + $1.size.bytes }
            let isSmall = records <= Limits.leafAtOnceRecordsMax && bytes <= Limits.leafAtOnceBytesMax
            let wantsAll = path == .root && shell.isEmptyHanded.remove(name) != nil
            if path.isLeaf || isSmall || wantsAll {
                // First, so that the client does not give back what we are about to tell it.
                if !wantsAll { pull(shell, name, below: path) }
                shell.streams.append(LeafStream(map: name, nameSpace: nameSpace, path: path, isWhole: wantsAll))
                advanceStreams(shell)
            } else {
                let hashes = Self.compose(parts.map(\.tree)).buckets(at: path)
                let tellsEmpty = pulls(from: shell)
                let buckets = hashes.enumerated().filter { $0.element != 0 || tellsEmpty }.map {
                    SyncBuckets.Bucket(digit: UInt8($0.offset), hash: $0.element)
                }
                let contents = sums?.enumerated().filter { $0.element != .zero }.map {
                    SyncBuckets.Bucket128(digit: UInt8($0.offset), hash: $0.element.bytes)
                }
                send(
                    shell,
                    .syncBuckets(SyncBuckets(mapName: name, path: path, buckets: buckets, buckets128: contents)))
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

private struct RootPart: Sendable {
    var tree: MerkleTree32
    var time: Timestamp
    /// The moment at which the tree was as it is here.
    var mark: LeafMark
    var content: ContentPart
}

private struct SubtreePart: Sendable {
    var tree: MerkleTree32
    var size: (records: Int, bytes: Int)
    var content: ContentPart
}

// MARK: - Records

/// Records below one path on their way to a client, in messages of bounded size and no faster than it reads them.
struct LeafStream {
    let map: ByteString
    let nameSpace: ByteString
    let path: MerklePath
    /// Whether it is everything, for a client that had nothing, or everything that changed, for one that had all before:
    /// the root follows, with which the client sees that it has it.
    let isWhole: Bool
    /// The moment since which something must have changed in a leaf for it to be sent.
    let since: SyncCursor?
    var next: LeafPlace
    var nextLoop = 0
    /// Whether an answer is on its way.
    var isAsking = false

    init(map: ByteString, nameSpace: ByteString, since: SyncCursor) {
        self.init(map: map, nameSpace: nameSpace, path: .root, isWhole: true, since: since)
    }

    init(map: ByteString, nameSpace: ByteString, path: MerklePath, isWhole: Bool, since: SyncCursor? = nil) {
        self.map = map
        self.nameSpace = nameSpace
        self.path = path
        self.isWhole = isWhole
        self.since = since
        self.next = LeafPlace(leaf: path.leafRange.lowerBound)
    }
}

extension GatewayCore {
    /// Sends more of the first stream that waits, if the connection takes it.
    func advanceStreams(_ shell: SessionShell) {
        paceWalks(shell)
        guard let stream = shell.streams.first, !stream.isAsking, !shell.isClosing else { return }
        guard shell.connection.queuedBytes <= Limits.answerQueueBytesMax else { return congest(shell) }
        shell.streams[0].isAsking = true
        sendMailboxes()
        let id = shell.id
        let target = crew[stream.nextLoop]
        let home = door
        let isHere = stream.nextLoop == index
        let ask: @Sendable () -> Void = {
            let group = target.value
            group.whenWhole {
                let part = group.leafPart(of: stream)
                group.afterGate {
                    if isHere {
                        home.value.continueStream(id, with: part)
                    } else {
                        home.loop.execute { home.value.continueStream(id, with: part) }
                    }
                }
            } orElse: { refusal in
                home.loop.execute { home.value.breakStream(id, refusal) }
            }
        }
        if isHere { ask() } else { target.loop.execute(ask) }
    }

    /// The records cannot be had: the client is told, and hears of the map again later.
    private func breakStream(_ id: SessionID, _ refusal: Refusal) {
        guard let shell = shell(id), !shell.streams.isEmpty else { return }
        let stream = shell.streams.removeFirst()
        _ = parts(Result<[LeafPart], Refusal>.failure(refusal), for: shell, stream.map, request: "MERKLE_REQ_BUCKET")
        advanceStreams(shell)
    }

    private func continueStream(_ id: SessionID, with part: LeafPart) {
        guard let shell = shell(id), !shell.streams.isEmpty else { return }
        var stream = shell.streams[0]
        stream.isAsking = false
        if let next = part.next {
            stream.next = next
        } else {
            stream.next = LeafPlace(leaf: stream.path.leafRange.lowerBound)
            stream.nextLoop += 1
        }
        let isLast = stream.nextLoop == crew.count
        // The path asked for is answered once and last, if need be with nothing: a client takes that as the end of the
        // answer. The messages before it carry a path that nobody waits for, and so do those that nobody asked for.
        if part.count > 0 || isLast && stream.since == nil {
            let path =
                isLast && stream.since == nil
                ? stream.path : stream.path == .root ? MerklePath(leaf: 0) : .root
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
    var next: LeafPlace?
}

extension GroupCore {
    /// The map's tree, once its leaves are built: the first time in slices, between which the loop serves others.
    func withLeaves(
        of name: ByteString, in nameSpace: ByteString, _ body: @escaping (MerkleTree32) -> Void,
        orElse refuse: @escaping (Refusal) -> Void
    ) {
        guard let map = state.existingMap(name, in: nameSpace) else { return body(MerkleTree32()) }
        if state.buildLeaves(of: map, records: Limits.leavesBuiltPerTurn) { return body(state.merkleTree(of: map)) }
        let bound = LoopBound((body: body, refuse: refuse), on: loop)
        loop.execute { [door = LoopBound(self, on: loop)] in
            let group = door.value
            let (body, refuse) = bound.value
            group.whenWhole({ group.withLeaves(of: name, in: nameSpace, body, orElse: refuse) }, orElse: refuse)
        }
    }

    /// The present moment of a map.
    func mark(_ name: ByteString, in nameSpace: ByteString) -> LeafMark {
        state.existingMap(name, in: nameSpace).map { state.mark($0) } ?? .beginning
    }

    enum Changes: Sendable {
        case none
        case some
        case unknown
    }

    /// Whether anything changed in a map since that moment; its leaves must be built.
    func changes(of name: ByteString, in nameSpace: ByteString, since mark: LeafMark) -> Changes {
        guard let map = state.existingMap(name, in: nameSpace) else { return mark == .beginning ? .none : .unknown }
        guard state.knowsChanges(of: map, since: mark) else { return .unknown }
        return state.nextLeaf(of: map, from: 0, changedSince: mark) == nil ? .none : .some
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

    /// The next records of a stream, about one message full. A leaf of more comes in several: one writer can fill it.
    func leafPart(of stream: LeafStream) -> LeafPart {
        var part = LeafPart()
        guard let map = state.existingMap(stream.map, in: stream.nameSpace) else { return part }
        let sink = ByteSink(capacity: 16 * 1_024)
        let end = stream.path.leafRange.upperBound
        var next = stream.next
        while sink.count < Limits.leafBytesMax {
            if let since = stream.since {
                let leaf = state.nextLeaf(of: map, from: next.leaf, changedSince: since.marks[index]) ?? end
                if leaf != next.leaf { next = LeafPlace(leaf: leaf) }
            }
            guard next.leaf < end else { break }
            let rest = state.forEachRecord(in: map, from: next) { record in
                part.count += 1
                ServerFrame.leafRecord(
                    key: record.key, value: record.value, millis: record.millis, counter: record.counter,
                    node: record.node, ttlMillis: record.ttlMillis, into: sink)
                return sink.count >= Limits.leafBytesMax
            }
            next = rest ?? LeafPlace(leaf: next.leaf + 1)
        }
        part.bytes = Array(sink.bytes)
        part.next = next.leaf < end ? next : nil
        return part
    }
}
