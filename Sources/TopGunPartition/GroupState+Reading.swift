package import TopGunModel

// Maps, records and scans.

extension GroupState {
    func cell(of map: MapID) -> UnsafeMutablePointer<MapCell> {
        precondition(Int(map.rawValue) < maps.count, "a map id of another group")
        return maps.cells + Int(map.rawValue)
    }

    /// The id of a map, given out now if it has none.
    package func map(_ name: ByteString, in nameSpace: ByteString) throws(PartitionError) -> MapID {
        try name.bytes.withUnsafeBytes { name in
            nameSpace.bytes.withUnsafeBytes { intern(map: name, in: $0, limit: limits.mapsMax) }
        }.map { MapID($0) }.get()
    }

    /// The id of a map if it has one: a map that nobody wrote to has none.
    package func existingMap(_ name: ByteString, in nameSpace: ByteString) -> MapID? {
        name.bytes.withUnsafeBytes { name in
            nameSpace.bytes.withUnsafeBytes { maps.find(name, in: $0) }
        }.map { MapID($0) }
    }

    package func name(of map: MapID) -> (nameSpace: ByteString, name: ByteString) {
        _ = cell(of: map)
        return (ByteString(copying: maps.nameSpace(map.rawValue)), ByteString(copying: maps.name(map.rawValue)))
    }

    package func summary(of map: MapID) -> MapSummary {
        let cell = cell(of: map)
        return MapSummary(
            records: cell.pointee.records, liveRecords: cell.pointee.liveRecords, bytes: cell.pointee.bytes)
    }

    /// How many maps there are; their ids are `0 ..< mapCount`.
    package var mapCount: Int { maps.count }

    /// How many writers have a number.
    package var nodeCount: Int { nodes.count }

    /// The record of a key, tombstones and expired ones included.
    package func record(in map: MapID, key: UnsafeRawBufferPointer, keyHash: UInt32) -> RecordView? {
        let table = partitions.states[PartitionID(hash: keyHash).index].table
        let place = table.find(hash: hasher.hash(key, salt: map.rawValue), map: map.rawValue, key: key)
        return place.isFound ? table.block(at: place.slot).map { view($0) } : nil
    }
}

// MARK: - Scans

extension GroupState {
    /// Visits records that a reader sees, about `visits` table entries per call, and returns where to go on; `nil` when
    /// through. A key that is there from the first call to the last is seen at least once, possibly more often: a caller
    /// that slices and cares keeps what it saw. In one call nothing is seen twice. The order means nothing. The call ends
    /// with the first record for which `body` says that it is the last for now.
    ///
    /// Costs as much as the map has records where its leaves are built, else as much as the group has.
    package func scan(
        _ map: MapID, from cursor: ScanCursor?, visits: Int, wallMillis: Int64, _ body: (RecordView) -> Bool
    ) -> ScanCursor? {
        let cell = cell(of: map)
        let isCovered = Int(cell.pointee.leavesBuilt) == PartitionID.count
        let overLeaves = cursor.map { $0.overLeaves } ?? isCovered
        if overLeaves, isCovered, let leaves = cell.pointee.leaves {
            return scanLeaves(leaves, cell.pointee.leavesGeneration, cursor, visits: visits, wallMillis, body)
        }
        // Where the leaves went away in the middle of a scan over them, it starts again over the tables.
        return scanTables(map, overLeaves ? nil : cursor, visits: visits, wallMillis, body)
    }

    private func scanLeaves(
        _ leaves: LeafIndex, _ generation: UInt32, _ cursor: ScanCursor?, visits: Int, _ wallMillis: Int64,
        _ body: (RecordView) -> Bool
    ) -> ScanCursor? {
        var at = ScanCursor(part: 0, position: 0, generation: generation, overLeaves: true)
        if let cursor, cursor.generation == generation { at = cursor }
        var left = max(visits, 1)
        while at.part < ModelLimits.merkleLeafCount {
            let count = leaves.count(of: at.part)
            while at.position < count {
                guard left > 0 else { return at }
                let isLast = visit(leaves.block(of: at.part, at: at.position), wallMillis, body)
                at.position += 1
                left = isLast ? 0 : left - 1
            }
            at.part += 1
            at.position = 0
        }
        return nil
    }

    private func scanTables(
        _ map: MapID, _ cursor: ScanCursor?, visits: Int, _ wallMillis: Int64, _ body: (RecordView) -> Bool
    ) -> ScanCursor? {
        var at = cursor ?? ScanCursor(part: 0, position: 0, generation: 0, overLeaves: false)
        var isFirst = cursor != nil
        var left = max(visits, 1)
        var touched: UInt64 = 0
        defer { keepAlive(touched) }
        while at.part < PartitionID.count {
            let table = partitions.states[at.part].table
            // A table that grew or was dropped meanwhile has its records elsewhere: the partition starts again.
            if !isFirst || at.generation != table.generation { at.position = 0 }
            isFirst = false
            at.generation = table.generation
            while at.position < table.capacity {
                guard left > 0 else { return at }
                touched ^= table.touchAhead(of: at.position)
                var isLast = false
                if let block = table.block(at: at.position), block.map == map.rawValue {
                    isLast = visit(block, wallMillis, body)
                }
                at.position += 1
                left = isLast ? 0 : left - 1
            }
            at.part += 1
        }
        return nil
    }

    private func visit(_ block: RecordBlock, _ wallMillis: Int64, _ body: (RecordView) -> Bool) -> Bool {
        let record = view(block)
        return record.isVisible(wallMillis: wallMillis) && body(record)
    }
}
