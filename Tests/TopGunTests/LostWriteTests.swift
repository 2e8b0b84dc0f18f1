import Synchronization
import Testing
import TopGunModel
import TopGunReplica

@testable import TopGun

/// Writes that do not stand: the application gets their values back whenever it looks.
@Suite(.timeLimit(.minutes(1))) struct LostWriteTests {
    private func lost(_ key: String, _ reason: LostWrite.Reason, operation: UInt64 = 0) -> LostWrite {
        LostWrite(
            map: "m", key: key, reason: reason, operation: operation, losing: .tombstone, winning: nil)
    }

    private func stored(_ id: UInt64) -> SetAsideOperation {
        let record = LWWRecord(value: .tombstone, timestamp: Timestamp(millis: 1, counter: 0, node: "n"))
        return SetAsideOperation(
            operation: StoredOperation(id: id, map: "m", key: "k", record: record), code: "FORBIDDEN")
    }

    /// What a reader who comes now is told first.
    private func content(_ book: LostWriteBook) async -> [LostWrite] {
        let subscription = book.subscribe()
        var content: [LostWrite] = []
        // Every inbox takes one more at the end, by which its first content is known to be over.
        book.add(lost("end", .superseded))
        while let next = await subscription.inbox.next({ $0.pop() }), next.key != "end" { content.append(next) }
        for end in await rest(book) where end.key == "end" { book.forget(end) }
        return content
    }

    private func rest(_ book: LostWriteBook) async -> [LostWrite] {
        let subscription = book.subscribe()
        var rest: [LostWrite] = []
        while let next = await subscription.inbox.next({ $0.pop() }) {
            rest.append(next)
            if next.key == "end" { break }
        }
        return rest
    }

    @Test func `who looks later is told of what became known before, in that order`() async {
        let book = LostWriteBook()
        book.restore([stored(4)])
        book.add(lost("a", .superseded))
        book.add(lost("b", .refused(code: "FORBIDDEN"), operation: 5))
        book.add(lost("c", .notStored))
        #expect(await content(book).map(\.key) == ["k", "a", "b", "c"])
        #expect(await content(book).map(\.key) == ["k", "a", "b", "c"], "reading is not forgetting")
    }

    @Test func `what was forgotten is not told again, alike ones are`() async throws {
        let book = LostWriteBook()
        for _ in 0..<2 { book.add(lost("a", .superseded)) }
        book.restore([stored(4)])
        let first = try #require(await content(book).first)
        book.forget(first)
        book.forget(first)
        #expect(await content(book).map(\.key) == ["a", "k"])
    }

    @Test func `a refused write is told once, whether it comes from the store or from the servers first`() async {
        let book = LostWriteBook()
        book.add(lost("k", .refused(code: "FORBIDDEN"), operation: 4))
        book.restore([stored(4), stored(5)])
        #expect(await content(book).count == 2)
    }

    @Test func `of very many superseded ones the latest are kept, and every refused one`() async {
        let book = LostWriteBook()
        book.restore([stored(1)])
        for number in 0..<2 * Limits.lostWritesBufferMax { book.add(lost("\(number)", .superseded)) }
        let kept = await content(book)
        #expect(kept.last?.key == "\(2 * Limits.lostWritesBufferMax - 1)")
        #expect(kept.count <= Limits.lostWritesBufferMax)
        #expect(!kept.contains { $0.key == "0" })
    }

    @Test func `a write that could not be stored gives its value back to who looks later`() async throws {
        let folder = try TemporaryFolder()
        let client = try await TopGunClient(store: .file(folder.path("a.db")))
        let map = try await client.map("m", of: String.self)
        try await map.set("old", for: "k").reaches(.stored)
        client.engine.store.withLock { store in
            if case .file(let file) = store { try? file.limitPages(to: 1) }
        }
        let receipt = try map.set(String(repeating: "n", count: 100_000), for: "k")
        let error = await #expect(throws: TopGunError.self) { try await receipt.reaches(.stored) }
        #expect(error?.code == .storage)
        #expect(map["k"] == "old")
        var losses = client.lostWrites.makeAsyncIterator()
        let loss = try #require(await losses.next())
        #expect(loss.reason == .notStored)
        #expect(try loss.value(as: String.self)?.count == 100_000)
        client.forget(loss)
        await client.close()
        losses = client.lostWrites.makeAsyncIterator()
        #expect(await losses.next() == nil)
    }
}
