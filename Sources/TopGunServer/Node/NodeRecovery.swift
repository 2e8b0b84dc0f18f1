import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunStorage

/// What a start found in the data directory, loaded.
struct RecoveredNode: Sendable {
    var directory: DataDirectory
    /// One per event loop; nobody else knows them yet.
    var states: [Handover<GroupState>]
    var log: RecoveredLog
    var coverage: CheckpointCoverage
    var records: Int
}

/// Something that is given to one thread after another, never used by two at once.
///
/// Unchecked because the giver keeps no use of it: recovery hands it from its threads to the event loops.
struct Handover<Value>: @unchecked Sendable {
    let value: Value

    init(_ value: Value) {
        self.value = value
    }
}

/// Brings the data directory back into memory: the checkpoints, then what the log has beyond them. Both are merges, so
/// the order does not matter.
struct NodeRecovery {
    let context: NodeContext

    func run() async throws(ServerError) -> RecoveredNode {
        let spawner = context.environment.spawner
        let thread = spawner.thread(named: "topgun-recovery")
        do {
            let directory = try await thread.run { () throws(StorageError) in
                try DataDirectory.open(
                    path: context.configuration.dataDirectory, disk: context.environment.disk,
                    entropy: context.environment.entropy,
                    nodeID: context.configuration.nodeID.map { ByteString($0) })
            }
            let states = makeStates(directory.identity)
            let coverage = try await loadCheckpoints(directory, into: states, on: thread)
            let log = try await replay(directory, coverage, into: states, on: thread)
            var records = 0
            for state in states {
                // Above every stamp this node may have handed out, and every one it has seen.
                state.value.clock = HybridLogicalClock(
                    node: directory.identity.nodeID, restoredBound: max(log.clockBound, state.value.clock.millis))
                records += state.value.recordCount
            }
            return RecoveredNode(
                directory: directory, states: states, log: log, coverage: coverage, records: records)
        } catch {
            throw ServerError(error)
        }
    }

    private func makeStates(_ identity: Identity) -> [Handover<GroupState>] {
        let loops = context.environment.spawner.loops.count
        return (0..<loops).map { loop in
            Handover(
                GroupState(
                    partitions: PartitionPlacement.partitions(of: loop, loops: loops),
                    clock: HybridLogicalClock(node: identity.nodeID), hashSeed: context.environment.entropy.next()))
        }
    }

    private func loadCheckpoints(
        _ directory: DataDirectory, into states: [Handover<GroupState>], on thread: any Loop
    ) async throws(StorageError) -> CheckpointCoverage {
        try await thread.run { () throws(StorageError) in
            var unreadable = 0
            let coverage = try CheckpointStore.load(from: directory) { partition, record in
                let loop = PartitionPlacement.loop(of: PartitionID(partition), loops: states.count)
                Self.load(record, into: states[loop].value, &unreadable)
            }
            guard unreadable == 0 else { throw Self.newerRecords(unreadable) }
            return coverage
        }
    }

    private func replay(
        _ directory: DataDirectory, _ coverage: CheckpointCoverage, into states: [Handover<GroupState>],
        on thread: any Loop
    ) async throws(StorageError) -> RecoveredLog {
        let log = context.log
        return try await thread.run { () throws(StorageError) in
            var unreadable = 0
            let recovered = try WriteAheadLog.recover(in: directory, covered: coverage) { progress in
                log.info(
                    "reading the log",
                    [.count: progress.doneBytes >> 20, .limit: progress.totalBytes >> 20, .detail: "MiB"])
            } visit: { record, _ in
                guard record.kind != .clockBound else { return }
                let partition = PartitionID(hash: KeyHash.of(record.key))
                let loop = PartitionPlacement.loop(of: partition, loops: states.count)
                Self.load(record, into: states[loop].value, &unreadable)
            }
            guard unreadable == 0 else { throw Self.newerRecords(unreadable) }
            if recovered.hadTornTail {
                log.info("cut a group off the log's end that was never acknowledged", [.position: recovered.end])
            }
            return recovered
        }
    }

    private static func newerRecords(_ count: Int) -> StorageError {
        StorageError(
            .newerFormat,
            "\(count) records in the data directory are of a form that this version cannot read; start the newer version"
        )
    }

    private static func load(_ record: StoredRecord, into state: GroupState, _ unreadable: inout Int) {
        do {
            try state.load(record)
        } catch {
            unreadable += 1
        }
    }
}
