package import TopGunModel

// Records that come back: from the log, a checkpoint or a replica.

extension GroupState {
    /// Merges a record of the log, a checkpoint or a replica: content decides ties, nothing is logged, published or
    /// counted as an effect. Any order and any number of repeats give the same state. A record of kind `clockBound` only
    /// moves the clock.
    ///
    /// What was once acknowledged must come back, so no admission limit applies here. Query subscriptions do not see what
    /// is loaded: whoever loads into a group that serves has them start again.
    package func load(_ record: StoredRecord) throws(PartitionError) {
        switch record.kind {
        case .lww: break
        case .clockBound:
            try observe(record)
            clock.raiseBound(to: record.millis)
            return
        case .orAdd, .orRemove, .counter: throw PartitionError(code: .unsupportedKind)
        }
        let keyHash = KeyHash.of(record.key)
        let partition = PartitionID(hash: keyHash).index
        guard partitions.states[partition].isHosted else { throw PartitionError(code: .notHosted) }
        guard record.key.count <= PartitionLimits.keyBytesMax, record.tail.count <= PartitionLimits.tailBytesMax,
            record.value.count <= 1 << 30
        else { throw PartitionError(code: .tooLarge) }
        guard record.value.count > 0, record.ttlMillis >= 0, record.ttlMillis <= PartitionLimits.ttlMillisMax else {
            throw PartitionError(code: .malformed)
        }
        try observe(record)
        let map = try loadedMap(record)
        let node = try loadedNode(record.node)
        try rememberOrigin(of: record, map: map, node: node, partition: partition, keyHash: keyHash)
        let incoming = Incoming(
            hash: hasher.hash(record.key, salt: map), keyHash: keyHash, map: map, node: node, counter: record.counter,
            millis: record.millis, ttlMillis: record.ttlMillis, kind: record.kind.rawValue, key: record.key,
            tail: record.tail, value: record.value)
        let place = partitions.states[partition].table.find(hash: incoming.hash, map: map, key: record.key)
        if place.isFound, let stored = partitions.states[partition].table.block(at: place.slot),
            !replaces(incoming, stored)
        {
            return
        }
        _ = put(incoming, at: place, in: partition, isLimited: false)
    }

    /// Whether a loaded record takes the place of a stored one: by stamp, then value, lifetime and tail.
    private func replaces(_ incoming: Incoming, _ stored: RecordBlock) -> Bool {
        switch compareVersions(incoming, stored) {
        case .newer: return true
        case .older: return false
        case .same: break
        }
        let order = VersionOrder.compareContent(
            value: incoming.value, ttlMillis: incoming.ttlMillis, to: stored.value, stored.ttlMillis)
        switch order {
        case .newer: return true
        case .older: return false
        case .same: return VersionOrder.compare(bytes: incoming.tail, to: stored.tail) == .newer
        }
    }

    private func observe(_ record: StoredRecord) throws(PartitionError) {
        guard record.millis >= 0, record.millis <= ModelLimits.millisMax else { throw PartitionError(code: .malformed) }
        observeStored(millis: record.millis, counter: record.counter)
    }

    /// Keeps the clock above a stamp that is stored here: a stamp that we give out wins over every record there is.
    func observeStored(millis: Int64, counter: UInt32) {
        guard millis > clock.millis || millis == clock.millis && counter > clock.counter else { return }
        do {
            try clock.observe(millis: millis, counter: counter, wallMillis: 0, from: .trusted)
        } catch {
            preconditionFailure("a stamp in range is trusted")
        }
    }

    private func loadedMap(_ record: StoredRecord) throws(PartitionError) -> UInt32 {
        if maps.isMap(passes.lastMap, named: record.map, in: record.nameSpace) { return passes.lastMap }
        let map = try intern(map: record.map, in: record.nameSpace, limit: Int(Int32.max)).get()
        passes.lastMap = map
        return map
    }

    private func loadedNode(_ name: UnsafeRawBufferPointer) throws(PartitionError) -> UInt32 {
        if nodes.isName(name, at: passes.lastNode) { return passes.lastNode }
        let node = try intern(node: name, limit: Int(Int32.max)).get()
        passes.lastNode = node
        return node
    }

    private func rememberOrigin(
        of record: StoredRecord, map: UInt32, node: UInt32, partition: Int, keyHash: UInt32
    ) throws(PartitionError) {
        guard record.tail.count > 0, let origin = RestampMemory.originStamp(inTail: record.tail) else { return }
        let originNode = try intern(node: origin.node, limit: Int(Int32.max)).get()
        restamps.remember(
            .init(
                map: map, key: ByteString(copying: record.key), node: originNode, millis: origin.millis,
                counter: origin.counter),
            as: .init(millis: record.millis, counter: record.counter, node: node), partition: partition,
            keyHash: keyHash)
        markRestamped(originNode)
    }
}
