package import TopGunEnvironment
package import TopGunModel

/// What a salvage kept and what it could not.
package struct SalvageReport: Sendable {
    /// A stretch of the log that could not be read.
    package struct Loss: Hashable, Sendable {
        /// The file, or `nil` for a stretch that is in no file any more.
        package var file: String?
        package var from: LogPosition
        package var to: LogPosition
        /// The partitions that lost records; `nil` if that cannot be known.
        package var partitions: PartitionSet?

        package var bytes: Int { to - from }
    }

    /// A checkpoint that could not be read as a whole.
    package struct DamagedCheckpoint: Hashable, Sendable {
        package var partition: Int
        package var what: String
    }

    package var keptGroups = 0
    package var keptRecords = 0
    package var losses: [Loss] = []
    package var damagedCheckpoints: [DamagedCheckpoint] = []
    /// Files that belong to another node or life and were left out.
    package var foreignFiles: [String] = []
    package var restoreEpoch: UInt64
    /// The folders of the epoch before, left as they were.
    package var oldFolders: [String]

    /// The report for people, one fact a line.
    package var lines: [String] {
        var lines = ["kept \(keptRecords) records in \(keptGroups) groups; the restore epoch is now \(restoreEpoch)"]
        for loss in losses {
            let place = loss.file.map { "in \($0)" } ?? "in files that are gone"
            let partitions = loss.partitions.map { "partitions \($0.members)" } ?? "any partition"
            lines.append("lost positions \(loss.from) to \(loss.to), \(loss.bytes) bytes, \(place), of \(partitions)")
        }
        for checkpoint in damagedCheckpoints {
            lines.append("lost a part of the checkpoint of partition \(checkpoint.partition): \(checkpoint.what)")
        }
        for file in foreignFiles {
            lines.append("left out \(file): it belongs to another node or another life of this one")
        }
        for folder in oldFolders {
            lines.append("the old files are still in \(folder); remove them when nobody needs them")
        }
        return lines
    }
}

/// Makes a data directory usable again that recovery refuses: keeps every record that can still be read, in the log and
/// in checkpoints, and says exactly what it could not. Never done unasked: it accepts a loss.
///
/// ```
///   log-E, checkpoints-E ──all readable groups──> log-F ──synced──> identity says restore epoch F, later than E
/// ```
///
/// Until the identity is replaced nothing has happened; a salvage that was interrupted starts over.
package struct Salvage {
    private let directory: DataDirectory
    private let identity: Identity
    private var report: SalvageReport
    private let writer: SalvageWriter
    private var clockBound: Int64

    /// The new restore epoch is the time, if it is later than the epoch before: a directory that was set back to a backup, and
    /// is salvaged a second time from there, must not get an epoch that clients have heard of.
    package static func run(
        path: String, disk: any Disk, entropy: any Entropy, nowMillis: Int64 = 0
    ) throws(StorageError) -> SalvageReport {
        let directory = try DataDirectory.open(path: path, disk: disk, entropy: entropy, mayBeNew: false)
        defer { directory.close() }
        let epoch = max(directory.identity.restoreEpoch + 1, UInt64(clamping: nowMillis))
        var salvage = try Salvage(directory, epoch: epoch)
        try salvage.run()
        return salvage.report
    }

    private init(_ directory: DataDirectory, epoch: UInt64) throws(StorageError) {
        self.directory = directory
        identity = directory.identity
        clockBound = identity.clockBound
        report = SalvageReport(
            restoreEpoch: epoch, oldFolders: [directory.logPath, directory.checkpointPath])
        try Self.removeLeftovers(directory)
        let start = try Self.firstFreePosition(directory)
        try directory.makeFolders(epoch: epoch)
        writer = try SalvageWriter(directory, epoch: epoch, start: start)
    }

    private mutating func run() throws(StorageError) {
        let covered = try readCheckpoints()
        try readLog(covered: covered)
        try writer.finish()
        report.keptGroups = writer.groups
        let (start, bound, epoch) = (writer.start, clockBound, report.restoreEpoch)
        try directory.update { identity in
            identity.restoreEpoch = epoch
            identity.logStart = start
            identity.clockBound = bound
            identity.checkpointed = PartitionSet()
        }
    }

    /// Removes what a salvage that was interrupted left: it lies under an epoch that the identity never came to, and may
    /// be as large as the log.
    private static func removeLeftovers(_ directory: DataDirectory) throws(StorageError) {
        let (disk, path, known) = (directory.disk, directory.path, directory.identity.restoreEpoch)
        try onDisk { () throws(DiskError) in
            for name in try disk.list(path) {
                let parts = name.split(separator: "-")
                guard parts.count == 2, parts[0] == "log" || parts[0] == "checkpoints",
                    let epoch = UInt64(parts[1]), epoch > known
                else { continue }
                for file in try disk.list("\(path)/\(name)") { try disk.remove("\(path)/\(name)/\(file)") }
            }
        }
    }

    /// A position that no group or checkpoint of the old log can have used.
    private static func firstFreePosition(_ directory: DataDirectory) throws(StorageError) -> LogPosition {
        let identity = directory.identity
        let folder = LogFolder(path: directory.logPath)
        var last = max(identity.logStart, .beginning)
        let disk = directory.disk
        for sequence in try onDisk({ () throws(DiskError) in try folder.list(disk).segments }) {
            let file = try onDisk { () throws(DiskError) in try disk.open(folder.segment(sequence), .read) }
            defer { file.close() }
            let size = try onDisk { () throws(DiskError) in try file.size() }
            // Counted in full even where the start is unknown: a hole costs nothing.
            last = last + Int(size)
            if let start = try Self.start(of: file, sequence: sequence, identity: identity) {
                last = max(last, start + Int(size))
            }
        }
        let checkpoints = CheckpointFolder(path: directory.checkpointPath)
        for partition in try onDisk({ () throws(DiskError) in try checkpoints.list(disk) }).members {
            let path = checkpoints.file(partition)
            let found = try onDisk { () throws(DiskError) in
                try FileHeader.read(.checkpoint, of: try disk.open(path, .read))
            }
            if case .success(let header) = found { last = max(last, header.position) }
        }
        return LogPosition((last.rawValue + 15) & ~7)
    }

    private static func start(
        of file: any DiskFile, sequence: UInt64, identity: Identity
    ) throws(StorageError) -> LogPosition? {
        let found = try onDisk { () throws(DiskError) in try FileHeader.read(.segment, of: file) }
        if case .success(let header) = found { return header.position }
        return try onDisk { () throws(DiskError) in
            try GroupReader.start(of: file, number: sequence, salt: identity.salt)
        }
    }
}

