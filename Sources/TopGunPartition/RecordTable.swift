/// The records of one partition by (map, key): open addressing over 64-bit slots.
///
/// ```
///  slot   tag (16 bits of the hash) | address of the block (48 bits)      0 = empty
///  home   hash · capacity / 2^64: any capacity will do, so the table grows by half
/// ```
///
/// Linear probing at a load of at most three quarters. Records are never taken out one by one (a removal is a record),
/// so a slot keeps its record until the table grows; `generation` counts those moments. A plain struct of pointers:
/// whoever holds it calls ``removeAll()`` at the end.
struct RecordTable {
    private(set) var slots: UnsafeMutablePointer<UInt64>?
    private(set) var capacity = 0
    private(set) var count = 0
    private(set) var generation: UInt32 = 0

    private static let addressMask: UInt64 = 0xffff_ffff_ffff
    private static let capacityMin = 16

    /// Where a key is or would go.
    struct Place {
        var slot: Int
        var isFound: Bool
    }

    var slotBytes: Int { capacity &* 8 }

    @inline(__always)
    func home(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: ((hash &>> 32) &* UInt64(truncatingIfNeeded: capacity)) &>> 32)
    }

    @inline(__always)
    private static func tag(_ hash: UInt64) -> UInt64 { hash & 0xffff }

    /// The block in a slot, if any.
    @inline(__always)
    func block(at slot: Int) -> RecordBlock? {
        guard let slots else { return nil }
        assert(slot >= 0 && slot < capacity)
        return Self.block(slots[slot])
    }

    @inline(__always)
    private static func block(_ slot: UInt64) -> RecordBlock? {
        guard let base = UnsafeMutableRawPointer(bitPattern: UInt(truncatingIfNeeded: slot & addressMask)) else {
            return nil
        }
        return RecordBlock(base)
    }

    @inline(__always)
    func find(hash: UInt64, map: UInt32, key: UnsafeRawBufferPointer) -> Place {
        guard let slots else { return Place(slot: -1, isFound: false) }
        let tag = Self.tag(hash)
        var slot = home(hash)
        while true {
            let entry = slots[slot]
            guard let block = Self.block(entry) else { return Place(slot: slot, isFound: false) }
            if entry &>> 48 == tag, block.map == map, block.keyBytes == key.count,
                key.count == 0 || sameBytes(block.base + RecordBlock.headerBytes, key.baseAddress!, key.count)
            {
                return Place(slot: slot, isFound: true)
            }
            slot &+= 1
            if slot == capacity { slot = 0 }
        }
    }

    /// The first block with that hash for which `isWanted` holds.
    func firstBlock(hash: UInt64, where isWanted: (RecordBlock) -> Bool) -> RecordBlock? {
        guard let slots else { return nil }
        var slot = home(hash)
        while let block = Self.block(slots[slot]) {
            if slots[slot] &>> 48 == Self.tag(hash), isWanted(block) { return block }
            slot &+= 1
            if slot == capacity { slot = 0 }
        }
        return nil
    }

    /// Puts another block in place of the one in the slot.
    @inline(__always)
    func replace(_ block: RecordBlock, at slot: Int, hash: UInt64) {
        slots![slot] = Self.tag(hash) &<< 48 | UInt64(UInt(bitPattern: block.base))
    }

    /// Puts a new block where `find` said it would go; the table may grow first, which needs the hash of each key again.
    mutating func insert(_ block: RecordBlock, hash: UInt64, at place: Place, hasher: SeededHash) {
        var slot = place.slot
        if (count &+ 1) &* 4 > capacity &* 3 {
            grow(hasher: hasher)
            slot = freeSlot(hash)
        }
        replace(block, at: slot, hash: hash)
        count &+= 1
    }

    /// How many more bytes of slots the next insertion takes.
    var bytesOfNextInsertion: Int { (count &+ 1) &* 4 > capacity &* 3 ? (grownCapacity &- capacity) &* 8 : 0 }

    /// Frees all blocks and the slots. What is no address is left alone.
    mutating func removeAll() {
        guard let slots else { return }
        for slot in 0..<capacity where isAddress(at: slot) { Self.block(slots[slot])?.deallocate() }
        slots.deallocate()
        self.slots = nil
        capacity = 0
        count = 0
        generation &+= 1
    }
}

// MARK: - Touching ahead of use

extension RecordTable {
    /// Reads the home slot of a hash, so that it is in the cache when `find` comes; the result only keeps the read alive.
    @inline(__always)
    func touchSlot(_ hash: UInt64) -> UInt64 {
        guard let slots else { return 0 }
        return slots[home(hash)]
    }

    /// The block that a key probably has: the first with its tag. Meant for touching, not for use.
    @inline(__always)
    func likelyBlock(_ hash: UInt64) -> RecordBlock? {
        guard let slots else { return nil }
        let tag = Self.tag(hash)
        var slot = home(hash)
        while true {
            let entry = slots[slot]
            if entry == 0 { return nil }
            if entry &>> 48 == tag { return Self.block(entry) }
            slot &+= 1
            if slot == capacity { slot = 0 }
        }
    }

    /// Reads the first line of the block a few slots ahead of a walk.
    @inline(__always)
    func touchAhead(of slot: Int) -> UInt64 {
        guard let slots, slot &+ 16 < capacity, let block = Self.block(slots[slot &+ 16]) else { return 0 }
        return UInt64(truncatingIfNeeded: block.millis)
    }
}

// MARK: - Growing

extension RecordTable {
    private var grownCapacity: Int {
        capacity < 64 ? max(Self.capacityMin, capacity &* 2) : (capacity &+ capacity / 2 &+ 7) & ~7
    }

    private func freeSlot(_ hash: UInt64) -> Int {
        var slot = home(hash)
        while slots![slot] != 0 {
            slot &+= 1
            if slot == capacity { slot = 0 }
        }
        return slot
    }

    private mutating func grow(hasher: SeededHash) {
        let (old, oldCapacity) = (slots, capacity)
        capacity = grownCapacity
        precondition(capacity <= 1 << 32, "the home of a hash is found with 32 bits")
        let grown = UnsafeMutablePointer<UInt64>.allocate(capacity: capacity)
        grown.initialize(repeating: 0, count: capacity)
        slots = grown
        generation &+= 1
        guard let old else { return }
        var touched: UInt64 = 0
        for slot in 0..<oldCapacity {
            if slot + 16 < oldCapacity, let ahead = Self.block(old[slot + 16]) {
                touched ^= UInt64(truncatingIfNeeded: ahead.millis)
            }
            guard let block = Self.block(old[slot]) else { continue }
            let hash = hasher.hash(block.key, salt: block.map)
            replace(block, at: freeSlot(hash), hash: hash)
        }
        keepAlive(touched)
        old.deallocate()
    }
}

/// Takes the result of touching memory, so that the reads are not optimised away.
@_optimize(none)
func keepAlive(_ touched: UInt64) {
    withExtendedLifetime(touched) {}
}
