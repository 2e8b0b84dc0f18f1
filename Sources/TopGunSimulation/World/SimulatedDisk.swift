import Synchronization
package import TopGunEnvironment

/// The disk of one simulated node: a page cache over a platter, and every way it may fail.
///
/// ```
///   write ──> cached bytes, sector marked dirty ── sync ──> platter
///   create, rename, remove ──> cached names, operation pending ── syncDirectory ──> names on the platter
/// ```
///
/// A process that dies loses its locks and open files, nothing else. A power cut leaves of each dirty 512-byte sector
/// the new bytes, the old ones, or some of both, and performs each pending name operation or does not, as the seed
/// says. A failed sync treats the dirty sectors in the same way and then calls them clean, as Linux does. There is room
/// for as many bytes as ``capacityBytes`` allows, counted by file sizes.
package final class SimulatedDisk: Disk {
    static let sectorBytes = 512

    let state: Mutex<State>
    private let scheduler: SimulatedScheduler?

    /// Who looks on without taking part. Called during calls of the disk, so they must not call it.
    package struct Witness: Sendable {
        /// Bytes that have just come to the platter, with what stands before them on it.
        package var onPlatter: (@Sendable (UnsafeRawBufferPointer) -> Void)?
        /// ``Faults/callsUntilHalt`` has struck.
        package var onHalt: (@Sendable () -> Void)?
        /// A read brought something else than what stands there. `isTail` if that is what was written to the log last, of
        /// which nothing behind it says that it was ever durable.
        package var onMisread: (@Sendable (_ isTail: Bool) -> Void)?
        /// A fault other than slowness has struck a call.
        package var onFault: (@Sendable (DiskError.Code) -> Void)?

        package init() {}
    }

    /// With a scheduler calls take the time that the faults say; without one they take none.
    package init(seed: UInt64, scheduler: SimulatedScheduler? = nil) {
        state = Mutex(State(generator: SeededGenerator(seed: seed)))
        self.scheduler = scheduler
    }

    private init(_ state: State) {
        self.state = Mutex(state)
        scheduler = nil
    }

    package func watch(_ witness: Witness) {
        state.withLock { $0.witness = witness }
    }

    func spend(_ nanos: Int64) {
        scheduler?.block(forNanos: nanos)
    }

    /// What is broken right now. Counters count down; the fault strikes the call that finds 0.
    package struct Faults: Sendable {
        /// Calls until the process dies in the middle of one; every call after it fails too, until
        /// ``SimulatedDisk/processKill()`` or ``SimulatedDisk/powerCut()``.
        package var callsUntilHalt: Int?
        /// Syncs of files until one fails.
        package var syncsUntilFailure: Int?
        package var syncFailure = DiskError.Code.inputOutput
        /// Syncs of directories until one fails; names are as little on the platter then as before.
        package var directorySyncsUntilFailure: Int?
        /// Writes until one fails.
        package var writesUntilFailure: Int?
        package var writeFailure = DiskError.Code.inputOutput
        /// Calls that need a file descriptor until one finds none left, and how many in a row do.
        package var openingsUntilFailure: Int?
        package var openingFailures = 1
        /// Syncs report success and do nothing: the disk of the control experiment.
        package var syncDoesNothing = false
        /// How long a sync takes at most; each takes as long as the seed says.
        package var syncNanosMax: Int64 = 0
        /// Reads until one brings what was not asked for, and what that is.
        package var readsUntilWrong: Int?
        package var wrongRead = WrongRead.flipped
        /// Writes to the log until one goes to another place.
        package var writesUntilMisdirected: Int?
        /// Keeps what stood in each sector before what stands there, for ``WrongRead/stale``.
        package var keepsStale = false
        /// How long the next sync hangs on top of that.
        package var hangNanos: Int64?
        /// The size that all files together may have.
        package var capacityBytes: Int64?

        package init() {}
    }

    /// What a disk brings that does not say that it failed.
    package enum WrongRead: Sendable {
        /// A bit is wrong, this once.
        case flipped
        /// A sector is as it was before its last write.
        case stale
        /// A sector is another one of the file.
        case misdirected
    }

    package var faults: Faults {
        get { state.withLock { $0.faults } }
        set { state.withLock { $0.faults = newValue } }
    }

    /// Whether ``Faults/callsUntilHalt`` has struck: nothing a process believes from now on counts.
    package var isHalted: Bool { state.withLock { $0.isHalted } }

    /// Calls so far, for sweeping a fault over all of them.
    package var calls: Int { state.withLock { $0.calls } }

    /// Bytes of all files together.
    package var usedBytes: Int64 { state.withLock { $0.usedBytes } }

    // MARK: - Disasters

    /// The process ends: locks and open files are gone, everything written stays in the page cache.
    package func processKill() {
        state.withLock { $0.forgetProcess() }
    }

    /// The machine loses power and comes back: what was not synced is kept, lost or torn.
    package func powerCut() {
        state.withLock { state in
            state.losePendingNames()
            for inode in state.inodes {
                state.loseDirtySectors(of: inode, revertCache: true)
            }
            state.forgetProcess()
        }
    }

    /// Turns bits of one byte over, on the platter and in the cache.
    package func flip(_ path: String, at offset: Int, mask: UInt8) {
        state.withLock { state in
            guard case .file(let inode)? = state.names[path], offset < inode.cached.count else { return }
            inode.cached[offset] ^= mask
            if offset < inode.platter.count { inode.platter[offset] ^= mask }
        }
    }

    /// Lets the disk give back none of the sectors that a range of bytes touches, until each is written as a whole.
    package func wearOut(_ path: String, bytes: Range<Int>) {
        state.withLock { state in
            guard case .file(let inode)? = state.names[path], !bytes.isEmpty else { return }
            inode.unreadable.formUnion(bytes.lowerBound / Self.sectorBytes...(bytes.upperBound - 1) / Self.sectorBytes)
        }
    }

    /// An independent copy, as an image of a virtual machine is: nobody has files open or locked on it.
    package func copy(seed: UInt64) -> SimulatedDisk {
        state.withLock { state in
            var copy = state
            copy.generator = SeededGenerator(seed: seed)
            var twins: [ObjectIdentifier: Inode] = [:]
            func twin(_ entry: State.Entry) -> State.Entry {
                guard case .file(let inode) = entry else { return entry }
                let made = twins[ObjectIdentifier(inode)] ?? Inode(copying: inode)
                twins[ObjectIdentifier(inode)] = made
                return .file(made)
            }
            copy.names = state.names.mapValues(twin)
            copy.platterNames = state.platterNames.mapValues(twin)
            copy.pending = state.pending.map { operation in
                var operation = operation
                operation.entry = operation.entry.map(twin)
                return operation
            }
            copy.forgetProcess()
            return SimulatedDisk(copy)
        }
    }

    /// The whole content of a file as a process reads it, or `nil` if there is none.
    package func content(_ path: String) -> [UInt8]? {
        state.withLock { state in
            guard case .file(let inode)? = state.names[path] else { return nil }
            return inode.cached
        }
    }

    /// Paths of all files, ascending.
    package var paths: [String] {
        state.withLock { state in
            state.names.compactMap { path, entry in
                guard case .file = entry else { return nil }
                return path
            }
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }
}

// MARK: - Disk

extension SimulatedDisk {
    package func createDirectory(_ path: String) throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in
            try state.begin("mkdir", path)
            for directory in Self.ancestors(of: path) + [path] where directory != "/" {
                switch state.names[directory] {
                case .directory?: continue
                case .file?: throw DiskError(.exists, operation: "mkdir", path: directory)
                case nil: state.perform(NameOperation(path: directory, entry: .directory))
                }
            }
        }
    }

    package func list(_ directory: String) throws(DiskError) -> [String] {
        try state.withLock { (state) throws(DiskError) in
            try state.beginOpening("opendir", directory)
            try state.requireDirectory(directory, "opendir")
            let names = state.names.keys.filter { $0 != directory && Self.parent(of: $0) == directory }
            return names.map { String($0[$0.utf8.index(after: $0.utf8.lastIndex(of: UInt8(ascii: "/"))!)...]) }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }

    package func exists(_ path: String) throws(DiskError) -> Bool {
        try state.withLock { (state) throws(DiskError) in
            try state.begin("stat", path)
            return state.names[path] != nil
        }
    }

    package func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        try state.withLock { (state) throws(DiskError) in
            try state.beginOpening("open", path)
            return SimulatedFile(disk: self, inode: try state.open(path, mode), path: path, process: state.process)
        }
    }

    package func rename(_ path: String, to newPath: String) throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in
            try state.begin("rename", path)
            guard let entry = state.names[path] else { throw DiskError(.notFound, operation: "rename", path: path) }
            try state.requireDirectory(Self.parent(of: newPath), "rename")
            state.perform(NameOperation(path: newPath, entry: entry, oldPath: path))
        }
    }

    package func remove(_ path: String) throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in
            try state.begin("unlink", path)
            guard case .file? = state.names[path] else { throw DiskError(.notFound, operation: "unlink", path: path) }
            state.perform(NameOperation(path: path, entry: nil))
        }
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        try state.withLock { (state) throws(DiskError) in
            try state.beginOpening("fsync", path)
            try state.requireDirectory(path, "fsync")
            if state.faults.syncDoesNothing { return }
            if let left = state.faults.directorySyncsUntilFailure {
                state.faults.directorySyncsUntilFailure = left > 0 ? left - 1 : nil
                if left <= 0 {
                    state.witness.onFault?(.inputOutput)
                    throw DiskError(.inputOutput, operation: "fsync", path: path)
                }
            }
            state.syncNames(in: path)
        }
    }

    package func lock(_ path: String) throws(DiskError) -> any DiskFile {
        try state.withLock { (state) throws(DiskError) in
            try state.beginOpening("flock", path)
            let inode = try state.names[path] == nil ? state.open(path, .create) : state.open(path, .readWrite)
            guard !inode.isLocked else { throw DiskError(.locked, operation: "flock", path: path) }
            inode.isLocked = true
            let file = SimulatedFile(disk: self, inode: inode, path: path, process: state.process)
            file.holdsLock = true
            return file
        }
    }

    package func freeBytes(_ path: String) throws(DiskError) -> Int64 {
        try state.withLock { (state) throws(DiskError) in
            try state.begin("statvfs", path)
            return state.freeBytes
        }
    }

    static func parent(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex else { return "/" }
        return String(path[..<slash])
    }

    private static func ancestors(of path: String) -> [String] {
        var found: [String] = []
        var current = parent(of: path)
        while current != "/" {
            found.append(current)
            current = parent(of: current)
        }
        return found.reversed()
    }
}
