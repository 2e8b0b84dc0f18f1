import Synchronization
package import TopGunEnvironment
package import TopGunModel

/// The checkpoints of a node: per partition one file with all its records, so that the log may forget them.
///
/// ```
///   partition-017.checkpoint      header (covers position P) | slice | slice | ... | end: number of slices
///   partition-017.new             the next one while it is written
/// ```
///
/// A checkpoint is written from slices of a partition that lives on: a slice may be newer than the one before, since
/// loading is a merge like any other. It covers position P if everything the log says about the partition before P
/// was applied before the first slice was taken: begin it with the log's `durablePosition`, on the partition's loop.
///
/// Files are written on a thread of their own. A full disk, or a lack of file descriptors, gives up the one checkpoint
/// and keeps the old one; any other failure of the disk is one of the node: `onFailure` is called, once.
package final class CheckpointStore: Sendable {
    let directory: DataDirectory
    let folder: CheckpointFolder
    let thread: any Loop
    private let covered: Mutex<CheckpointCoverage>
    private let firstFailure = Mutex<StorageError?>(nil)
    private let onFailure: @Sendable (StorageError) -> Void

    /// - Parameter coverage: what ``load(from:progress:visit:)`` returned.
    package init(
        in directory: DataDirectory, coverage: CheckpointCoverage, spawner: any Spawner,
        onFailure: @escaping @Sendable (StorageError) -> Void
    ) {
        self.directory = directory
        folder = CheckpointFolder(path: directory.checkpointPath)
        thread = spawner.thread(named: "topgun-ckpt")
        covered = Mutex(coverage)
        self.onFailure = onFailure
    }

    /// What the checkpoints on disk cover; what the log may retire by.
    package var coverage: CheckpointCoverage { covered.withLock { $0 } }

    /// Starts the next checkpoint of a partition; one at a time for each.
    package func begin(partition: Int, covering position: LogPosition) -> CheckpointWriter {
        CheckpointWriter(store: self, partition: partition, position: position)
    }

    func didStore(partition: Int, covering position: LogPosition) {
        covered.withLock { $0.cover(partition, to: position) }
    }

    /// Set once the disk failed; nothing is written any more.
    var failure: StorageError? { firstFailure.withLock { $0 } }

    func fail(_ error: StorageError) {
        let isFirst = firstFailure.withLock { failure in
            defer { failure = failure ?? error }
            return failure == nil
        }
        if isFirst { onFailure(error) }
    }
}

struct CheckpointFolder: Sendable {
    let path: String

    func file(_ partition: Int) -> String { "\(path)/\(Self.fileName(partition))" }
    func newFile(_ partition: Int) -> String { "\(path)/\(Self.newFileName(partition))" }

    /// The partitions that have a checkpoint.
    func list(_ disk: any Disk) throws(DiskError) -> PartitionSet {
        let names = Set(try disk.list(path))
        return PartitionSet((0..<PartitionSet.capacity).filter { names.contains(Self.fileName($0)) })
    }

    static func fileName(_ partition: Int) -> String { "partition-\(digits(partition)).checkpoint" }
    static func newFileName(_ partition: Int) -> String { "partition-\(digits(partition)).new" }

    private static func digits(_ partition: Int) -> String {
        let digits = String(partition)
        return String(repeating: "0", count: max(3 - digits.utf8.count, 0)) + digits
    }
}