// MARK: - Reading

extension Salvage {
    /// Keeps the records of all checkpoints; returns up to where the best of them reaches.
    private mutating func readCheckpoints() throws(StorageError) -> LogPosition {
        let disk = directory.disk
        let folder = CheckpointFolder(path: directory.checkpointPath)
        var covered = LogPosition.zero
        let found = try onDisk { () throws(DiskError) in try folder.list(disk) }
        for partition in identity.checkpointed.members where !found.contains(partition) {
            damaged(partition, "it is gone")
        }
        for partition in found.members {
            let path = folder.file(partition)
            let file = try onDisk { () throws(DiskError) in try disk.open(path, .read) }
            defer { file.close() }
            let reader: CheckpointReader
            do throws(StorageError) {
                reader = try CheckpointReader(file: file, partition: partition, identity: identity)
            } catch {
                switch error.code {
                case .foreign:
                    report.foreignFiles.append(path)
                    continue
                case .damagedCheckpoint:
                    damaged(partition, error.message)
                    // Its slices say for themselves whose they are.
                    reader = try CheckpointReader(withoutHeader: file, partition: partition, identity: identity)
                case .inUse, .missing, .newerFormat, .olderFormat, .damagedIdentity, .damagedLog, .noSpace,
                    .tooManyFiles, .disk:
                    throw error
                }
            }
            covered = max(covered, reader.position)
            try keep(reader, partition: partition)
        }
        return covered
    }

