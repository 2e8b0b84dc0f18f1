import TopGunModel

/// One record in memory: a pointer to one block that holds header, key and value.
///
/// ```
///  0 millis i64 | 8 counter u32 | 12 node index u32 | 16 key hash u32 | 20 map id u32
/// 24 value length u32 | 28 block length u32 | 32 place in the leaf u32 | 36 mixed leaf item u32
/// 40 key length u16 | 42 tail length u16 | 44 kind u8 | 45 flags u8 | 46 seal of the lengths, kind and flags u16
/// 48 key, [lifetime i64, due i64], tail, value
/// ```
///
/// A handle without ownership: the table frees blocks. The lengths in the header are the only truth about what may be
/// read, so every accessor goes through them.
struct RecordBlock {
    let base: UnsafeMutableRawPointer

    static let headerBytes = 48
    static let lifetimeBytes = 16
    /// What the allocator adds to a block.
    static let allocatorBytes = 8
    /// `due` of a record that the expiry queue has no entry for.
    static let notDue = Int64.max

    private static let hasLifetime: UInt8 = 1

    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    /// Bytes of a block for these parts, rounded to what the allocator would hand out anyway.
    @inline(__always)
    static func bytes(key: Int, lifetime: Bool, tail: Int, value: Int) -> Int {
        let needed = headerBytes &+ key &+ (lifetime ? lifetimeBytes : 0) &+ tail &+ value
        return ((needed &+ allocatorBytes &+ 15) & ~15) &- allocatorBytes
    }

    static func allocate(bytes: Int) -> RecordBlock {
        let base = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 16)
        precondition(UInt(bitPattern: base) >> 48 == 0, "a slot has 48 bits for the address of a block")
        let block = RecordBlock(base)
        base.storeBytes(of: UInt32(truncatingIfNeeded: bytes), toByteOffset: 28, as: UInt32.self)
        return block
    }

    func deallocate() {
        base.deallocate()
    }
}

// MARK: - Header

extension RecordBlock {
    @inline(__always) var millis: Int64 { base.load(as: Int64.self) }
    @inline(__always) var counter: UInt32 { base.load(fromByteOffset: 8, as: UInt32.self) }
    @inline(__always) var node: UInt32 { base.load(fromByteOffset: 12, as: UInt32.self) }
    @inline(__always) var keyHash: UInt32 { base.load(fromByteOffset: 16, as: UInt32.self) }
    @inline(__always) var map: UInt32 { base.load(fromByteOffset: 20, as: UInt32.self) }
    @inline(__always) var valueBytes: Int { Int(base.load(fromByteOffset: 24, as: UInt32.self)) }
    @inline(__always) var blockBytes: Int { Int(base.load(fromByteOffset: 28, as: UInt32.self)) }
    @inline(__always) var keyBytes: Int { Int(base.load(fromByteOffset: 40, as: UInt16.self)) }
    @inline(__always) var tailBytes: Int { Int(base.load(fromByteOffset: 42, as: UInt16.self)) }
    @inline(__always) var kind: UInt8 { base.load(fromByteOffset: 44, as: UInt8.self) }
    @inline(__always) private var flags: UInt8 { base.load(fromByteOffset: 45, as: UInt8.self) }

    @inline(__always) var leafPlace: Int {
        get { Int(base.load(fromByteOffset: 32, as: UInt32.self)) }
        nonmutating set { base.storeBytes(of: UInt32(truncatingIfNeeded: newValue), toByteOffset: 32, as: UInt32.self) }
    }
    @inline(__always) var leafItem: UInt32 {
        get { base.load(fromByteOffset: 36, as: UInt32.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: 36, as: UInt32.self) }
    }

    @inline(__always) private var afterKey: Int { Self.headerBytes &+ keyBytes }
    @inline(__always) private var afterLifetime: Int { afterKey &+ (hasLifetime ? Self.lifetimeBytes : 0) }