/// One checkpoint in the making. Calls are carried out in order; each answers on the loop it came from.
package final class CheckpointWriter: Sendable {
    private let store: CheckpointStore
    private let partition: Int
    private let position: LogPosition
    private let state = Mutex(State())

    /// Touched on the store's thread only; in a mutex because the compiler cannot know.
    private struct State {
        var file: (any DiskFile)?
        var end = LogPosition.zero
        var chain: UInt64 = 0
        var slices: UInt64 = 0
        var failure: StorageError?
        var isDone = false
    }

    init(store: CheckpointStore, partition: Int, position: LogPosition) {
        precondition(partition >= 0 && partition < PartitionSet.capacity, "no such partition")
        self.store = store
        self.partition = partition
        self.position = position
    }

    /// Writes a slice of ``StoredRecord``s. Ask for the next one when the completion comes: that is what limits the
    /// memory and the speed of it.
    package func append(
        _ slice: ByteSink, from loop: any Loop,
        completion: @escaping @Sendable (_ recycled: ByteSink, StorageError?) -> Void
    ) {
        store.thread.execute { [self] in
            let failure = attempt { (state) throws(StorageError) in
                try write(slice.bytes, isEnd: false, &state)
                state.slices += 1
            }
            slice.removeAll()
            loop.execute { completion(slice, failure) }
        }
    }

    /// Makes the checkpoint durable and puts it in the place of the one before.
    package func commit(from loop: any Loop, completion: @escaping @Sendable (StorageError?) -> Void) {
        store.thread.execute { [self] in
            let failure = attempt { (state) throws(StorageError) in try finish(&state) }
            loop.execute { completion(failure) }
        }
    }

    /// Gives it up.
    package func abandon() {
        store.thread.execute { [self] in
            state.withLock { state in
                if !state.isDone { drop(&state) }
            }
        }
    }

    // MARK: - On the store's thread

    private func attempt(_ body: (inout State) throws(StorageError) -> Void) -> StorageError? {
        state.withLock { state in
            if let failure = state.failure ?? store.failure { return failure }
            do throws(StorageError) {
                try body(&state)
                return nil
            } catch {
                drop(&state)
                state.failure = error
                if !error.isPassing { store.fail(error) }
                return error
            }
        }
    }

    private func write(_ payload: UnsafeRawBufferPointer, isEnd: Bool, _ state: inout State) throws(StorageError) {
        let file = try open(&state)
        let salt = store.directory.identity.salt
        let header = GroupHeader(
            payloadBytes: payload.count, number: UInt64(partition), position: state.end, durableBefore: .zero,
            clockBound: 0, partitions: isEnd ? PartitionSet() : PartitionSet([partition]),
            payloadChecksum: GroupHeader.checksum(ofPayload: payload, salt: salt), chain: state.chain)
        let sink = ByteSink(capacity: header.totalBytes)
        state.chain = sink.append(group: payload, header: header, salt: salt)
        let offset = Int64(FileHeader.bytes) + state.end.rawValue
        try onDisk { () throws(DiskError) in try file.write(sink.bytes, at: offset) }
        state.end = header.end
    }

    private func open(_ state: inout State) throws(StorageError) -> any DiskFile {
        if let file = state.file { return file }
        let identity = store.directory.identity
        let header = FileHeader(
            kind: .checkpoint, incarnation: identity.incarnation, restoreEpoch: identity.restoreEpoch,
            clockBound: identity.clockBound, number: UInt64(partition), position: position,
            partitions: PartitionSet([partition]), clusterID: identity.clusterID, nodeID: identity.nodeID)
        let file = try onDisk { () throws(DiskError) in
            let disk = store.directory.disk
            try disk.removeIfThere(store.folder.newFile(partition))
            let file = try disk.open(store.folder.newFile(partition), .create)
            try file.write(header.encoded(), at: 0)
            return file
        }
        state.file = file
        return file
    }

    private func finish(_ state: inout State) throws(StorageError) {
        let count = withUnsafeBytes(of: state.slices.littleEndian) { Array($0) }
        try count.withUnsafeBytes { raw in
            Result { () throws(StorageError) in try write(raw, isEnd: true, &state) }
        }
        .get()
        let file = try open(&state)
        // Never an older one in the place of a newer one.
        guard store.coverage.positions[partition] <= position else { return drop(&state) }
        try onDisk { () throws(DiskError) in
            let disk = store.directory.disk
            try file.sync()
            try disk.rename(store.folder.newFile(partition), to: store.folder.file(partition))
            try disk.syncDirectory(store.folder.path)
        }
        file.close()
        state.file = nil
        state.isDone = true
        store.didStore(partition: partition, covering: position)
    }

    private func drop(_ state: inout State) {
        guard state.file != nil else { return }
        state.file?.close()
        state.file = nil
        state.isDone = true
        // What cannot be removed now is removed by the next start or the next checkpoint of the partition.
        try? store.directory.disk.removeIfThere(store.folder.newFile(partition))
    }
}
