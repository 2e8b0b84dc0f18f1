import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// A data directory as a node left it, on a disk that each input gets a copy of; made once.
///
/// Every record has a number, by which what is read back is compared with what was written.
struct StorageImage: Sendable {
    let disk: SimulatedDisk
    /// The numbers of the records in the order in which they were appended.
    let numbers: [Int]
    let salt: UInt64

    static let path = "/data"
    static let partitions = 3

    /// A log that was closed, of several segments, and no checkpoint.
    static let closed = StorageImage(checkpoints: false, isClosed: true)
    /// The same when its process was killed.
    static let killed = StorageImage(checkpoints: false, isClosed: false)
    /// Checkpoints of every partition, that replace the beginning of the log.
    static let checkpointed = StorageImage(checkpoints: true, isClosed: true)

    private init(checkpoints: Bool, isClosed: Bool) {
        do {
            let disk = SimulatedDisk(seed: 1)
            let node = try Node(disk: disk, segmentBytes: 2_048)
            var numbers: [Int] = []
            for group in 0..<24 {
                let next = Array(numbers.count..<numbers.count + 1 + group % 3)
                numbers += next
                node.append(next)
                if group % 4 == 3 { node.settle() }
            }
            node.settle()
            if checkpoints {
                node.checkpoint(numbers)
                for _ in 0..<4 {
                    node.append([numbers.count])
                    numbers.append(numbers.count)
                    node.settle()
                }
            }
            salt = node.directory.identity.salt
            if isClosed { node.close() }
            disk.processKill()
            self.disk = disk
            self.numbers = numbers
        } catch {
            fatalError("no image: \(error)")
        }
    }

    // MARK: Records

    static func append(_ number: Int, to sink: ByteSink) {
        let (key, map) = (Array("key-\(number)".utf8), Array("map-\(number % partitions)".utf8))
        let value = (0..<40).map { UInt8(truncatingIfNeeded: number &+ $0) }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        key.withUnsafeBytes { key in
            map.withUnsafeBytes { map in
                value.withUnsafeBytes { value in
                    StoredRecord(
                        kind: .lww, nameSpace: empty, map: map, key: key, node: empty, millis: Int64(number),
                        counter: 7, ttlMillis: 0, value: value, tail: empty
                    ).append(to: sink)
                }
            }
        }
    }

    /// The number of a record, if it is one that was written, to the last byte.
    static func number(of record: StoredRecord) -> Int? {
        guard record.millis >= 0, record.millis < 1 << 20 else { return nil }
        let written = ByteSink()
        append(Int(record.millis), to: written)
        let read = ByteSink()
        record.append(to: read)
        return read.bytes.elementsEqual(written.bytes) ? Int(record.millis) : nil
    }
}

extension StorageImage {
    /// The storage of a node, running on a disk.
    final class Node {
        let directory: DataDirectory
        let scheduler = SimulatedScheduler(seed: 1)
        let recovered: [Int?]
        private let spawner: SimulatedSpawner
        private let log: WriteAheadLog
        private let store: CheckpointStore

        /// Opens what is there, as a node does when it starts.
        init(disk: SimulatedDisk, segmentBytes: Int) throws(StorageError) {
            spawner = SimulatedSpawner(node: "node", loops: 1, scheduler: scheduler)
            directory = try DataDirectory.open(path: path, disk: disk, entropy: SeededEntropy(seed: 3))
            do throws(StorageError) {
                var found: [Int?] = []
                let coverage = try CheckpointStore.load(from: directory) { found.append(number(of: $1)) }
                let recovery = try WriteAheadLog.recover(in: directory, covered: coverage) { record, _ in
                    found.append(number(of: record))
                }
                recovered = found
                log = try WriteAheadLog(
                    continuing: recovery, in: directory, spawner: spawner, clock: SimulatedClock(scheduler: scheduler),
                    segmentBytes: segmentBytes
                ) { _ in }
                store = CheckpointStore(in: directory, coverage: coverage, spawner: spawner) { _ in }
            } catch {
                directory.close()
                throw error
            }
        }

        func append(_ numbers: [Int]) {
            let sink = ByteSink()
            var partitions = PartitionSet()
            for number in numbers {
                partitions.insert(number % StorageImage.partitions)
                StorageImage.append(number, to: sink)
            }
            log.append(sink, partitions: partitions, from: spawner.loops[0]) { _, _ in }
        }

        /// Makes checkpoints of everything, and gives up what they cover of the log.
        func checkpoint(_ numbers: [Int]) {
            for partition in 0..<StorageImage.partitions {
                let writer = store.begin(partition: partition, covering: log.durablePosition)
                var rest = numbers.filter { $0 % StorageImage.partitions == partition }[...]
                while !rest.isEmpty {
                    let sink = ByteSink()
                    for number in rest.prefix(3) { StorageImage.append(number, to: sink) }
                    rest = rest.dropFirst(3)
                    writer.append(sink, from: spawner.loops[0]) { _, _ in }
                }
                writer.commit(from: spawner.loops[0]) { _ in }
            }
            settle()
            log.retire(store.coverage)
            settle()
        }

        func settle() {
            scheduler.runUntilIdle()
        }

        func close() {
            log.close(from: spawner.loops[0]) {}
            settle()
            directory.close()
        }
    }
}