    @inline(__always) var key: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + Self.headerBytes, count: keyBytes)
    }
    @inline(__always) var tail: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + afterLifetime, count: tailBytes)
    }
    @inline(__always) var value: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base + (afterLifetime &+ tailBytes), count: valueBytes)
    }
    @inline(__always) var isTombstone: Bool {
        valueBytes == 1 && value[0] == 0xc0
    }

    @inline(__always) var hasLifetime: Bool { flags & Self.hasLifetime != 0 }

    /// Whether lengths, kind and flags are those that were written together.
    var isSealed: Bool {
        base.load(fromByteOffset: 46, as: UInt16.self)
            == Self.seal(
                value: valueBytes, block: blockBytes, key: keyBytes, tail: tailBytes, kind: kind, flags: flags)
    }

    /// A word that changes with any bit of what decides which bytes are read.
    @inline(__always)
    private static func seal(value: Int, block: Int, key: Int, tail: Int, kind: UInt8, flags: UInt8) -> UInt16 {
        let lengths = UInt64(truncatingIfNeeded: value) | UInt64(truncatingIfNeeded: block) &<< 32
        let rest =
            UInt64(truncatingIfNeeded: key) | UInt64(truncatingIfNeeded: tail) &<< 16 | UInt64(kind) &<< 32
            | UInt64(flags) &<< 40
        let product = (lengths ^ 0x9e37_79b9_7f4a_7c15).multipliedFullWidth(by: rest ^ 0xc2b2_ae3d_27d4_eb4f)
        let mixed = product.high ^ product.low
        return UInt16(truncatingIfNeeded: mixed ^ mixed &>> 16 ^ mixed &>> 32 ^ mixed &>> 48)
    }
    /// 0 where the record never expires.
    @inline(__always) var ttlMillis: Int64 {
        hasLifetime ? base.loadUnaligned(fromByteOffset: afterKey, as: Int64.self) : 0
    }
    /// When the expiry queue looks at the record; ``notDue`` where it never does.
    @inline(__always) var due: Int64 {
        get { hasLifetime ? base.loadUnaligned(fromByteOffset: afterKey &+ 8, as: Int64.self) : Self.notDue }
        nonmutating set {
            precondition(hasLifetime, "only a record with a lifetime can be due")
            base.storeBytes(of: newValue, toByteOffset: afterKey &+ 8, as: Int64.self)
        }
    }
}

// MARK: - Writing

extension RecordBlock {
    /// Writes everything but the place in the leaf; the block must be long enough. No part of `record` may
    /// point into it.
    @inline(__always)
    func write(_ record: Incoming, due: Int64) {
        base.storeBytes(of: record.millis, as: Int64.self)
        base.storeBytes(of: record.counter, toByteOffset: 8, as: UInt32.self)
        base.storeBytes(of: record.node, toByteOffset: 12, as: UInt32.self)
        base.storeBytes(of: record.keyHash, toByteOffset: 16, as: UInt32.self)
        base.storeBytes(of: record.map, toByteOffset: 20, as: UInt32.self)
        base.storeBytes(of: UInt32(truncatingIfNeeded: record.value.count), toByteOffset: 24, as: UInt32.self)
        base.storeBytes(of: UInt16(truncatingIfNeeded: record.key.count), toByteOffset: 40, as: UInt16.self)
        base.storeBytes(of: UInt16(truncatingIfNeeded: record.tail.count), toByteOffset: 42, as: UInt16.self)
        base.storeBytes(of: record.kind, toByteOffset: 44, as: UInt8.self)
        let lives = record.ttlMillis > 0
        let flags = lives ? Self.hasLifetime : 0
        base.storeBytes(of: flags, toByteOffset: 45, as: UInt8.self)
        let seal = Self.seal(
            value: record.value.count, block: blockBytes, key: record.key.count, tail: record.tail.count,
            kind: record.kind, flags: flags)
        base.storeBytes(of: seal, toByteOffset: 46, as: UInt16.self)
        var offset = Self.headerBytes
        copy(record.key, to: &offset)
        if lives {
            base.storeBytes(of: record.ttlMillis, toByteOffset: offset, as: Int64.self)
            base.storeBytes(of: due, toByteOffset: offset &+ 8, as: Int64.self)
            offset &+= Self.lifetimeBytes
        }
        copy(record.tail, to: &offset)
        #if MUTANTS
        if Mutant.overwriteKeepsTail.isOn, record.value.count > 40 {
            copy(UnsafeRawBufferPointer(rebasing: record.value.prefix(40)), to: &offset)
            return
        }
        #endif
        copy(record.value, to: &offset)
        assert(offset <= blockBytes)
    }

    @inline(__always)
    private func copy(_ bytes: UnsafeRawBufferPointer, to offset: inout Int) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        (base + offset).copyMemory(from: source, byteCount: bytes.count)
        offset &+= bytes.count
    }
}

/// A record on its way into a table: what is to be stored, as views.
struct Incoming {
    var hash: UInt64
    var keyHash: UInt32
    var map: UInt32
    var node: UInt32
    var counter: UInt32
    var millis: Int64
    var ttlMillis: Int64
    var kind: UInt8
    var key: UnsafeRawBufferPointer
    var tail: UnsafeRawBufferPointer
    var value: UnsafeRawBufferPointer
    /// Its mixed Merkle item, where that was taken ahead; 0 means that it was not.
    var mixed: UInt32 = 0

    @inline(__always) var isTombstone: Bool { value.count == 1 && value[0] == 0xc0 }
}
