import Testing
import TopGun
import TopGunTesting

@Suite struct ServerTests {
    private struct Outcome: Sendable {
        var acknowledged: Int
        var arrived: Int
        var lost: [Int]
    }

    /// Writes until the server dies in the middle, and asks a device that had nothing to do with it for everything that was
    /// acknowledged.
    private func writesUntil(
        seed: UInt64, _ disaster: @escaping @Sendable (TestServer) -> Void
    ) async throws -> Outcome {
        try await TopGunWorld.run(seed: seed) { world in
            let server = world.server
            try await server.start()
            let phone = world.device("phone")
            let map = try await phone.launch().map("notes", of: Int.self)
            try await world.settle()
            let receipts = try (0..<300).map { try map.set($0, for: "k\($0)") }
            try await receipts[299].reaches(.applied)
            // Those are on their way, in the log, or nearly acknowledged, as the seed says.
            let later = try (300..<600).map { try map.set($0, for: "k\($0)") }
            try await later[0].reaches(.stored)
            try await world.sleep(for: .microseconds(Int(seed) * 300))
            disaster(server)
            phone.isOnline = false
            try await world.sleep(for: .seconds(1))
            let all = receipts + later
            let acknowledged = (0..<600).filter { all[$0].level.map { $0 >= .applied } ?? false }
            #expect(acknowledged.count >= 300)

            try await server.start()
            let stranger = try await world.device("stranger").launch().map("notes", of: Int.self)
            try await world.settle()
            let lost = acknowledged.filter { stranger["k\($0)"] != $0 }
            let arrived = stranger.count
            #expect(all.allSatisfy { $0.level != nil })

            phone.isOnline = true
            try await world.settle()
            #expect(stranger.count == 600)
            #expect(all.allSatisfy { $0.level == .persisted })
            return Outcome(acknowledged: acknowledged.count, arrived: arrived, lost: lost)
        }
    }

    @Test(arguments: [false, true]) func `a server that dies in the middle of a sync loses nothing acknowledged`(
        isPowerCut: Bool
    ) async throws {
        var outcomes: [Outcome] = []
        for seed: UInt64 in 1...12 {
            let outcome = try await writesUntil(seed: seed) { server in
                if isPowerCut { server.cutPower() } else { server.kill() }
            }
            #expect(outcome.lost.isEmpty, "seed \(seed)")
            outcomes.append(outcome)
        }
        // Some seeds fall before the acknowledgement of what is already on the disk, or on its way.
        #expect(outcomes.contains { $0.acknowledged < 600 })
        #expect(outcomes.contains { $0.arrived > $0.acknowledged })
    }

    @Test func `the control: with a disk that lies about syncs a power cut takes what was acknowledged`() async throws {
        for seed: UInt64 in 1...5 {
            let held = try await TopGunWorld.run(seed: seed) { world in
                try await world.server.start()
                let phone = world.device("phone")
                let map = try await phone.launch().map("notes", of: Int.self)
                try await world.settle()
                world.server.syncsDoNothing = true
                for index in 0..<50 { try await map.set(index, for: "k\(index)").reaches(.replicated) }
                phone.isOnline = false
                world.server.cutPower()
                world.server.syncsDoNothing = false
                do {
                    try await world.server.start()
                } catch let error as TopGunWorldError {
                    // It may find that its log is damaged below what it knows to be durable, and say so.
                    #expect(error.message.contains("damaged"))
                    return 0
                }
                let stranger = try await world.device("stranger").launch().map("notes", of: Int.self)
                try await world.settle()
                return stranger.count
            }
            #expect(held < 50)
        }
    }

    @Test func `a server that finds no room does not start, and starts when there is some`() async throws {
        try await TopGunWorld.run(seed: 25) { world in
            world.server.isDiskFull = true
            let error = await #expect(throws: TopGunWorldError.self) { try await world.server.start() }
            #expect(error?.code == .serverStopped)
            #expect(!world.server.isServing)
            world.server.isDiskFull = false
            try await world.server.start()
            #expect(world.server.isServing)
        }
    }

    @Test func `a failed sync stops the server, which says so, and nothing is lost`() async throws {
        try await TopGunWorld.run(seed: 21) { world in
            try await world.server.start()
            #expect(world.server.isServing)
            let map = try await world.device("phone").launch().map("notes", of: Int.self)
            try await world.settle()
            world.server.failNextSync()
            let receipt = try map.set(1, for: "k")
            let error = await #expect(throws: TopGunWorldError.self) { try await world.settle() }
            #expect(error?.code == .serverStopped)
            #expect(world.server.failure != nil)
            #expect(!world.server.isServing)
            #expect(receipt.level == .stored)
            try await world.server.start()
            #expect(world.server.failure == nil)
            try await world.settle()
            #expect(receipt.level == .persisted)
        }
    }

    @Test func `a full disk keeps writes waiting on the device, and settle says who waits`() async throws {
        try await TopGunWorld.run(seed: 22) { world in
            try await world.server.start()
            let map = try await world.device("phone").launch().map("notes", of: String.self)
            try await world.settle()
            world.server.isDiskFull = true
            var receipts: [WriteReceipt] = []
            let text = String(repeating: "x", count: 50_000)
            for index in 0..<20 { receipts.append(try map.set(text, for: "k\(index)")) }
            let error = await #expect(throws: TopGunWorldError.self) { try await world.settle(within: .seconds(30)) }
            #expect(error?.code == .notSettled)
            #expect(error?.message.contains("phone: ") == true)
            #expect(error?.message.contains("not acknowledged by the server yet") == true)
            #expect(receipts.contains { $0.level == .stored })
            world.server.isDiskFull = false
            try await world.settle()
            #expect(receipts.allSatisfy { $0.level == .persisted })
        }
    }

    @Test func `a slow disk delays acknowledgements and nothing else`() async throws {
        try await TopGunWorld.run(seed: 23) { world in
            try await world.server.start()
            let map = try await world.device("phone").launch().map("notes", of: Int.self)
            try await world.settle()
            world.server.syncTime = .seconds(4)
            #expect(world.server.syncTime == .seconds(4))
            let begin = world.clock.now
            let receipt = try map.set(1, for: "k")
            #expect(map["k"] == 1)
            try await receipt.reaches(.stored)
            #expect(begin.duration(to: world.clock.now) < .milliseconds(50))
            try await receipt.reaches(.applied)
            #expect(begin.duration(to: world.clock.now) > .milliseconds(50))
        }
    }

    @Test func `a server is started once at a time`() async throws {
        try await TopGunWorld.run(seed: 24) { world in
            try await world.server.start()
            let twice = await #expect(throws: TopGunWorldError.self) { try await world.server.start() }
            #expect(twice?.code == .alreadyRunning)
            world.server.kill()
            world.server.kill()
            async let starting: Void = world.server.start()
            async let killing: Void = {
                try await world.sleep(for: .zero)
                world.server.kill()
            }()
            do {
                try await starting
                Issue.record("a server was killed before it served, and served")
            } catch let error as TopGunWorldError {
                #expect(error.code == .serverStopped)
            }
            try await killing
            #expect(!world.server.isServing)
            try await world.server.start()
            #expect(world.server.isServing)
        }
    }
}
