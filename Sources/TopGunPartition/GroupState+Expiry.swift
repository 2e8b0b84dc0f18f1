import TopGunModel

// The end of lifetimes: hidden at once, a tombstone after the grace (protocol.md 9.4).

extension GroupState {
    /// Turns records whose lifetime and grace are over into tombstones, oldest first, and looks at no more than `limit`;
    /// the effects are the ordinary ones, their author is 0. Returns how many it turned; whether there are more,
    /// ``nextExpiryMillis`` says. Also forgets replaced stamps beyond the horizon.
    ///
    /// Records of a partition that is not open wait until it is: what is loaded next may be a later write of theirs.
    @discardableResult
    package func expire(wallMillis: Int64, limit: Int) -> Int {
        restamps.expire(olderThan: wallMillis &- limits.clientHorizonMillis)
        var (turned, looked) = (0, 0)
        while looked < limit, let next = expiry.next, next.due &+ limits.expiryGraceMillis < wallMillis,
            let entry = expiry.popFirst()
        {
            looked += 1
            guard partitions.states[entry.partition].isOpen else {
                expiry.hold(entry)
                continue
            }
            guard let block = scheduledBlock(entry) else { continue }
            let end = block.millis + block.ttlMillis
            guard end == entry.due else {
                // It was written again with a later end.
                block.due = end
                expiry.schedule(due: end, partition: entry.partition, hash: entry.hash)
                continue
            }
            bury(block, in: entry.partition, hash: entry.hash, at: end, wallMillis: wallMillis)
            turned += 1
        }
        if expiry.needsSweep { expiry.sweep { scheduledBlock($0) != nil } }
        return turned
    }

    /// When `expire` has something to do next; may be early, never late.
    package var nextExpiryMillis: Int64? {
        expiry.next.map { $0.due &+ limits.expiryGraceMillis &+ 1 }
    }

    /// Entries of the queue, for bounds to be watched.
    package var expiryQueueCount: Int { expiry.count }

    /// The record that an entry of the queue counts for.
    private func scheduledBlock(_ entry: ExpiryQueue.Entry) -> RecordBlock? {
        partitions.states[entry.partition].table.firstBlock(hash: entry.hash) {
            $0.due == entry.due && hasher.hash($0.key, salt: $0.map) == entry.hash
        }
    }

    /// The tombstone of an expired record: at the end of its lifetime, by this node, so that it beats the record and
    /// nothing that is newer.
    private func bury(_ block: RecordBlock, in partition: Int, hash: UInt64, at end: Int64, wallMillis: Int64) {
        // The block may move, so its key is copied first.
        scratch.removeAll()
        scratch.append(block.key)
        let key = scratch.bytes
        Payload.tombstone.bytes.withUnsafeBytes { removal in
            #if MUTANTS
            let end = Mutant.expiryStampsNow.isOn ? wallMillis : end
            #endif
            let incoming = Incoming(
                hash: hash, keyHash: block.keyHash, map: block.map, node: ownNode, counter: 0, millis: end,
                ttlMillis: 0,
                kind: StoredRecord.Kind.lww.rawValue, key: key, tail: UnsafeRawBufferPointer(start: nil, count: 0),
                value: removal)
            let place = partitions.states[partition].table.find(hash: hash, map: block.map, key: key)
            let isAccepted = accept(incoming, at: place, in: partition, author: 0, wallMillis: wallMillis)
            precondition(isAccepted, "a removal of a stored record is always taken")
        }
        // Within the wall now, but the wall may go back, and then no stamp of ours may be older than this one.
        observeStored(millis: end, counter: 0)
    }
}
