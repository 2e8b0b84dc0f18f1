import TopGunModel
import TopGunQuery
import TopGunWire

/// How a record from the servers meets what is here.
extension ReplicaState {
    /// Merges a record that the servers hold. An event that echoes a write of ours under another stamp is adopted, where
    /// servers give other stamps: one that says `CLOCK_AHEAD` keeps ours, and an older record with the same value, such as
    /// a second removal, is then somebody else's write that lost.
    mutating func mergeRemote(_ remote: LWWRecord, key: ByteString, in map: Int, isEvent: Bool, _ now: ReplicaTime) {
        guard Self.isStamp(remote.timestamp) else { return fault(.undecodable) }
        observeRemote(remote.timestamp, at: now)
        let record = interned(remote)
        let ref = EntryRef(map: map, place: maps[map].table.makePlace(of: key))
        let entry = maps[map].table.entries[Int(ref.place)]
        trustRecord(at: ref)
        let mayBeEcho = isEvent && !link.features.contains(.clock)
        if entry.pending == RecordTable.none {
            mergeSettled(record, at: ref, entry, isEvent: isEvent, mayBeEcho: mayBeEcho, now)
        } else {
            mergePending(record, at: ref, entry, mayBeEcho: mayBeEcho, now)
        }
        noteWinner(ref)
    }

    private mutating func mergeSettled(
        _ record: LWWRecord, at ref: EntryRef, _ entry: RecordTable.Entry, isEvent: Bool, mayBeEcho: Bool,
        _ now: ReplicaTime
    ) {
        if let stored = entry.record, !record.replaces(stored, tie: .repeatChangesNothing) {
            // One stamp with two contents: what the servers keep is what all come to have.
            if !isEvent, stored.timestamp == record.timestamp, stored != record {
                show(record, isOwn: false, at: ref, isLocal: false, now)
                markUnsaved(ref, .remote)
                return
            }
            guard mayBeEcho, stored.timestamp != record.timestamp, Self.isSameValue(stored, record) else { return }
            show(record, isOwn: entry.isOwn, at: ref, isLocal: false, now)
            markUnsaved(ref, .remote)
            return
        }
        show(record, isOwn: false, at: ref, isLocal: false, now)
        markUnsaved(ref, .remote)
    }

    private mutating func mergePending(
        _ record: LWWRecord, at ref: EntryRef, _ entry: RecordTable.Entry, mayBeEcho: Bool, _ now: ReplicaTime
    ) {
        // Another device with our node id may have given the same stamp to something else.
        let isWrite = pendings[entry.pending].writes.contains {
            log[$0].record.timestamp == record.timestamp && Self.isSameValue(log[$0].record, record)
        }
        pendings[entry.pending].base = pendings[entry.pending].base.merged(record, isOwn: isWrite)
        if mayBeEcho, !isWrite, let newest = pendings[entry.pending].writes.last,
            log[newest].record.timestamp > record.timestamp, Self.isSameValue(log[newest].record, record)
        {
            pendings[entry.pending].adopted = record
        }
        let stood = entry.record
        recompute(ref, now)
        if maps[Int(ref.map)].table.entries[Int(ref.place)].record != stood { markUnsaved(ref, .remote) }
    }

    /// Whether two records hold the same value, however it is written.
    static func isSameValue(_ left: LWWRecord, _ right: LWWRecord) -> Bool {
        guard left.ttlMillis == right.ttlMillis else { return false }
        if left.value == right.value { return true }
        return left.value.bytes.withUnsafeBytes { left in
            right.value.bytes.withUnsafeBytes { right in
                guard let left = PayloadValue(left), let right = PayloadValue(right) else { return false }
                return PayloadEquality.equal(left, right)
            }
        }
    }

    static func isStamp(_ stamp: Timestamp) -> Bool {
        stamp.millis >= 0 && stamp.millis <= ModelLimits.millisMax && !stamp.node.bytes.contains(UInt8(ascii: ":"))
    }
}

