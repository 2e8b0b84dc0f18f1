import TopGunEnvironment
package import TopGunModel

/// What a log was found to be, and where it goes on; the way into ``WriteAheadLog``.
package struct RecoveredLog: Sendable {
    /// Where the log ends. All groups before it were handed out.
    package var end: LogPosition
    /// The highest bound that any group or file carries: no stamp above it was ever handed out.
    package var clockBound: Int64
    package var groups = 0
    package var records = 0
    package var bytes: Int64 = 0
    /// Whether something behind the end was cut off: a group that a crash interrupted, never acknowledged.
    package var hadTornTail = false

    /// Checksum of the last group.
    var chain: UInt64
    var nextSequence: UInt64
    var segments: [RetainedSegment] = []
    var spares: [UInt64] = []
}

/// A closed segment that is still needed.
struct RetainedSegment: Hashable, Sendable {
    var sequence: UInt64
    var start: LogPosition
    var end: LogPosition
    /// Partitions with records in it: it goes when each of them has a checkpoint that covers its end.
    var partitions: PartitionSet
    var bytes: Int64
}

/// How far a recovery has come.
package struct RecoveryProgress: Sendable {
    package var doneBytes: Int64
    package var totalBytes: Int64
}

extension WriteAheadLog {
    /// Reads the log of a directory from the beginning and hands out every record that a checkpoint does not cover.
    ///
    /// What a crash left half-written at the end is cut off. Damage anywhere else stops the recovery with an error that
    /// says what cannot be read. Blocks; needs a few megabytes however long the log is.
    ///
    /// - Parameters:
    ///   - covered: what the checkpoints that were loaded cover; groups of covered partitions only are not handed out.
    ///   - visit: called for each record, in order, with the end of its group. Its views are valid until it returns.
    package static func recover(
        in directory: DataDirectory, covered: CheckpointCoverage, progress: (RecoveryProgress) -> Void = { _ in },
        visit: (StoredRecord, LogPosition) -> Void
    ) throws(StorageError) -> RecoveredLog {
        var recovery = LogRecovery(directory: directory, covered: covered)
        try recovery.run(progress: progress, visit: visit)
        return recovery.log
    }
}

/// The reading itself.
///
/// ```
///   segment 5           segment 6              segment 7              segment 8
///   [header|g g g g]    [header|g g g g g]     [header|g g g ? 0 0]   [blank header: the next one]
///                       ^ starts where 5 ends   first unreadable ─┘
/// ```
///
/// A segment gets its header, synced, only when the one before is durable to its end. So all but the last must be whole.
/// In the last one the first unreadable group is the torn tail, unless a group behind it says that this place was
/// durable before.
private struct LogRecovery {
    let directory: DataDirectory
    let covered: CheckpointCoverage
    let folder: LogFolder
    let identity: Identity
    var log: RecoveredLog
    private var doneBytes: Int64 = 0
    private var totalBytes: Int64 = 0
    private var reportedBytes: Int64 = 0

    private struct Segment {
        var sequence: UInt64
        var header: FileHeader
    }

    init(directory: DataDirectory, covered: CheckpointCoverage) {
        self.directory = directory
        self.covered = covered
        identity = directory.identity
        folder = LogFolder(path: directory.logPath)
        log = RecoveredLog(
            end: max(identity.logStart, .beginning), clockBound: identity.clockBound, chain: 0, nextSequence: 1)
    }

    mutating func run(
        progress: (RecoveryProgress) -> Void, visit: (StoredRecord, LogPosition) -> Void
    ) throws(StorageError) {
        let segments = try findSegments()
        for (index, segment) in segments.enumerated() {
            let next = index + 1 < segments.count ? segments[index + 1] : nil
            try read(segment, next: next?.header.position, progress: progress, visit: visit)
            #if MUTANTS
            if Mutant.replayStopsAtDamage.isOn, let next, log.end < next.header.position { break }
            #endif
        }
        if segments.isEmpty { try checkEnd() }
        progress(RecoveryProgress(doneBytes: totalBytes, totalBytes: totalBytes))
    }

    // MARK: Finding the segments

