import Testing
import TopGun
import TopGunTesting

@Suite struct DeviceTests {
    @Test(arguments: UInt64(1)...6) func `an app that crashes finds everything it stored`(seed: UInt64) async throws {
        try await TopGunWorld.run(seed: seed) { world in
            try await world.server.start()
            let phone = world.device("phone")
            let client = try await phone.launch()
            let map = try await client.map("notes", of: Int.self)
            let receipts = try (0..<100).map { try map.set($0, for: "k\($0)") }
            try await world.sleep(for: .milliseconds(Int(seed * 2)))
            phone.kill()
            #expect(map.count == 100)
            #expect(throws: TopGunError.self) { try map.set(1, for: "k") }
            let stored = (0..<100).filter { receipts[$0].level != nil }
            await #expect(throws: TopGunError.self) {
                for receipt in receipts { try await receipt.reaches(.persisted) }
                _ = try await client.map("others", of: Int.self)
            }
            await client.close()

            let again = try await phone.launch().map("notes", of: Int.self)
            for index in stored { #expect(again["k\(index)"] == index) }
            try await world.settle()
            let other = try await world.device("laptop").launch().map("notes", of: Int.self)
            try await world.settle()
            #expect(other.keys == again.keys)
            #expect(other.count >= stored.count)
        }
    }

    @Test func `sequences of a killed app end`() async throws {
        try await TopGunWorld.run(seed: 31) { world in
            let phone = world.device("phone")
            let client = try await phone.launch()
            let map = try await client.map("notes", of: Int.self)
            async let changes = map.changes.reduce(into: 0) { count, _ in count += 1 }
            async let states = client.syncState.reduce(into: 0) { count, _ in count += 1 }
            async let results = try map.query().reduce(into: 0) { count, _ in count += 1 }
            async let losses = client.lostWrites.reduce(into: 0) { count, _ in count += 1 }
            try await world.sleep(for: .seconds(1))
            try map.set(1, for: "k")
            try await world.settle()
            phone.kill()
            #expect(await changes == 1)
            #expect(await states >= 1)
            #expect(try await results >= 2)
            #expect(await losses == 0)
        }
    }

    @Test(arguments: [false, true])
    func `a device whose client was let go dies and starts again`(isSuspended: Bool) async throws {
        try await TopGunWorld.run(seed: 32) { world in
            try await world.server.start()
            let phone = world.device("phone")
            func use() async throws {
                let map = try await phone.launch().map("notes", of: Int.self)
                try await map.set(1, for: "k").reaches(.replicated)
            }
            try await use()
            phone.isSuspended = isSuspended
            phone.kill()
            let map = try await phone.launch().map("notes", of: Int.self)
            #expect(map["k"] == 1)
        }
    }

    @Test func `who waits for an app that is killed in its sleep does not wait for ever`() async throws {
        try await TopGunWorld.run(seed: 33) { world in
            let phone = world.device("phone")
            let client = try await phone.launch()
            _ = try await client.map("notes", of: Int.self)
            phone.isSuspended = true
            async let isClosed: Void = client.close()
            async let map: TopGunMap<Int> = client.map("notes", of: Int.self)
            try await world.sleep(for: .seconds(1))
            phone.kill()
            await isClosed
            _ = try? await map  // Open already, or closed: either is an answer.
            let again = try await phone.launch().map("notes", of: Int.self)
            #expect(again.count == 0)
        }
    }

    @Test func `one application at a time has the store`() async throws {
        try await TopGunWorld.run(seed: 32) { world in
            let phone = world.device("phone")
            #expect(world.device("phone") === phone)
            var client: TopGunClient? = try await phone.launch()
            let id = client?.info.nodeID
            let twice = await #expect(throws: TopGunWorldError.self) { try await phone.launch() }
            #expect(twice?.code == .alreadyRunning)
            let erased = #expect(throws: TopGunWorldError.self) { try phone.eraseStore() }
            #expect(erased?.code == .alreadyRunning)
            _ = try await client?.map("notes", of: Int.self).set(1, for: "k")
            // Let go without a word: it writes what it has, and goes.
            client = nil
            client = try await phone.launch()
            #expect(client?.info.nodeID == id)
            #expect(try await client?.map("notes", of: Int.self)["k"] == 1)
            await client?.close()
            try phone.eraseStore()
            client = try await phone.launch()
            #expect(client?.info.nodeID != id)
            #expect(try await client?.map("notes", of: Int.self)["k"] == nil)
        }
    }

    @Test func `a device without room refuses writes, tells of them, and goes on when there is room`() async throws {
        try await TopGunWorld.run(seed: 33) { world in
            try await world.server.start()
            let phone = world.device("phone")
            let client = try await phone.launch()
            let map = try await client.map("notes", of: Int.self)
            try map.set(1, for: "k")
            try await world.settle()
            phone.isStoreFull = true
            let receipt = try map.set(2, for: "k")
            let error = await #expect(throws: TopGunError.self) { try await receipt.reaches(.stored) }
            #expect(error?.code == .storage)
            #expect(map["k"] == 1)
            var losses = client.lostWrites.makeAsyncIterator()
            #expect(await losses.next()?.reason == .notStored)
            try await world.settle()
            phone.isStoreFull = false
            try await map.set(3, for: "k").reaches(.replicated)
            #expect(map["k"] == 3)
        }
    }

    @Test func `a slow store delays what is durable and nothing else`() async throws {
        try await TopGunWorld.run(seed: 34) { world in
            let phone = world.device("phone")
            phone.storeTime = .seconds(2)
            #expect(phone.storeTime == .seconds(2))
            let map = try await phone.launch().map("notes", of: Int.self)
            let begin = world.clock.now
            let receipt = try map.set(1, for: "k")
            #expect(map["k"] == 1)
            try await receipt.reaches(.stored)
            #expect(begin.duration(to: world.clock.now) >= .seconds(1))
        }
    }

    @Test func `a suspended app hears nothing, and catches up when it goes on`() async throws {
        try await TopGunWorld.run(seed: 35) { world in
            try await world.server.start()
            let phone = world.device("phone")
            let phones = try await phone.launch().map("notes", of: Int.self)
            let laptops = try await world.device("laptop").launch().map("notes", of: Int.self)
            try await world.settle()
            phone.isSuspended = true
            try laptops.set(1, for: "k")
            try await world.settle()
            try await world.sleep(for: .seconds(3600))
            #expect(phones["k"] == nil)
            phone.isSuspended = false
            #expect(!phone.isSuspended)
            try await world.settle()
            #expect(phones["k"] == 1)
        }
    }

    /// An application that tells its user "saved" when the write is on the device, and then deletes its own store: the
    /// bug is the application's, and a world shows it.
    @Test(arguments: [(WriteReceipt.Level.stored, true), (.replicated, false)])
    func `the control: whoever believes in too low a level loses data`(
        level: WriteReceipt.Level, isLost: Bool
    ) async throws {
        try await TopGunWorld.run(seed: 36) { world in
            try await world.server.start()
            world.network.latency = .milliseconds(200)
            let phone = world.device("phone")
            do {
                let client = try await phone.launch()
                let map = try await client.map("notes", of: Int.self)
                try await map.set(1, for: "k").reaches(level)
                await client.close()
            }
            try phone.eraseStore()
            let map = try await phone.launch().map("notes", of: Int.self)
            try await world.settle()
            #expect((map["k"] == nil) == isLost)
        }
    }
}
