import TopGunEnvironment
package import TopGunModel

/// Reads what the disk knows about one partition while the log goes on: its checkpoint, then the log behind it.
///
/// ```
///   log held ──► checkpoint, covers P ──► segments from P on ──► the end, durable before reading began
/// ```
///
/// As long as it is open no segment goes, whatever the checkpoints cover. What is written behind the end meanwhile is not
/// looked at. Blocks; one call at a time, on a thread made for that. Memory stays bounded, except for one larger group.
///
/// Unchecked because calls come one after the other, as a rebuild makes them.
package final class PartitionReader: @unchecked Sendable {
    private let directory: DataDirectory
    private let segments: SegmentKeeper
    private let partition: Int
    private let end: LogPosition
    private var stage = Stage.beginning
    private var isClosed = false

    private enum Stage {
        case beginning
        case checkpoint(CheckpointReader)
        case log(LogRest)
        case done
    }

    /// The part of the log that is still to be read.
    private struct LogRest {
        var segments: ArraySlice<RetainedSegment>
        /// Of the first of them.
        var reader: GroupReader?
        var position: LogPosition
        /// Groups before it are in the checkpoint.
        let covered: LogPosition
    }

    init(directory: DataDirectory, segments: SegmentKeeper, partition: Int, end: LogPosition) {
        self.directory = directory
        self.segments = segments
        self.partition = partition
        self.end = end
        segments.hold()
    }

    deinit {
        close()
    }

    /// Lets segments of the log go again.
    package func close() {
        guard !isClosed else { return }
        isClosed = true
        stage = .done
        segments.release()
    }

    /// Appends records to `sink` until about `bytesLimit` bytes are there; `false` when that was all.
    ///
    /// - Parameter belongs: whether a record of the log is one of the partition.
    package func read(
        into sink: ByteSink, bytesLimit: Int, where belongs: (StoredRecord) -> Bool
    ) throws(StorageError) -> Bool {
        while sink.count < bytesLimit {
            switch stage {
            case .beginning: stage = try begin()
            case .checkpoint(let reader):
                do throws(StorageError) {
                    if try !reader.readSlice({ $0.append(to: sink) }) { stage = .log(rest(behind: reader.position)) }
                } catch {
                    // What was read of it is true all the same, and the log has everything that it does not replace.
                    guard error.code == .damagedCheckpoint, !directory.identity.checkpointed.contains(partition) else {
                        throw named(error)
                    }
                    stage = .log(rest(behind: .zero))
                }
            case .log(var rest):
                let isMore = try readGroup(&rest, into: sink, where: belongs)
                stage = isMore ? .log(rest) : .done
            case .done: return false
            }
        }
        return true
    }

    private func begin() throws(StorageError) -> Stage {
        let identity = directory.identity
        let path = CheckpointFolder(path: directory.checkpointPath).file(partition)
        do throws(StorageError) {
            guard try onDisk({ () throws(DiskError) in try directory.disk.exists(path) }) else {
                if !identity.checkpointed.contains(partition) { return .log(rest(behind: .zero)) }
                throw StorageError(.damagedCheckpoint, "it is gone, and the log no longer reaches back far enough")
            }
            let file = try onDisk { () throws(DiskError) in try directory.disk.open(path, .read) }
            return .checkpoint(try CheckpointReader(file: file, partition: partition, identity: identity))
        } catch {
            guard error.code == .damagedCheckpoint, !identity.checkpointed.contains(partition) else {
                throw named(error)
            }
            return .log(rest(behind: .zero))
        }
    }

    private func named(_ error: StorageError) -> StorageError {
        guard error.code == .damagedCheckpoint else { return error }
        return StorageError(
            .damagedCheckpoint, "the checkpoint of partition \(partition) cannot be used: \(error.message)",
            cause: error.cause)
    }

    // MARK: - The log

    /// The segments with groups of the partition that the checkpoint does not cover. A segment that is going away at this
    /// moment is none of them: it goes because checkpoints cover it.
    private func rest(behind covered: LogPosition) -> LogRest {
        let needed = segments.all(upTo: end).filter { segment in
            segment.end > covered && segment.start < end && segment.partitions.contains(partition)
        }
        return LogRest(segments: needed[...], reader: nil, position: .zero, covered: covered)
    }

    /// Reads one group; `false` if there is none left.
    private func readGroup(
        _ rest: inout LogRest, into sink: ByteSink, where belongs: (StoredRecord) -> Bool
    ) throws(StorageError) -> Bool {
        guard let segment = rest.segments.first else { return false }
        let reader: GroupReader
        if let current = rest.reader {
            reader = current
        } else {
            reader = try open(segment)
            rest.reader = reader
            rest.position = segment.start
        }
        guard rest.position < min(segment.end, end) else {
            rest.segments.removeFirst()
            rest.reader = nil
            return true
        }
        let position = rest.position
        guard let group = try onDisk({ () throws(DiskError) in try reader.group(at: position) }),
            let payload = group.payload
        else { throw damaged(segment, position) }
        rest.position = group.header.end
        guard group.header.partitions.contains(partition), group.header.end > rest.covered else { return true }
        var offset = 0
        while offset < payload.count {
            guard let record = StoredRecord(in: payload, at: &offset) else { throw damaged(segment, position) }
            if belongs(record) { record.append(to: sink) }
        }
        return true
    }

    private func open(_ segment: RetainedSegment) throws(StorageError) -> GroupReader {
        let path = LogFolder(path: directory.logPath).segment(segment.sequence)
        return try onDisk { () throws(DiskError) in
            try GroupReader(
                file: try directory.disk.open(path, .read), number: segment.sequence, start: segment.start,
                salt: directory.identity.salt)
        }
    }

    private func damaged(_ segment: RetainedSegment, _ position: LogPosition) -> StorageError {
        StorageError(
            .damagedLog,
            "\(LogFolder.segmentName(segment.sequence)) cannot be read from position \(position), where it was durable; what is in memory of other partitions is not touched by that"
        )
    }
}