    /// Looks at the header of each. One file is open at a time: every start adds a segment, and the descriptors are few.
    private mutating func findSegments() throws(StorageError) -> [Segment] {
        let disk = directory.disk
        let found = try onDisk { () throws(DiskError) in try folder.list(disk) }
        log.spares = found.spares
        var segments: [Segment] = []
        for (index, sequence) in found.segments.enumerated() {
            let file = try open(sequence)
            defer { file.close() }
            let name = LogFolder.segmentName(sequence)
            if index > 0, found.segments[index - 1] != sequence - 1 {
                throw damaged("\(LogFolder.segmentName(sequence - 1)) is gone")
            }
            switch try onDisk({ () throws(DiskError) in try FileHeader.read(.segment, of: file) }) {
            case .success(let header):
                try check(header, sequence: sequence, name: name)
                if segments.count < index {
                    throw damaged("\(LogFolder.segmentName(sequence - 1)) has no header, but \(name) has")
                }
                totalBytes += try onDisk { () throws(DiskError) in try file.size() }
                segments.append(Segment(sequence: sequence, header: header))
            case .failure(.newer(let version)):
                throw DataDirectory.newerFormat("the log file \(folder.path)/\(name)", version)
            case .failure(.older(let version)):
                throw DataDirectory.olderFormat("the log file \(folder.path)/\(name)", version)
            case .failure(.unreadable):
                throw damaged("the disk does not give back the header of \(name)")
            case .failure(.blank), .failure(.damaged):
                try checkUnused(file, sequence: sequence, name: name)
            }
        }
        try checkBeginning(segments.first)
        log.nextSequence = (segments.last?.sequence ?? found.segments.first.map { $0 - 1 } ?? 0) + 1
        if let first = segments.first {
            log.end = first.header.position
            log.chain = first.header.chain
        }
        return segments
    }

    private func open(_ sequence: UInt64) throws(StorageError) -> any DiskFile {
        try onDisk { () throws(DiskError) in try directory.disk.open(folder.segment(sequence), .readWrite) }
    }

    private func check(_ header: FileHeader, sequence: UInt64, name: String) throws(StorageError) {
        guard header.nodeID == identity.nodeID, header.clusterID == identity.clusterID else {
            throw StorageError(
                .foreign,
                "the log file \(folder.path)/\(name) was written by node \(header.nodeID) of cluster \(header.clusterID), not by this node; remove what was copied into this directory"
            )
        }
        guard header.number == sequence, header.restoreEpoch == identity.restoreEpoch,
            header.incarnation <= identity.incarnation
        else {
            throw StorageError(
                .foreign,
                "the log file \(folder.path)/\(name) is not of this life of the node (file \(header.number), restore epoch \(header.restoreEpoch), start \(header.incarnation)); remove what was copied into this directory"
            )
        }
    }

    /// A file whose header is none is the next segment, never used; or else it is damaged, and any group that is left of
    /// it says so.
    private func checkUnused(_ file: any DiskFile, sequence: UInt64, name: String) throws(StorageError) {
        let start = try onDisk { () throws(DiskError) in
            try GroupReader.start(of: file, number: sequence, salt: identity.salt)
        }
        if start != nil { throw damaged("the header of \(name) is damaged, and groups stand behind it") }
    }

    private func checkBeginning(_ first: Segment?) throws(StorageError) {
        guard identity.logStart > .zero else { return }
        guard let first else { throw damaged("the log is gone; it began at position \(identity.logStart)") }
        if first.header.position > identity.logStart {
            throw damaged(
                "its beginning is gone: positions \(identity.logStart) to \(first.header.position), which no checkpoint covers"
            )
        }
    }

    /// What checkpoints know of cannot be a torn tail. Asked before anything of the log is written: what was only read
    /// wrongly is there when it is read again.
    private func checkEnd() throws(StorageError) {
        guard let last = covered.positions.max(), last > log.end else { return }
        throw damaged(
            "the log ends at \(log.end), but a checkpoint was made when it reached \(last): its end is missing")
    }

    // MARK: Reading one segment

    private mutating func read(
        _ segment: Segment, next: LogPosition?, progress: (RecoveryProgress) -> Void,
        visit: (StoredRecord, LogPosition) -> Void
    ) throws(StorageError) {
        let name = LogFolder.segmentName(segment.sequence)
        let file = try open(segment.sequence)
        defer { file.close() }
        let reader = try onDisk { () throws(DiskError) in
            try GroupReader(file: file, number: segment.sequence, start: segment.header.position, salt: identity.salt)
        }
        guard segment.header.position == log.end, segment.header.chain == log.chain else {
            throw damaged("\(name) starts at \(segment.header.position), but the log before it ends at \(log.end)")
        }
        log.clockBound = max(log.clockBound, segment.header.clockBound)
        var partitions = PartitionSet()
        var durable = segment.header.position
        while log.end != next {
            guard let group = try onDisk({ () throws(DiskError) in try reader.group(at: log.end) }),
                let payload = group.payload, group.header.chain == log.chain,
                next.map({ group.header.end <= $0 }) ?? true
            else {
                try cut(reader, name: name, next: next)
                break
            }
            try hand(payload, of: group.header, in: name, to: visit)
            partitions.formUnion(group.header.partitions)
            durable = max(durable, group.header.durableBefore)
            log.clockBound = max(log.clockBound, group.header.clockBound)
            log.groups += 1
            log.bytes += Int64(group.header.totalBytes)
            log.chain = group.checksum
            log.end = group.header.end
            report(Int64(group.header.totalBytes), progress)
        }
        if next == nil {
            try checkEnd()
            try makeDurable(reader, segment, in: file, from: durable)
        }
        let bytes = next == nil ? Int64(FileHeader.bytes + (log.end - segment.header.position)) : reader.size
        log.segments.append(
            RetainedSegment(
                sequence: segment.sequence, start: segment.header.position, end: log.end, partitions: partitions,
                bytes: bytes))
    }

