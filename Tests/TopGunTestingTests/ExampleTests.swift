import Testing
// Example begins
import TopGun
import TopGunTesting

struct Item: Codable, Sendable, Equatable { var amount: Int }

@Suite struct ShoppingListTests {
    @Test(arguments: UInt64(1)...5) func `two phones agree, whatever the network does`(seed: UInt64) async throws {
        try await TopGunWorld.run(seed: seed) { world in
            try await world.server.start()
            world.network.loss = 0.3  // 30 % of all packets

            // Two devices with the app on them. What launch() returns is an ordinary TopGunClient.
            let anna = world.device("Anna's phone")
            let ben = world.device("Ben's phone")
            ben.clock.offset = .seconds(-120)  // two minutes slow
            let annas = try await anna.launch().map("shopping", of: Item.self)
            let bens = try await ben.launch().map("shopping", of: Item.self)

            // Ben edits in a tunnel, Anna meanwhile.
            ben.isOnline = false
            try annas.set(Item(amount: 2), for: "milk")
            try bens.set(Item(amount: 6), for: "eggs")
            #expect(bens["eggs"] == Item(amount: 6))  // no waiting, online or not

            // The server dies in the middle of it, and comes back.
            world.server.kill()
            ben.isOnline = true
            try await world.server.start()

            try await world.settle()  // until nothing is left to do
            #expect(annas["eggs"] == Item(amount: 6))
            #expect(bens["milk"] == Item(amount: 2))
        }
    }
}
// Example ends