    private mutating func keep(_ reader: CheckpointReader, partition: Int) throws(StorageError) {
        var records = 0
        var failure: StorageError?
        let lost = try reader.readWhatIsThere { record in
            records += 1
            do throws(StorageError) {
                if failure == nil { try writer.append(record, PartitionSet([partition])) }
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        report.keptRecords += records
        for range in lost {
            damaged(partition, "bytes \(range.lowerBound) to \(range.upperBound) behind its header")
        }
    }

    private mutating func damaged(_ partition: Int, _ what: String) {
        report.damagedCheckpoints.append(SalvageReport.DamagedCheckpoint(partition: partition, what: what))
    }

    private mutating func readLog(covered: LogPosition) throws(StorageError) {
        let disk = directory.disk
        let folder = LogFolder(path: directory.logPath)
        var end: LogPosition? = identity.logStart > .zero ? identity.logStart : nil
        var last: (sequence: UInt64, path: String)?
        // Up to where the newest file may have held what the disk does not give back.
        var missed: (end: LogPosition, path: String)?
        for sequence in try onDisk({ () throws(DiskError) in try folder.list(disk).segments }) {
            let path = folder.segment(sequence)
            let file = try onDisk { () throws(DiskError) in try disk.open(path, .read) }
            defer { file.close() }
            let found = try onDisk { () throws(DiskError) in try FileHeader.read(.segment, of: file) }
            if case .success(let header) = found {
                guard header.nodeID == identity.nodeID, header.clusterID == identity.clusterID,
                    header.restoreEpoch == identity.restoreEpoch, header.number == sequence
                else {
                    report.foreignFiles.append(path)
                    continue
                }
                clockBound = max(clockBound, header.clockBound)
            }
            // A file without any group is one that was never used, or one that is lost as a whole.
            guard let start = try Self.start(of: file, sequence: sequence, identity: identity) else {
                if case .failure(.unreadable) = found {
                    let size = try onDisk { () throws(DiskError) in try file.size() }
                    missed = ((end ?? .beginning) + max(Int(size) - FileHeader.bytes, 0), path)
                }
                continue
            }
            if let end, start > end {
                lose(end..<start, file: last.flatMap { $0.sequence + 1 == sequence ? $0.path : nil }, partitions: nil)
            }
            last = (sequence, path)
            let reader = try onDisk { () throws(DiskError) in
                try GroupReader(file: file, number: sequence, start: start, salt: identity.salt)
            }
            let reached = try readSegment(reader, path: path)
            end = max(end ?? reached, reached)
            missed = reader.missedEnd.map { ($0, path) }
        }
        if let start = end ?? missed.map({ _ in .beginning }), let missed, missed.end > start {
            lose(start..<missed.end, file: missed.path, partitions: nil)
            end = missed.end
        }
        if let end, covered > end { lose(end..<covered, file: nil, partitions: nil) }
    }

    private mutating func readSegment(_ reader: GroupReader, path: String) throws(StorageError) -> LogPosition {
        var losses: [(Range<LogPosition>, PartitionSet?)] = []
        var records = 0
        var bound = clockBound
        let end = try reader.readWhatIsThere { (group, skipped) throws(StorageError) in
            if let skipped { losses.append((skipped, nil)) }
            bound = max(bound, group.header.clockBound)
            guard let payload = group.payload else {
                losses.append((group.header.position..<group.header.end, group.header.partitions))
                return
            }
            var offset = 0
            while offset < payload.count {
                guard let record = StoredRecord(in: payload, at: &offset) else {
                    losses.append((group.header.position..<group.header.end, group.header.partitions))
                    return
                }
                try writer.append(record, group.header.partitions)
                records += 1
            }
        }
        clockBound = bound
        report.keptRecords += records
        for (range, partitions) in losses { lose(range, file: path, partitions: partitions) }
        return end
    }

    private mutating func lose(_ range: Range<LogPosition>, file: String?, partitions: PartitionSet?) {
        report.losses.append(
            SalvageReport.Loss(file: file, from: range.lowerBound, to: range.upperBound, partitions: partitions))
    }
}

/// Writes the log of the next epoch: one segment with everything that was kept.
private final class SalvageWriter {
    let start: LogPosition
    private(set) var groups = 0
    private let directory: DataDirectory
    private let identity: Identity
    private let folder: LogFolder
    private let file: any DiskFile
    private var end: LogPosition
    private var chain: UInt64 = 0
    private let payload = ByteSink(capacity: Limits.salvageGroupBytes)
    private var partitions = PartitionSet()

    private static let sequence: UInt64 = 1

    init(_ directory: DataDirectory, epoch: UInt64, start: LogPosition) throws(StorageError) {
        self.directory = directory
        self.start = start
        end = start
        identity = directory.identity
        folder = LogFolder(path: "\(directory.path)/log-\(epoch)")
        let (disk, identity) = (directory.disk, identity)
        file = try onDisk { [folder] () throws(DiskError) in
            let file = try disk.open(folder.segment(Self.sequence), .create)
            let header = FileHeader(
                kind: .segment, incarnation: identity.incarnation, restoreEpoch: epoch,
                clockBound: identity.clockBound, number: Self.sequence, position: start,
                clusterID: identity.clusterID, nodeID: identity.nodeID)
            try file.write(header.encoded(), at: 0)
            return file
        }
    }

    func append(_ record: StoredRecord, _ partitions: PartitionSet) throws(StorageError) {
        record.append(to: payload)
        self.partitions.formUnion(partitions)
        if payload.count >= Limits.salvageGroupBytes { try writeGroup() }
    }

    func finish() throws(StorageError) {
        if payload.count > 0 { try writeGroup() }
        try onDisk { () throws(DiskError) in
            try file.sync()
            file.close()
            try directory.disk.syncDirectory(folder.path)
        }
    }

    private func writeGroup() throws(StorageError) {
        let header = GroupHeader(
            payloadBytes: payload.count, number: Self.sequence, position: end, durableBefore: start,
            clockBound: identity.clockBound, partitions: partitions,
            payloadChecksum: GroupHeader.checksum(ofPayload: payload.bytes, salt: identity.salt), chain: chain)
        let sink = ByteSink(capacity: header.totalBytes)
        chain = sink.append(group: payload.bytes, header: header, salt: identity.salt)
        let offset = Int64(FileHeader.bytes) + Int64(end - start)
        try onDisk { () throws(DiskError) in try file.write(sink.bytes, at: offset) }
        end = header.end
        groups += 1
        payload.removeAll()
        partitions = PartitionSet()
    }
}
