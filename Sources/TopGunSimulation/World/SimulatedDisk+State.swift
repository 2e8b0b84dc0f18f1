import TopGunEnvironment

extension SimulatedDisk {
    /// One file, whatever its names. Unchecked because it is guarded by the lock of the disk it is on.
    final class Inode: @unchecked Sendable {
        /// What processes see.
        var cached: [UInt8] = []
        /// What a power cut leaves if nothing else is said.
        var platter: [UInt8] = []
        /// Sectors that differ, or may differ, from the platter.
        var dirty: Set<Int> = []
        /// What stood on the platter before what stands there, by sector; kept only for ``Faults/keepsStale``.
        var stale: [Int: [UInt8]] = [:]
        /// Sectors that cannot be read.
        var unreadable: Set<Int> = []
        var isLocked = false
        /// Where what was written since the last sync begins, and what was synced last.
        private var unsyncedStart = Int.max
        private var syncedStart = Int.max

        /// Nothing that was written later says that this was ever durable.
        var tailStart: Int { min(unsyncedStart, syncedStart) }

        func noteWrite(at offset: Int) {
            unsyncedStart = min(unsyncedStart, offset)
        }

        func noteSync() {
            guard unsyncedStart < .max else { return }
            syncedStart = unsyncedStart
            unsyncedStart = .max
        }

        init() {}

        init(copying other: Inode) {
            cached = other.cached
            platter = other.platter
            dirty = other.dirty
            unreadable = other.unreadable
        }

        func isReadable(_ range: Range<Int>) -> Bool {
            range.isEmpty
                || unreadable.isDisjoint(with: range.lowerBound / sectorBytes...(range.upperBound - 1) / sectorBytes)
        }

        /// A sector that is written as a whole can be read again: the device has put another in its place.
        func overwrite(_ range: Range<Int>) {
            let first = (range.lowerBound + sectorBytes - 1) / sectorBytes
            let end = range.upperBound / sectorBytes
            if first < end { unreadable.subtract(first..<end) }
        }

        /// A file as the machine below sees it.
        init(platterOf other: Inode) {
            cached = other.platter
            platter = other.platter
        }

        func touch(_ range: Range<Int>) {
            guard !range.isEmpty else { return }
            dirty.formUnion(range.lowerBound / sectorBytes...(range.upperBound - 1) / sectorBytes)
        }
    }

    /// A name that appeared, went (`entry` is `nil`), or took over another's file (`oldPath`).
    struct NameOperation: Sendable {
        var path: String
        var entry: State.Entry?
        var oldPath: String?

        func perform(on names: inout [String: State.Entry]) {
            names[path] = entry
            if let oldPath { names[oldPath] = nil }
        }
    }

    struct State: Sendable {
        enum Entry: Sendable {
            case directory
            case file(Inode)
        }

        var generator: SeededGenerator
        var faults = Faults()
        var names: [String: Entry] = ["/": .directory]
        var platterNames: [String: Entry] = ["/": .directory]
        var pending: [NameOperation] = []
        /// Grows with every crash; files opened by an earlier process are dead.
        var process = 0
        var isHalted = false
        var calls = 0
        var usedBytes: Int64 = 0
        var witness = SimulatedDisk.Witness()
        /// The segments of a log that were written last, the last one first.
        var lastWritten: [Inode] = []
        /// Stretches that do not hold what was written there.
        var misplaced: [Misplaced] = []

        struct Misplaced: Sendable {
            var inode: Inode
            var range: Range<Int>
        }

        /// Every call starts here: counts it, and dies before it does anything if it is its turn.
        mutating func begin(_ operation: String, _ path: String) throws(DiskError) {
            if try beginHalting(operation, path) { throw DiskError(.other(0), operation: operation, path: path) }
        }

        /// As ``begin(_:_:)``, for a call that needs a file descriptor, if only for itself.
        mutating func beginOpening(_ operation: String, _ path: String) throws(DiskError) {
            try begin(operation, path)
            guard let left = faults.openingsUntilFailure else { return }
            guard left <= 0 else {
                faults.openingsUntilFailure = left - 1
                return
            }
            faults.openingFailures -= 1
            if faults.openingFailures <= 0 { faults.openingsUntilFailure = nil }
            throw DiskError(.tooManyFiles, operation: operation, path: path)
        }

