import TopGunEnvironment
import TopGunModel

/// The first 512 bytes of every file that TopGun writes into a data directory: what it is and whose.
///
/// ```
///    0  magic, 8 bytes              8  u16 format version, u16 oldest reader, u32 header bytes
///   16  u64 incarnation            24  u64 restore epoch
///   32  i64 clock bound            40  u64 number (segment sequence, partition)
///   48  i64 position               56  u64 checksum of the group before, or salt
///   64  5 x u64 partitions        104  u16 cluster id length, u16 node id length
///  108  cluster id, 64 bytes      172  node id, 128 bytes
///  504  u64 checksum of all before
/// ```
///
/// All numbers are little-endian. A version that is at least the file's oldest reader can read it, and skips what it
/// does not know.
struct FileHeader: Sendable, Equatable {
    enum Kind: Sendable {
        case identity
        case segment
        case checkpoint
    }

    var kind: Kind
    var formatVersion = Self.currentVersion
    var oldestReader = Self.currentOldestReader
    var incarnation: UInt64
    var restoreEpoch: UInt64
    var clockBound: Int64
    /// A segment's sequence number, a checkpoint's partition.
    var number: UInt64 = 0
    /// Where a segment starts, what a checkpoint covers, where the log starts.
    var position = LogPosition.zero
    /// The checksum of the last group before a segment; in the identity the salt of the directory.
    var chain: UInt64 = 0
    /// In the identity: the partitions whose checkpoints the log relies on.
    var partitions = PartitionSet()
    var clusterID: ByteString
    var nodeID: ByteString

    static let bytes = 512
    /// Version 1 was never released: its checksums let a client write what looked like a group.
    static let currentVersion: UInt16 = 2
    static let currentOldestReader: UInt16 = 2
    private static let oldestReadableVersion: UInt16 = 2
    private static let seed: UInt64 = 0x746f_7067_756e_0001

    enum Unreadable: Error, Sendable {
        /// No byte of it was ever written.
        case blank
        case damaged
        /// The disk does not give it back.
        case unreadable
        /// Of a version that is no longer read.
        case older(UInt16)
        /// Written for readers of at least this version.
        case newer(UInt16)
    }
}

extension FileHeader.Kind {
    var magic: StaticString {
        switch self {
        case .identity: "TGIDENTI"
        case .segment: "TGSEGMEN"
        case .checkpoint: "TGCHECKP"
        }
    }
}

// MARK: - Bytes

extension FileHeader {
    func encoded() -> [UInt8] {
        precondition(clusterID.count <= Limits.clusterIDBytes, "the cluster id is too long")
        precondition(nodeID.count <= Limits.nodeIDBytes, "the node id is too long")
        var bytes = [UInt8](repeating: 0, count: Self.bytes)
        bytes.withUnsafeMutableBytes { raw in
            func store<Number: FixedWidthInteger>(_ number: Number, _ offset: Int) {
                raw.storeBytes(of: number.littleEndian, toByteOffset: offset, as: Number.self)
            }
            func store(_ text: ByteString, _ offset: Int) {
                for (index, byte) in text.bytes.enumerated() { raw[offset + index] = byte }
            }
            for index in 0..<8 { raw[index] = kind.magic.utf8Start[index] }
            store(formatVersion, 8)
            store(oldestReader, 10)
            store(UInt32(Self.bytes), 12)
            store(incarnation, 16)
            store(restoreEpoch, 24)
            store(clockBound, 32)
            store(number, 40)
            store(position.rawValue, 48)
            store(chain, 56)
            partitions.store(to: raw, at: 64)
            store(UInt16(clusterID.count), 104)
            store(UInt16(nodeID.count), 106)
            store(clusterID, 108)
            store(nodeID, 172)
            store(Checksum.of(UnsafeRawBufferPointer(rebasing: raw[..<504]), seed: Self.seed), 504)
        }
        return bytes
    }

    init(_ kind: Kind, decoding raw: UnsafeRawBufferPointer) throws(Unreadable) {
        func load<Number: FixedWidthInteger>(_ offset: Int, _ type: Number.Type) -> Number {
            Number(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: Number.self))
        }
        guard raw.count >= Self.bytes else { throw raw.allSatisfy { $0 == 0 } ? .blank : .damaged }
        guard (0..<8).allSatisfy({ raw[$0] == kind.magic.utf8Start[$0] }) else {
            throw raw[..<Self.bytes].allSatisfy { $0 == 0 } ? .blank : .damaged
        }
        let sum = Checksum.of(UnsafeRawBufferPointer(rebasing: raw[..<504]), seed: Self.seed)
        let oldestReader = load(10, UInt16.self)
        // A newer format may put its checksum elsewhere, so its number is believed without.
        guard oldestReader <= Self.currentVersion else { throw .newer(oldestReader) }
        let formatVersion = load(8, UInt16.self)
        guard load(504, UInt64.self) == sum else {
            // An older format has another checksum.
            throw (1..<Self.oldestReadableVersion).contains(formatVersion) ? .older(formatVersion) : .damaged
        }
        let clusterCount = Int(load(104, UInt16.self))
        let nodeCount = Int(load(106, UInt16.self))
        guard clusterCount <= Limits.clusterIDBytes, nodeCount <= Limits.nodeIDBytes else { throw .damaged }
        // Right checksum or not: what is added to these must not overflow.
        for offset in [16, 24, 40, 48] {
            guard (0...Limits.countMax).contains(load(offset, Int64.self)) else { throw .damaged }
        }
        self.init(
            kind: kind, formatVersion: formatVersion, oldestReader: oldestReader,
            incarnation: load(16, UInt64.self), restoreEpoch: load(24, UInt64.self), clockBound: load(32, Int64.self),
            number: load(40, UInt64.self), position: LogPosition(load(48, Int64.self)), chain: load(56, UInt64.self),
            partitions: PartitionSet(loading: raw, at: 64), clusterID: ByteString(Array(raw[108..<108 + clusterCount])),
            nodeID: ByteString(Array(raw[172..<172 + nodeCount])))
    }
}

extension FileHeader {
    static func read(_ kind: Kind, _ bytes: [UInt8]) -> Result<FileHeader, Unreadable> {
        bytes.withUnsafeBytes { raw in
            Result { () throws(Unreadable) in try FileHeader(kind, decoding: raw) }
        }
    }

    static func read(_ kind: Kind, of file: any DiskFile) throws(DiskError) -> Result<FileHeader, Unreadable> {
        do {
            return read(kind, try file.readAll(bytes))
        } catch  where error.code == .inputOutput {
            return .failure(.unreadable)
        }
    }
}

extension PartitionSet {
    static let storedBytes = 40

    func store(to raw: UnsafeMutableRawBufferPointer, at offset: Int) {
        raw.storeBytes(of: words.0.littleEndian, toByteOffset: offset, as: UInt64.self)
        raw.storeBytes(of: words.1.littleEndian, toByteOffset: offset + 8, as: UInt64.self)
        raw.storeBytes(of: words.2.littleEndian, toByteOffset: offset + 16, as: UInt64.self)
        raw.storeBytes(of: words.3.littleEndian, toByteOffset: offset + 24, as: UInt64.self)
        raw.storeBytes(of: words.4.littleEndian, toByteOffset: offset + 32, as: UInt64.self)
    }

    init(loading raw: UnsafeRawBufferPointer, at offset: Int) {
        self.init()
        func word(_ index: Int) -> UInt64 {
            UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset + index * 8, as: UInt64.self))
        }
        words = (word(0), word(1), word(2), word(3), word(4))
    }
}
