import TopGunEnvironment
import TopGunModel

/// Reads a file of groups through a window, so that memory stays bounded however long the file is.
///
/// What the disk does not give back reads as damage (``SectorReader``), and is told apart by ``missed(_:)``. Owns raw
/// memory; the bytes it hands out are valid until the next call.
final class GroupReader {
    let number: UInt64
    let size: Int64
    private let salt: UInt64
    private var sectors: SectorReader
    /// The position of the first group, which stands right behind the file's header.
    let start: LogPosition
    private var window: UnsafeMutableRawBufferPointer
    private var windowStart: Int64 = 0
    private var windowCount = 0

    struct Group {
        var header: GroupHeader
        /// The header's own checksum: the chain of the next group.
        var checksum: UInt64
        /// `nil` if the payload is not what the header says.
        var payload: UnsafeRawBufferPointer?
    }

    init(file: any DiskFile, number: UInt64, start: LogPosition, salt: UInt64) throws(DiskError) {
        sectors = SectorReader(file)
        self.number = number
        self.start = start
        self.salt = salt
        size = try file.size()
        let windowBytes = Int(min(Int64(Limits.readBytes), max(size, 64)))
        window = UnsafeMutableRawBufferPointer.allocate(byteCount: windowBytes, alignment: 16)
    }

    deinit {
        window.deallocate()
    }

    /// The position behind the last byte of the file.
    var limit: LogPosition { start + Int(max(size - Int64(FileHeader.bytes), 0)) }

    /// The group that stands at a position; `nil` if none that can be read does.
    func group(at position: LogPosition) throws(DiskError) -> Group? {
        guard let raw = try bytes(at: position, count: GroupHeader.bytes),
            let header = GroupHeader(loading: raw, number: number, position: position, salt: salt)
        else { return nil }
        let checksum = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 96, as: UInt64.self))
        var payload = try bytes(at: position + GroupHeader.bytes, count: header.payloadBytes)
        if let bytes = payload, GroupHeader.checksum(ofPayload: bytes, salt: salt) != header.payloadChecksum {
            payload = nil
        }
        return Group(header: header, checksum: checksum, payload: payload)
    }

    /// All bytes of the group that stands at a position, checked in the form in which they are handed out; `nil` if they
    /// are no group.
    func whole(at position: LogPosition) throws(DiskError) -> UnsafeRawBufferPointer? {
        guard let count = try group(at: position)?.header.totalBytes,
            let bytes = try bytes(at: position, count: count),
            let header = GroupHeader(loading: bytes, number: number, position: position, salt: salt)
        else { return nil }
        let payload = UnsafeRawBufferPointer(rebasing: bytes[GroupHeader.bytes...].prefix(header.payloadBytes))
        return GroupHeader.checksum(ofPayload: payload, salt: salt) == header.payloadChecksum ? bytes : nil
    }

    /// The first group header at or behind a position, whatever lies between.
    func nextHeader(from position: LogPosition) throws(DiskError) -> GroupHeader? {
        try search(from: position) { raw, position in
            GroupHeader(loading: raw, number: number, position: position, salt: salt)
        }
    }

    /// The first place at or behind a position that has the look of a header and that `match` says something of.
    private func search<Found>(
        from position: LogPosition, _ match: (UnsafeRawBufferPointer, LogPosition) -> Found?
    ) throws(DiskError) -> Found? {
        var position = LogPosition((position.rawValue + 7) & ~7)
        while position < limit {
            let count = min(limit - position, Limits.readBytes)
            guard count >= GroupHeader.bytes, let raw = try bytes(at: position, count: count) else { return nil }
            var offset = 0
            while offset + GroupHeader.bytes <= count {
                if raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self) == GroupHeader.magic.littleEndian,
                    let found = match(UnsafeRawBufferPointer(rebasing: raw[offset...]), position + offset)
                {
                    return found
                }
                offset += 8
            }
            position = position + offset
        }
        return nil
    }

    /// Finds every group whose header can be read, whatever lies between. `visit` is told the group and what was skipped
    /// before it. Returns the end of the last one.
    func readWhatIsThere(
        _ visit: (Group, _ skipped: Range<LogPosition>?) throws(StorageError) -> Void
    ) throws(StorageError) -> LogPosition {
        var position = start
        while true {
            let from = position
            let found = try onDisk { () throws(DiskError) -> Group? in
                guard let header = try nextHeader(from: from) else { return nil }
                return try group(at: header.position)
            }
            guard let found else { return position }
            try visit(found, found.header.position > position ? position..<found.header.position : nil)
            position = found.header.end
        }
    }

    /// Where the first group of a file would stand whose own header is unreadable; told by any group in it.
    static func start(of file: any DiskFile, number: UInt64, salt: UInt64) throws(DiskError) -> LogPosition? {
        let reader = try GroupReader(file: file, number: number, start: .zero, salt: salt)
        return try reader.search(from: .zero) { raw, offset in
            let position = GroupHeader.position(in: raw)
            guard GroupHeader(loading: raw, number: number, position: position, salt: salt) != nil else { return nil }
            return LogPosition(position.rawValue - offset.rawValue)
        }
    }

    /// Whether the disk did not give back something of a range that was read: it may have held what nobody knows.
    func missed(_ range: Range<LogPosition>) -> Bool {
        sectors.missed(offset(of: range.lowerBound)..<offset(of: range.upperBound))
    }

    /// Where the last of that ends; `nil` if there was none.
    var missedEnd: LogPosition? {
        sectors.missedEnd.map { start + Int(min($0, size) - Int64(FileHeader.bytes)) }
    }

    /// What the disk said of the last of it.
    var missedFailure: DiskError? { sectors.failure }

    private func offset(of position: LogPosition) -> Int64 { Int64(FileHeader.bytes) + Int64(position - start) }

    /// Bytes of the file from a position on; `nil` if it is shorter.
    func bytes(at position: LogPosition, count: Int) throws(DiskError) -> UnsafeRawBufferPointer? {
        let offset = offset(of: position)
        guard offset >= 0, Int64(count) <= size - offset else { return nil }
        if offset < windowStart || offset + Int64(count) > windowStart + Int64(windowCount) {
            try load(from: offset, atLeast: count)
            guard count <= windowCount else { return nil }
        }
        let from = Int(offset - windowStart)
        return UnsafeRawBufferPointer(rebasing: window[from..<from + count])
    }

    private func load(from offset: Int64, atLeast count: Int) throws(DiskError) {
        if count > window.count {
            window.deallocate()
            window = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        }
        windowCount = 0
        let wanted = Int(min(Int64(window.count), size - offset))
        let count = try sectors.read(into: UnsafeMutableRawBufferPointer(rebasing: window[..<wanted]), at: offset)
        windowStart = offset
        windowCount = count
    }
}
