import Foundation
import GoldenVectors
import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// Plays the client's side of the recorded conversations against a real `topgund` over a real socket.
///
/// What the reference server made up itself is not compared: its stamps, and what follows from them (the echo of a write
/// that it stamped anew). What is compared: which answers come and in which order, ids, keys, kinds of change, and hashes
/// over data with recorded stamps.
@Suite(.serialized, .timeLimit(.minutes(2))) struct ConversationTests {
    private func withServer(_ body: (Int) async throws -> Void) async throws {
        let directory = try Daemon.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let daemon = try #require(try Daemon(directory: directory))
        do {
            try await body(daemon.port)
        } catch {
            daemon.kill()
            throw error
        }
        #expect(daemon.stop() == 0)
    }

    private func scenario(_ name: String) throws -> [JSON] {
        try #require(JSON.vectors("transcripts")["scenarios"].elements.first { $0["name"].text == name })["messages"]
            .elements
    }

    /// Sends what the client sent and hands over what the server must answer, in order; a note about a lost connection
    /// makes a new one.
    private func play(
        _ name: String, port: Int, skipping skipped: Set<String> = [],
        beforeAnswer: (JSON) async throws -> Void = { _ in },
        check: (_ expected: JSON, _ client: SocketClient) async throws -> Void
    ) async throws {
        var client = try #require(await SocketClient.connect(port: port))
        for step in try scenario(name) {
            guard step.member("msg") != nil else {
                client.close()
                client = try #require(await SocketClient.connect(port: port))
                continue
            }
            let message = step["msg"]
            if step["from"].text == "client" {
                client.send(message.messagePack(.officialClient))
            } else if !skipped.contains(message["type"].text) {
                try await beforeAnswer(message)
                try await check(message, client)
            }
        }
        client.close()
    }

    @Test func `write and echo without authentication`() async throws {
        try await withServer { port in
            var roots: [UInt32] = []
            try await play(
                "write and echo without authentication", port: port, skipping: ["SERVER_EVENT"]
            ) { expected, client in
                switch expected["type"].text {
                case "DEVICE_ACK":
                    #expect(try await client.first { if case .deviceAcknowledged = $0 { true } else { nil } } == true)
                case "SYNC_RESP_ROOT":
                    let root = try await client.first { if case .syncRoot(let root) = $0 { root } else { nil } }
                    #expect(root?.mapName == "todos")
                    roots.append(root?.rootHash ?? 1)
                case "OP_ACK":
                    let message = try await client.first {
                        if case .acknowledgement(let message) = $0 { message } else { nil }
                    }
                    #expect(message?.lastID == 1)
                default: Issue.record("unexpected \(expected["type"].text)")
                }
            }
            #expect(roots.first == 0)
            // The client keeps its own stamp, and so do we: both roots are equal after the reconnect.
            var tree = MerkleTree32()
            let node = ByteString("11111111-1111-4111-8111-111111111111")
            tree.add(
                item: ByteString("a").bytes.withUnsafeBytes { key in
                    node.bytes.withUnsafeBytes {
                        MerkleTree32.item(key: key, millis: 1_700_000_000_001, counter: 2, node: $0)
                    }
                }, keyHash: KeyHash.of(ByteString("a")))
            #expect(roots.last == tree.root)
        }
    }

    @Test func `first sync of an LWW map finds the recorded root and records`() async throws {
        try await withServer { port in
            let seeder = try #require(await SocketClient.connect(port: port))
            var records: [KeyedRecord] = []
            for step in try scenario("first sync of an LWW map")
            where step.member("msg") != nil && step["msg"]["type"].text == "SYNC_RESP_LEAF" {
                let frame = step["msg"].messagePack()
                if case .syncLeaf(let leaf) = try frame.withUnsafeBytes({ try ServerMessage.decode($0) }) {
                    records += leaf.records
                }
            }
            #expect(records.count == 3)
            let operations = records.enumerated().map {
                ClientOperation(
                    id: UInt64($0.offset + 1), mapName: "todos", key: $0.element.key, change: .put($0.element.record))
            }
            seeder.send(.operations(OperationBatch(operations: operations)))
            _ = try await seeder.first { if case .acknowledgement = $0 { true } else { nil } }

            let client = try #require(await SocketClient.connect(port: port))
            for step in try scenario("first sync of an LWW map").prefix(5) where step["from"].text == "client" {
                client.send(step["msg"].messagePack(.officialClient))
            }
            let root = try await client.first { if case .syncRoot(let root) = $0 { root } else { nil } }
            #expect(root?.rootHash == 3_126_148_103)
            let leaf = try await client.first { if case .syncLeaf(let leaf) = $0 { leaf } else { nil } }
            #expect(leaf?.path == .root)
            #expect(leaf?.records.sorted { $0.key < $1.key } == records.sorted { $0.key < $1.key })
        }
    }

    @Test func `live query`() async throws {
        try await withServer { port in
            let other = try #require(await SocketClient.connect(port: port))
            var id: UInt64 = 0
            func write(_ key: String, _ value: JSON?) async throws {
                id += 1
                let payload = value.map { Payload($0.messagePack()) } ?? .tombstone
                let stamp = Timestamp(millis: 1_700_000_000_000 + Int64(id), counter: 0, node: "other")
                other.send(
                    .operations(
                        OperationBatch(operations: [
                            ClientOperation(
                                id: id, mapName: "todos", key: ByteString(key),
                                change: .put(LWWRecord(value: payload, timestamp: stamp)))
                        ])))
                _ = try await other.first { if case .acknowledgement = $0 { true } else { nil } }
            }
            func row(_ number: Int) -> JSON { JSON(#"{"n": \#(number), "open": true}"#) }
            try await write("a", row(1))
            var changes = 0
            try await play("live query", port: port) { expected in
                guard expected["type"].text == "QUERY_UPDATE" else { return }
                changes += 1
                switch changes {
                case 1: try await write("b", row(2))
                case 2: try await write("a", row(9))
                default: try await write("b", nil)
                }
            } check: { expected, client in
                switch expected["type"].text {
                case "QUERY_RESP":
                    let response = try await client.first {
                        if case .queryResponse(let response) = $0 { response } else { nil }
                    }
                    #expect(response?.queryID == ByteString(expected["payload"]["queryId"].text))
                    #expect(response?.results == [QueryRow(key: "a", value: Payload(row(1).messagePack()))])
                    #expect(response?.hasMore == false)
                case "QUERY_UPDATE":
                    let update = try await client.first {
                        if case .queryUpdate(let update) = $0 { update } else { nil }
                    }
                    #expect(update?.key == ByteString(expected["payload"]["key"].text))
                    #expect(update.map { "\($0.change.wireName)" } == expected["payload"]["changeType"].text)
                default: break
                }
            }
            #expect(changes == 3)
        }
    }

    @Test func `lock denied: a server without locks says so in the way that the client understands`() async throws {
        try await withServer { port in
            try await play("lock denied", port: port) { expected, client in
                guard expected["type"].text == "LOCK_RELEASED" else { return }
                let released = try await client.first {
                    if case .lockReleased(let released) = $0 { released } else { nil }
                }
                #expect(released?.success == nil)
                #expect(released?.requestID == ByteString(expected["payload"]["requestId"].text))
            }
        }
    }

    @Test func `every frame of the official client is survived, and the connection goes on`() async throws {
        try await withServer { port in
            let client = try #require(await SocketClient.connect(port: port))
            let frames = try JSON.vectors("frames-client")["frames"].elements
            #expect(frames.count == 50)
            for frame in frames { client.send(frame["decoded"].messagePack(.officialClient)) }
            client.send(.ping(timestamp: 42))
            let answered = try await client.first { message in
                if case .pong(42, _) = message { true } else { nil }
            }
            #expect(answered == true)
            let other = try #require(await SocketClient.connect(port: port))
            other.send(.ping(timestamp: 43))
            #expect(try await other.first { if case .pong(43, _) = $0 { true } else { nil } } == true)
        }
    }
}