        /// As ``begin(_:_:)``, but says that the process dies in the middle of this call, so that part of it happens.
        mutating func beginHalting(_ operation: String, _ path: String) throws(DiskError) -> Bool {
            guard !isHalted else { throw DiskError(.other(0), operation: operation, path: path) }
            calls += 1
            guard let left = faults.callsUntilHalt else { return false }
            faults.callsUntilHalt = left - 1
            isHalted = left <= 0
            if isHalted { witness.onHalt?() }
            return isHalted
        }

        var freeBytes: Int64 {
            faults.capacityBytes.map { max($0 - usedBytes, 0) } ?? 1 << 40
        }
    }
}

// MARK: - Names

extension SimulatedDisk.State {
    /// All files, in an order that follows from their names alone.
    var inodes: [SimulatedDisk.Inode] {
        var seen: Set<ObjectIdentifier> = []
        var found: [SimulatedDisk.Inode] = []
        for table in [names, platterNames] {
            for path in table.keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
                guard case .file(let inode)? = table[path] else { continue }
                if seen.insert(ObjectIdentifier(inode)).inserted { found.append(inode) }
            }
        }
        return found
    }

    func requireDirectory(_ path: String, _ operation: String) throws(DiskError) {
        guard case .directory? = names[path] else { throw DiskError(.notFound, operation: operation, path: path) }
    }

    mutating func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> SimulatedDisk.Inode {
        switch (names[path], mode) {
        case (.file?, .create), (.directory?, _):
            throw DiskError(.exists, operation: "open", path: path)
        case (nil, .read), (nil, .readWrite):
            throw DiskError(.notFound, operation: "open", path: path)
        case (.file(let inode)?, .read), (.file(let inode)?, .readWrite):
            return inode
        case (nil, .create):
            try requireDirectory(SimulatedDisk.parent(of: path), "open")
            guard freeBytes > 0 else { throw DiskError(.noSpace, operation: "open", path: path) }
            let inode = SimulatedDisk.Inode()
            perform(SimulatedDisk.NameOperation(path: path, entry: .file(inode)))
            return inode
        }
    }

    mutating func perform(_ operation: SimulatedDisk.NameOperation) {
        operation.perform(on: &names)
        pending.append(operation)
        recount()
    }

    mutating func syncNames(in directory: String) {
        for operation in pending where SimulatedDisk.parent(of: operation.path) == directory {
            operation.perform(on: &platterNames)
        }
        pending.removeAll { SimulatedDisk.parent(of: $0.path) == directory }
    }

    mutating func losePendingNames() {
        for operation in pending where generator.chance(1, in: 2) {
            operation.perform(on: &platterNames)
        }
        pending = []
        // What is in a directory that was lost is lost with it.
        for path in platterNames.keys.sorted() where path != "/" {
            if platterNames[SimulatedDisk.parent(of: path)] == nil { platterNames[path] = nil }
        }
        names = platterNames
        recount()
    }

    mutating func forgetProcess() {
        process += 1
        isHalted = false
        faults.callsUntilHalt = nil
        for inode in inodes { inode.isLocked = false }
    }

    mutating func recount() {
        var bytes: Int64 = 0
        for case .file(let inode) in names.values { bytes += Int64(inode.cached.count) }
        usedBytes = bytes
    }
}

// MARK: - Bytes

extension SimulatedDisk.State {
    /// Puts bytes into the page cache as far as there is room, and returns how many that were.
    mutating func write(_ bytes: UnsafeRawBufferPointer, to inode: SimulatedDisk.Inode, at offset: Int) -> Int {
        let growth = max(offset + bytes.count - inode.cached.count, 0)
        let missing = max(growth - Int(clamping: freeBytes), 0)
        let count = max(bytes.count - missing, 0)
        guard count > 0 else { return 0 }
        if offset + count > inode.cached.count { resize(inode, to: offset + count) }
        inode.cached.withUnsafeMutableBytes { cached in
            UnsafeMutableRawBufferPointer(rebasing: cached[offset..<offset + count])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
        }
        inode.touch(offset..<offset + count)
        inode.overwrite(offset..<offset + count)
        return count
    }

