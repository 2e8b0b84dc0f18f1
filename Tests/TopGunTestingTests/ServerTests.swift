import Testing
import TopGun
import TopGunTesting

@Suite struct ServerTests {
    /// Writes until the server is killed somewhere in the middle, and asks a device that had nothing to do with it for
    /// everything that was acknowledged.
    private func acknowledgedWritesSurvive(
        seed: UInt64, _ disaster: @escaping @Sendable (TestServer) -> Void
    ) async throws {
        try await TopGunWorld.run(seed: seed) { world in
            let server = world.server
            try await server.start()
            let phone = world.device("phone")
            let map = try await phone.launch().map("notes", of: Int.self)
            try await world.settle()
            let receipts = try (0..<300).map { try map.set($0, for: "k\($0)") }
            // Somewhere in the middle: 300 writes take about 20 ms.
            try await world.sleep(for: .milliseconds(Int(4 + seed)))
            disaster(server)
            phone.isOnline = false
            try await world.sleep(for: .seconds(1))
            let acknowledged = (0..<300).filter { receipts[$0].level.map { $0 >= .applied } ?? false }

            try await server.start()
            let stranger = try await world.device("stranger").launch().map("notes", of: Int.self)
            try await world.settle()
            for index in acknowledged {
                #expect(stranger["k\(index)"] == index, "acknowledged and lost: \(index)")
            }
            #expect(receipts.allSatisfy { $0.level != nil })

            phone.isOnline = true
            try await world.settle()
            #expect(stranger.count == 300)
            #expect(receipts.allSatisfy { $0.level == .persisted })
        }
    }

    @Test(arguments: UInt64(1)...8) func `a server killed in the middle of a sync loses nothing acknowledged`(
        seed: UInt64
    ) async throws {
        try await acknowledgedWritesSurvive(seed: seed) { $0.kill() }
    }

    @Test(arguments: UInt64(1)...8) func `a power cut in the middle of a sync loses nothing acknowledged`(
        seed: UInt64
    ) async throws {
        try await acknowledgedWritesSurvive(seed: seed) { $0.cutPower() }
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
