package import TopGunModel

extension ReplicaState {
    /// Writes a value; it is what every reader here sees from now on, and what the servers will be told.
    ///
    /// `value` is MessagePack; `ttlMillis` 0 means for ever.
    package mutating func set(
        _ value: Payload, for key: ByteString, in map: MapID, ttlMillis: Int64 = 0, at now: ReplicaTime
    ) throws(ReplicaError) -> WriteID {
        guard value.bytes.count <= ReplicaLimits.valueBytesMax else { throw ReplicaError(.valueTooLarge) }
        guard value.isOneValue else { throw ReplicaError(.badValue) }
        guard ttlMillis >= 0, ttlMillis <= ModelLimits.millisMax else { throw ReplicaError(.badLifetime) }
        return try write(value, ttlMillis: ttlMillis, for: key, in: map, at: now)
    }

    /// Removes a key: a tombstone is written.
    package mutating func remove(
        _ key: ByteString, in map: MapID, at now: ReplicaTime
    ) throws(ReplicaError) -> WriteID {
        try write(.tombstone, ttlMillis: 0, for: key, in: map, at: now)
    }

    private mutating func write(
        _ value: Payload, ttlMillis: Int64, for key: ByteString, in id: MapID, at now: ReplicaTime
    ) throws(ReplicaError) -> WriteID {
        let map = id.index
        guard maps.indices.contains(map), maps[map].isOpen else { throw ReplicaError(.unknownMap) }
        guard key.count <= ReplicaLimits.keyBytesMax else { throw ReplicaError(.keyTooLong) }
        guard !key.bytes.contains(0) else { throw ReplicaError(.badKey) }
        var stamp = try nextStamp(at: now)
        let place = maps[map].table.makePlace(of: key)
        if let stored = maps[map].table.entries[place].record, stored.timestamp >= stamp {
            // From ahead of time, so the clock was not moved past it; but nobody's own write may vanish before their eyes.
            observe(stored.timestamp)
            stamp = try nextStamp(at: now)
        }
        lastWrite += 1
        let write = WriteID(lastWrite)
        let record = LWWRecord(value: value, timestamp: stamp, ttlMillis: ttlMillis)
        append(record, write: write, at: EntryRef(map: map, place: place))
        show(record, isOwn: true, at: EntryRef(map: map, place: place), isLocal: true, now)
        return write
    }

    /// Puts a write into the log, without an id yet.
    mutating func append(_ record: LWWRecord, write: WriteID?, at ref: EntryRef) {
        let (map, place) = (Int(ref.map), Int(ref.place))
        let entry = maps[map].table.entries[place]
        var pending = entry.pending
        if pending == RecordTable.none {
            let base: PendingKey.Base =
                if let stored = entry.record, write != nil {
                    .record(stored, isOwn: entry.isOwn)
                } else if maps[map].loading == .loaded, entry.record == nil {
                    .absent
                } else {
                    .unknown
                }
            pending = pendings.insert(base)
            maps[map].table.setPending(pending, at: place)
        }
        let slot = log.insert(
            LogEntry(write: write, ref: ref, record: record, state: .new, frameBytes: frameBytes(of: ref, record)))
        pendings[pending].writes.append(slot)
        saving.operations.append(slot)
        if write != nil { saving.hasNewWrites = true }
        markUnsaved(ref, .local)
    }

    /// The next stamp. A higher clock bound goes to the store with the write that it is for, and nothing is sent
    /// before that is durable, so the bound may be raised here at once.
    mutating func nextStamp(at now: ReplicaTime) throws(ReplicaError) -> Timestamp {
        let wallMillis = wallMillis(now)
        do throws(ClockError) {
            return try clock.now(wallMillis: wallMillis)
        } catch {
            guard error.code == .boundReached else { throw ReplicaError(.clockExhausted) }
            clock.raiseBound(to: error.millis)
            noteClockBound()
        }
        do throws(ClockError) {
            return try clock.now(wallMillis: wallMillis)
        } catch {
            throw ReplicaError(.clockExhausted)
        }
    }

