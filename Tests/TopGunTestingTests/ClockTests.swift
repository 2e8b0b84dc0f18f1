import Testing
import TopGun
import TopGunTesting

@Suite struct ClockTests {
    @Test func `a phone an hour ahead is put right: it does not win for an hour`() async throws {
        try await TopGunWorld.run(seed: 11) { world in
            try await world.server.start()
            let (phone, laptop) = (world.device("phone"), world.device("laptop"))
            phone.clock.offset = .seconds(3600)
            #expect(phone.clock.offset == .seconds(3600))
            // Written offline, when nobody could tell it the time.
            phone.isOnline = false
            let phones = try await phone.launch().map("notes", of: String.self)
            let receipt = try phones.set("from the future", for: "k")
            try await world.settle()
            phone.isOnline = true
            let client = try await laptop.launch()
            let laptops = try await client.map("notes", of: String.self)
            try await world.settle()
            #expect(receipt.level == .persisted)
            #expect(laptops["k"] == "from the future")

            try laptops.set("from a minute later", for: "k")
            try await world.settle()
            #expect(phones["k"] == "from a minute later")
            #expect(laptops["k"] == "from a minute later")
            var lost: [LostWrite] = []
            await client.close()
            for await write in client.lostWrites { lost.append(write) }
            #expect(lost.isEmpty)
        }
    }

    @Test func `a phone an hour behind loses with what it wrote offline, and the app is told`() async throws {
        try await TopGunWorld.run(seed: 12) { world in
            try await world.server.start()
            let (phone, laptop) = (world.device("phone"), world.device("laptop"))
            let laptops = try await laptop.launch().map("notes", of: String.self)
            try laptops.set("first", for: "k")
            try await world.settle()

            phone.clock.offset = .seconds(-3600)
            phone.isOnline = false
            let client = try await phone.launch()
            let phones = try await client.map("notes", of: String.self)
            try phones.set("second, by true time", for: "k")
            phone.isOnline = true
            try await world.settle()
            #expect(laptops["k"] == "first")
            #expect(phones["k"] == "first")

            var losses = client.lostWrites.makeAsyncIterator()
            let lost = try #require(await losses.next())
            #expect(lost.reason == .superseded)
            #expect(lost.key == "k")
            #expect(try lost.value(as: String.self) == "second, by true time")
            #expect(try lost.winner(as: String.self) == "first")

            // By now the server has told it the time.
            try phones.set("third", for: "k")
            try await world.settle()
            #expect(laptops["k"] == "third")
        }
    }

    @Test func `a clock drifts without jumping, and jumps when it is set`() async throws {
        try await TopGunWorld.run(seed: 13) { world in
            let clock = world.device("phone").clock
            try await world.sleep(for: .seconds(10_000))
            clock.offset = .seconds(5)
            clock.drift = 0.001
            #expect(clock.offset == .seconds(5))
            try await world.sleep(for: .seconds(1_000))
            #expect(clock.offset == .seconds(6))
            clock.drift = 0
            try await world.sleep(for: .seconds(1_000))
            #expect(clock.offset == .seconds(6))
            clock.offset = .zero
            #expect(clock.offset == .zero)
            #expect(clock.drift == 0)
        }
    }

    @Test func `lifetimes end in virtual time`() async throws {
        try await TopGunWorld.run(seed: 14) { world in
            try await world.server.start()
            let phone = try await world.device("phone").launch().map("notes", of: Int.self)
            let laptop = try await world.device("laptop").launch().map("notes", of: Int.self)
            try phone.set(1, for: "k", lifetime: .seconds(3600))
            try await world.settle()
            #expect(laptop["k"] == 1)
            try await world.clock.sleep(for: .seconds(3600))
            #expect(phone["k"] == nil)
            #expect(laptop["k"] == nil)
        }
    }
}
