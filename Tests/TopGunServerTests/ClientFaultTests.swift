import Foundation
import NIOCore
import Testing
import TopGun
import TopGunModel
import TopGunWire

/// The Swift SDK and a real `topgund`, with a server that stands still, lines that go dead, and lines that are slow.
@Suite(.serialized, .timeLimit(.minutes(3))) struct ClientFaultTests {
    /// Both take as long as a client's patience, so they are waited for together.
    @Test func `P03 N08 a server that stands still and a line that goes dead lose nothing, and clients come back`()
        async throws
    {
        async let stopped: Void = serverStandsStill()
        async let dead: Void = lineGoesDead()
        _ = try await (stopped, dead)
    }

    private func serverStandsStill() async throws {
        let server = try TopgundProcess()
        let port = try #require(await server.port(), "\(server.log)")
        let client = try await Self.client(port)
        let map = try await client.map("todos", of: Int.self)
        try await map.set(0, for: "before").reaches(.replicated)
        server.signal(SIGSTOP)
        var receipts: [WriteReceipt] = []
        for number in 0..<50 { receipts.append(try map.set(number, for: "\(number)")) }
        // It takes the client fifteen seconds without a sign of life.
        for await state in client.syncState { if case .offline = state { break } }
        #expect(receipts.allSatisfy { $0.level ?? .stored < .applied }, "nobody was there to say so")
        server.signal(SIGCONT)
        for receipt in receipts { try await receipt.reaches(.replicated) }
        #expect(client.pendingCount == 0)
        let rows = try await Load.rows(port: port)
        #expect(rows.count == 51)
        for number in 0..<50 { #expect(rows[ByteString("\(number)")].flatMap(Make.number) == Int64(number)) }
        await client.close()
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
    }

    private func lineGoesDead() async throws {
        let server = try TopgundProcess()
        let port = try #require(await server.port(), "\(server.log)")
        let proxy = try await FaultyProxy(to: port)
        let client = try await Self.client(proxy.port)
        let map = try await client.map("todos", of: Int.self)
        try await map.set(0, for: "before").reaches(.replicated)
        proxy.stall()
        let lost = try map.set(1, for: "sent into the dark")
        for await state in client.syncState { if case .offline = state { break } }
        #expect(lost.level ?? .stored < .applied)
        // The next connection is a good one.
        try await lost.reaches(.replicated)
        let rows = try await Load.rows(port: port)
        #expect(rows["sent into the dark"].flatMap(Make.number) == 1)
        await client.close()
        server.signal(SIGKILL)
        _ = await server.end()
    }

    @Test func `N06 over a line of 64 kbit each second and half a second of delay it is slow, and all is there`()
        async throws
    {
        let server = try TopgundProcess()
        let port = try #require(await server.port(), "\(server.log)")
        let proxy = try await FaultyProxy(to: port)
        proxy.set(FaultyProxy.Faults(bytesPerSecond: 8_000, delay: .milliseconds(500)))
        let (slow, near) = (try await Self.client(proxy.port), try await Self.client(port))
        let (left, right) = (
            try await slow.map("todos", of: Int.self), try await near.map("todos", of: Int.self)
        )
        var receipts: [WriteReceipt] = []
        for number in 0..<150 { receipts.append(try left.set(number, for: "slow \(number)")) }
        let start = ContinuousClock.now
        try await right.set(7, for: "near").reaches(.replicated)
        #expect(ContinuousClock.now - start < .seconds(1), "the slow one held up another")
        for receipt in receipts { try await receipt.reaches(.replicated) }
        #expect(ContinuousClock.now - start > .seconds(1), "the line was not slow")
        for await value in left.values(for: "near") where value == 7 { break }
        for await value in right.values(for: "slow 149") where value == 149 { break }
        #expect(Set(left.keys) == Set(right.keys))
        #expect(left.count == 151)
        for client in [slow, near] { await client.close() }
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
    }

    @Test(.enabled(if: ProcessFigures.obstacle == nil, "\(ProcessFigures.obstacle ?? "")"))
    func `C12 a hundred thousand offline writes come in within bounded memory, and others go on meanwhile`()
        async throws
    {
        let count = 100_000
        let server = try TopgundProcess()
        let port = try #require(await server.port(), "\(server.log)")
        let (away, here) = (try await Self.client(port), try await Self.client(port))
        away.setOnline(false)
        let map = try await away.map("away", of: Int.self)
        let busy = try await here.map("here", of: Int.self)
        for number in 0..<count - 1 { try map.set(number, for: "\(number)") }
        try await map.set(count, for: "last").reaches(.stored)
        #expect(away.pendingCount == count)
        try await busy.set(-1, for: "k").reaches(.replicated)
        let before = (try ProcessFigures(of: server.id), try ProcessFigures(of: getpid()))

        away.setOnline(true)
        var waits: [Duration] = []
        var (serverMost, clientMost) = (0, 0)
        while away.pendingCount > 0 {
            let start = ContinuousClock.now
            try await busy.set(waits.count, for: "k").reaches(.replicated)
            waits.append(ContinuousClock.now - start)
            serverMost = max(serverMost, try ProcessFigures(of: server.id).residentBytes)
            clientMost = max(clientMost, try ProcessFigures(of: getpid()).residentBytes)
        }
        waits.sort()
        #expect(waits.count > 10)
        #expect(waits[waits.count / 2] < .milliseconds(500), "\(waits[waits.count / 2])")
        #expect(waits.last ?? .zero < .seconds(5), "\(waits.last ?? .zero)")
        // What the records themselves take, twice over, and what is on its way.
        #expect(serverMost - before.0.residentBytes < 96 << 20, "\((serverMost - before.0.residentBytes) >> 20) MiB")
        #expect(clientMost - before.1.residentBytes < 96 << 20, "\((clientMost - before.1.residentBytes) >> 20) MiB")
        for client in [away, here] { await client.close() }
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
    }

    private static func client(_ port: Int) async throws -> TopGunClient {
        try await TopGunClient(server: "ws://127.0.0.1:\(port)/ws", store: .memory)
    }
}
