package import TopGunModel

// Whether the memory of a group still says what was written there (promises.md D09).
//
// ```
//  slot ── tag, address ──► block ── lengths fit, numbers are known, the key's hashes lead here
//                             └── place, item ──► leaf ── sum, bytes and count are those of its records
// ```
//
// Whatever is said twice is compared. What is said once cannot be checked: a changed byte of a value goes unseen, and so
// does another stamp in a map that has no leaves. Nothing is followed before what it depends on was checked, but an address
// that leads nowhere ends the process like any other stray pointer.

/// What was found to be wrong.
package enum Breakage: UInt8, Error, Sendable {
    /// A slot holds what is no address of a block.
    case address
    /// A block says that it holds more, or less, than fits its length.
    case lengths
    /// A block names a map, a writer, a kind or a moment that there is not.
    case header
    /// The hashes of a block are not those of its key, or the key belongs elsewhere.
    case key
    /// A record cannot be found under its key.
    case unreachable
    /// A record and the Merkle leaf that it is in do not agree.
    case leaf
    /// The records are not as many, or not as large, as is said of them.
    case counts

    package var message: StaticString {
        switch self {
        case .address: "a slot of its table is no address"
        case .lengths: "the lengths of a record do not fit its block"
        case .header: "a record names what does not exist"
        case .key: "the hashes of a record are not those of its key"
        case .unreachable: "a record cannot be found under its key"
        case .leaf: "a record and its Merkle leaf do not agree"
        case .counts: "its records are not those that were counted"
        }
    }
}

/// How far a round of checks has come: tables first, then leaves.
package struct CheckCursor: Equatable, Sendable {
    /// A partition, or that many more for a map.
    var part = 0
    /// A slot of its table, or a leaf of its map.
    var position = 0
    var generation: UInt32 = 0

    package init() {}
}

/// What one call of ``GroupState/check(_:visits:)`` found.
package struct CheckFindings: Equatable, Sendable {
    /// A partition that must be torn down.
    package var broken: [PartitionID] = []
    package var breakage: [Breakage] = []
    /// Maps whose leaves were wrong and are gone; they are built anew when somebody asks.
    package var leavesReleased = 0
    /// Whether everything was looked at since the round began.
    package var isRoundDone = false

    package init() {}
}

extension GroupState {
    /// Looks at about `visits` slots and leaf entries, and moves the cursor on; stops at the end of a round and at the
    /// first partition that is broken. Partitions that are not open are passed over.
    package func check(_ cursor: inout CheckCursor, visits: Int) -> CheckFindings {
        var findings = CheckFindings()
        let visits = max(visits, 1)
        var left = visits
        while left > 0 {
            if cursor.part < PartitionID.count {
                // Counts are compared where one turn sees the whole table: one that does not fit any more is left to the next.
                let table = partitions.states[cursor.part].table
                if cursor.position == 0, table.capacity > left, left < visits { return findings }
                if let breakage = checkTable(&cursor, &left) {
                    findings.broken.append(PartitionID(cursor.part))
                    findings.breakage.append(breakage)
                    cursor = CheckCursor(after: cursor)
                    return findings
                }
            } else if cursor.part - PartitionID.count < maps.count {
                checkLeaves(&cursor, &left, &findings)
            } else {
                cursor = CheckCursor()
                findings.isRoundDone = true
                return findings
            }
        }
        return findings
    }
}

extension CheckCursor {
    /// The beginning of the next part.
    fileprivate init(after cursor: CheckCursor) {
        part = cursor.part + 1
    }
}

// MARK: - Tables

extension GroupState {
    private func checkTable(_ cursor: inout CheckCursor, _ left: inout Int) -> Breakage? {
        let state = partitions.states + cursor.part
        let table = state.pointee.table
        guard state.pointee.isOpen else {
            cursor = CheckCursor(after: cursor)
            return nil
        }
        if cursor.position > 0, cursor.generation != table.generation { cursor.position = 0 }
        cursor.generation = table.generation
        let isWhole = cursor.position == 0 && table.capacity <= left
        var tally = (records: 0, live: 0, bytes: 0)
        var touched: UInt64 = 0
        defer { keepAlive(touched) }
        while cursor.position < table.capacity {
            guard left > 0 else { return nil }
            left -= 1
            let slot = cursor.position
            touched ^= table.touchAhead(of: slot)
            guard table.isAddress(at: slot) else { return .address }
            if let block = table.block(at: slot) {
                if let breakage = breakage(of: block, at: slot, in: cursor.part) { return breakage }
                tally.records += 1
                tally.live += block.isTombstone ? 0 : 1
                tally.bytes += block.blockBytes
            }
            cursor.position += 1
        }
        // A partition costs something even if it is empty.
        left -= 1
        if isWhole,
            tally != (records: table.count, live: state.pointee.liveRecords, bytes: state.pointee.bytes)
        {
            return .counts
        }
        cursor = CheckCursor(after: cursor)
        return nil
    }

