import TopGunModel
import TopGunWire

// Comparing maps with the servers (protocol.md 4).

extension ReplicaState {
    /// Has a map compared with the servers as soon as it can be.
    mutating func syncSoon(_ map: Int) {
        guard maps[map].isOpen, !maps[map].isSyncDue else { return }
        maps[map].isSyncDue = true
        syncsDue.append(map)
    }

    /// Asks for everything that could have been in lost events, once in a turn however many gaps it had.
    mutating func askAgainAfterGap() {
        guard wasGapSeen else { return }
        wasGapSeen = false
        for map in maps.indices where maps[map].isOpen { syncAfterAnswer(map) }
        for id in sortedQueries { subscribeSoon(id) }
    }

    /// Has a map compared again of which events were lost. A root that is on its way is awaited first, so that a server
    /// which loses events all the time is not asked faster than it answers.
    private mutating func syncAfterAnswer(_ map: Int) {
        if maps[map].walk.phase == .asked {
            maps[map].isSyncDueAfterRoot = true
        } else {
            syncSoon(map)
        }
    }

    /// Sends SYNC_INIT for maps that are due. They wait for the log to be sent, for otherwise the servers would tell us
    /// all that we are about to tell them; but not for ever.
    mutating func startSyncs(at now: ReplicaTime) {
        guard link.isReady, !syncsDue.isEmpty, !isSyncDelayed(at: now) else { return }
        var waiting: [Int] = []
        for map in syncsDue {
            guard maps[map].loading == .loaded else {
                waiting.append(map)
                continue
            }
            maps[map].isSyncDue = false
            maps[map].walk.ask(steadyMillis: now.steadyMillis)
            noteWalk(map, at: now)
            let cursor = link.features.contains(.delta) ? maps[map].syncCursor : nil
            send(
                .syncStart(
                    SyncStart(
                        mapName: maps[map].name, lastSyncTimestamp: maps[map].lastSyncMillis, syncCursor: cursor)))
        }
        syncsDue = waiting
    }

    /// Whether maps wait for the log to be sent.
    func isSyncDelayed(at now: ReplicaTime) -> Bool {
        !syncsDue.isEmpty && log.hasReady && now.steadyMillis - link.readyMillis < ReplicaLimits.syncDelayMillisMax
    }

    /// The connection is gone; everything will be compared again on the next one.
    mutating func stopSyncs() {
        for map in maps.indices {
            maps[map].walk = MerkleWalk()
            maps[map].isSyncDueAfterRoot = false
            maps[map].table.keepContent(under: nil)
        }
        busyMaps.removeAll()
    }

    mutating func continueWalks(at now: ReplicaTime) {
        guard link.isReady else { return }
        for map in busyMaps {
            while let path = maps[map].walk.nextRequest() {
                send(.merkleRequest(MapPath(mapName: maps[map].name, path: path)))
            }
        }
    }

    /// Keeps the list of busy maps after a step of a walk.
    private mutating func noteWalk(_ map: Int, at now: ReplicaTime) {
        let isListed = busyMaps.contains(map)
        if maps[map].walk.isBusy {
            if !isListed { busyMaps.append(map) }
            return
        }
        if isListed { busyMaps.removeAll { $0 == map } }
        guard maps[map].walk.phase == .compared else { return }
        if link.hashKey != nil, busyMaps.isEmpty, syncsDue.isEmpty { wasContentCompared = true }
        if isAsServer(map) {
            maps[map].syncCursor = maps[map].walk.cursor ?? maps[map].syncCursor
            if maps[map].walk.rootMillis > maps[map].lastSyncMillis {
                // Written after the records it stands for (promises.md C03).
                maps[map].lastSyncMillis = maps[map].walk.rootMillis
                markMapUnsaved(map)
            }
        }
        giveUpWinners(of: map)
        for query in maps[map].queries {
            queries[query]?.forgetAnswers()
            refreshAll(query, now)
        }
    }

    mutating func restartStalledWalks(at now: ReplicaTime) {
        for map in busyMaps where maps[map].walk.isStalled(steadyMillis: now.steadyMillis) { syncSoon(map) }
    }
}

// MARK: - What the servers answer

extension ReplicaState {
    /// The map that a message is about, if it is open and here.
    private func syncedMap(_ name: ByteString) -> Int? {
        guard let map = mapIndices[name], maps[map].isOpen, maps[map].loading == .loaded else { return nil }
        return map
    }

    mutating func rootArrived(_ message: SyncRoot, at now: ReplicaTime) {
        guard let map = syncedMap(message.mapName) else { return }
        #if MUTANTS
        if Mutant.cursorAdvancesOnReceipt.isOn {
            maps[map].syncCursor = message.syncCursor ?? maps[map].syncCursor
            maps[map].walk.rootArrived(
                message.rootHash, content: nil, rootMillis: 0, cursor: message.syncCursor, isEqual: true,
                steadyMillis: now.steadyMillis)
            return noteWalk(map, at: now)
        }
        #endif
        let content = message.rootHash128.flatMap { Self.digest($0) }
        if content != nil { maps[map].table.keepContent(under: link.hashKey) }
        maps[map].walk.rootArrived(
            message.rootHash, content: link.hashKey == nil ? nil : content, rootMillis: message.timestamp.millis,
            cursor: message.syncCursor.flatMap { $0.count <= ReplicaLimits.cursorBytesMax ? $0 : nil },
            isEqual: isEqual(map, message.rootHash, link.hashKey == nil ? nil : content), steadyMillis: now.steadyMillis
        )
        noteWalk(map, at: now)
        if maps[map].isSyncDueAfterRoot {
            maps[map].isSyncDueAfterRoot = false
            syncSoon(map)
        }
    }

