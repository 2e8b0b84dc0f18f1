import Synchronization
import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// The real disk and the real threads, as far as storage relies on them.
@Suite struct EnvironmentTests {
    private func withFolder(_ body: (String, PosixDisk) async throws -> Void) async throws {
        let disk = PosixDisk()
        let path = "/tmp/topgun-test-\(SystemEntropy().uuid())"
        try disk.createDirectory("\(path)/a")
        defer { Self.removeAll(path, disk) }
        try await body("\(path)/a", disk)
    }

    private static func removeAll(_ path: String, _ disk: PosixDisk) {
        for name in (try? disk.list(path)) ?? [] {
            do { try disk.remove("\(path)/\(name)") } catch { removeAll("\(path)/\(name)", disk) }
        }
        // Folders that are left are empty; removing those is not a thing the product does.
    }

    @Test func `files are created once, read, written, cut and renamed`() async throws {
        try await withFolder { path, disk in
            let file = try disk.open("\(path)/one", .create)
            #expect(throws: DiskError(.exists, operation: "open", path: "\(path)/one")) {
                _ = try disk.open("\(path)/one", .create)
            }
            try file.write([1, 2, 3, 4, 5], at: 10)
            #expect(try file.size() == 15)
            #expect(try file.readAll(100) == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5])
            try file.truncate(to: 12)
            try file.sync()
            file.close()
            file.close()
            try disk.rename("\(path)/one", to: "\(path)/two")
            try disk.syncDirectory(path)
            #expect(try disk.list(path) == ["two"])
            #expect(try disk.exists("\(path)/two"))
            #expect(try !disk.exists("\(path)/one"))
            #expect(try disk.open("\(path)/two", .read).readAll(100).suffix(2) == [1, 2])
            #expect(throws: DiskError(.notFound, operation: "open", path: "\(path)/one")) {
                _ = try disk.open("\(path)/one", .read)
            }
            try disk.remove("\(path)/two")
            #expect(try disk.list(path).isEmpty)
            #expect(try disk.freeBytes(path) > 0)
        }
    }

    @Test func `P13: a lock is held until its file is closed`() async throws {
        try await withFolder { path, disk in
            let lock = try disk.lock("\(path)/lock")
            #expect(throws: DiskError(.locked, operation: "flock", path: "\(path)/lock")) {
                _ = try disk.lock("\(path)/lock")
            }
            lock.close()
            try disk.lock("\(path)/lock").close()
        }
    }

    @Test func `the log works on the real disk, with real threads`() async throws {
        try await withFolder { path, disk in
            let spawner = LiveSpawner(loops: 2)
            var expected: [Int] = []
            for life in 0..<3 {
                let directory = try DataDirectory.open(path: path, disk: disk, entropy: SystemEntropy())
                defer { directory.close() }
                var numbers: [Int] = []
                let recovered = try WriteAheadLog.recover(in: directory, covered: .none) { record, _ in
                    numbers.append(LogRig.number(of: record))
                }
                #expect(numbers == expected)
                let log = try WriteAheadLog(
                    continuing: recovered, in: directory, spawner: spawner, clock: SystemClock(),
                    segmentBytes: 1 << 16
                ) { Issue.record("\($0)") }
                let completed = Counter()
                for number in life * 500..<life * 500 + 500 {
                    let sink = ByteSink()
                    LogRig.append(number, partition: 1, valueBytes: 200, to: sink)
                    expected.append(number)
                    let loop = spawner.loops[number % 2]
                    log.append(sink, partitions: PartitionSet([1]), from: loop) { _, sink in
                        #expect(sink.count == 0)
                        #expect(loop.isCurrent)
                        completed.add(1)
                    }
                }
                await answer { log.close(from: spawner.loops[0], completion: $0) }
                #expect(log.state == .closed)
                await answer { spawner.loops[1].execute($0) }
                #expect(completed.value == 500)
            }
        }
    }

    @Test func `a thread runs jobs in order, timers when they are due, and actors`() async {
        let thread = ThreadLoop(name: "test")
        let jobs = Mutex<[Int]>([])
        thread.execute {
            #expect(thread.isCurrent)
            thread.execute { jobs.withLock { $0.append(1) } }
            jobs.withLock { $0.append(0) }
        }
        #expect(!thread.isCurrent)
        let timers = Mutex<[Int]>([])
        thread.schedule(afterMillis: 8) { timers.withLock { $0.append(8) } }
        thread.schedule(afterMillis: 4) { timers.withLock { $0.append(4) } }
        thread.schedule(afterMillis: 5) { timers.withLock { $0.append(5) } }.cancel()
        await answer { thread.schedule(afterMillis: 20, $0) }
        #expect(jobs.withLock { $0 } == [0, 1])
        #expect(timers.withLock { $0 } == [4, 8])
        #expect(await Confined(loop: thread).isOnItsLoop())
        #expect(await Confined(loop: LiveSpawner(loops: 1).loops[0]).isOnItsLoop())
    }

    @Test func `one seed gives one world, another seed another`() {
        func trace(_ seed: UInt64) -> UInt64 {
            let scheduler = SimulatedScheduler(seed: seed)
            let spawner = SimulatedSpawner(node: "a", loops: 3, scheduler: scheduler)
            let other = SimulatedSpawner(node: "b", loops: 2, scheduler: scheduler)
            for (index, loop) in (spawner.loops + other.loops).enumerated() {
                for delay in 0..<10 {
                    loop.schedule(afterMillis: Int64(delay * index)) { loop.execute {} }
                }
            }
            let actor = Confined(loop: spawner.loops[1])
            let isDone = Flag()
            spawner.spawn("test") {
                if await actor.isOnItsLoop() { isDone.raise() }
            }
            #expect(scheduler.run { isDone.isRaised })
            scheduler.run(forMillis: 100)
            return scheduler.trace
        }
        #expect(trace(1) == trace(1))
        #expect(trace(1) != trace(2))
    }

    /// Waits until the call answers.
    private func answer(_ call: (@escaping @Sendable () -> Void) -> Void) async {
        await withCheckedContinuation { continuation in call { continuation.resume() } }
    }
}

private actor Confined {
    private let loop: any Loop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

    init(loop: any Loop) {
        self.loop = loop
    }

    func isOnItsLoop() -> Bool { loop.isCurrent }
}
