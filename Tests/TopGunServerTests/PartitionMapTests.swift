import NIOHTTP1
import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// The partition map of one node (protocol.md 8).
@Suite struct PartitionMapTests {
    private struct Tokens: TokenVerifier {
        func verify(_ token: String) async -> Result<Principal, AuthFailure> {
            .success(Principal(subject: token, expiresAtMillis: .max / 2))
        }
    }

    private func maps(_ messages: [ServerMessage]) -> [PartitionMap] {
        messages.compactMap { if case .partitionMap(let map) = $0 { map } else { nil } }
    }

    @Test func `one node owns every partition, at the URL that is advertised`() throws {
        let server = SimulatedServer()
        server.configuration.advertisedURL = "wss://grid.example.com:8443/ws"
        server.configuration.nodeID = "n1"
        server.start()
        let client = server.connect()
        _ = client.received()
        // Whatever it has: a refresh waits for an answer.
        for version in [nil, 0, 1, 99] as [Int64?] { client.send(.partitionMapRequest(currentVersion: version)) }
        server.settle()
        let answers = maps(client.received())
        #expect(answers.count == 4)
        let map = try #require(answers.first)
        #expect(map.version == 1 && map.partitionCount == 271)
        #expect(
            map.nodes == [ClusterNode(nodeID: "n1", webSocketURL: "wss://grid.example.com:8443/ws", status: "ACTIVE")])
        #expect(
            map.partitions == (0..<271).map { PartitionOwnership(partition: $0, owner: "n1", backups: []) })
        #expect(map.generatedAt == server.clock.wallMillis())

        // Versions grow over restarts: a client takes only what is newer than it has.
        server.kill()
        server.start()
        let later = server.connect()
        later.send(.partitionMapRequest(currentVersion: map.version))
        server.settle()
        #expect(maps(later.received()).map(\.version) == [2])
    }

    @Test func `without the setting each client is told what it dialed, or else where the node listens`() {
        let server = SimulatedServer()
        server.start()
        let client = server.connect()
        client.send(.partitionMapRequest(currentVersion: nil))
        server.settle()
        #expect(maps(client.received()).first?.nodes.map(\.webSocketURL) == ["ws://127.0.0.1:8080/ws"])

        func dialed(_ host: String?, _ uri: String, isSecure: Bool = false) -> String? {
            var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: uri)
            if let host { head.headers.add(name: "Host", value: host) }
            return WebSocketHandshake.dialedURL(head, isSecure: isSecure)
        }
        #expect(dialed("localhost:8080", "/ws") == "ws://localhost:8080/ws")
        #expect(dialed("localhost:8080", "/") == "ws://localhost:8080")
        #expect(dialed("grid.example.com", "/ws?token=x", isSecure: true) == "wss://grid.example.com/ws")
        #expect(dialed("[::1]:8080", "/ws") == "ws://[::1]:8080/ws")
        for host in [nil, "", "a b", "a/b", "user@host", "a\u{7f}", String(repeating: "a", count: 600)] {
            #expect(dialed(host, "/ws") == nil, "\(host ?? "none")")
        }
    }

    @Test func `a request before the token is answered with the acceptance, and not before`() {
        let server = SimulatedServer()
        server.configuration.authentication = .token(TokenRules(key: .text("unused")))
        server.configuration.defaultAccess = .allow
        server.tokens = Tokens()
        server.start()
        let client = server.connect(hello: nil)
        client.send(.partitionMapRequest(currentVersion: 0), .partitionMapRequest(currentVersion: 0))
        server.settle()
        #expect(client.received() == [.authenticationRequired])
        client.send(.authenticate(Authentication(token: "ada")))
        server.settle()
        let answers = client.received()
        #expect(answers.count == 2)
        #expect(maps([answers.last].compactMap { $0 }).count == 1)
    }

    @Test func `its heartbeat is answered twice, the second time as a bin, and its operations as ever`() throws {
        let server = SimulatedServer()
        server.start()
        let (cluster, single) = (server.connect(), server.connect())
        cluster.send(.partitionMapRequest(currentVersion: 0))
        server.settle()
        for client in [cluster, single] {
            _ = client.received()
            client.send(.ping(timestamp: 7))
        }
        server.settle()
        #expect(single.connection.takeFlushed().count == 1)
        let frames = cluster.connection.takeFlushed()
        #expect(frames.count == 2)
        let pong = try #require(frames.first)
        #expect(
            try pong.withUnsafeBytes { try ServerMessage.decode($0) }
                == .pong(timestamp: 7, serverTime: server.clock.wallMillis()))
        #expect(frames.last == [0xc4, UInt8(pong.count)] + pong)

        // One node takes all of a client's operations, so the number covers what it says (protocol.md 3.4).
        cluster.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 1)))
        server.settle()
        #expect(cluster.received() == [.acknowledgement(Acknowledgement(lastID: 2, level: .replicated))])
    }
}
