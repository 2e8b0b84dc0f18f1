import TopGunModel

/// What stands before the records of one group in a log segment, or of one slice in a checkpoint.
///
/// ```
///    0  u32 magic          4  u32 payload bytes      8  u64 number (segment sequence, partition)
///   16  i64 position      24  i64 durable before    32  i64 clock bound
///   40  5 x u64 partitions                          80  u64 checksum of the payload
///   88  u64 header checksum of the group before     96  u64 checksum of all above
///  104  payload, zero-padded to 8 bytes
/// ```
///
/// The number keeps an earlier use of a recycled file apart; the position says where the group must stand; both checksums
/// take a secret of the data directory into every step, so that no client can write a value that looks like a group, nor
/// one behind which damage is not seen. Therefore a header found by looking for one is believed, even where the group
/// before it cannot be read.
struct GroupHeader: Sendable {
    var payloadBytes: Int
    var number: UInt64
    var position: LogPosition
    /// Everything before this was on disk when the group was written: damage there is no torn tail.
    var durableBefore: LogPosition
    var clockBound: Int64
    var partitions: PartitionSet
    var payloadChecksum: UInt64
    var chain: UInt64

    static let bytes = 104
    static let magic: UInt32 = 0x5052_4754
    private static let payloadSeed: UInt64 = 0x746f_7067_756e_0003

    /// Bytes of the whole group: header, payload, padding.
    var totalBytes: Int { Self.totalBytes(payload: payloadBytes) }
    var end: LogPosition { position + totalBytes }

    static func totalBytes(payload: Int) -> Int { bytes + (payload + 7) & ~7 }

    static func checksum(ofPayload payload: UnsafeRawBufferPointer, salt: UInt64) -> UInt64 {
        Checksum.of(payload, seed: salt ^ payloadSeed)
    }

    /// Writes the header and returns its checksum, the chain of the next group.
    func store(to raw: UnsafeMutableRawBufferPointer, salt: UInt64) -> UInt64 {
        func store<Number: FixedWidthInteger>(_ number: Number, _ offset: Int) {
            raw.storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
        }
        store(Self.magic, 0)
        store(UInt32(payloadBytes), 4)
        store(number, 8)
        store(position.rawValue, 16)
        store(durableBefore.rawValue, 24)
        store(clockBound, 32)
        partitions.store(to: raw, at: 40)
        store(payloadChecksum, 80)
        store(chain, 88)
        let sum = Self.checksum(ofHeader: UnsafeRawBufferPointer(raw), salt: salt)
        store(sum, 96)
        return sum
    }

    /// Reads a header that is what it should be: of this file, of this place, and undamaged.
    init?(loading raw: UnsafeRawBufferPointer, number: UInt64, position: LogPosition, salt: UInt64) {
        guard raw.count >= Self.bytes else { return nil }
        func load<Number: FixedWidthInteger>(_ offset: Int, _ type: Number.Type) -> Number {
            Number(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: Number.self))
        }
        guard load(0, UInt32.self) == Self.magic, load(8, UInt64.self) == number,
            Self.position(in: raw) == position, load(96, UInt64.self) == Self.checksum(ofHeader: raw, salt: salt)
        else { return nil }
        self.init(
            payloadBytes: Int(load(4, UInt32.self)), number: number, position: position,
            durableBefore: LogPosition(load(24, Int64.self)), clockBound: load(32, Int64.self),
            partitions: PartitionSet(loading: raw, at: 40), payloadChecksum: load(80, UInt64.self),
            chain: load(88, UInt64.self))
    }

    /// Whether the bytes look like the start of a group of this file, whole or not.
    static func begins(_ raw: UnsafeRawBufferPointer, number: UInt64) -> Bool {
        raw.count >= 16 && UInt32(littleEndian: raw.loadUnaligned(as: UInt32.self)) == magic
            && UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) == number
    }

    /// Where a header says that its group stands; nothing that is to be believed before the header is loaded.
    static func position(in raw: UnsafeRawBufferPointer) -> LogPosition {
        LogPosition(Int64(littleEndian: raw.loadUnaligned(fromByteOffset: 16, as: Int64.self)))
    }

    init(
        payloadBytes: Int, number: UInt64, position: LogPosition, durableBefore: LogPosition, clockBound: Int64,
        partitions: PartitionSet, payloadChecksum: UInt64, chain: UInt64
    ) {
        self.payloadBytes = payloadBytes
        self.number = number
        self.position = position
        self.durableBefore = durableBefore
        self.clockBound = clockBound
        self.partitions = partitions
        self.payloadChecksum = payloadChecksum
        self.chain = chain
    }

    private static func checksum(ofHeader raw: UnsafeRawBufferPointer, salt: UInt64) -> UInt64 {
        Checksum.of(UnsafeRawBufferPointer(rebasing: raw[..<96]), seed: salt)
    }
}

extension ByteSink {
    /// Appends a group: header, payload, padding. Returns the checksum that the next group carries as its chain.
    func append(group payload: UnsafeRawBufferPointer, header: GroupHeader, salt: UInt64) -> UInt64 {
        let total = header.totalBytes
        let start = reserve(total)
        let sum = header.store(to: UnsafeMutableRawBufferPointer(start: start, count: GroupHeader.bytes), salt: salt)
        if let base = payload.baseAddress {
            (start + GroupHeader.bytes).copyMemory(from: base, byteCount: payload.count)
        }
        let used = GroupHeader.bytes + payload.count
        UnsafeMutableRawBufferPointer(start: start + used, count: total - used).initializeMemory(
            as: UInt8.self, repeating: 0)
        advance(by: total)
        return sum
    }
}