// MARK: - What became of our own writes

extension ReplicaState {
    /// The servers hold a write safely enough to let go of it.
    mutating func retire(_ slot: Int32, _ now: ReplicaTime) {
        let entry = log[slot]
        let pending = maps[Int(entry.ref.map)].table.entries[Int(entry.ref.place)].pending
        takeOut(slot)
        trustRecord(at: entry.ref)
        saving.retired.append(entry.id)
        if entry.write == nil { saving.decided.append(DecidedOperation(id: entry.id, level: entry.level)) }
        if entry.level < .persisted {
            let (map, key) = name(of: entry.ref)
            retiredWrites.insert(entry.write, id: entry.id, map: map, key: key)
        }
        if pending != RecordTable.none {
            var isBaseKnown = true
            if case .unknown = pendings[pending].base { isBaseKnown = false }
            if let adopted = pendings[pending].adopted, Self.isSameValue(adopted, entry.record) {
                pendings[pending].base = .record(adopted, isOwn: true)
                pendings[pending].adopted = nil
            } else if isBaseKnown || !entry.isSuperseded {
                pendings[pending].base = pendings[pending].base.merged(entry.record, isOwn: true)
            } else {
                // Something newer stands there that we have not seen: ours is shown until it arrives.
                syncSoon(Int(entry.ref.map))
                return settle(entry.ref)
            }
            settleAfter(entry.ref, now)
        }
    }

    /// The servers refused a write for good: it is set aside, and the key shows again what they hold.
    mutating func refuse(_ slot: Int32, code: ByteString, _ now: ReplicaTime) {
        let entry = log[slot]
        let (map, key) = name(of: entry.ref)
        takeOut(slot)
        refused.insert(entry.record.timestamp, at: entry.ref)
        let setAside = SetAsideOperation(
            operation: StoredOperation(id: entry.id, map: map, key: key, record: entry.record), code: code)
        setAsides.append(setAside)
        saving.setAside.append(setAside)
        effects.results.append(
            WriteResult(
                write: entry.write, id: entry.id, map: map, key: key,
                outcome: .refused(code: code, losing: entry.record)))
        settleAfter(entry.ref, now)
        // With the operation's leaving: a crash in between would leave a record that nobody knows to be refused.
        markUnsaved(entry.ref, .local, over: entry.record.timestamp)
    }

    /// A write that no frame can carry, of a version that took any bytes for a value, is refused here: no server could
    /// answer it, nor anything that is sent beside it.
    mutating func refuseUnlessSendable(_ slot: Int32, _ now: ReplicaTime) {
        guard role == .leader, !log[slot].record.value.isOneValue else { return }
        refuse(slot, code: ByteString(Array("BAD_REQUEST".utf8)), now)
    }

    /// This device could not store a write: it did not happen.
    mutating func undo(_ slot: Int32, _ error: StoreError, _ now: ReplicaTime) {
        let entry = log[slot]
        let (map, key) = name(of: entry.ref)
        takeOut(slot)
        effects.results.append(
            WriteResult(
                write: entry.write, id: 0, map: map, key: key, outcome: .notStored(error, losing: entry.record)))
        settleAfter(entry.ref, now)
    }

    /// Shows what stands now that a write has left, and lets go of the key's bookkeeping if it was the last one.
    private mutating func settleAfter(_ ref: EntryRef, _ now: ReplicaTime) {
        let (map, place) = (Int(ref.map), Int(ref.place))
        let pending = maps[map].table.entries[place].pending
        guard pending != RecordTable.none else { return }
        let stood = maps[map].table.entries[place].record
        recompute(ref, now)
        // What the servers hold is not known: they will tell.
        if case .unknown = pendings[pending].base, pendings[pending].writes.isEmpty { syncSoon(map) }
        settle(ref)
        if maps[map].table.entries[place].record != stood { markUnsaved(ref, .remote) }
    }
}