    /// Whether a map is what a root says; the content decides, where it was told.
    private func isEqual(_ map: Int, _ root: UInt32, _ content: Digest128?) -> Bool {
        if let content, let own = maps[map].table.content { return own.root == content }
        return maps[map].table.tree.root == root
    }

    /// Whether a map is what the root of its walk says.
    private func isAsServer(_ map: Int) -> Bool {
        guard let root = maps[map].walk.root else { return false }
        return isEqual(map, root, maps[map].walk.contentRoot)
    }

    private static func digest(_ bytes: [UInt8]) -> Digest128? {
        bytes.withUnsafeBytes { Digest128(bytes: $0) }
    }

    /// The children of a node that are not as the server says, by content where it says so.
    private func differing(_ map: Int, _ message: SyncBuckets) -> [MerklePath] {
        var theirs = [UInt32?](repeating: nil, count: 16)
        for bucket in message.buckets where bucket.digit < 16 { theirs[Int(bucket.digit)] = bucket.hash }
        var contents: [Digest128]?
        if let told = message.buckets128, maps[map].table.content != nil {
            var digests = [Digest128](repeating: .zero, count: 16)
            for bucket in told where bucket.digit < 16 {
                digests[Int(bucket.digit)] = Self.digest(bucket.hash) ?? .zero
                theirs[Int(bucket.digit)] = theirs[Int(bucket.digit)] ?? 0
            }
            contents = digests
        }
        var paths: [MerklePath] = []
        for digit in 0..<16 {
            guard let hash = theirs[digit] else { continue }
            let child = message.path.child(digit)
            let isEqual =
                if let contents, let own = maps[map].table.content {
                    own.digest(at: child) == contents[digit]
                } else {
                    maps[map].table.tree.hash(at: child) == hash
                }
            if !isEqual { paths.append(child) }
        }
        return paths
    }

    mutating func bucketsArrived(_ message: SyncBuckets, at now: ReplicaTime) {
        guard let map = syncedMap(message.mapName) else { return }
        guard !message.path.isLeaf else { return fault(.outOfPlace) }
        maps[map].walk.bucketsArrived(
            at: message.path, differing: differing(map, message), steadyMillis: now.steadyMillis)
        noteWalk(map, at: now)
    }

    mutating func leafArrived(_ message: SyncLeaf, at now: ReplicaTime) {
        guard let map = syncedMap(message.mapName) else { return }
        for keyed in message.records { mergeRemote(keyed.record, key: keyed.key, in: map, isEvent: false, now) }
        maps[map].walk.leafArrived(at: message.path, steadyMillis: now.steadyMillis)
        noteWalk(map, at: now)
    }

    mutating func eventArrived(_ event: ServerEvent, at now: ReplicaTime) {
        noteSequence(event.sequence)
        guard let map = syncedMap(event.mapName), let record = event.record else { return }
        mergeRemote(record, key: event.key, in: map, isEvent: true, now)
    }

    /// Events are numbered per connection; a gap says that some were lost.
    mutating func noteSequence(_ sequence: Int64?) {
        guard let sequence else { return }
        if let last = link.lastSequence, last < .max, sequence > last + 1 { wasGapSeen = true }
        link.lastSequence = max(link.lastSequence ?? sequence, sequence)
    }

    /// RESYNC: the server had to drop events of a map.
    mutating func resyncRequired(_ name: ByteString) {
        guard let map = mapIndices[name], maps[map].isOpen else { return }
        syncAfterAnswer(map)
        for id in maps[map].queries { subscribeSoon(id) }
    }

    /// SYNC_RESET_REQUIRED: what is here may hold keys whose removal the servers have forgotten. Everything goes but what
    /// the log still has to tell them.
    mutating func resetRequired(_ name: ByteString, at now: ReplicaTime) {
        guard let map = syncedMap(name) else { return }
        guard !maps[map].wasReset else { return fault(.repeatedReset) }
        maps[map].wasReset = true
        saving.clearedMaps.append(name)
        for place in maps[map].table.entries.indices {
            let ref = EntryRef(map: map, place: place)
            let entry = maps[map].table.entries[place]
            if entry.pending == RecordTable.none {
                if entry.record != nil { show(nil, isOwn: false, at: ref, isLocal: false, now) }
            } else {
                pendings[entry.pending].base = .absent
                recompute(ref, now)
                // The store forgets it with the rest.
                markUnsaved(ref, .remote)
            }
        }
        maps[map].lastSyncMillis = 0
        maps[map].syncCursor = nil
        markMapUnsaved(map)
        maps[map].walk = MerkleWalk()
        busyMaps.removeAll { $0 == map }
        syncSoon(map)
    }

