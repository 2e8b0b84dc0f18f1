import TopGunModel

/// What a write needs to know of its map, in one cache line.
struct MapCell {
    var records = 0
    var liveRecords = 0
    var bytes = 0
    var watchers: Int32 = 0
    var subscriptions: Int32 = 0
    /// The leaves cover the partitions below this number.
    var leavesBuilt: Int32 = 0
    /// Counts the moments at which a scan over the leaves must start again.
    var leavesGeneration: UInt32 = 0
    /// Counts the moments since which clients may ask what changed.
    var revision: UInt32 = 1
    var leaves: LeafIndex?
}

/// The maps of a group: names, counts and leaves by number.
final class MapTable {
    private(set) var cells: UnsafeMutablePointer<MapCell>
    private var capacity = 16
    private let names: NameTable
    private let scratch = UnsafeMutableRawBufferPointer.allocate(
        byteCount: 1 + PartitionLimits.nameSpaceBytesMax + PartitionLimits.mapNameBytesMax, alignment: 8)

    init(hasher: SeededHash) {
        names = NameTable(hasher: hasher)
        cells = .allocate(capacity: capacity)
    }

    deinit {
        for index in 0..<names.count { cells[index].leaves?.deallocate() }
        cells.deallocate()
        scratch.deallocate()
    }

    var count: Int { names.count }

    @inline(__always)
    func nameSpace(_ map: UInt32) -> UnsafeRawBufferPointer {
        let full = names[map]
        return UnsafeRawBufferPointer(start: full.baseAddress! + 1, count: Int(full[0]))
    }

    @inline(__always)
    func name(_ map: UInt32) -> UnsafeRawBufferPointer {
        let full = names[map]
        let skipped = 1 &+ Int(full[0])
        return UnsafeRawBufferPointer(start: full.baseAddress! + skipped, count: full.count &- skipped)
    }

    @inline(__always)
    func isMap(_ map: UInt32, named name: UnsafeRawBufferPointer, in nameSpace: UnsafeRawBufferPointer) -> Bool {
        guard Int(map) < names.count else { return false }
        let full = names[map]
        guard full.count == 1 &+ nameSpace.count &+ name.count, Int(full[0]) == nameSpace.count else { return false }
        let base = full.baseAddress!
        return (nameSpace.count == 0 || sameBytes(base + 1, nameSpace.baseAddress!, nameSpace.count))
            && (name.count == 0 || sameBytes(base + 1 + nameSpace.count, name.baseAddress!, name.count))
    }

    func find(_ name: UnsafeRawBufferPointer, in nameSpace: UnsafeRawBufferPointer) -> UInt32? {
        full(name, nameSpace).flatMap { names.find($0) }
    }

    /// The number of a map, a new one if it has none and there are fewer than `limit`.
    func intern(
        _ name: UnsafeRawBufferPointer, in nameSpace: UnsafeRawBufferPointer, limit: Int
    ) -> Result<UInt32, PartitionError> {
        guard let full = full(name, nameSpace) else { return .failure(PartitionError(code: .tooLarge)) }
        if let known = names.find(full) { return .success(known) }
        guard names.count < limit else { return .failure(PartitionError(code: .full)) }
        if names.count == capacity {
            let grown = UnsafeMutablePointer<MapCell>.allocate(capacity: capacity * 2)
            grown.moveInitialize(from: cells, count: names.count)
            cells.deallocate()
            cells = grown
            capacity *= 2
        }
        (cells + names.count).initialize(to: MapCell())
        return .success(names.add(full))
    }

    /// Takes back the map that was added last, which has no record, no reader and no leaves.
    func removeLast() {
        names.removeLast()
    }

    /// Whether there can be a map of that name.
    func takes(_ name: ByteString, in nameSpace: ByteString) -> Bool {
        name.count <= PartitionLimits.mapNameBytesMax && nameSpace.count <= PartitionLimits.nameSpaceBytesMax
    }

    /// Name space and name as one name; `nil` if either is too long.
    private func full(_ name: UnsafeRawBufferPointer, _ nameSpace: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard name.count <= PartitionLimits.mapNameBytesMax, nameSpace.count <= PartitionLimits.nameSpaceBytesMax else {
            return nil
        }
        scratch[0] = UInt8(nameSpace.count)
        UnsafeMutableRawBufferPointer(rebasing: scratch[1...]).copyMemory(from: nameSpace)
        UnsafeMutableRawBufferPointer(rebasing: scratch[(1 + nameSpace.count)...]).copyMemory(from: name)
        return UnsafeRawBufferPointer(rebasing: scratch[..<(1 + nameSpace.count + name.count)])
    }
}
