import Foundation
import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// What happens to processes: killed while they stop, killed for their memory, started on a large log.
@Suite(.serialized, .timeLimit(.minutes(3))) struct ProcessFaultTests {
    @Test func `P08 a kill in the middle of a drain loses nothing that was acknowledged`() async throws {
        let folder = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        var known: Load.Versions = [:]
        for round in 0..<5 {
            let server = try TopgundProcess(in: folder, logLevel: "info")
            let port = try #require(await server.port(), "\(server.log)")
            let lost = try await Load.lost(known, port: port)
            #expect(lost == 0)
            // A client that never answers keeps it from being done.
            let proxy = try await FaultyProxy(to: port)
            let dead = try #require(await SocketClient.connect(port: proxy.port))
            proxy.stall()
            let load = Load(known)
            async let writers: Void = load.run(round: round, port: port)
            let isBusy = await load.reaches(100 + 50 * round)
            server.signal(SIGTERM)
            let isDraining = await Poll.until(seconds: 20) { server.log.contains("stopping: clients are let go") }
            server.signal(SIGKILL)
            let ending = await server.end()
            await writers
            #expect(isBusy && isDraining)
            #expect(ending == .init(status: SIGKILL, isSignal: true), "it was done before it was killed")
            known = load.acknowledged
            dead.close()
        }
        let server = try TopgundProcess(in: folder)
        let lost = try await Load.lost(known, port: try #require(await server.port(), "\(server.log)"))
        #expect(lost == 0)
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
    }

    @Test(.enabled(if: MemoryGroup.obstacle == nil, "\(MemoryGroup.obstacle ?? "")"))
    func `P04 a server that the kernel kills for its memory has lost nothing, and no other is touched`() async throws {
        let folder = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let group = try MemoryGroup()
        let other = try TopgundProcess()
        let otherPort = try #require(await other.port(), "\(other.log)")
        let server = try TopgundProcess(in: folder, wrapper: group.wrapper)
        let port = try #require(await server.port(), "\(server.log)")
        try group.allow(moreBytes: 24 << 20)
        let client = try #require(try await ResultClient.connect(port: port))
        var taken: Set<UInt64> = []
        var id: UInt64 = 1
        while id < 16_000 {
            let ids = id..<(id + 16)
            client.send(ids.map { Make.blob($0, "k\($0)", bytes: 16_000, millis: 1_000) })
            let results = try await client.results(of: ids)
            taken.formUnion(results.values.filter(\.isSuccess).map(\.id))
            guard results.count == ids.count else { break }
            id += 16
        }
        #expect(await server.end() == .init(status: SIGKILL, isSignal: true))
        #expect(taken.count > 500, "\(taken.count)")

        let bystander = try #require(try await ResultClient.connect(port: otherPort))
        #expect(try await bystander.write(Make.put(1, "a", 1))?.isSuccess == true)
        let again = try TopgundProcess(in: folder)
        let newPort = try #require(await again.port(), "\(again.log)")
        let held = try await Set(Load.rows(port: newPort).keys)
        #expect(held.isSuperset(of: taken.map { ByteString("k\($0)") }))
        for process in [again, other] {
            process.signal(SIGTERM)
            #expect(await process.end() == .exit(0))
        }
    }

    @Test(.enabled(if: ProcessFigures.obstacle == nil, "\(ProcessFigures.obstacle ?? "")"))
    func `D14 a start on a large log takes little memory, says how far it is, and serves when it has everything`()
        async throws
    {
        let folder = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let server = try TopgundProcess(in: folder)
        let firstPort = try #require(await server.port(), "\(server.log)")
        let client = try #require(try await ResultClient.connect(port: firstPort))
        let fresh = try ProcessFigures(of: server.id).residentBytes
        // Few keys, written again and again: a log that is many times what it holds.
        let (rounds, keys, bytes) = (UInt64(96), UInt64(16), 64_000)
        for round in 0..<rounds {
            let ids = (1 + round * keys)...((round + 1) * keys)
            client.send(ids.map { Make.blob($0, "k\($0 % keys)", bytes: bytes, millis: Int64(1_000 + round)) })
            let results = try await client.results(of: ids)
            try #require(results.values.count(where: \.isSuccess) == Int(keys))
        }
        #expect(try await client.write(Make.put(rounds * keys + 1, "last", 7))?.isSuccess == true)
        server.signal(SIGKILL)
        _ = await server.end()

        let again = try TopgundProcess(in: folder, logLevel: "info")
        let port = try #require(await again.port(), "\(again.log)")
        let rows = try await Load.rows(port: port)
        #expect(rows.count == Int(keys) + 1)
        #expect(rows["last"].flatMap(Make.number) == 7)
        let logBytes = Int(rounds * keys) * bytes
        let told = again.log.matches(of: /count=(\d+) detail=MiB limit=(\d+)/).compactMap { Int($0.1) }
        #expect(told.count >= logBytes >> 24, "\(again.log)")
        #expect(told == told.sorted())
        let peak = try ProcessFigures(of: again.id).residentBytesMax
        #expect(peak < fresh + 32 << 20, "\(peak >> 20) MiB for a log of \(logBytes >> 20) MiB, fresh \(fresh >> 20)")
        again.signal(SIGTERM)
        #expect(await again.end() == .exit(0))
    }
}
