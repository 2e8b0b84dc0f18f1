package import TopGunModel

// Partitions as wholes: checkpoints, tearing down, opening.

extension GroupState {
    /// What a partition holds; `nil` if it belongs to another group.
    package func summary(of partition: PartitionID) -> PartitionSummary? {
        let state = partitions.states[partition.index]
        guard state.isHosted else { return nil }
        return PartitionSummary(
            records: state.table.count, liveRecords: state.liveRecords, bytes: state.bytes, isOpen: state.isOpen)
    }

    /// Forgets all records of a partition and closes it: operations are answered `NOT_READY` while `load` fills it again.
    ///
    /// Its memory may be broken, so nothing that it says is believed: what is left in the group is counted anew, which
    /// costs a walk over all of its records.
    package func drop(_ partition: PartitionID) {
        let state = partitions.states + partition.index
        let table = state.pointee.table
        let bases = Set((0..<table.capacity).compactMap { table.block(at: $0)?.base })
        for map in 0..<maps.count {
            let cell = maps.cells + map
            guard Int(cell.pointee.leavesBuilt) > partition.index, let leaves = cell.pointee.leaves else { continue }
            leaves.remove(partition, bases)
            cell.pointee.leavesGeneration &+= 1
        }
        state.pointee.table.removeAll()
        state.pointee.bytes = 0
        state.pointee.liveRecords = 0
        state.pointee.isOpen = false
        expiry.forget(partition: partition.index)
        restamps.forget(partition: partition.index)
        countAnew()
    }

    private func countAnew() {
        for map in 0..<maps.count {
            maps.cells[map].records = 0
            maps.cells[map].liveRecords = 0
            maps.cells[map].bytes = 0
        }
        (recordCount, recordMemoryBytes, expiry.scheduled) = (0, 0, 0)
        for partition in 0..<PartitionID.count where partitions.states[partition].isHosted {
            count(partitions.states + partition)
        }
    }

    private func count(_ state: UnsafeMutablePointer<PartitionState>) {
        let table = state.pointee.table
        var touched: UInt64 = 0
        defer { keepAlive(touched) }
        for slot in 0..<table.capacity {
            touched ^= table.touchAhead(of: slot)
            // One that makes no sense is broken as well, and will be found to be.
            guard let block = table.block(at: slot), block.hasFittingLengths, Int(block.map) < maps.count else {
                continue
            }
            if block.due != RecordBlock.notDue { expiry.scheduled += 1 }
            let cell = maps.cells + Int(block.map)
            cell.pointee.records += 1
            cell.pointee.liveRecords += block.isTombstone ? 0 : 1
            cell.pointee.bytes += block.blockBytes
        }
        recordCount += table.count
        recordMemoryBytes += state.pointee.bytes + table.count * RecordBlock.allocatorBytes + table.slotBytes
    }

    /// Takes operations again after `drop` and the loads.
    package func open(_ partition: PartitionID) {
        precondition(partitions.states[partition.index].isHosted, "the partition belongs to another group")
        partitions.states[partition.index].isOpen = true
        expiry.release(partition: partition.index)
    }
}

// MARK: - Checkpoints

extension GroupState {
    /// Appends records of a partition to `sink` until about `bytesLimit` bytes are in this slice, and returns where to go
    /// on; `nil` when through. Never misses a record that is there from the first slice to the last; may repeat some.
    /// A record that is broken is not appended: it ends the slices, and ``takeBroken()`` tells of it.
    ///
    /// Loading every slice gives back the records and the replaced stamps. A stamp whose record was overwritten since is
    /// written as a removal under the stamp that was assigned: it loses to the record that stands.
    package func slice(
        _ partition: PartitionID, from cursor: CheckpointCursor?, bytesLimit: Int, into sink: ByteSink
    ) -> CheckpointCursor? {
        let table = partitions.states[partition.index].table
        var at = cursor ?? CheckpointCursor(generation: table.generation, slot: 0, restamp: 0)
        let (sum, overflow) = sink.count.addingReportingOverflow(max(bytesLimit, 1))
        let end = overflow ? .max : sum
        if at.slot != .max {
            if at.generation != table.generation {
                at = CheckpointCursor(generation: table.generation, slot: 0, restamp: 0)
            }
            var touched: UInt64 = 0
            defer { keepAlive(touched) }
            while at.slot < table.capacity {
                guard sink.count < end else { return at }
                touched ^= table.touchAhead(of: at.slot)
                if let block = table.block(at: at.slot) {
                    if let breakage = breakage(of: block, at: at.slot, in: partition.index) {
                        noteBroken(partition.index, breakage)
                        return nil
                    }
                    append(block, to: sink)
                }
                at.slot += 1
            }
            at.slot = .max
        }
        while let pair = restamps.next(from: at.restamp, partition: partition.index) {
            guard sink.count < end else { return at }
            if !stands(pair) { append(pair, to: sink) }
            at.restamp = pair.sequence + 1
        }
        return nil
    }

    private func append(_ block: RecordBlock, to sink: ByteSink) {
        StoredRecord(
            kind: StoredRecord.Kind(rawValue: block.kind) ?? .lww, nameSpace: maps.nameSpace(block.map),
            map: maps.name(block.map), key: block.key, node: nodes[block.node], millis: block.millis,
            counter: block.counter, ttlMillis: block.ttlMillis, value: block.value, tail: block.tail
        ).append(to: sink)
    }

    /// Whether the record that a stamp was assigned to is the one that stands, so that its tail says it all.
    private func stands(_ pair: RestampMemory.Pair) -> Bool {
        pair.origin.key.bytes.withUnsafeBytes { key in
            guard let record = record(in: MapID(pair.origin.map), key: key, keyHash: pair.keyHash) else { return false }
            return record.millis == pair.assigned.millis && record.counter == pair.assigned.counter
                && VersionOrder.equal(record.node, nodes[pair.assigned.node])
        }
    }

    private func append(_ pair: RestampMemory.Pair, to sink: ByteSink) {
        scratch.removeAll()
        RestampMemory.appendTail(
            millis: pair.origin.millis, counter: pair.origin.counter, node: nodes[pair.origin.node], to: scratch)
        pair.origin.key.bytes.withUnsafeBytes { key in
            Payload.tombstone.bytes.withUnsafeBytes { removal in
                StoredRecord(
                    kind: .lww, nameSpace: maps.nameSpace(pair.origin.map), map: maps.name(pair.origin.map), key: key,
                    node: nodes[pair.assigned.node], millis: pair.assigned.millis, counter: pair.assigned.counter,
                    ttlMillis: 0, value: removal, tail: scratch.bytes
                ).append(to: sink)
            }
        }
    }
}
