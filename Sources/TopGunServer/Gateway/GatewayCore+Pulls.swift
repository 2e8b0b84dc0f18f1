import TopGunEnvironment
import TopGunModel
import TopGunWire

// What only clients have (protocol.md 16, `pull`): a server that was restored from a backup, or salvaged, has lost what
// came after it, and its clients may still hold it, whoever wrote it.
//
//   walk of a client ──► a path that differs ──► MERKLE_PULL, then our LEAF
//                                                     └──► MERKLE_PUSH ──► merged as writes are, answered by nothing
//
// The client's own walk finds the paths: it goes down to every digit that is told, so the digits of which nothing is here
// are told too, as 0. What travels is what lies below paths that differ, once for each path and connection.

extension GatewayCore {
    /// Whether this client is asked for what it has: the data was restored at some time, and the client could as well
    /// write it.
    func pulls(from shell: SessionShell) -> Bool {
        terms.restoreEpoch > 0 && shell.core.features.contains(.pull) && shell.identity?.mayWrite == true
    }

    /// Asks a client for its records below a path that differs from ours.
    func pull(_ shell: SessionShell, _ name: ByteString, below path: MerklePath) {
        guard pulls(from: shell), shell.pulled.count < Limits.pullsPerSessionMax else { return }
        let request = MapPath(mapName: name, path: path)
        guard shell.pulled.insert(request).inserted else { return }
        send(shell, .merklePull(request))
    }

    /// Merges what a client was asked for; returns what it costs. Each record passes the checks of a write, but one that
    /// is refused is nobody's loss and nobody is told: the walk of the next connection finds it again.
    func take(_ push: SyncLeaf, from shell: SessionShell) -> Int {
        guard let identity = shell.identity, shell.pulled.contains(MapPath(mapName: push.mapName, path: push.path))
        else {
            sendError(
                shell, code: 400, message: "nobody asked for these records", refusal: .badRequest,
                request: "MERKLE_PUSH", map: push.mapName)
            return 1
        }
        let latest = group.wallMillis + ModelLimits.clientAheadMillisMax
        let records = push.records.filter {
            // A stamp of the future is no replica's: it would have been replaced before it was stored. Nor is a name with
            // NUL, which no write may have.
            push.path.contains(keyHash: KeyHash.of($0.key)) && $0.record.timestamp.millis <= latest
                && !$0.key.bytes.contains(0) && !$0.record.timestamp.node.bytes.contains(0)
                && !push.mapName.bytes.contains(0)
        }
        guard !records.isEmpty, identity.mayWrite else { return 1 }
        metrics.counts.recordsPulled += records.count
        let arena = ByteSink(capacity: records.reduce(push.mapName.count) { $0 + Self.bytes(of: $1) })
        arena.append(push.mapName.bytes)
        for keyed in records {
            arena.append(keyed.key.bytes)
            arena.append(keyed.record.value.bytes)
            arena.append(keyed.record.timestamp.node.bytes)
        }
        fillOperations(records, mapBytes: push.mapName.count, from: arena.bytes)
        withExtendedLifetime(arena) { submit(shell) }
        // It sees by a new root that both have the same now.
        scheduleRoot(shell, of: push.mapName, afterMillis: Limits.rootAfterPushMillis)
        return records.count
    }

    private static func bytes(of keyed: KeyedRecord) -> Int {
        keyed.key.count + keyed.record.value.bytes.count + keyed.record.timestamp.node.count
    }

    /// Makes operations of records whose texts lie one after another behind the map's name.
    private func fillOperations(_ records: [KeyedRecord], mapBytes: Int, from arena: UnsafeRawBufferPointer) {
        let first = operations.count
        var offset = mapBytes
        func next(_ count: Int) -> UnsafeRawBufferPointer {
            defer { offset += count }
            return UnsafeRawBufferPointer(rebasing: arena[offset..<offset + count])
        }
        for keyed in records {
            let record = keyed.record
            var view = OperationView()
            view.kind = record.isTombstone ? .remove : .put
            view.map = UnsafeRawBufferPointer(rebasing: arena[..<mapBytes])
            view.key = next(keyed.key.count)
            view.value = next(record.value.bytes.count)
            view.node = next(record.timestamp.node.count)
            view.millis = record.timestamp.millis
            view.counter = record.timestamp.counter
            view.ttlMillis = record.isTombstone ? 0 : record.ttlMillis
            view.concern = .fireAndForget
            operations.append(view)
        }
        frames.append(OperationFrame(first: first, end: operations.count, isPush: true))
    }
}
