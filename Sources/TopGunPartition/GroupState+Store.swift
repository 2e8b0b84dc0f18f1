import TopGunModel

// The one way into the tables, and what a change leaves behind in log and lists.

extension GroupState {
    /// Stores, logs and publishes a record that wins; `false`, and nothing has happened, if there is no room for it.
    @inline(__always)
    func accept(
        _ incoming: Incoming, at place: RecordTable.Place, in partition: Int, author: UInt64, wallMillis: Int64
    ) -> Bool {
        let hasSubscriptions = maps.cells[Int(incoming.map)].subscriptions > 0
        if hasSubscriptions { noteOldMatches(incoming.map, at: place, in: partition, wallMillis: wallMillis) }
        guard put(incoming, at: place, in: partition, isLimited: true) else { return false }
        partitions.states[partition].isLogged = true
        let offset = log.count
        RecordWriter.append(
            incoming, nameSpace: maps.nameSpace(incoming.map), map: maps.name(incoming.map), node: nodes[incoming.node],
            to: log)
        if maps.cells[Int(incoming.map)].watchers > 0 {
            changes.append(Change(map: MapID(incoming.map), offset: offset, author: author))
        }
        if hasSubscriptions { noteQueryChanges(incoming, offset: offset, wallMillis: wallMillis) }
        return true
    }

    /// Writes a record over the one at `place` or into the table; `false` if it is limited and there is no room for it.
    @inline(__always)
    func put(_ incoming: Incoming, at place: RecordTable.Place, in partition: Int, isLimited: Bool) -> Bool {
        guard place.isFound, let stored = partitions.states[partition].table.block(at: place.slot) else {
            return insert(incoming, at: place, in: partition, isLimited: isLimited)
        }
        let needed = RecordBlock.bytes(
            key: incoming.key.count, lifetime: incoming.ttlMillis > 0, tail: incoming.tail.count,
            value: incoming.value.count)
        let storedBytes = stored.blockBytes
        let cell = maps.cells + Int(incoming.map)
        let live = (incoming.isTombstone ? 0 : 1) &- (stored.isTombstone ? 0 : 1)
        let (oldPlace, oldMixed) = (stored.leafPlace, stored.leafItem)
        var block = stored
        if needed > storedBytes || needed &* 2 < storedBytes && storedBytes > 128 {
            guard let moved = move(incoming, needed: needed, from: stored, isLimited: isLimited) else { return false }
            block = moved
            partitions.states[partition].table.replace(block, at: place.slot, hash: incoming.hash)
            partitions.states[partition].bytes &+= block.blockBytes &- storedBytes
            cell.pointee.bytes &+= block.blockBytes &- storedBytes
        }
        let due =
            incoming.ttlMillis > 0 || stored.hasLifetime
            ? due(incoming, in: partition, replacing: stored.due) : RecordBlock.notDue
        block.write(incoming, due: due)
        let hasMoved = block.base != stored.base
        if hasMoved { stored.deallocate() }
        if live != 0 {
            partitions.states[partition].liveRecords &+= live
            cell.pointee.liveRecords &+= live
        }
        if Int(cell.pointee.leavesBuilt) > partition, let leaves = cell.pointee.leaves {
            let isInPlace = leaves.update(
                block, mixed: mixedItem(incoming), oldMixed: oldMixed, oldBytes: storedBytes, place: oldPlace,
                movedFrom: hasMoved ? stored.base : nil, revision: cell.pointee.revision)
            if !isInPlace {
                // The leaf still has the block that is gone.
                noteBroken(partition, .leaf)
                releaseLeaves(of: MapID(incoming.map))
            }
        }
        return true
    }

    @inline(__always)
    private func mixedItem(_ incoming: Incoming) -> UInt32 {
        if incoming.mixed != 0 { return incoming.mixed }
        return LeafItem.mixed(
            keyHash: incoming.keyHash, key: incoming.key, millis: incoming.millis, counter: incoming.counter,
            node: nodes[incoming.node])
    }

    /// A block of another length for a stored record. One that grows gets an eighth more, as it will likely grow again.
    @inline(never)
    private func move(
        _ incoming: Incoming, needed: Int, from stored: RecordBlock, isLimited: Bool
    ) -> RecordBlock? {
        let isGrowing = needed > stored.blockBytes
        let slack = isGrowing ? incoming.value.count / 8 : 0
        let bytes = RecordBlock.bytes(
            key: incoming.key.count, lifetime: incoming.ttlMillis > 0, tail: incoming.tail.count,
            value: incoming.value.count &+ slack)
        let more = bytes &- stored.blockBytes
        if isLimited, isGrowing, !incoming.isTombstone, memoryBytes &+ more > limits.memoryBytesMax { return nil }
        recordMemoryBytes &+= more
        return .allocate(bytes: bytes)
    }

    @inline(never)
    private func insert(
        _ incoming: Incoming, at place: RecordTable.Place, in partition: Int, isLimited: Bool
    ) -> Bool {
        let bytes = RecordBlock.bytes(
            key: incoming.key.count, lifetime: incoming.ttlMillis > 0, tail: incoming.tail.count,
            value: incoming.value.count)
        let state = partitions.states + partition
        let more = bytes &+ RecordBlock.allocatorBytes &+ state.pointee.table.bytesOfNextInsertion
        if isLimited {
            guard recordCount < limits.recordsMax, memoryBytes &+ more <= limits.memoryBytesMax else { return false }
        }
        let block = RecordBlock.allocate(bytes: bytes)
        let due =
            incoming.ttlMillis > 0 ? due(incoming, in: partition, replacing: RecordBlock.notDue) : RecordBlock.notDue
        block.write(incoming, due: due)
        state.pointee.table.insert(block, hash: incoming.hash, at: place, hasher: hasher)
        recordMemoryBytes &+= more
        recordCount &+= 1
        let live = incoming.isTombstone ? 0 : 1
        state.pointee.bytes &+= bytes
        state.pointee.liveRecords &+= live
        let cell = maps.cells + Int(incoming.map)
        cell.pointee.records &+= 1
        cell.pointee.bytes &+= bytes
        cell.pointee.liveRecords &+= live
        if Int(cell.pointee.leavesBuilt) > partition, let leaves = cell.pointee.leaves {
            leaves.add(block, mixed: mixedItem(incoming), revision: cell.pointee.revision)
        }
        return true
    }

    /// When the expiry queue is to look at a record that is stored in place of one with that `due`.
    @inline(never)
    private func due(_ incoming: Incoming, in partition: Int, replacing old: Int64) -> Int64 {
        guard incoming.ttlMillis > 0, !incoming.isTombstone else {
            if old != RecordBlock.notDue { expiry.scheduled -= 1 }
            return RecordBlock.notDue
        }
        let end = incoming.millis + incoming.ttlMillis
        if old <= end { return old }
        if old == RecordBlock.notDue { expiry.scheduled += 1 }
        expiry.schedule(due: end, partition: partition, hash: incoming.hash)
        return end
    }

    func view(_ block: RecordBlock) -> RecordView {
        RecordView(
            kind: StoredRecord.Kind(rawValue: block.kind) ?? .lww, map: MapID(block.map), key: block.key,
            value: block.value, millis: block.millis, counter: block.counter, node: nodes[block.node],
            ttlMillis: block.ttlMillis, tail: block.tail)
    }
}
