import Foundation
import Testing
import TopGun

/// Several clients on one store, as an app and its widget are (C05).
@Suite(.timeLimit(.minutes(1))) struct SharedStoreTests {
    private static func wait<Value>(
        for wanted: Value, _ key: String, in map: TopGunMap<Value>
    ) async where Value: Equatable {
        for await value in map.values(for: key) where value == wanted { return }
        Issue.record("\(key) never became \(wanted)")
    }

    @Test func `C05: both read and write, and each sees what the other wrote`() async throws {
        let folder = try TemporaryFolder()
        let clients = [
            try await TopGunClient(store: .file(folder.path("a.db"))),
            try await TopGunClient(store: .file(folder.path("a.db"))),
        ]
        #expect(clients.map(\.info.isSyncing) == [true, false])
        #expect(clients[0].info.nodeID != clients[1].info.nodeID)
        let maps = [
            try await clients[0].map("m", of: Int.self), try await clients[1].map("m", of: Int.self),
        ]
        try maps[0].set(1, for: "from the first")
        try maps[1].set(2, for: "from the second")
        await Self.wait(for: 1, "from the first", in: maps[1])
        await Self.wait(for: 2, "from the second", in: maps[0])
        // The one that syncs has both in its log.
        #expect(clients[0].pendingCount == 2)

        for round in 3..<20 {
            try maps[round % 2].set(round, for: "both")
            await Self.wait(for: round, "both", in: maps[1 - round % 2])
        }
        try maps[1].remove("from the first")
        for await value in maps[0].values(for: "from the first") where value == nil { break }
        #expect(maps[0].keys == maps[1].keys)
    }

    @Test func `C05: when the one that syncs goes, the other takes over with everything`() async throws {
        let folder = try TemporaryFolder()
        let nobody = "ws://127.0.0.1:1/ws"
        let first = try await TopGunClient(server: nobody, store: .file(folder.path("a.db")))
        let second = try await TopGunClient(server: nobody, store: .file(folder.path("a.db")))
        #expect(second.syncState.current == .offline(.otherProcessSyncs))
        let map = try await second.map("m", of: Int.self)
        let other = try await first.map("m", of: Int.self)
        try await other.set(1, for: "a").reaches(.stored)
        try await map.set(2, for: "b").reaches(.stored)
        await first.close()
        for await state in second.syncState where state != .offline(.otherProcessSyncs) { break }
        #expect(second.info.isSyncing)
        #expect(second.pendingCount == 2)
        await Self.wait(for: 1, "a", in: map)
        try await map.set(3, for: "c").reaches(.stored)

        let third = try await TopGunClient(store: .file(folder.path("a.db")))
        #expect(!third.info.isSyncing)
        let last = try await third.map("m", of: Int.self)
        #expect(last.keys == ["a", "b", "c"])
    }

    @Test func `B20: a process that is killed leaves what it was told is stored, and its lock`() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("a.db")
        await #expect(processExitsWith: .signal(9)) { [path = path as String] in
            let client = try await TopGunClient(store: .file(path))
            let map = try await client.map("m", of: Int.self)
            var receipts: [WriteReceipt] = []
            for number in 0..<200 { receipts.append(try map.set(number, for: "\(number)")) }
            for receipt in receipts { try await receipt.reaches(.stored) }
            kill(getpid(), SIGKILL)
        }
        let client = try await TopGunClient(store: .file(path))
        #expect(client.info.isSyncing)
        let map = try await client.map("m", of: Int.self)
        #expect(map.count == 200)
        #expect(client.pendingCount == 200)
    }
}