    private mutating func hand(
        _ payload: UnsafeRawBufferPointer, of header: GroupHeader, in name: String,
        to visit: (StoredRecord, LogPosition) -> Void
    ) throws(StorageError) {
        if covered.covers(header.partitions, to: header.end) { return }
        var offset = 0
        while offset < payload.count {
            guard let record = StoredRecord(in: payload, at: &offset) else {
                throw damaged("the group at position \(header.position) of \(name) holds no readable records")
            }
            log.records += 1
            visit(record, header.end)
        }
    }

    /// Decides what the unreadable place at the end of the log is: a torn tail, or damage.
    private mutating func cut(_ reader: GroupReader, name: String, next: LogPosition?) throws(StorageError) {
        #if MUTANTS
        if Mutant.replayStopsAtDamage.isOn { return }
        #endif
        let end = log.end
        let found = try onDisk { () throws(DiskError) in
            var header = try reader.nextHeader(from: end)
            let readableAgain = header?.position == end ? try reader.nextHeader(from: end + 8) : header
            let groupEnd = header?.position == end ? header?.end : nil
            while let one = header, one.durableBefore <= end {
                header = try reader.nextHeader(from: one.position + 8)
            }
            let isMissed = reader.missed(end..<(groupEnd ?? end + GroupHeader.bytes))
            return (evidence: header, readableAgain: readableAgain, isMissed: isMissed)
        }
        if let next {
            let until = found.readableAgain?.position ?? next
            throw damaged(
                "\(name) cannot be read from position \(end) to \(until); the log goes on to \(next) and beyond")
        }
        if let evidence = found.evidence {
            let until = found.readableAgain?.position ?? evidence.position
            throw damaged(
                "\(name) cannot be read from position \(end) to \(until); it was durable up to \(evidence.durableBefore) at least"
            )
        }
        if found.isMissed {
            // Nobody knows what is there: it may well have been durable.
            throw damaged("the disk does not give back what stands at position \(end) of \(name)")
        }
        let rest = try onDisk { () throws(DiskError) in try reader.bytes(at: end, count: 16) }
        log.hadTornTail = rest.map { GroupHeader.begins($0, number: reader.number) } ?? false
    }

    /// Writes what may only be in the page cache once more and syncs it: after a failed sync the cache calls pages
    /// clean that never reached the disk. That goes for the header too, which groups alone prove to be there.
    ///
    /// Nothing is written that was not checked after it was read: a wrong bit of this one read would be there for good.
    private func makeDurable(
        _ reader: GroupReader, _ segment: Segment, in file: any DiskFile, from durable: LogPosition
    ) throws(StorageError) {
        let name = LogFolder.segmentName(segment.sequence)
        let header = try onDisk { () throws(DiskError) in try file.readAll(FileHeader.bytes) }
        guard case .success(segment.header) = FileHeader.read(.segment, header) else {
            throw damaged("the header of \(name) reads otherwise than a moment ago")
        }
        try onDisk { () throws(DiskError) in try file.write(header, at: 0) }
        var position = durable
        while position < log.end {
            let count = try onDisk { () throws(DiskError) -> Int? in
                guard let bytes = try reader.whole(at: position) else { return nil }
                try file.write(bytes, at: Int64(FileHeader.bytes) + Int64(position - reader.start))
                return bytes.count
            }
            guard let count else {
                if let failure = reader.missedFailure { throw StorageError(failure) }
                throw damaged("the group at position \(position) of \(name) reads otherwise than a moment ago")
            }
            position = position + count
        }
        // Also gives back what was written ahead: the log goes on in a new file.
        try onDisk { () throws(DiskError) in
            try file.truncate(to: Int64(FileHeader.bytes) + Int64(log.end - reader.start))
        }
        try file.syncForGood()
    }

    private mutating func report(_ bytes: Int64, _ progress: (RecoveryProgress) -> Void) {
        doneBytes += bytes
        if doneBytes - reportedBytes >= Limits.progressBytes {
            reportedBytes = doneBytes
            progress(RecoveryProgress(doneBytes: doneBytes, totalBytes: totalBytes))
        }
    }

    private func damaged(_ what: String) -> StorageError {
        StorageError(
            .damagedLog,
            "the log in \(folder.path) is damaged: \(what). If this node has peers, move the data directory away and let it take its data from them; if it is alone, `topgund salvage --data-dir \(directory.path)` keeps everything that can still be read and says what it could not"
        )
    }
}