    /// What is wrong with the block in a slot of a partition's table, if anything.
    func breakage(of block: RecordBlock, at slot: Int, in partition: Int) -> Breakage? {
        guard block.hasFittingLengths else { return .lengths }
        guard Int(block.map) < maps.count, Int(block.node) < nodes.count,
            StoredRecord.Kind(rawValue: block.kind) == .lww, block.hasPlausibleTimes
        else { return .header }
        guard block.keyHash == KeyHash.of(block.key), PartitionID(hash: block.keyHash).index == partition else {
            return .key
        }
        let hash = hasher.hash(block.key, salt: block.map)
        guard partitions.states[partition].table.leads(from: hash, to: slot) else { return .unreachable }
        let cell = maps.cells + Int(block.map)
        if Int(cell.pointee.leavesBuilt) > partition, let leaves = cell.pointee.leaves {
            let item = LeafItem.mixed(
                keyHash: block.keyHash, key: block.key, millis: block.millis, counter: block.counter,
                node: nodes[block.node])
            guard block.leafItem == item, leaves.holds(block) else { return .leaf }
        }
        return nil
    }

    /// Notes that a partition is broken where that showed on the way of a write or a checkpoint.
    func noteBroken(_ partition: Int, _ breakage: Breakage) {
        if brokenPartition == nil { brokenPartition = (PartitionID(partition), breakage) }
    }

    /// Whether a partition showed to be broken on the way of a write or a checkpoint.
    package var hasBroken: Bool { brokenPartition != nil }

    /// Takes what showed since the last call.
    package func takeBroken() -> (PartitionID, Breakage)? {
        defer { brokenPartition = nil }
        return brokenPartition
    }
}

extension RecordBlock {
    /// Whether the parts fill the block as ``GroupState`` would have them: no more than it has room for, and no less than
    /// it would be replaced for.
    var hasFittingLengths: Bool {
        guard isSealed, (blockBytes + Self.allocatorBytes) % 16 == 0 else { return false }
        let needed = Self.bytes(key: keyBytes, lifetime: hasLifetime, tail: tailBytes, value: valueBytes)
        return valueBytes > 0 && needed <= blockBytes && (needed * 2 >= blockBytes || blockBytes <= 128)
    }

    var hasPlausibleTimes: Bool {
        guard millis >= 0, millis <= ModelLimits.millisMax else { return false }
        guard hasLifetime else { return true }
        guard ttlMillis > 0, ttlMillis <= PartitionLimits.ttlMillisMax else { return false }
        return due == Self.notDue || due <= millis + ttlMillis
    }
}

extension RecordTable {
    /// Whether a slot is empty or holds what may be the address of a block.
    func isAddress(at slot: Int) -> Bool {
        guard let slots else { return false }
        let entry = slots[slot]
        return entry == 0 || entry & 0xffff_ffff_fff0 != 0 && entry & 15 == 0
    }

    /// Whether `find` comes by a slot on its way from the home of a hash, and takes it for one with that hash.
    func leads(from hash: UInt64, to slot: Int) -> Bool {
        guard let slots, slots[slot] &>> 48 == hash & 0xffff else { return false }
        var at = home(hash)
        for _ in 0..<capacity {
            if at == slot { return true }
            if slots[at] == 0 { return false }
            at = at + 1 == capacity ? 0 : at + 1
        }
        return false
    }
}

// MARK: - Leaves

extension GroupState {
    private func checkLeaves(_ cursor: inout CheckCursor, _ left: inout Int, _ findings: inout CheckFindings) {
        let map = cursor.part - PartitionID.count
        let cell = maps.cells + map
        left -= 1
        // While they are being built, the tables' records in them are checked from there.
        guard let leaves = cell.pointee.leaves, Int(cell.pointee.leavesBuilt) == PartitionID.count else {
            cursor = CheckCursor(after: cursor)
            return
        }
        while cursor.position < ModelLimits.merkleLeafCount {
            guard left > 0 else { return }
            guard leaves.isRight(cursor.position) else {
                releaseLeaves(of: MapID(UInt32(map)))
                findings.leavesReleased += 1
                break
            }
            left -= leaves.count(of: cursor.position)
            cursor.position += 1
        }
        cursor = CheckCursor(after: cursor)
    }
}

extension LeafIndex {
    /// Whether a record is where it says to be.
    func holds(_ block: RecordBlock) -> Bool {
        let leaf = MerkleTree32.leaf(ofKeyHash: block.keyHash)
        return block.leafPlace < count(of: leaf) && self.block(of: leaf, at: block.leafPlace).base == block.base
    }

    /// Whether a leaf is what its records make of it.
    func isRight(_ leaf: Int) -> Bool {
        var (sum, bytes, place): (UInt32, Int, Int) = (0, 0, 0)
        var isInPlace = true
        forEachBlock(of: leaf) { block in
            sum = sum &+ block.leafItem
            bytes &+= block.blockBytes
            isInPlace = isInPlace && block.leafPlace == place && MerkleTree32.leaf(ofKeyHash: block.keyHash) == leaf
            place += 1
        }
        return isInPlace && sum == self.sum(of: leaf) && bytes == self.bytes(of: leaf)
    }
}
