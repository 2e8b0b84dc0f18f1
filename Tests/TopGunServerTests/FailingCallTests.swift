import Foundation
import Testing
import TopGun
import TopGunModel
import TopGunReplica
import TopGunWire

@testable import TopGunServer

/// A real `topgund` whose system calls fail while it serves: what it acknowledges, what it says, and how it ends.
@Suite(
    .serialized, .timeLimit(.minutes(2)), .enabled(if: FailingCalls.obstacle == nil, "\(FailingCalls.obstacle ?? "")")
) struct FailingCallTests {
    @Test(arguments: ["fdatasync:error=EIO:when=1", "pwrite64:error=EIO:when=1"])
    func `D02 D03 B15 a call to the disk that fails once stops the node, with a code that nobody restarts`(
        _ fault: String
    ) async throws {
        let folder = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try TopgundProcess(in: folder)
        let port = try #require(await server.port(), "\(server.log)")
        let client = try #require(try await ResultClient.connect(port: port))
        #expect(try await client.write(Make.put(1, "before", 1))?.level == .replicated)

        // Once only: whoever tried again would find that it works.
        let calls = try FailingCalls(of: server.id, fault)
        defer { calls.end() }
        // It may fail before that comes, under what is written in a quiet moment; then it is refused.
        let answer = try await client.write(Make.put(2, "after", 2))
        #expect(answer == nil || answer?.refusal == .notReady, "nothing is acknowledged any more")
        #expect(await server.end() == .exit(ExitCode.disk))
        #expect(server.log.contains("the disk failed"), "\(server.log)")

        // A person starts it again.
        let again = try TopgundProcess(in: folder)
        let newPort = try #require(await again.port(), "\(again.log)")
        let rows = try await Load.rows(port: newPort)
        #expect(rows["before"].flatMap(Make.number) == 1)
        #expect(Set(rows.keys).isSubset(of: ["before", "after"]))
        again.signal(SIGTERM)
        #expect(await again.end() == .exit(0))
    }

    @Test func `D02 under load nothing that was acknowledged is missing after a failed sync`() async throws {
        let folder = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try TopgundProcess(in: folder)
        let port = try #require(await server.port(), "\(server.log)")
        let load = Load()
        async let writers: Void = load.run(round: 0, port: port)
        let isBusy = await load.reaches(100)
        let calls = Result { try FailingCalls(of: server.id, "fdatasync:error=EIO:when=20") }
        if case .failure = calls { server.signal(SIGKILL) }
        #expect(await server.end() == .exit(ExitCode.disk))
        await writers
        try calls.get().end()
        #expect(isBusy)
        let again = try TopgundProcess(in: folder)
        let newPort = try #require(await again.port(), "\(again.log)")
        let lost = try await Load.lost(load.acknowledged, port: newPort)
        #expect(lost == 0)
        again.signal(SIGTERM)
        #expect(await again.end() == .exit(0))
    }

    @Test func `D04 syncs that take a second delay acknowledgements and no heartbeat`() async throws {
        let server = try TopgundProcess()
        let port = try #require(await server.port(), "\(server.log)")
        let client = try #require(try await ResultClient.connect(port: port))
        let other = try #require(try await ResultClient.connect(port: port))
        #expect(try await client.write(Make.put(1, "a", 1))?.isSuccess == true)
        let calls = try FailingCalls(of: server.id, "fdatasync:delay_enter=2000000")
        defer { calls.end() }
        let start = ContinuousClock.now
        client.send([Make.put(2, "b", 2)], timeoutMillis: 300)
        let told = try #require(try await client.result(of: 2))
        #expect(told.isNotYet && told.level <= .memory, "\(told)")
        #expect(try await other.isAnswered(1))
        #expect(ContinuousClock.now - start < .seconds(2), "a heartbeat waited for the disk")
        let done = try #require(try await client.result(of: 2))
        #expect(done.isSuccess && done.level == .replicated)
        #expect(ContinuousClock.now - start >= .seconds(2), "acknowledged before its sync")
        calls.end()
        #expect(try await client.write(Make.put(3, "c", 3))?.isSuccess == true)
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
    }

    @Test func `D04 P15 while a sync hangs the watchdog is fed, and the service manager hears that the disk is slow`()
        async throws
    {
        let manager = try NotifySocket()
        let server = try TopgundProcess(environment: ["NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "300000"])
        let port = try #require(await server.port(), "\(server.log)")
        let client = try #require(try await ResultClient.connect(port: port))
        let fed = Shared<[(at: ContinuousClock.Instant, message: String)]>([])
        async let listening: Void = {
            for await message in manager.messages {
                if message.hasPrefix("WATCHDOG=1\n") { fed.with { $0.append((.now, message)) } }
                if message.hasPrefix("STOPPING=1\n") { break }
            }
        }()
        let isFed = await Poll.until(seconds: 20) { fed.with { $0.count } >= 3 }
        #expect(isFed)
        let calls = try FailingCalls(of: server.id, "fdatasync:delay_enter=4500000")
        let start = ContinuousClock.now
        let result = try await client.write(Make.put(1, "a", 1))
        let end = ContinuousClock.now
        calls.end()
        #expect(result?.isSuccess == true)
        #expect(end - start >= .milliseconds(4_500))
        // Once a second, for as long as the thread is at one batch.
        let during = fed.with { $0.filter { $0.at > start + .milliseconds(300) && $0.at < end - .milliseconds(300) } }
        #expect(during.count >= 2)
        #expect(during.contains { $0.message.contains("the disk is slow") })
        let isFedAgain = await Poll.until(seconds: 20) { fed.with { $0.contains { $0.at > end } } }
        #expect(isFedAgain)
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
        await listening
    }

    @Test func `C02 D02 after a failed sync a device's store leaves nothing to what that sync may have lost`() throws {
        let folder = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let store = try SQLiteStore(path: folder.appending(path: "replica.db").path)
        let stamp = Timestamp(millis: 1, counter: 0, node: "n")
        let record = LWWRecord(value: Payload([1]), timestamp: stamp, ttlMillis: 0)
        let write = { (key: ByteString) throws(StoreError) in
            var transaction = StoreTransaction()
            transaction.newOperations = [NewOperation(map: "m", key: key, record: record)]
            _ = try store.commit(transaction)
        }
        try write("first")
        // What came from the servers needs no sync of its own; the next one covers it.
        var received = StoreTransaction()
        received.entries = [StoredEntry(map: "m", key: "received", record: record, isOwn: false)]
        _ = try store.commit(received)
        let calls = try FailingCalls(
            ofThread: FailingCalls.currentThread, "fdatasync:error=EIO:when=1", "fsync:error=EIO:when=1")
        defer { calls.end() }
        #expect(throws: StoreError.self) { try write("lost") }
        calls.end()
        try write("second")
        // A power cut that takes the whole log.
        let copy = folder.appending(path: "copy.db")
        try FileManager.default.copyItem(at: folder.appending(path: "replica.db"), to: copy)
        let left = try SQLiteStore(path: copy.path)
        #expect(try left.entries(ofMap: "m", after: nil, limit: 9).map(\.key) == ["received"])
        #expect(try left.operations(after: 0, limit: 9).map(\.key) == ["first"])
        #expect(try store.operations(after: 0, limit: 9).map(\.key) == ["first", "second"])
    }
}
