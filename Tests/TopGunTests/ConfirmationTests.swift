import Logging
import NIOCore
import Synchronization
import Testing
import TopGun
import TopGunEnvironment
import TopGunModel
import TopGunWire

/// Whether a query's rows are the server's, with a network in the test's hands.
@Suite(.timeLimit(.minutes(1))) struct ConfirmationTests {
    @Test func `a query that is answered by a connection's last words is not confirmed`() async throws {
        let network = HeldNetwork()
        let environment = Environment.live(loops: 1, network: network)
        let client = try await TopGunClient(
            server: "ws://held/ws", store: .memory, token: nil, logger: Logger(label: "test"), environment: environment)
        let map = try await client.map("todos", of: Int.self)
        let query = try map.query()
        var connections = network.connections.makeAsyncIterator()
        let connection = try #require(await connections.next())
        connection.receive([.deviceAcknowledged(Greeting(server: Self.identity))])
        for await message in connection.sent {
            if case .querySubscribe = message { break }
        }
        let answer = ServerMessage.queryResponse(QueryResponse(queryID: "q1", results: []))
        connection.receive([answer], isLast: true)
        // The state is told after everything that came before it.
        for await state in client.syncState {
            if case .offline = state { break }
        }
        #expect(!query.current.isConfirmed)

        let next = try #require(await connections.next())
        next.receive([.deviceAcknowledged(Greeting(server: Self.identity)), answer])
        for await result in query where result.isConfirmed { break }
        #expect(query.current.isConfirmed)
        await client.close()
    }

    private static let identity = ServerIdentity(
        features: [.results, .levels], clusterID: "cluster", serverID: "server", restoreEpoch: 1,
        serverTime: 1_700_000_000_000)
}

/// Connections that bring what the test says, in the turns that it says.
final class HeldNetwork: Network {
    let connections: AsyncStream<HeldConnection>
    private let continuation: AsyncStream<HeldConnection>.Continuation

    init() {
        (connections, continuation) = AsyncStream.makeStream(of: HeldConnection.self)
    }

    func connect(to address: String, on loop: any Loop, receiver: any MessageReceiver) {
        let connection = HeldConnection(loop, receiver)
        loop.execute { [continuation] in
            receiver.connected(connection)
            continuation.yield(connection)
        }
    }
}

final class HeldConnection: MessageConnection {
    /// What the client sent.
    let sent: AsyncStream<ClientMessage>
    private let continuation: AsyncStream<ClientMessage>.Continuation
    private let loop: any Loop
    private let receiver: any MessageReceiver

    init(_ loop: any Loop, _ receiver: any MessageReceiver) {
        (sent, continuation) = AsyncStream.makeStream(of: ClientMessage.self)
        self.loop = loop
        self.receiver = receiver
    }

    /// These come in one turn of the loop; `isLast` if the connection ends with them.
    func receive(_ messages: [ServerMessage], isLast: Bool = false) {
        let frames = messages.map { message in
            let sink = ByteSink()
            message.encode(into: sink)
            return ByteBuffer(bytes: sink.bytes)
        }
        loop.execute { [receiver] in
            for frame in frames { receiver.received(frame) }
            if isLast { receiver.closed(reason: "cut") }
        }
    }

    func send(_ message: ByteBuffer) {
        message.withUnsafeReadableBytes { send(copying: $0) }
    }

    func send(copying message: UnsafeRawBufferPointer) {
        do {
            continuation.yield(try ClientMessage.decode(message))
        } catch {
            Issue.record("sent what is no message: \(error)")
        }
    }

    func flush() {}
    var queuedBytes: Int { 0 }
    func setReading(_ reading: Bool) {}
    func close(code: UInt16, reason: String) {}
}
