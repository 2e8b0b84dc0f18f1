import TopGunEnvironment
package import TopGunModel

extension CheckpointStore {
    /// Hands out the records of all checkpoints and returns what they cover, for the recovery of the log.
    ///
    /// A checkpoint that is damaged is done without if it does not replace a part of the log that is gone; otherwise it is
    /// an error that names the partition, as is one that is gone itself. Blocks; memory stays bounded.
    package static func load(
        from directory: DataDirectory, progress: (RecoveryProgress) -> Void = { _ in },
        visit: (_ partition: Int, StoredRecord) -> Void
    ) throws(StorageError) -> CheckpointCoverage {
        let disk = directory.disk
        let folder = CheckpointFolder(path: directory.checkpointPath)
        let identity = directory.identity
        var coverage = CheckpointCoverage()
        let names = Set(try onDisk { () throws(DiskError) in try disk.list(folder.path) })
        for partition in 0..<PartitionSet.capacity {
            progress(RecoveryProgress(doneBytes: Int64(partition), totalBytes: Int64(PartitionSet.capacity)))
            let path = folder.file(partition)
            if names.contains(CheckpointFolder.newFileName(partition)) {
                try onDisk { () throws(DiskError) in try disk.remove(folder.newFile(partition)) }
            }
            let isThere = names.contains(CheckpointFolder.fileName(partition))
            guard isThere || identity.checkpointed.contains(partition) else { continue }
            do throws(StorageError) {
                guard isThere else {
                    throw StorageError(.damagedCheckpoint, "it is gone, and the log no longer reaches back far enough")
                }
                let file = try onDisk { () throws(DiskError) in try disk.open(path, .read) }
                defer { file.close() }
                let reader = try CheckpointReader(file: file, partition: partition, identity: identity)
                try reader.readAll { visit(partition, $0) }
                coverage.cover(partition, to: reader.position)
            } catch {
                guard error.code == .damagedCheckpoint else { throw error }
                if !identity.checkpointed.contains(partition) { continue }
                throw StorageError(
                    .damagedCheckpoint,
                    "the checkpoint \(path) of partition \(partition) cannot be used: \(error.message). If this node has peers, move the data directory away and let it take its data from them; if it is alone, `topgund salvage --data-dir \(directory.path)` keeps everything that can still be read and says what it could not"
                )
            }
        }
        // An earlier start may have died between a checkpoint's name and its directory's sync, and what is covered from
        // now on is let go of in the log.
        try onDisk { () throws(DiskError) in try disk.syncDirectory(folder.path) }
        return coverage
    }
}

/// Reads one checkpoint file from its beginning to its end mark.
final class CheckpointReader {
    let position: LogPosition
    private let partition: Int
    private let reader: GroupReader
    /// Where the next slice stands, the checksum before it, and how many there were.
    private var place = LogPosition.zero
    private var chain: UInt64 = 0
    private var slices: UInt64 = 0

    init(file: any DiskFile, partition: Int, identity: Identity) throws(StorageError) {
        let header: FileHeader
        switch try onDisk({ () throws(DiskError) in try FileHeader.read(.checkpoint, of: file) }) {
        case .success(let found): header = found
        case .failure(.newer(let version)): throw DataDirectory.newerFormat("a checkpoint", version)
        case .failure(.older(let version)): throw DataDirectory.olderFormat("a checkpoint", version)
        case .failure(.blank), .failure(.damaged), .failure(.unreadable):
            throw StorageError(.damagedCheckpoint, "its header cannot be read")
        }
        guard header.nodeID == identity.nodeID, header.clusterID == identity.clusterID,
            header.restoreEpoch == identity.restoreEpoch, header.number == UInt64(partition),
            header.incarnation <= identity.incarnation
        else {
            throw StorageError(
                .foreign,
                "the checkpoint of partition \(partition) was written by node \(header.nodeID) of cluster \(header.clusterID) (partition \(header.number), restore epoch \(header.restoreEpoch), start \(header.incarnation)) and not by this life of this node; remove what was copied into this directory"
            )
        }
        position = header.position
        self.partition = partition
        reader = try Self.reader(of: file, partition, identity)
    }

    /// A checkpoint of which nobody knows what it covers, for what can be read of it.
    init(withoutHeader file: any DiskFile, partition: Int, identity: Identity) throws(StorageError) {
        position = .zero
        self.partition = partition
        reader = try Self.reader(of: file, partition, identity)
    }

    private static func reader(
        of file: any DiskFile, _ partition: Int, _ identity: Identity
    ) throws(StorageError) -> GroupReader {
        try onDisk { () throws(DiskError) in
            try GroupReader(file: file, number: UInt64(partition), start: .zero, salt: identity.salt)
        }
    }

    func readAll(_ visit: (StoredRecord) -> Void) throws(StorageError) {
        while try readSlice(visit) {}
    }

    /// Reads the next slice; `false` at the end mark.
    func readSlice(_ visit: (StoredRecord) -> Void) throws(StorageError) -> Bool {
        let place = place
        guard let group = try onDisk({ () throws(DiskError) in try reader.group(at: place) }),
            let payload = group.payload, group.header.chain == chain
        else { throw StorageError(.damagedCheckpoint, "it cannot be read from byte \(place) on") }
        if group.header.partitions.isEmpty {
            guard payload.count == 8, UInt64(littleEndian: payload.loadUnaligned(as: UInt64.self)) == slices else {
                throw StorageError(.damagedCheckpoint, "it holds \(slices) slices, but says another number")
            }
            return false
        }
        var offset = 0
        while offset < payload.count {
            guard let record = StoredRecord(in: payload, at: &offset) else {
                throw StorageError(.damagedCheckpoint, "it holds no readable records at byte \(place)")
            }
            visit(record)
        }
        slices += 1
        self.place = group.header.end
        chain = group.checksum
        return true
    }

    /// Everything that can still be read, whatever lies between; returns the stretches that cannot.
    func readWhatIsThere(_ visit: (StoredRecord) -> Void) throws(StorageError) -> [Range<LogPosition>] {
        var lost: [Range<LogPosition>] = []
        var isWhole = false
        let end = try reader.readWhatIsThere { (group, gap) throws(StorageError) in
            if let gap { lost.append(gap) }
            guard let payload = group.payload else {
                lost.append(group.header.position..<group.header.end)
                return
            }
            isWhole = group.header.partitions.isEmpty
            var offset = 0
            while !isWhole, offset < payload.count, let record = StoredRecord(in: payload, at: &offset) {
                visit(record)
            }
        }
        if !isWhole { lost.append(end..<max(reader.limit, end + 8)) }
        return lost
    }
}
