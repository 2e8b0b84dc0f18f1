import Testing
import TopGun
import TopGunTesting

@Suite struct NetworkTests {
    @Test(arguments: UInt64(1)...10) func `with 30 percent loss everything written arrives everywhere`(
        seed: UInt64
    ) async throws {
        try await TopGunWorld.run(seed: seed) { world in
            world.network.loss = 0.3
            try await world.server.start()
            let phone = try await world.device("phone").launch().map("notes", of: String.self)
            let laptop = try await world.device("laptop").launch().map("notes", of: String.self)
            for index in 0..<100 {
                try phone.set("from the phone", for: "p\(index)")
                try laptop.set("from the laptop", for: "l\(index)")
                try (index % 2 == 0 ? phone : laptop).set("\(index)", for: "both")
                if index % 10 == 0 { try await world.sleep(for: .milliseconds(300)) }
            }
            try await world.settle()
            #expect(phone.count == 201)
            #expect(phone.keys == laptop.keys)
            #expect(phone.entries.map { $0.value } == laptop.entries.map { $0.value })
            #expect(phone["both"] == "99")
        }
    }

    @Test func `loss costs time, and a good network none to speak of`() async throws {
        func time(loss: Double) async throws -> Duration {
            try await TopGunWorld.run(seed: 7) { world in
                try await world.server.start()
                let client = try await world.device("phone").launch()
                let map = try await client.map("notes", of: Int.self)
                try await world.settle()
                world.network.loss = loss
                let begin = world.clock.now
                for index in 0..<50 { try await map.set(index, for: "k").reaches(.replicated) }
                return begin.duration(to: world.clock.now)
            }
        }
        let (good, bad) = (try await time(loss: 0), try await time(loss: 0.3))
        #expect(good < .seconds(1))
        #expect(bad > .seconds(5))
    }

    @Test(arguments: UInt64(1)...5) func `messages that get lost, come twice and change places do no harm`(
        seed: UInt64
    ) async throws {
        try await TopGunWorld.run(seed: seed) { world in
            try await world.server.start()
            let devices = [world.device("phone"), world.device("laptop")]
            var maps: [TopGunMap<Int>] = []
            for device in devices { maps.append(try await device.launch().map("notes", of: Int.self)) }
            world.network.isChaotic = true
            for index in 0..<60 {
                try maps[index % 2].set(index, for: "k\(index % 20)")
                try await world.sleep(for: .milliseconds(100))
            }
            world.network.isChaotic = false
            for device in devices { device.cutConnection() }
            try await world.settle()
            #expect(maps[0].count == 20)
            for index in 40..<60 {
                #expect(maps[0]["k\(index % 20)"] == index)
                #expect(maps[1]["k\(index % 20)"] == index)
            }
        }
    }

    @Test func `what is written offline arrives later, and what was written meanwhile comes back`() async throws {
        try await TopGunWorld.run(seed: 3) { world in
            try await world.server.start()
            let (phone, laptop) = (world.device("phone"), world.device("laptop"))
            let phones = try await phone.launch().map("notes", of: String.self)
            let client = try await laptop.launch()
            let laptops = try await client.map("notes", of: String.self)
            try await world.settle()

            laptop.isOnline = false
            let receipt = try laptops.set("written on a plane", for: "plane")
            try phones.set("written at home", for: "home")
            try await world.settle()
            // Settled means: nothing more can happen. The plane is still in the air.
            #expect(receipt.level == .stored)
            #expect(client.pendingCount == 1)
            #expect(phones["plane"] == nil && laptops["home"] == nil)
            #expect(client.syncState.current != .live)

            try await world.sleep(for: .seconds(8 * 3600))
            laptop.isOnline = true
            try await receipt.reaches(.replicated)
            try await world.settle()
            #expect(phones["plane"] == "written on a plane")
            #expect(laptops["home"] == "written at home")
            #expect(client.pendingCount == 0)
            #expect(client.syncState.current == .live)
        }
    }

    @Test func `in a tunnel nobody is told, and everything goes on behind it`() async throws {
        try await TopGunWorld.run(seed: 4) { world in
            try await world.server.start()
            let phone = world.device("phone")
            let client = try await phone.launch()
            let map = try await client.map("notes", of: Int.self)
            try await world.settle()
            phone.network.loss = 1
            let receipt = try map.set(1, for: "k")
            try await world.sleep(for: .seconds(3))
            #expect(client.syncState.current == .live)
            #expect(receipt.level == .stored)
            try await world.sleep(for: .seconds(60))
            #expect(client.syncState.current != .live)
            phone.network.loss = 0
            try await world.settle()
            #expect(receipt.level == .persisted)
        }
    }
}
