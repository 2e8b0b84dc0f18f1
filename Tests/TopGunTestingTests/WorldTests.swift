import Synchronization
import Testing
import TopGun
import TopGunTesting

@Suite struct WorldTests {
    struct Note: Codable, Sendable, Equatable {
        var text: String
        var isDone = false
    }

    /// What a run has to say for itself.
    struct Story: Sendable, Equatable {
        var lines: [String] = []
        var fingerprint: UInt64 = 0
    }

    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }

        func add(_ line: String) {
            lines.withLock { $0.append(line) }
        }
    }

    private func story(seed: UInt64) async throws -> Story {
        try await TopGunWorld.run(seed: seed) { world in
            let lines = Lines()
            @Sendable func note(_ line: String) { lines.add("\(world.clock.now.elapsed) \(line)") }
            try await world.server.start()
            world.network.loss = 0.2
            let (phone, laptop) = (world.device("phone"), world.device("laptop"))
            let phones = try await phone.launch().map("notes", of: Int.self)
            let client = try await laptop.launch()
            let laptops = try await client.map("notes", of: Int.self)
            async let watching: Void = {
                for await change in laptops.changes { note("\(change.key) = \(change.value ?? -1)") }
            }()
            async let states: Void = {
                for await state in client.syncState { note("\(state)") }
            }()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for writer in 0..<4 {
                    group.addTask {
                        for index in 0..<10 {
                            try await phones.set(index, for: "k\(writer)").reaches(.applied)
                            note("writer \(writer) wrote \(index)")
                        }
                    }
                }
                try await world.sleep(for: .milliseconds(500))
                world.server.kill()
                try await world.server.start()
                laptop.isOnline = false
                try laptops.set(99, for: "k0")
                laptop.isOnline = true
                try await group.waitForAll()
            }
            try await world.settle()
            await client.close()
            await watching
            await states
            note("\(phones.entries)")
            return Story(lines: lines.all, fingerprint: world.fingerprint)
        }
    }

    @Test func `the same seed is the same story and the same steps`() async throws {
        for seed: UInt64 in [1, 2, 3] {
            let first = try await story(seed: seed)
            let second = try await story(seed: seed)
            #expect(first.lines == second.lines)
            #expect(first.fingerprint == second.fingerprint)
            #expect(first.lines.count > 50)
        }
        #expect(try await story(seed: 1).fingerprint != story(seed: 2).fingerprint)
    }

    /// As an application has them: of no actor, and so of none that could keep it in the world.
    private nonisolated static func write(_ index: Int, to map: TopGunMap<String>) async throws {
        try await map.set("x", for: "k\(index)").reaches(.replicated)
    }

    @Test func `actors and tasks of the application take part`() async throws {
        actor Basket {
            var items: [String] = []
            func add(_ item: String) { items.append(item) }
        }
        func run() async throws -> (UInt64, [String]) {
            try await TopGunWorld.run(seed: 5) { world in
                try await world.server.start()
                let map = try await world.device("phone").launch().map("notes", of: String.self)
                let basket = Basket()
                let follower = Task(executorPreference: world.executor) {
                    for await change in map.changes { await basket.add(change.key) }
                }
                try await world.sleep(for: .seconds(1))
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for index in 0..<10 {
                        group.addTask { try await Self.write(index, to: map) }
                    }
                    try await group.waitForAll()
                }
                try await world.settle()
                follower.cancel()
                await follower.value
                return (world.fingerprint, await basket.items)
            }
        }
        let (first, second) = (try await run(), try await run())
        #expect(first.1.count == 10)
        #expect(first.0 == second.0)
        #expect(first.1 == second.1)
    }

    @Test func `two maps and live queries follow what happens elsewhere`() async throws {
        try await TopGunWorld.run(seed: 6) { world in
            try await world.server.start()
            let phone = try await world.device("phone").launch()
            let laptop = try await world.device("laptop").launch()
            let notes = try await phone.map("notes", of: Note.self)
            let tags = try await phone.map("tags", of: Int.self)
            let others = try await laptop.map("notes", of: Note.self)
            let otherTags = try await laptop.map("tags", of: Int.self)
            let open = try others.query(where: ["isDone": false])
            try await world.settle()
            for index in 0..<10 {
                try notes.set(Note(text: "n\(index)", isDone: index % 2 == 0), for: "n\(index)")
                try tags.set(index, for: "t\(index)")
            }
            try await world.settle()
            #expect(open.current.rows.map(\.key) == ["n1", "n3", "n5", "n7", "n9"])
            #expect(open.current.isConfirmed)
            #expect(otherTags.count == 10)
            try notes.set(Note(text: "n1", isDone: true), for: "n1")
            try notes.remove("n3")
            try await world.settle()
            #expect(open.current.rows.map(\.key) == ["n5", "n7", "n9"])
            world.device("laptop").isOnline = false
            try await world.sleep(for: .seconds(1))
            #expect(!open.current.isConfirmed)
            var results = open.makeAsyncIterator()
            #expect(await results.next()?.rows.count == 3)
        }
    }

    @MainActor final class Model {
        var texts: [String] = []
        func show(_ map: TopGunMap<String>, _ key: String) async throws {
            try await map.set("shown", for: key).reaches(.replicated)
            texts.append(map[key] ?? "")
        }
    }

    @Test func `code on the main actor works in a world too`() async throws {
        let model = Model()
        try await TopGunWorld.run(seed: 8) { world in
            try await world.server.start()
            let map = try await world.device("phone").launch().map("notes", of: String.self)
            for index in 0..<5 { try await model.show(map, "k\(index)") }
            try await world.settle()
            #expect(map.count == 5)
        }
        #expect(await model.texts == Array(repeating: "shown", count: 5))
    }

    @Test func `what a test throws and returns comes out of the world`() async throws {
        struct Mine: Error, Equatable {}
        let seed = try await TopGunWorld.run(seed: 9) { world in world.seed }
        #expect(seed == 9)
        await #expect(throws: Mine()) {
            try await TopGunWorld.run(seed: 9) { world in
                try await world.server.start()
                throw Mine()
            }
        }
    }

    @Test func `virtual time is free`() async throws {
        let begin = ContinuousClock.now
        try await TopGunWorld.run(seed: 10) { world in
            try await world.sleep(for: .seconds(365 * 86_400))
            #expect(world.clock.now.elapsed >= .seconds(365 * 86_400))
        }
        #expect(ContinuousClock.now - begin < .seconds(60))
    }

    @Test func `a test that waits for what never comes is told what everybody waits for`() async throws {
        let error = await #expect(throws: TopGunWorldError.self) {
            try await TopGunWorld.run(seed: 11, standstillMillis: 200) { world in
                try await world.server.start()
                let phone = world.device("phone")
                let map = try await phone.launch().map("notes", of: Int.self)
                phone.isOnline = false
                try await map.set(1, for: "k").reaches(.applied)
            }
        }
        #expect(error?.code == .stuck)
        #expect(error?.message.contains("phone: ") == true)
        #expect(error?.message.contains("pending: 1, isOnline is false") == true)
        #expect(error?.message.contains("server: serving") == true)
    }

    @Test func `the patience of a world is for what never comes, not for what takes long`() async throws {
        try await TopGunWorld.run(seed: 12) { world in
            try await world.server.start()
            // Longer than the patience in virtual time, by a call of the world.
            try await world.sleep(for: .seconds(3600))
            // Longer than it takes to come to a standstill, by something outside, which comes back before it is given up.
            try await Task.sleep(for: .milliseconds(100))
            let map = try await world.device("phone").launch().map("notes", of: Int.self)
            try await map.set(1, for: "k").reaches(.replicated)
        }
    }

    @Test func `tasks that outlive their world hear that it is over`() async throws {
        let (sleeping, watching) = try await TopGunWorld.run(seed: 14) { world in
            let map = try await world.device("phone").launch().map("notes", of: Int.self)
            let sleeping = Task { try await world.clock.sleep(for: .seconds(86_400)) }
            let watching = Task(executorPreference: world.executor) { for await _ in map.changes {} }
            try await world.sleep(for: .seconds(1))
            return (sleeping, watching)
        }
        await #expect(throws: CancellationError.self) { try await sleeping.value }
        await watching.value
    }

    @Test func `whoever uses a world from outside is stopped with a sentence about it`() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            try await TopGunWorld.run(seed: 15) { world in
                await Task.detached { world.server.kill() }.value
            }
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("is used outside of TopGunWorld.run"))
    }

    @Test func `a cancelled test ends`() async throws {
        let task = Task {
            try await TopGunWorld.run(seed: 13) { world in
                while true { try await world.sleep(for: .seconds(1)) }
            }
        }
        try await Task.sleep(for: .milliseconds(50))
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