    /// The store must know the clock's bound and node; a follower's are never used again, so it need not.
    mutating func noteClockBound() {
        guard role == .leader else { return }
        identity.node = clock.node
        identity.clockBound = clock.bound
        saving.isIdentityUnsaved = true
    }

    func frameBytes(of ref: EntryRef, _ record: LWWRecord) -> Int32 {
        let (map, key) = name(of: ref)
        return Int32(
            truncatingIfNeeded: ReplicaLimits.operationFrameBytes + map.count + key.count
                + record.value.bytes.count + record.timestamp.node.count)
    }

    mutating func interned(_ record: LWWRecord) -> LWWRecord {
        var record = record
        record.timestamp.node = nodes.interned(record.timestamp.node)
        return record
    }
}

// MARK: - What is shown

extension ReplicaState {
    /// Makes a record, or none, what stands for a key, and tells whoever looks.
    mutating func show(_ record: LWWRecord?, isOwn: Bool, at ref: EntryRef, isLocal: Bool, _ now: ReplicaTime) {
        put(record, isOwn: isOwn, at: ref)
        tell(ref, isLocal: isLocal, now)
    }

    /// Makes a record, or none, what stands for a key, and sees to its end where it has a lifetime.
    mutating func put(_ record: LWWRecord?, isOwn: Bool, at ref: EntryRef) {
        maps[Int(ref.map)].table.put(record, isOwn: isOwn, at: Int(ref.place))
        if let record { awaitEnd(of: record, at: ref) }
    }

    mutating func awaitEnd(of record: LWWRecord, at ref: EntryRef) {
        guard let end = record.invisibleFromMillis else { return }
        if expiries.needsSweep { expiries.sweep(maps) }
        expiries.insert(ref, wallMillis: end)
    }

    /// Tells observers and live queries that a key may look different.
    mutating func tell(_ ref: EntryRef, isLocal: Bool, _ now: ReplicaTime) {
        let map = Int(ref.map)
        if maps[map].isWatched {
            let entry = maps[map].table.entries[Int(ref.place)]
            effects.changes.append(
                MapChange(map: MapID(index: map), key: entry.key, record: entry.record, isLocal: isLocal))
        }
        for query in maps[map].queries { refresh(ref.place, of: query, now) }
    }

    /// Shows of a key what follows from the servers' record and the writes that are left.
    mutating func recompute(_ ref: EntryRef, _ now: ReplicaTime) {
        let (map, place) = (Int(ref.map), Int(ref.place))
        let entry = maps[map].table.entries[place]
        guard entry.pending != RecordTable.none else { return }
        let pending = pendings[entry.pending]
        var newest: LWWRecord?
        var isOwn = false
        if case .record(let record, let isOwnRecord) = pending.base { (newest, isOwn) = (record, isOwnRecord) }
        for slot in pending.writes {
            let record = log[slot].record
            // Another one's under the same stamp does not hide it before the servers say which stands.
            if newest.map({ record.timestamp >= $0.timestamp }) ?? true {
                (newest, isOwn) = (record, true)
            }
        }
        guard newest != entry.record else { return }
        show(newest, isOwn: isOwn, at: ref, isLocal: false, now)
    }

    /// Takes a write out of the log and out of what its key is made of; the caller says first what the base becomes.
    mutating func takeOut(_ slot: Int32) {
        let ref = log[slot].ref
        let (map, place) = (Int(ref.map), Int(ref.place))
        let pending = maps[map].table.entries[place].pending
        if log[slot].state == .sent { noteDecided(slot) }
        log.remove(slot)
        guard pending != RecordTable.none else { return }
        pendings[pending].writes.removeAll { $0 == slot }
    }

    /// Lets go of the bookkeeping of a key without writes.
    mutating func settle(_ ref: EntryRef) {
        let pending = maps[Int(ref.map)].table.entries[Int(ref.place)].pending
        guard pending != RecordTable.none, pendings[pending].writes.isEmpty else { return }
        pendings.remove(pending)
        maps[Int(ref.map)].table.setPending(RecordTable.none, at: Int(ref.place))
    }
}
