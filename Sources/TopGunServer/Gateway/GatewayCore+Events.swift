import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// What is broadcast: events of maps. Encoded once by the group, written to every connection that is interested; one that
// numbers its events gets the same bytes with its number in them.
//
// A connection that does not keep up loses events rather than memory (promises.md C13): a client with the feature `flow`
// is told afterwards which maps to sync again, any other is sent away and syncs when it comes back.

extension GatewayCore {
    /// Makes a connection hear of a map; every group is asked before this returns, remote ones in the order of jobs.
    func takeInterest(_ shell: SessionShell, in name: ByteString) -> Bool {
        guard let identity = shell.identity else { return false }
        guard shell.interests[name] == nil else { return true }
        guard shell.interests.count < Limits.mapsPerSessionMax else { return false }
        let (number, isFirst) = interests.add(shell, to: name, in: identity.nameSpace)
        shell.interests[name] = number
        guard isFirst else { return true }
        let watcher = GroupCore.Watcher(loop: UInt8(index), map: number)
        for target in crew.indices {
            if target == index {
                watch(group, name, identity.nameSpace, watcher)
            } else {
                crew[target].loop.execute { [door = crew[target], nameSpace = identity.nameSpace, log = terms.log] in
                    do throws(PartitionError) {
                        try door.value.watch(name, in: nameSpace, by: watcher)
                    } catch {
                        log.warning("a map could not be watched", [.code: "\(error.code)", .loop: target])
                    }
                }
            }
        }
        return true
    }

    private func watch(
        _ group: GroupCore, _ name: ByteString, _ nameSpace: ByteString, _ watcher: GroupCore.Watcher
    ) {
        do { try group.watch(name, in: nameSpace, by: watcher) } catch {
            terms.log.warning("a map could not be watched", [.code: "\(error.code)", .loop: index])
        }
    }

    /// Ends all interest of a connection.
    func loseInterest(_ shell: SessionShell) {
        for number in shell.interests.values.sorted() {
            guard let entry = interests.remove(shell, from: number) else { continue }
            let watcher = GroupCore.Watcher(loop: UInt8(index), map: number)
            for target in crew.indices {
                if target == index {
                    group.unwatch(entry.name, in: entry.nameSpace, by: watcher)
                } else {
                    crew[target].loop.execute { [door = crew[target], name = entry.name, nameSpace = entry.nameSpace] in
                        door.value.unwatch(name, in: nameSpace, by: watcher)
                    }
                }
            }
        }
        shell.interests.removeAll()
    }

    /// What the gate of this loop let go for the sessions here.
    func deliver(_ entry: GateEntry, bytes: UnsafeRawBufferPointer) {
        switch entry.kind {
        case .event:
            guard let interest = interests.entry(of: entry.target) else { return }
            for shell in interest.sessions where shell.id.number != entry.number {
                broadcast(bytes, of: interest.name, to: shell)
            }
        case .echo:
            guard let shell = shell(entry.session) else { return }
            sendNumbered(bytes, to: shell)
        case .update:
            deliverUpdate(SubscriptionNumber(entry.number), bytes: bytes)
        case .acknowledgement, .answer, .job:
            preconditionFailure("\(entry.kind) is no broadcast")
        }
    }

    /// What the gate of another loop let go.
    func deliver(_ events: RemoteEvents) {
        for entry in events.entries { deliver(entry, bytes: events.bytes(of: entry)) }
        flush()
    }

    private func broadcast(_ frame: UnsafeRawBufferPointer, of map: ByteString, to shell: SessionShell) {
        guard !shell.isClosing, !shell.lostMaps.contains(map) else { return }
        let queuedBytes = shell.connection.queuedBytes
        #if MUTANTS
        let isSlow = isTooSlow(queuedBytes) && !Mutant.slowReaderKeepsAll.isOn
        #else
        let isSlow = isTooSlow(queuedBytes)
        #endif
        guard !isSlow else {
            metrics.counts.eventsDropped += 1
            lose(shell) { $0.lostMaps.insert(map) }
            return
        }
        metrics.counts.eventsSent += 1
        metrics.broadcastQueueBytesPeak = max(metrics.broadcastQueueBytesPeak, queuedBytes)
        sendNumbered(frame, to: shell)
    }

    /// Whether so much is queued for a connection that no event is added.
    func isTooSlow(_ queuedBytes: Int) -> Bool {
        queuedBytes > terms.broadcastQueueBytesMax
    }

    /// Notes a loss for a client that can be told later, or ends the connection of one that cannot.
    func lose(_ shell: SessionShell, _ note: (SessionShell) -> Void) {
        guard shell.core.features.contains(.flow) else {
            metrics.counts.slowReadersClosed += 1
            close(shell, code: 1013, reason: "too slow")
            return
        }
        shell.sequence += 1
        note(shell)
        congest(shell)
    }

    /// Tells a client that caught up what it missed.
    func makeUp(_ shell: SessionShell) {
        for name in shell.lostMaps.sorted() { send(shell, .resync(mapName: name)) }
        shell.lostMaps.removeAll()
        for queryID in shell.lostQueries.sorted() { askAnew(shell, queryID) }
        shell.lostQueries.removeAll()
        takeTurns(shell)
    }

    /// Sends an event or update as it is, or with the connection's next number where the client counts them.
    func sendNumbered(_ frame: UnsafeRawBufferPointer, to shell: SessionShell) {
        guard !shell.isClosing else { return }
        if shell.core.features.contains(.seq) {
            shell.sequence += 1
            scratch.removeAll()
            ServerFrame.number(frame, sequence: shell.sequence, into: scratch)
            shell.connection.send(copying: scratch.bytes)
        } else {
            shell.connection.send(copying: frame)
        }
        touch(shell)
    }
}
