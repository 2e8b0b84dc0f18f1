import Foundation
import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// Real connections that are cut inside a frame, at each of its bytes.
@Suite(.timeLimit(.minutes(2))) struct CutConnectionTests {
    private static let map: ByteString = "todos"

    @Test(arguments: [false, true])
    func `N07 a batch whose connection is cut at any byte has no effect at all, and one when it is sent again`(
        _ isReset: Bool
    ) async throws {
        let rig = try await Rig()
        let bytes = Self.frameBytes(of: Self.batch(0))
        for cut in 0...bytes {
            await rig.send(Self.batch(cut), FaultyProxy.Faults(cutUp: cut, isReset: isReset))
        }
        let whole = Set(Self.keys(bytes))
        let arrived = try await Set(rig.rows().keys)
        // A reset may overtake the bytes before it, so that even a whole frame may not arrive.
        #expect(arrived == whole || isReset && arrived.isEmpty)

        // What a client does then: everything again, under the same ids.
        for cut in 0...bytes { try await rig.sendWhole(Self.batch(cut)) }
        let everything = Set((0...bytes).flatMap(Self.keys))
        #expect(try await Set(rig.rows().keys) == everything)
        #expect(
            try await rig.events(of: everything.count) == Dictionary(uniqueKeysWithValues: everything.map { ($0, 1) }))
        try await rig.stop()
    }

    @Test func `N07 an answer that is cut at any byte costs a repeat, which has no second effect`() async throws {
        let rig = try await Rig()
        let bytes = try await rig.bytesOfAnswer(to: Self.batch(0))
        try #require(bytes > 10)
        let cuts = 1...bytes
        for cut in cuts { await rig.send(Self.batch(cut), FaultyProxy.Faults(cutDown: cut)) }
        for cut in cuts { try await rig.sendWhole(Self.batch(cut)) }
        let everything = Set((0...bytes).flatMap(Self.keys))
        #expect(try await Set(rig.rows().keys) == everything)
        #expect(
            try await rig.events(of: everything.count) == Dictionary(uniqueKeysWithValues: everything.map { ($0, 1) }))
        try await rig.stop()
    }

    /// Two operations whose keys say which batch they belong to; equally long for every number.
    private static func batch(_ number: Int) -> ClientMessage {
        Make.batch(Make.put(1, "a-\(1_000 + number)", 100), Make.put(2, "b-\(1_000 + number)", 100))
    }

    private static func keys(_ number: Int) -> [ByteString] {
        [ByteString("a-\(1_000 + number)"), ByteString("b-\(1_000 + number)")]
    }

    /// What a message takes on the way to a server: header, length, mask, payload.
    private static func frameBytes(of message: ClientMessage) -> Int {
        let sink = ByteSink()
        message.encode(into: sink)
        return sink.count + (sink.count < 126 ? 6 : 8)
    }

    /// A server, a proxy before it, and a client that watches past the proxy.
    private struct Rig {
        let server: TopgundProcess
        let port: Int
        let proxy: FaultyProxy
        let watcher: SocketClient

        init() async throws {
            server = try TopgundProcess()
            port = try #require(await server.port(), "\(server.log)")
            proxy = try await FaultyProxy(to: port)
            watcher = try #require(await SocketClient.connect(port: port))
            watcher.send(.syncStart(SyncStart(mapName: CutConnectionTests.map, lastSyncTimestamp: 0)))
            _ = try await watcher.first { if case .syncRoot = $0 { true } else { nil } }
        }

        /// Sends a message to a connection with faults and waits until that is over, on the server's side too.
        func send(_ message: ClientMessage, _ faults: FaultyProxy.Faults) async {
            proxy.set(faults)
            let ended = proxy.ended
            guard let client = await SocketClient.connect(port: proxy.port) else {
                Issue.record("the handshake failed")
                return
            }
            client.send(message)
            let isOver = await Poll.until(seconds: 10) { proxy.ended > ended }
            #expect(isOver, "\(faults) did not end it")
            client.close()
        }

        /// Sends a message to the server and waits for its acknowledgement.
        func sendWhole(_ message: ClientMessage) async throws {
            let client = try #require(await SocketClient.connect(port: port))
            try await expectAnswer(to: message, client)
            client.close()
        }

        /// The same by the proxy; returns what the server sent.
        func bytesOfAnswer(to message: ClientMessage) async throws -> Int {
            let client = try #require(await SocketClient.connect(port: proxy.port))
            try await expectAnswer(to: message, client)
            let bytes = proxy.bytesDown
            client.close()
            return bytes
        }

        private func expectAnswer(to message: ClientMessage, _ client: SocketClient) async throws {
            client.send(message)
            let last = try await client.first { if case .acknowledgement(let ack) = $0 { ack.lastID } else { nil } }
            #expect(last == 2)
        }

        func rows() async throws -> [ByteString: Payload] {
            try await Load.rows(of: CutConnectionTests.map, port: port)
        }

        /// How often the watcher heard of each of so many keys.
        func events(of count: Int) async throws -> [ByteString: Int] {
            var heard: [ByteString: Int] = [:]
            _ = try await watcher.first { message -> Bool? in
                switch message {
                case .event(let event): heard[event.key, default: 0] += 1
                case .events(let events): for event in events { heard[event.key, default: 0] += 1 }
                // What was sent twice has come by the time that another question is answered.
                case .pong(42, _): return true
                default: break
                }
                if heard.count == count { watcher.send(.ping(timestamp: 42)) }
                return nil
            }
            return heard
        }

        func stop() async throws {
            server.signal(SIGTERM)
            #expect(await server.end() == .exit(0))
        }
    }
}
