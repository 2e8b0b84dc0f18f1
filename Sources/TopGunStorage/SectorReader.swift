import TopGunEnvironment

/// Reads a file around the sectors that its disk does not give back any more, so that each costs what is in it and no
/// more.
///
/// Such a sector reads as zeros, which no checksum takes for what was there, unless that was zeros. And it is remembered:
/// what cannot be read must never pass for what was never written. Above ``Limits/unreadableSectorsMax`` the error of the
/// disk is passed on.
struct SectorReader {
    private let file: any DiskFile
    /// Where the sectors begin that could not be read so far.
    private var sectors: Set<Int64> = []
    /// What the disk said of the last of them.
    private(set) var failure: DiskError?

    private static let sectorBytes: Int64 = 512

    init(_ file: any DiskFile) {
        self.file = file
    }

    /// As ``DiskFile/read(into:at:)``; in halves where the whole cannot be read.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        do throws(DiskError) {
            return try file.read(into: buffer, at: offset)
        } catch {
            guard error.code == .inputOutput else { throw error }
            let end = offset + Int64(buffer.count)
            let middle = max((offset + end) / 2 / Self.sectorBytes, offset / Self.sectorBytes + 1) * Self.sectorBytes
            guard middle < end else {
                try skip(offset, error)
                buffer.initializeMemory(as: UInt8.self, repeating: 0)
                return buffer.count
            }
            let firstCount = Int(middle - offset)
            let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<firstCount]), at: offset)
            guard count == firstCount else { return count }
            return try count + read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[firstCount...]), at: middle)
        }
    }

    private mutating func skip(_ offset: Int64, _ error: DiskError) throws(DiskError) {
        guard sectors.count < Limits.unreadableSectorsMax else { throw error }
        sectors.insert(offset / Self.sectorBytes * Self.sectorBytes)
        failure = error
    }

    /// Whether something in a range that was read could not be.
    func missed(_ range: Range<Int64>) -> Bool {
        sectors.contains { $0 < range.upperBound && range.lowerBound < $0 + Self.sectorBytes }
    }

    /// Where the last sector ends that could not be read.
    var missedEnd: Int64? { sectors.max().map { $0 + Self.sectorBytes } }
}