    /// GC_PRUNE: every replica is past these removals.
    mutating func prune(olderThan stamp: Timestamp, at now: ReplicaTime) {
        for map in maps.indices where maps[map].loading == .loaded {
            for place in maps[map].table.entries.indices {
                let entry = maps[map].table.entries[place]
                guard let record = entry.record, record.isTombstone, record.timestamp < stamp,
                    entry.pending == RecordTable.none
                else { continue }
                let ref = EntryRef(map: map, place: place)
                show(nil, isOwn: false, at: ref, isLocal: false, now)
                markUnsaved(ref, .remote)
            }
        }
    }
}

// MARK: - What only we have

extension ReplicaState {
    /// MERKLE_PULL: the servers ask for our records below a path. Each path is answered once on a connection, which is as
    /// often as servers ask: the answer to the root is the whole map.
    mutating func pulled(_ request: MapPath, at now: ReplicaTime) {
        guard link.features.contains(.pull) else { return fault(.outOfPlace) }
        guard let map = mapIndices[request.mapName] else { return push([], of: request) }
        let pull = Pull(map: map, path: request.path)
        guard link.pulled.count < ReplicaLimits.pullsMax, link.pulled.insert(pull).inserted else { return }
        pulls.append(PullAnswer(pull: pull))
        load(map)
    }

    /// Answers pulls, oldest first, as far as the servers keep up with it. The answer to the root is the whole map, which
    /// must not wait in memory for a slow network.
    mutating func continuePulls(at now: ReplicaTime) {
        guard link.isReady, !link.isPushing else { return }
        var bytes = 0
        while let index = pulls.firstIndex(where: { maps[$0.pull.map].loading == .loaded }) {
            guard bytes < ReplicaLimits.pushWindowBytesMax else {
                link.isPushing = true
                return send(.ping(timestamp: now.wallMillis))
            }
            var answer = pulls[index]
            if let pushed = answerPull(&answer) {
                pulls[index] = answer
                bytes += pushed
            } else {
                pulls.remove(at: index)
            }
        }
    }

    /// Pushes the next records of a path and returns about how many bytes they take; `nil` if there were no more.
    private mutating func answerPull(_ answer: inout PullAnswer) -> Int? {
        let (map, path) = (answer.pull.map, answer.pull.path)
        var records: [KeyedRecord] = []
        var bytes = 0
        while answer.nextPlace < maps[map].table.entries.count, bytes < ReplicaLimits.pushBytesMax {
            let entry = maps[map].table.entries[answer.nextPlace]
            answer.nextPlace += 1
            guard path.contains(keyHash: entry.keyHash) else { continue }
            // Writes in the log go their own way, and only once they are in the store.
            var record = entry.record
            if entry.pending != RecordTable.none {
                record = nil
                if case .record(let base, _) = pendings[entry.pending].base { record = base }
            }
            guard let record else { continue }
            records.append(KeyedRecord(key: entry.key, record: record))
            bytes += ReplicaLimits.operationFrameBytes + entry.key.count + record.value.bytes.count
        }
        if records.isEmpty, answer.wasSent { return nil }
        answer.wasSent = true
        push(records, of: MapPath(mapName: maps[map].name, path: path))
        return bytes
    }

    private mutating func push(_ records: [KeyedRecord], of request: MapPath) {
        send(.merklePush(SyncLeaf(mapName: request.mapName, path: request.path, records: records)))
    }

    /// The servers were restored from a backup and may have lost what they had acknowledged: every record that was
    /// written here goes into the log again, with its old stamp, so that servers which do have it change nothing.
    mutating func beginReoffer(epoch: Int64, at now: ReplicaTime) {
        guard reoffer?.epoch != epoch else { return }
        // They may hold something else by now under a stamp that is here, which only contents tell.
        wasContentCompared = false
        reoffer = Reoffer(epoch: epoch, maps: Array(maps.indices))
        for map in maps.indices {
            load(map)
            if maps[map].loading == .loaded { continueReoffer(after: map, at: now) }
        }
        finishReoffer()
    }

    mutating func continueReoffer(after map: Int, at now: ReplicaTime) {
        guard let position = reoffer?.maps.firstIndex(of: map) else { return }
        reoffer?.maps.remove(at: position)
        for place in maps[map].table.entries.indices {
            let entry = maps[map].table.entries[place]
            var own = entry.isOwn ? entry.record : nil
            if entry.pending != RecordTable.none {
                // What is in the log is sent anyway; but it may come to nothing, and then this stands again.
                own = nil
                if case .record(let base, isOwn: true) = pendings[entry.pending].base { own = base }
            }
            guard let record = own else { continue }
            append(record, write: nil, at: EntryRef(map: map, place: place))
        }
        finishReoffer()
    }

    /// The epoch is stored with the last of the operations, so that a crash in between starts over.
    private mutating func finishReoffer() {
        guard let done = reoffer, done.maps.isEmpty else { return }
        reoffer = nil
        identity.restoreEpoch = done.epoch
        saving.isIdentityUnsaved = true
    }
}
