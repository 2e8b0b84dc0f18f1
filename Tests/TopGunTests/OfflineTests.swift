import Foundation
import GRDB
import Observation
import Synchronization
import Testing
import TopGunEnvironment
import TopGunModel

@testable import TopGun

struct Todo: Codable, Equatable, Sendable {
    var title: String
    var done = false
}

/// What a client does with nobody to talk to.
@Suite(.timeLimit(.minutes(1))) struct OfflineTests {
    @Test func `a write is read back at once and stored soon`() async throws {
        let client = try await TopGunClient(store: .memory)
        let todos = try await client.map("todos", of: Todo.self)
        #expect(todos["milk"] == nil)
        let receipt = try todos.set(Todo(title: "Buy milk"), for: "milk")
        #expect(todos["milk"] == Todo(title: "Buy milk"))
        try await receipt.reaches(.stored)
        #expect(receipt.level == .stored)
        #expect(client.pendingCount == 1)
        try todos.remove("milk")
        #expect(todos["milk"] == nil)
        #expect(todos.keys.isEmpty)
        #expect(client.syncState.current == .offline(.notWanted))
    }

    @Test func `a store that was closed is opened with everything that was written`() async throws {
        let folder = try TemporaryFolder()
        for round in 0..<3 {
            let client = try await TopGunClient(store: .file(folder.path("a.db")))
            let todos = try await client.map("todos", of: Todo.self)
            #expect(todos.count == round * 100)
            for index in 0..<100 { try todos.set(Todo(title: "\(round)"), for: "\(round)/\(index)") }
            await client.close()
            #expect(throws: TopGunError.self) { try todos.set(Todo(title: ""), for: "late") }
        }
        let client = try await TopGunClient(store: .file(folder.path("a.db")))
        let todos = try await client.map("todos", of: Todo.self)
        #expect(todos.count == 300)
        #expect(todos["2/99"] == Todo(title: "2"))
        #expect(client.pendingCount == 300)
        #expect(client.info.isSyncing)
    }

    @Test func `B20: what was stored is there after a crash, in the log too`() async throws {
        let (folder, copy) = (try TemporaryFolder(), try TemporaryFolder())
        let client = try await TopGunClient(store: .file(folder.path("a.db")))
        let todos = try await client.map("todos", of: Todo.self)
        var receipt: WriteReceipt?
        for index in 0..<50 { receipt = try todos.set(Todo(title: "\(index)"), for: "\(index % 20)") }
        try await receipt?.reaches(.stored)
        // The files as a crash at this moment would leave them.
        for name in ["a.db", "a.db-wal"] {
            try FileManager.default.copyItem(atPath: folder.path(name), toPath: copy.path(name))
        }
        let second = try await TopGunClient(store: .file(copy.path("a.db")))
        let found = try await second.map("todos", of: Todo.self)
        for index in 30..<50 { #expect(found["\(index % 20)"] == Todo(title: "\(index)")) }
        #expect(second.pendingCount == 50)
    }

    @Test func `changes arrive in order, one per key for a slow reader`() async throws {
        let client = try await TopGunClient(store: .memory)
        let todos = try await client.map("todos", of: Todo.self)
        var changes = todos.changes.makeAsyncIterator()
        var one = todos.values(for: "b").makeAsyncIterator()
        #expect(await one.next() == .some(nil))
        try todos.set(Todo(title: "1"), for: "a")
        try todos.set(Todo(title: "2"), for: "b")
        #expect(await changes.next()?.value == Todo(title: "1"))
        try todos.remove("b")
        let second = await changes.next()
        #expect(second?.key == "b")
        #expect(second?.value == nil || second?.value == Todo(title: "2"))
        #expect(second?.isLocal == true)
        while let value = await one.next(), value != nil { continue }
        await client.close()
        while let change = await changes.next() { #expect(change.key == "b") }
        while let value = await one.next() { #expect(value == nil) }
    }

    @Test func `a live query follows writes, whole and by field`() async throws {
        let client = try await TopGunClient(store: .memory)
        let todos = try await client.map("todos", of: Todo.self)
        try todos.set(Todo(title: "b", done: true), for: "2")
        try todos.set(Todo(title: "a"), for: "1")
        let open = try todos.query(where: ["done": false])
        let all = try todos.query()
        #expect(open.current.rows.map(\.key) == ["1"])
        #expect(all.current.rows.map(\.key) == ["1", "2"])
        var results = open.makeAsyncIterator()
        #expect(await results.next()?.rows.count == 1)
        try todos.set(Todo(title: "b"), for: "2")
        #expect(await results.next()?.rows.map(\.value.title) == ["a", "b"])
        try todos.remove("1")
        #expect(await results.next()?.rows.map(\.key) == ["2"])
        #expect(all.current.rows.map(\.key) == ["2"])
        #expect(!all.current.isConfirmed)
    }

    @Test @MainActor func `a view model follows its query`() async throws {
        let client = try await TopGunClient(store: .memory)
        let todos = try await client.map("todos", of: Todo.self)
        let rows = LiveRows(try todos.query())
        try todos.set(Todo(title: "a"), for: "1")
        while rows.rows.isEmpty { await Task.yield() }
        #expect(rows.rows.map(\.value) == [Todo(title: "a")])
    }

    @Test @MainActor func `a view that reads a model is told when its rows change, and not before`() async throws {
        let client = try await TopGunClient(store: .memory)
        let todos = try await client.map("todos", of: Todo.self)
        let rows = LiveRows(try todos.query(where: ["done": false]))
        let changes = Changes()
        withObservationTracking {
            #expect(rows.rows.isEmpty && !rows.isConfirmed)
        } onChange: {
            changes.count.add(1, ordering: .relaxed)
        }
        try await todos.set(Todo(title: "other", done: true), for: "0").reaches(.stored)
        #expect(changes.count.load(ordering: .relaxed) == 0)
        try todos.set(Todo(title: "a"), for: "1")
        while changes.count.load(ordering: .relaxed) == 0 { await Task.yield() }
        while rows.rows.isEmpty { await Task.yield() }
        #expect(rows.rows.map(\.id) == ["1"])
    }

    private final class Changes: Sendable {
        let count = Atomic(0)
    }

    @Test func `the sync state is told from the first on, and ends with the client`() async throws {
        let client = try await TopGunClient(server: "ws://127.0.0.1:1/ws", store: .memory)
        for await state in client.syncState {
            if case .offline(.unreachable(let reason)) = state {
                #expect(!reason.isEmpty)
                break
            }
        }
        client.setOnline(false)
        for await state in client.syncState where state == .offline(.notWanted) { break }
        var states = client.syncState.makeAsyncIterator()
        await client.close()
        while let state = await states.next() { #expect(state == .offline(.notWanted)) }
        #expect(client.syncState.current == .offline(.notWanted))
    }

    @Test func `a client that is let go stores what was written, and its receipts hear of it`() async throws {
        let folder = try TemporaryFolder()
        for round in 0..<100 {
            var client: TopGunClient? = try await TopGunClient(store: .file(folder.path("a.db")))
            let receipt = try await client?.map("m", of: Int.self).set(round, for: "k")
            client = nil
            try await receipt?.reaches(.stored)
        }
        // The last one lets go of the file a moment after its receipt.
        let client = try await TopGunClient(store: .file(folder.path("a.db")))
        #expect(try await client.map("m", of: Int.self)["k"] == 99)
        #expect(client.pendingCount == 100 || !client.info.isSyncing)
    }

    @Test func `a process that ends while it writes ends well, and loses nothing that it was told is stored`()
        async throws
    {
        let folder = try TemporaryFolder()
        for round in 0..<5 {
            let path = folder.path("\(round).db")
            await #expect(processExitsWith: .success) { [path = path as String, round = round as Int] in
                let client = try await TopGunClient(server: "ws://127.0.0.1:1/ws", store: .file(path))
                let map = try await client.map("m", of: Int.self)
                for number in 0..<100 { try await map.set(number, for: "told \(number)").reaches(.stored) }
                for number in 0..<(round * 500) { try map.set(number, for: "\(number)") }
                exit(EXIT_SUCCESS)
            }
            let client = try await TopGunClient(store: .file(path))
            let map = try await client.map("m", of: Int.self)
            for number in 0..<100 { #expect(map["told \(number)"] == number) }
            // Each write is there with its operation, or not at all.
            #expect(client.pendingCount == map.count)
        }
    }

    @Test func `a map that cannot be read is an error, and can be opened once it can`() async throws {
        let folder = try TemporaryFolder()
        let path = folder.path("a.db")
        let first = try await TopGunClient(store: .file(path))
        try await first.map("m", of: Int.self).set(1, for: "k").reaches(.stored)
        await first.close()
        let client = try await TopGunClient(store: .file(path))
        let queue = try #require(
            client.engine.store.withLock { store -> DatabaseQueue? in
                if case .file(let file) = store { file.queue } else { nil }
            })
        try await queue.write { try $0.execute(sql: "ALTER TABLE record RENAME TO hidden") }
        for _ in 0..<2 {
            let error = await #expect(throws: TopGunError.self) { try await client.map("m", of: Int.self) }
            #expect(error?.code == .storage)
        }
        try await queue.write { try $0.execute(sql: "ALTER TABLE hidden RENAME TO record") }
        #expect(try await client.map("m", of: Int.self)["k"] == 1)
    }

    @Test func `a value with a lifetime is seen until it is over`() async throws {
        let client = try await TopGunClient(store: .memory)
        let todos = try await client.map("todos", of: Todo.self)
        var values = todos.values(for: "a").makeAsyncIterator()
        #expect(await values.next() == .some(nil))
        try todos.set(Todo(title: "short"), for: "a", lifetime: .milliseconds(200))
        #expect(todos["a"] == Todo(title: "short"))
        while let value = await values.next(), value != nil { continue }
        #expect(todos["a"] == nil)
        let longest = Duration(
            secondsComponent: Int64.max / 1000, attosecondsComponent: 999_000_000_000_000_000)
        for lifetime in [.zero, .seconds(-1), .microseconds(999), longest, .seconds(Int64.max), .seconds(Int64.min)] {
            let error = #expect(throws: TopGunError.self) {
                try todos.set(Todo(title: ""), for: "a", lifetime: lifetime)
            }
            #expect(error?.code == .invalidArgument, "\(lifetime)")
        }
    }

    @Test func `what stands and is of another type is told as such`() async throws {
        let client = try await TopGunClient(store: .memory)
        try await client.map("m", of: String.self).set("text", for: "k")
        let numbers = try await client.map("m", of: Int.self)
        #expect(numbers["k"] == nil)
        let error = #expect(throws: TopGunError.self) { try numbers.value(for: "k") }
        #expect(error?.code == .invalidValue)
        #expect(try numbers.query().current.undecodableKeys == ["k"])
    }

    @Test func `keys are compared by their bytes`() async throws {
        let client = try await TopGunClient(store: .memory)
        let map = try await client.map("m", of: Int.self)
        try map.set(1, for: "\u{e9}")
        try map.set(2, for: "e\u{301}")
        #expect(map["\u{e9}"] == 1)
        #expect(map["e\u{301}"] == 2)
    }

    @Test(arguments: ["", "a:b", "_topgun_x", String(repeating: "x", count: 257)])
    func `names that no server takes are refused`(_ name: String) async throws {
        let client = try await TopGunClient(store: .memory)
        let error = await #expect(throws: TopGunError.self) { try await client.map(name, of: Int.self) }
        #expect(error?.code == .invalidArgument)
    }

    @Test func `a server's address that is none, and a folder that is not there, are errors`() async throws {
        await #expect(throws: TopGunError.self) { try await TopGunClient(server: "localhost", store: .memory) }
        await #expect(throws: TopGunError.self) { try await TopGunClient(store: .file("/nowhere/at/all.db")) }
    }

    @Test func `waiting for a level ends with the task, and with the client`() async throws {
        let client = try await TopGunClient(store: .memory)
        let receipt = try await client.map("m", of: Int.self).set(1, for: "k")
        let waiting = Task { try await receipt.reaches(.applied) }
        waiting.cancel()
        await #expect(throws: CancellationError.self) { try await waiting.value }
        let other = Task { try await receipt.reaches(.applied) }
        try await receipt.reaches(.stored)
        await client.close()
        let error = await #expect(throws: TopGunError.self) { try await other.value }
        #expect(error?.code == .closed)
    }

    @Test func `whoever begins to read after the end gets what stands, and waits for nothing`() async throws {
        let client = try await TopGunClient(store: .memory)
        let map = try await client.map("m", of: Int.self)
        try map.set(1, for: "k")
        await client.close()
        await client.close()
        var values: [Int?] = []
        for await value in map.values(for: "k") { values.append(value) }
        #expect(values == [1])
        for await change in map.changes { Issue.record("\(change)") }
        for await lost in client.lostWrites { Issue.record("\(lost)") }
        let error = #expect(throws: TopGunError.self) { try map.query() }
        #expect(error?.code == .closed)
        let late = await #expect(throws: TopGunError.self) { try await client.map("n", of: Int.self) }
        #expect(late?.code == .closed)
    }

    @Test func `a client that is closed while its maps are opened leaves nobody waiting`() async throws {
        for _ in 0..<200 {
            let client = try await TopGunClient(store: .memory)
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<3 {
                    group.addTask {
                        // Either is right; only waiting for ever is not.
                        guard let map = try? await client.map("\(number)", of: Int.self) else { return }
                        for await _ in map.changes {}
                    }
                }
                group.addTask { await client.close() }
            }
            await #expect(throws: TopGunError.self) { try await client.map("late", of: Int.self) }
        }
    }

    @Test func `many threads write and read at once`() async throws {
        let client = try await TopGunClient(store: .memory)
        let map = try await client.map("m", of: Int.self)
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for index in 0..<500 {
                        _ = try? map.set(index, for: "\(task)")
                        #expect(map["\(task)"] == index)
                    }
                }
            }
        }
        #expect(map.count == 4)
        #expect(client.pendingCount == 2000)
    }
}
