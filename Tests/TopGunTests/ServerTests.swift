import Foundation
import Testing
import TopGun

/// Clients against a real server in a process of its own.
@Suite(.timeLimit(.minutes(2)), .serialized) struct ServerTests {
    private func client(
        _ server: TestServer, _ store: StoreLocation = .memory, token: TokenSource? = nil
    ) async throws -> TopGunClient {
        try await TopGunClient(server: server.address, store: store, token: token)
    }

    private func becomes(
        _ client: TopGunClient, _ isWanted: (SyncState) -> Bool = { $0 == .live }
    ) async throws -> SyncState {
        for await state in client.syncState where isWanted(state) { return state }
        throw Unexpected(what: "the client was closed")
    }

    private func wait<Value: Equatable>(
        for wanted: Value?, _ key: String, in map: TopGunMap<Value>
    ) async {
        for await value in map.values(for: key) where value == wanted { return }
        Issue.record("\(key) never became \(String(describing: wanted))")
    }

    @Test func `a write reaches its levels and the other client`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let (anna, ben) = (try await client(server), try await client(server))
        let (left, right) = (try await anna.map("m", of: Todo.self), try await ben.map("m", of: Todo.self))
        let receipt = try left.set(Todo(title: "milk"), for: "k")
        for level in [WriteReceipt.Level.stored, .applied, .replicated] { try await receipt.reaches(level) }
        await wait(for: Todo(title: "milk"), "k", in: right)
        try await right.remove("k").reaches(.replicated)
        await wait(for: nil, "k", in: left)
        #expect(try await becomes(anna) == .live)
        #expect(anna.pendingCount == 0)
        #expect(anna.info.clusterID != nil)
        #expect(anna.info.clusterID == ben.info.clusterID)
    }

    @Test func `a single node without a database is all the levels there are`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let anna = try await client(server)
        let receipt = try await anna.map("m", of: Int.self).set(1, for: "k")
        try await receipt.reaches(.persisted)
        #expect(receipt.level == .persisted)
        #expect(anna.pendingCount == 0)
    }

    @Test func `a map is never called live before it was compared with the server`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let anna = try await client(server)
        for number in 0..<20 {
            try await anna.map("m\(number)", of: Int.self).set(number, for: "k").reaches(.replicated)
        }
        let ben = try await client(server)
        _ = try await becomes(ben)
        for number in 0..<20 {
            let map = try await ben.map("m\(number)", of: Int.self)
            _ = try await becomes(ben)
            #expect(map["k"] == number)
        }
    }

    @Test func `who looks later still gets back what lost`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let (anna, ben) = (try await client(server), try await client(server))
        let (left, right) = (try await anna.map("m", of: Int.self), try await ben.map("m", of: Int.self))
        ben.setOnline(false)
        _ = try await becomes(ben) { if case .offline = $0 { true } else { false } }
        let loser = try right.set(1, for: "k")
        let now = Date()
        while Date().timeIntervalSince(now) < 0.005 { continue }
        try await left.set(2, for: "k").reaches(.replicated)
        ben.setOnline(true)
        try await loser.reaches(.replicated)
        await wait(for: 2, "k", in: right)
        // Nobody was reading when it happened.
        for _ in 0..<2 {
            var lost = ben.lostWrites.makeAsyncIterator()
            let setback = try #require(await lost.next())
            #expect(setback.reason == .superseded)
            #expect(try setback.value(as: Int.self) == 1)
            #expect(try setback.winner(as: Int.self) == 2)
        }
    }

    @Test func `a fresh client gets everything`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let anna = try await client(server)
        let written = try await anna.map("m", of: Int.self)
        var receipt: WriteReceipt?
        for number in 0..<5000 { receipt = try written.set(number, for: "\(number)") }
        try await receipt?.reaches(.replicated)
        let ben = try await client(server)
        let read = try await ben.map("m", of: Int.self)
        _ = try await becomes(ben)
        #expect(read.count == 5000)
        #expect(read["4321"] == 4321)
    }

    @Test func `of two offline edits the later wins everywhere, and the loser gets its value back`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let (anna, ben) = (try await client(server), try await client(server))
        let (left, right) = (try await anna.map("m", of: Todo.self), try await ben.map("m", of: Todo.self))
        _ = try await (becomes(anna), becomes(ben))
        var lost = ben.lostWrites.makeAsyncIterator()
        for client in [anna, ben] {
            client.setOnline(false)
            _ = try await becomes(client) { if case .offline = $0 { true } else { false } }
        }
        try right.set(Todo(title: "earlier"), for: "k")
        try right.set(Todo(title: "ben's"), for: "b")
        let now = Date()
        while Date().timeIntervalSince(now) < 0.005 { continue }
        let winner = try left.set(Todo(title: "later"), for: "k")
        #expect(right["k"] == Todo(title: "earlier"))
        anna.setOnline(true)
        try await winner.reaches(.applied)
        ben.setOnline(true)
        await wait(for: Todo(title: "later"), "k", in: right)
        await wait(for: Todo(title: "ben's"), "b", in: left)
        let setback = try #require(await lost.next())
        #expect(setback.key == "k")
        #expect(setback.reason == .superseded)
        #expect(try setback.value(as: Todo.self) == Todo(title: "earlier"))
        #expect(try setback.winner(as: Todo.self) == Todo(title: "later"))
    }

    @Test func `B01: what was acknowledged survives a kill of the server, what was not is sent again`() async throws {
        let folder = try TemporaryFolder()
        var server = try TestServer(folder.path("data"))
        let anna = try await client(server, .file(folder.path("a.db")))
        let map = try await anna.map("m", of: Int.self)
        var receipts: [WriteReceipt] = []
        for number in 0..<3000 { receipts.append(try map.set(number, for: "\(number)")) }
        try await receipts[500].reaches(.applied)
        server.kill()
        for number in 3000..<3100 { receipts.append(try map.set(number, for: "\(number)")) }
        _ = try await becomes(anna) { if case .offline = $0 { true } else { false } }
        server = try TestServer(folder.path("data"), port: server.port)
        anna.setOnline(true)
        for receipt in receipts { try await receipt.reaches(.replicated) }
        let ben = try await client(server)
        let read = try await ben.map("m", of: Int.self)
        _ = try await becomes(ben)
        #expect(read.count == 3100)
    }

    @Test func `a live query is confirmed by the server and follows other clients`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let (anna, ben) = (try await client(server), try await client(server))
        let (left, right) = (try await anna.map("m", of: Todo.self), try await ben.map("m", of: Todo.self))
        let open = try left.query(where: ["done": false])
        for await result in open where result.isConfirmed { break }
        try right.set(Todo(title: "a"), for: "1")
        try right.set(Todo(title: "b", done: true), for: "2")
        for await result in open where result.rows.map(\.key) == ["1"] { break }
        try right.set(Todo(title: "a", done: true), for: "1")
        for await result in open where result.rows.isEmpty { break }
        server.kill()
        for await result in open where !result.isConfirmed { break }
    }

    // MARK: Who may

    @Test func `a token is demanded, refused, and accepted`() async throws {
        let folder = try TemporaryFolder()
        let secret = folder.path("secret")
        try "a secret of thirty-two bytes, or so".write(toFile: secret, atomically: true, encoding: .utf8)
        let server = try TestServer(
            folder.path("data"), arguments: ["--jwt-secret-file", secret, "--default-access", "allow"])
        let made = try await Programs.topgun(["token", "anna", "--secret-file", secret])
        #expect(made.code == 0, "\(made.error)")

        let none = try await client(server)
        #expect(try await becomes(none) { $0 == .authenticating(.tokenNeeded) } == .authenticating(.tokenNeeded))
        none.setToken(try #require(made.lines.first))
        _ = try await becomes(none)
        #expect(none.info.userID == "anna")

        let wrong = try await client(server, token: .fixed("wrong"))
        _ = try await becomes(wrong) { $0 == .offline(.tokenRefused) }

        let asked = try await client(server, token: .provider { try #require(made.lines.first) })
        _ = try await becomes(asked)
        try await asked.map("m", of: Int.self).set(1, for: "k").reaches(.replicated)
    }

    @Test func `a refused write is undone, told, and kept until it is forgotten`() async throws {
        let folder = try TemporaryFolder()
        let secret = folder.path("secret")
        try "a secret of thirty-two bytes, or so".write(toFile: secret, atomically: true, encoding: .utf8)
        let server = try TestServer(folder.path("data"), arguments: ["--jwt-secret-file", secret])
        let token = try #require(try await Programs.topgun(["token", "anna", "--secret-file", secret]).lines.first)
        let store = StoreLocation.file(folder.path("a.db"))
        let anna = try await client(server, store, token: .fixed(token))
        let map = try await anna.map("m", of: Int.self)
        let receipt = try map.set(1, for: "k")
        #expect(map["k"] == 1)
        let error = await #expect(throws: TopGunError.self) { try await receipt.reaches(.applied) }
        #expect(error?.code == .refused)
        #expect(error?.refusal == "FORBIDDEN")
        await wait(for: nil, "k", in: map)
        #expect(anna.pendingCount == 0)
        await anna.close()

        let again = try await TopGunClient(store: store)
        var lost = again.lostWrites.makeAsyncIterator()
        let refused = try #require(await lost.next())
        #expect(refused.reason == .refused(code: "FORBIDDEN"))
        #expect(try refused.value(as: Int.self) == 1)
        again.forget(refused)
        await again.close()
        let last = try await TopGunClient(store: store)
        lost = last.lostWrites.makeAsyncIterator()
        await last.close()
        #expect(await lost.next() == nil)
    }

    @Test func `a store that was synced with one cluster is not sent to another`() async throws {
        let folder = try TemporaryFolder()
        let store = StoreLocation.file(folder.path("a.db"))
        let first = try TestServer(folder.path("one"))
        let anna = try await client(first, store)
        try await anna.map("m", of: Int.self).set(1, for: "k").reaches(.replicated)
        await anna.close()
        let second = try TestServer(folder.path("two"))
        let moved = try await client(second, store)
        let map = try await moved.map("m", of: Int.self)
        try map.set(2, for: "k")
        #expect(try await becomes(moved) { $0 == .offline(.foreignCluster) } == .offline(.foreignCluster))
        #expect(moved.pendingCount == 1)
        let other = try await client(second)
        let theirs = try await other.map("m", of: Int.self)
        _ = try await becomes(other)
        #expect(theirs.count == 0)
    }

    // MARK: Crashes and companions

    @Test func `C05: what a process writes that does not sync reaches the server by the one that does`() async throws {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let store = StoreLocation.file(folder.path("a.db"))
        let (app, widget) = (try await client(server, store), try await client(server, store))
        let other = try await client(server)
        let (inApp, inWidget) = (try await app.map("m", of: Int.self), try await widget.map("m", of: Int.self))
        let theirs = try await other.map("m", of: Int.self)
        let receipt = try inWidget.set(1, for: "widget")
        await wait(for: 1, "widget", in: theirs)
        try await receipt.reaches(.replicated)
        try theirs.set(2, for: "other")
        await wait(for: 2, "other", in: inWidget)
        await wait(for: 2, "other", in: inApp)
        await app.close()
        _ = try await becomes(widget)
        try await inWidget.set(3, for: "widget").reaches(.replicated)
        await wait(for: 3, "widget", in: theirs)
    }

    @Test func `B20: a client killed in the middle of a sync sends the rest in its next life, each once`() async throws
    {
        let folder = try TemporaryFolder()
        let server = try TestServer(folder.path("data"))
        let (path, address) = (folder.path("a.db"), server.address)
        await #expect(processExitsWith: .signal(9)) { [path = path as String, address = address as String] in
            let client = try await TopGunClient(server: address, store: .file(path))
            let map = try await client.map("m", of: Int.self)
            client.setOnline(false)
            var receipts: [WriteReceipt] = []
            for number in 0..<3000 { receipts.append(try map.set(number, for: "\(number)")) }
            for receipt in receipts { try await receipt.reaches(.stored) }
            client.setOnline(true)
            try await receipts[1000].reaches(.applied)
            kill(getpid(), SIGKILL)
        }
        let again = try await TopGunClient(server: address, store: .file(path))
        let map = try await again.map("m", of: Int.self)
        #expect(map.count == 3000)
        try await map.set(1, for: "last").reaches(.replicated)
        let other = try await client(server)
        let theirs = try await other.map("m", of: Int.self)
        _ = try await becomes(other)
        #expect(theirs.count == 3001)
    }
}