    mutating func resize(_ inode: SimulatedDisk.Inode, to size: Int) {
        let old = inode.cached.count
        if size > old {
            inode.cached.append(contentsOf: [UInt8](repeating: 0, count: size - old))
        } else {
            inode.cached.removeLast(old - size)
        }
        usedBytes += Int64(size - old)
        inode.touch(min(size, old)..<max(size, old))
    }

    func sync(_ inode: SimulatedDisk.Inode) {
        inode.noteSync()
        let size = inode.cached.count
        if faults.keepsStale { keepStale(inode) }
        if inode.platter.count > size { inode.platter.removeLast(inode.platter.count - size) }
        inode.platter.append(contentsOf: [UInt8](repeating: 0, count: size - inode.platter.count))
        for sector in inode.dirty {
            let start = sector * SimulatedDisk.sectorBytes
            let end = min(start + SimulatedDisk.sectorBytes, size)
            if start < end { Self.copy(start..<end, of: inode.cached, to: &inode.platter) }
        }
        if let onPlatter = witness.onPlatter { tell(onPlatter, of: inode, sectors: inode.dirty) }
        inode.dirty = []
    }

    private func keepStale(_ inode: SimulatedDisk.Inode) {
        for sector in inode.dirty {
            let start = sector * SimulatedDisk.sectorBytes
            guard start + SimulatedDisk.sectorBytes <= inode.platter.count else { continue }
            inode.stale[sector] = Array(inode.platter[start..<start + SimulatedDisk.sectorBytes])
        }
    }

    /// Shows a witness the stretches of sectors that are on the platter now, each with the end of the one before it.
    private func tell(
        _ onPlatter: (UnsafeRawBufferPointer) -> Void, of inode: SimulatedDisk.Inode, sectors: Set<Int>
    ) {
        let sorted = sectors.sorted()
        inode.platter.withUnsafeBytes { platter in
            var index = 0
            while index < sorted.count {
                var last = index
                while last + 1 < sorted.count, sorted[last + 1] == sorted[last] + 1 { last += 1 }
                // What a sector ends may have begun in the one before, and goes on in the one behind.
                let start = max(sorted[index] - 1, 0) * SimulatedDisk.sectorBytes
                let end = min((sorted[last] + 2) * SimulatedDisk.sectorBytes, platter.count)
                if start < end { onPlatter(UnsafeRawBufferPointer(rebasing: platter[start..<end])) }
                index = last + 1
            }
        }
    }

    /// Brings dirty sectors to the platter, or not, or in part; then calls them clean.
    mutating func loseDirtySectors(of inode: SimulatedDisk.Inode, revertCache: Bool) {
        guard !inode.dirty.isEmpty || inode.cached.count != inode.platter.count else {
            // Clean does not mean equal: after a failed sync the cache only says so.
            if revertCache { inode.cached = inode.platter }
            return
        }
        var platter = inode.platter
        // The size travels on its own: sectors of a size that was kept read as zeros if they were lost.
        let size = generator.chance(1, in: 2) ? inode.cached.count : platter.count
        if platter.count > size { platter.removeLast(platter.count - size) }
        platter.append(contentsOf: [UInt8](repeating: 0, count: size - platter.count))
        for sector in inode.dirty.sorted() {
            let start = sector * SimulatedDisk.sectorBytes
            let end = min(start + SimulatedDisk.sectorBytes, size, inode.cached.count)
            guard start < end else { continue }
            // Kept, lost, or torn: its first or its last bytes are new.
            let middle = start + generator.below(end - start)
            let kept =
                switch generator.below(5) {
                case 0, 1: start..<end
                case 2: start..<middle
                case 3: middle..<end
                default: start..<start
                }
            Self.copy(kept, of: inode.cached, to: &platter)
        }
        let dirty = inode.dirty
        inode.platter = platter
        inode.dirty = []
        // With power back, what happened to be kept is as durable as what was synced.
        if revertCache, let onPlatter = witness.onPlatter { tell(onPlatter, of: inode, sectors: dirty) }
        if revertCache || generator.chance(1, in: 2) { inode.cached = platter }
        recount()
    }

    private static func copy(_ range: Range<Int>, of source: [UInt8], to target: inout [UInt8]) {
        source.withUnsafeBytes { source in
            target.withUnsafeMutableBytes { target in
                UnsafeMutableRawBufferPointer(rebasing: target[range]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: source[range]))
            }
        }
    }
}
