import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Testing
import TopGunEnvironment

@Suite(.timeLimit(.minutes(1))) struct WebSocketClientTests {
    private let loop = NIOLoop(MultiThreadedEventLoopGroup.singleton.next())
    private let network = WebSocketClientNetwork(entropy: SystemEntropy())

    /// A connection with both of its ends.
    private struct Pair {
        var client: any MessageConnection
        var events: AsyncStream<RecordingReceiver.Event>.Iterator
        var server: ScriptedConnection
    }

    private func connect(to server: ScriptedServer) async throws -> Pair {
        let receiver = RecordingReceiver()
        network.connect(to: server.address, on: loop, receiver: receiver)
        var events = receiver.events.makeAsyncIterator()
        guard case .connected(let connection) = await events.next() else {
            throw Unexpected(what: "no connection")
        }
        var connections = server.connections.makeAsyncIterator()
        return Pair(client: connection, events: events, server: try #require(await connections.next()))
    }

    private func outcome(of address: String, _ network: WebSocketClientNetwork? = nil) async -> RecordingReceiver.Event?
    {
        let receiver = RecordingReceiver()
        (network ?? self.network).connect(to: address, on: loop, receiver: receiver)
        var events = receiver.events.makeAsyncIterator()
        return await events.next()
    }

    // MARK: Connecting

    @Test(arguments: [
        ("ws://localhost:8080/ws", false, "localhost", 8080, "/ws"),
        ("ws://localhost", false, "localhost", 80, "/"),
        ("WSS://grid.example?room=1", true, "grid.example", 443, "/?room=1"),
        ("ws://[::1]:9000/a/b?c", false, "::1", 9000, "/a/b?c"),
    ]) func `an address is taken apart`(_ text: String, secure: Bool, host: String, port: Int, target: String) throws {
        let address = try #require(WebSocketClientAddress(text))
        #expect(address.isSecure == secure)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.target == target)
    }

    @Test(arguments: [
        "", "localhost:8080", "http://localhost", "ws://", "ws://:80", "ws://me:secret@host/", "ws://host:port",
        "ws://host:0", "ws://host:70000", "ws://host/a b", "ws://host/a\r\nX: y", "ws://host/#part", "ws://[::1",
    ]) func `what is no address is refused`(_ text: String) async {
        #expect(WebSocketClientAddress(text) == nil)
        #expect(await outcome(of: text)?.closed == "not a ws:// or wss:// address")
    }

    @Test func `a port where nobody listens is told as such`() async throws {
        let reason = try #require(await outcome(of: "ws://127.0.0.1:1/ws")?.closed)
        #expect(reason == "Connection refused")
    }

    @Test func `a server that refuses the upgrade is told with its answer`() async throws {
        let server = try await ScriptedServer.start(refusing: .forbidden)
        #expect(await outcome(of: server.address)?.closed == "the server answered HTTP 403 Forbidden")
    }

    @Test func `the path reaches the server`() async throws {
        let pair = try await connect(to: ScriptedServer.start())
        #expect(pair.server.uri == "/ws")
    }

    @Test func `a message in the packet of the upgrade answer is not lost`() async throws {
        let server = try await ScriptedServer.start(firstBytes: ScriptedConnection.frame(opcode: 2, [7, 8, 9]))
        var pair = try await connect(to: server)
        #expect(await pair.events.next()?.message == [7, 8, 9])
    }

    // MARK: Several addresses

    /// A client for which the host of every address has the ones given, in that order.
    private func network(ipv6: [String] = [], ipv4: [String]) -> WebSocketClientNetwork {
        WebSocketClientNetwork(
            entropy: SystemEntropy(), resolver: KnownAddresses(loop: loop.eventLoop, ipv6: ipv6, ipv4: ipv4))
    }

    /// Connects by name and sees to it that messages go both ways, and that the connection stays.
    private func expectConnection(to server: ScriptedServer, _ network: WebSocketClientNetwork) async throws {
        let receiver = RecordingReceiver()
        network.connect(to: "ws://grid.example:\(server.port)/ws", on: loop, receiver: receiver)
        var events = receiver.events.makeAsyncIterator()
        let first = await events.next()
        guard case .connected(let client) = first else {
            Issue.record("no connection: \(String(describing: first?.closed))")
            return
        }
        var connections = server.connections.makeAsyncIterator()
        let peer = try #require(await connections.next())
        var frames = peer.frames.makeAsyncIterator()
        for number in UInt8(0)..<3 {
            loop.execute {
                client.send(ByteBuffer(bytes: [number]))
                client.flush()
            }
            #expect(await frames.next() == .init(opcode: 2, payload: [number]))
            peer.send([number])
            #expect(await events.next()?.message == [number])
        }
        peer.close()
        #expect(await events.next()?.closed == "the server closed the connection")
        #expect(await events.next() == nil)
    }

    @Test(arguments: [(["::1"], ["127.0.0.1"]), ([], ["127.0.0.2", "127.0.0.1"])])
    func `a host whose first address refuses is reached by its second`(_ ipv6: [String], _ ipv4: [String]) async throws
    {
        try await expectConnection(to: ScriptedServer.start(), network(ipv6: ipv6, ipv4: ipv4))
    }

    @Test func `a host whose first address does not answer is reached by its second, which stays`() async throws {
        let server = try await ScriptedServer.start()
        let silent = try SilentPort(address: 0x7f00_0002, port: server.port, isFull: true)
        try await expectConnection(to: server, network(ipv4: ["127.0.0.2", "127.0.0.1"]))
        withExtendedLifetime(silent) {}
    }

    @Test func `what the second address answers is told, and when none answers, what each did`() async throws {
        let server = try await ScriptedServer.start(refusing: .forbidden)
        let network = network(ipv4: ["127.0.0.2", "127.0.0.1"])
        let refusal = await outcome(of: "ws://grid.example:\(server.port)/ws", network)
        #expect(refusal?.closed == "the server answered HTTP 403 Forbidden")
        let nobody = await outcome(of: "ws://grid.example:1/ws", network)
        #expect(nobody?.closed == "Connection refused; Connection refused")
    }

    // MARK: Messages

    @Test(arguments: [0, 1, 125, 126, 65535, 65536, 3_000_000])
    func `messages of every length survive both ways`(_ length: Int) async throws {
        var pair = try await connect(to: ScriptedServer.start())
        let message = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        let client = pair.client
        loop.execute {
            message.withUnsafeBytes { client.send(copying: $0) }
            client.flush()
        }
        var frames = pair.server.frames.makeAsyncIterator()
        let frame = try #require(await frames.next())
        #expect(frame.wasMasked)
        #expect(frame == .init(opcode: 2, payload: message))
        pair.server.send(message)
        #expect(await pair.events.next()?.message == message)
    }

    @Test func `a message of 64 MiB is taken, a longer one ends the connection with 1009`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        let largest = [UInt8](repeating: 5, count: 64 << 20)
        pair.server.send(largest)
        #expect(await pair.events.next()?.message?.count == largest.count)
        pair.server.write(Array(ScriptedConnection.frame(opcode: 2, largest + [0]).prefix(100)))
        #expect(await closeCode(of: pair.server) == 1009)
    }

    @Test func `fragments become one message, with control frames between them`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        let frame = ScriptedConnection.frame
        pair.server.write(
            frame(2, false, [1, 2]) + frame(9, true, [42]) + frame(0, false, [3]) + frame(0, true, [4, 5]))
        #expect(await pair.events.next()?.message == [1, 2, 3, 4, 5])
        var frames = pair.server.frames.makeAsyncIterator()
        #expect(await frames.next() == .init(opcode: 10, payload: [42]))
    }

    @Test func `bytes that arrive one at a time make the same messages`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        let long = [UInt8](repeating: 9, count: 300)
        for byte in ScriptedConnection.frame(opcode: 2, [1]) + ScriptedConnection.frame(opcode: 2, long) {
            pair.server.write([byte])
        }
        #expect(await pair.events.next()?.message == [1])
        #expect(await pair.events.next()?.message == long)
    }

    @Test func `text messages are ignored`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        pair.server.write(
            ScriptedConnection.frame(opcode: 1, isFinal: false, Array("he".utf8))
                + ScriptedConnection.frame(opcode: 0, Array("llo".utf8))
                + ScriptedConnection.frame(opcode: 1, Array("hello".utf8)))
        pair.server.send([1])
        #expect(await pair.events.next()?.message == [1])
    }

    @Test func `a receiver that stops reading gets nothing more until it goes on`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        let client = pair.client
        let paused = AsyncStream.makeStream(of: Void.self)
        loop.execute {
            client.setReading(false)
            paused.continuation.yield()
        }
        for await _ in paused.stream { break }
        for number in 0..<100 { pair.server.send([UInt8(number)]) }
        loop.execute {
            #expect(client.queuedBytes == 0)
            client.setReading(true)
        }
        for number in 0..<100 { #expect(await pair.events.next()?.message == [UInt8(number)]) }
    }

    // MARK: Closing

    @Test func `our goodbye carries code and reason, and what was queued goes first`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        let client = pair.client
        loop.execute {
            client.send(ByteBuffer(bytes: [1]))
            client.close(code: 1001, reason: "bye")
            client.close(code: 1001, reason: "twice")
            client.send(ByteBuffer(bytes: [2]))
            client.flush()
        }
        var frames = pair.server.frames.makeAsyncIterator()
        #expect(await frames.next() == .init(opcode: 2, payload: [1]))
        #expect(await frames.next() == .init(opcode: 8, payload: [0x03, 0xe9] + Array("bye".utf8)))
        pair.server.write(ScriptedConnection.frame(opcode: 8, [0x03, 0xe9]))
        #expect(await pair.events.next()?.closed == "closed with 1001: bye")
        #expect(await pair.events.next() == nil)
        #expect(await frames.next() == nil)
    }

    @Test func `the server's goodbye is answered and told`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        pair.server.write(ScriptedConnection.frame(opcode: 8, [0x03, 0xf5] + Array("busy".utf8)))
        #expect(await pair.events.next()?.closed == "the server closed with 1013: busy")
        #expect(await closeCode(of: pair.server) == 1013)
    }

    @Test func `a connection that is cut loses the message it was cut in, whole`() async throws {
        var pair = try await connect(to: ScriptedServer.start())
        pair.server.write([0x82, 5, 1, 2])
        pair.server.close()
        #expect(await pair.events.next()?.closed == "the server closed the connection")
    }

    @Test(
        arguments: [
            ([0x82, 0x81, 0, 0, 0, 0, 1], 1002), ([0xc2, 0], 1002), ([0x83, 0], 1002), ([0x80, 0], 1002),
            ([0x09, 0], 1002), ([0x89, 126, 0, 126], 1002), ([0x02, 0, 0x82, 0], 1002),
            ([0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009), ([0x88, 1, 3], 1002),
        ] as [([UInt8], UInt16)])
    func `what a server may not send ends the connection`(_ bytes: [UInt8], code: UInt16) async throws {
        var pair = try await connect(to: ScriptedServer.start())
        pair.server.write(bytes)
        #expect(await closeCode(of: pair.server) == code)
        pair.server.close()
        #expect(await pair.events.next()?.closed?.hasPrefix("closed with \(code)") == true)
    }

    private func closeCode(of connection: ScriptedConnection) async -> UInt16? {
        for await frame in connection.frames where frame.opcode == 8 {
            return frame.payload.count < 2 ? nil : UInt16(frame.payload[0]) << 8 | UInt16(frame.payload[1])
        }
        return nil
    }

    // MARK: TLS

    @Test func `a wss address speaks TLS, and only with a server it trusts`() async throws {
        let identity = try TestCertificate.make()
        let server = try await ScriptedServer.start(tls: identity.serverContext())
        let address = "wss://127.0.0.1:\(server.port)/ws"

        let stranger = try #require(await outcome(of: address)?.closed)
        #expect(stranger.contains("CERTIFICATE_VERIFY_FAILED") || stranger.contains("ertificate"), "\(stranger)")

        var trusting = TLSConfiguration.makeClientConfiguration()
        trusting.trustRoots = .certificates([identity.certificate])
        let friend = WebSocketClientNetwork(entropy: SystemEntropy(), tls: trusting)
        guard case .connected(let connection) = await outcome(of: address, friend) else {
            Issue.record("no connection over TLS")
            return
        }
        loop.execute {
            connection.send(ByteBuffer(bytes: [1, 2, 3]))
            connection.flush()
        }
        for await peer in server.connections {
            for await frame in peer.frames {
                #expect(frame == .init(opcode: 2, payload: [1, 2, 3]))
                return
            }
        }
    }
}

/// Knows the addresses of every host.
private struct KnownAddresses: Resolver, Sendable {
    let loop: any EventLoop
    let ipv6: [String]
    let ipv4: [String]

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { addresses(ipv4, port) }
    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { addresses(ipv6, port) }
    func cancelQueries() {}

    private func addresses(_ texts: [String], _ port: Int) -> EventLoopFuture<[SocketAddress]> {
        loop.makeCompletedFuture { try texts.map { try SocketAddress(ipAddress: $0, port: port) } }
    }
}

struct Unexpected: Error {
    var what: String
}
