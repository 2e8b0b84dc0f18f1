import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// A log on a simulated disk, through any number of lives of its process. Every record has a number; what is read back
/// is compared by these.
final class LogRig {
    let disk: SimulatedDisk
    let segmentBytes: Int
    var generator: SeededGenerator
    private(set) var scheduler: SimulatedScheduler
    private var spawner: SimulatedSpawner
    private(set) var directory: DataDirectory?
    private(set) var log: WriteAheadLog?
    private(set) var recovered: RecoveredLog?

    /// Numbers of the records of each group, in the order of appending, over all lives that the disk remembers.
    private(set) var groups: [[Int]] = []
    /// Where the groups that were completed stand in the log, by their first record.
    let places = PlaceList()
    /// How many of `groups` were completed, or found by a recovery.
    let durableGroups = Counter()
    let failures = FailureList()
    private var nextNumber = 0

    static let partitions = 7

    init(seed: UInt64, segmentBytes: Int = 4096, disk: SimulatedDisk? = nil) {
        var generator = SeededGenerator(seed: seed)
        self.segmentBytes = segmentBytes
        let diskSeed = generator.next()
        self.disk = disk ?? SimulatedDisk(seed: diskSeed)
        scheduler = SimulatedScheduler(seed: generator.next())
        self.generator = generator
        spawner = SimulatedSpawner(node: "node", loops: 2, scheduler: scheduler)
    }

    var durable: Int { durableGroups.value }
    var durableNumbers: [Int] { Array(groups.prefix(durable).joined()) }
    var allNumbers: [Int] { Array(groups.joined()) }

    /// Opens the directory, recovers, and starts the log. Returns the numbers that were read back.
    @discardableResult
    func start(covered: CheckpointCoverage = .none) throws -> [Int] {
        try startWithRecords(covered: covered).map(\.number)
    }

    func startWithRecords(covered: CheckpointCoverage) throws -> [(number: Int, partition: Int)] {
        scheduler = SimulatedScheduler(seed: generator.next())
        spawner = SimulatedSpawner(node: "node", loops: 2, scheduler: scheduler)
        let directory = try DataDirectory.open(
            path: "/data", disk: disk, entropy: SeededEntropy(seed: generator.next()), nodeID: "node-1")
        self.directory = directory
        var records: [(number: Int, partition: Int)] = []
        let recovered = try WriteAheadLog.recover(in: directory, covered: covered) { record, _ in
            records.append((Self.number(of: record), Self.partition(of: record)))
        }
        self.recovered = recovered
        log = try WriteAheadLog(
            continuing: recovered, in: directory, spawner: spawner, clock: SimulatedClock(scheduler: scheduler),
            segmentBytes: segmentBytes
        ) { [failures, disk] error in
            if !disk.isHalted { failures.append(error) }
        }
        return records
    }

    /// Takes what a recovery found for what is there: whole groups from the first on, all durable ones among them.
    /// `false` if it is anything else.
    func adopt(_ numbers: [Int]) -> Bool {
        var found: [[Int]] = []
        var rest = numbers[...]
        for group in groups {
            guard rest.starts(with: group) else { break }
            found.append(group)
            rest = rest.dropFirst(group.count)
        }
        guard rest.isEmpty, found.count >= durable else { return false }
        groups = found
        durableGroups.value = found.count
        return true
    }

    /// Appends a group of `count` records from one of the loops.
    @discardableResult
    func append(_ count: Int, valueBytes: Int = 40, partition: Int? = nil, loop: Int = 0) -> [Int] {
        let sink = ByteSink()
        let numbers = Array(nextNumber..<nextNumber + count)
        nextNumber += count
        var partitions = PartitionSet()
        for number in numbers {
            let partition = partition ?? number % Self.partitions
            partitions.insert(partition)
            Self.append(number, partition: partition, valueBytes: valueBytes, to: sink)
        }
        groups.append(numbers)
        let index = groups.count
        let bytes = GroupHeader.totalBytes(payload: sink.count)
        log?.append(sink, partitions: partitions, from: spawner.loops[loop]) { [durableGroups, places, disk] end, _ in
            // A process that the disk has declared dead completes nothing.
            if disk.isHalted { return }
            durableGroups.value = max(durableGroups.value, index)
            places.append(numbers, LogPosition(end.rawValue - Int64(bytes))..<end)
        }
        return numbers
    }

    func run(untilDurable count: Int) -> Bool {
        scheduler.run { durable >= count }
    }

    var loop: any Loop { spawner.loops[0] }
    var currentSpawner: SimulatedSpawner { spawner }

    func close() {
        let isClosed = Flag()
        log?.close(from: loop) { isClosed.raise() }
        _ = scheduler.run { isClosed.isRaised }
        directory?.close()
        letGo()
    }

    /// The process dies.
    func kill() {
        letGo()
        disk.processKill()
    }

    /// The machine loses power.
    func cutPower() {
        letGo()
        disk.powerCut()
    }

    private func letGo() {
        spawner.crash()
        log = nil
        directory = nil
    }
}

// MARK: - Records

extension LogRig {
    static func append(_ number: Int, partition: Int, valueBytes: Int, to sink: ByteSink) {
        let key = Array("key-\(number)".utf8)
        let map = Array("map-\(partition)".utf8)
        var value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: max(valueBytes, 8))
        withUnsafeBytes(of: Int64(number).littleEndian) { value.replaceSubrange(0..<8, with: $0) }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        key.withUnsafeBytes { key in
            map.withUnsafeBytes { map in
                value.withUnsafeBytes { value in
                    StoredRecord(
                        kind: .lww, nameSpace: empty, map: map, key: key, node: empty, millis: Int64(number),
                        counter: 0,
                        ttlMillis: 0, value: value, tail: empty
                    ).append(to: sink)
                }
            }
        }
    }

    static func number(of record: StoredRecord) -> Int {
        Int(Int64(littleEndian: record.value.loadUnaligned(as: Int64.self)))
    }

    static func partition(of record: StoredRecord) -> Int {
        Int(String(decoding: record.map.dropFirst(4), as: UTF8.self)) ?? -1
    }
}

/// Something that happened, seen from any thread.
final class Flag: Sendable {
    private let value = Atomic(false)

    func raise() { value.store(true, ordering: .releasing) }
    var isRaised: Bool { value.load(ordering: .acquiring) }
}

final class Counter: Sendable {
    private let stored = Atomic(0)

    var value: Int {
        get { stored.load(ordering: .acquiring) }
        set { stored.store(newValue, ordering: .releasing) }
    }

    func add(_ count: Int) { stored.add(count, ordering: .acquiringAndReleasing) }
}

final class FailureList: Sendable {
    private let stored = Mutex<[StorageError]>([])

    func append(_ error: StorageError) { stored.withLock { $0.append(error) } }
    var all: [StorageError] { stored.withLock { $0 } }
}

final class PlaceList: Sendable {
    private let stored = Mutex<[(numbers: [Int], range: Range<LogPosition>)]>([])

    func append(_ numbers: [Int], _ range: Range<LogPosition>) { stored.withLock { $0.append((numbers, range)) } }
    var all: [(numbers: [Int], range: Range<LogPosition>)] { stored.withLock { $0 } }
}
