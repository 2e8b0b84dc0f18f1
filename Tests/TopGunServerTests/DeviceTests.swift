import Testing
import TopGunModel
import TopGunPartition
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

@Suite struct DeviceCredentialTests {
    @Test func `a credential is read as it is written`() {
        let made = DeviceCredential(using: SeededEntropy(seed: 1))
        #expect(made.text.utf8.count == 36 + 1 + 64)
        #expect(DeviceCredential(made.text) == made)
        #expect(DeviceCredential(made.text)?.digest == made.digest)
        let other = DeviceCredential(using: SeededEntropy(seed: 2))
        #expect(other.id != made.id && other.digest != made.digest)
    }

    @Test func `the digest is the SHA-256 of the secret`() {
        let text = "00000000-0000-4000-8000-000000000000." + String(repeating: "00", count: 32)
        let digest = DeviceCredential(text)?.digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }
        #expect(digest?.joined() == "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925")
    }

    @Test(arguments: [
        "", ".", "x", "00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000.",
        "00000000-0000-4000-8000-000000000000." + String(repeating: "0", count: 63),
        "00000000-0000-4000-8000-000000000000." + String(repeating: "0", count: 65),
        "00000000-0000-4000-8000-000000000000." + String(repeating: "g", count: 64),
        "00000000-0000-1000-8000-000000000000." + String(repeating: "0", count: 64),
        "00000000-0000-4000-c000-000000000000." + String(repeating: "0", count: 64),
        "0000000000004000-8000-0000000000000000." + String(repeating: "0", count: 64),
        "00000000-0000-4000-8000-00000000000A." + String(repeating: "0", count: 64),
        "00000000-0000-4000-8000-0000000000é." + String(repeating: "0", count: 64),
    ])
    func `anything else is none`(_ text: String) {
        #expect(DeviceCredential(text) == nil)
    }

    @Test func `a digest is compared to its last byte`() {
        let digest = DeviceCredential(using: SeededEntropy(seed: 1)).digest
        for index in digest.indices {
            var other = digest
            other[index] ^= 1
            #expect(!DeviceRecords.value(other).withUnsafeBytes { DeviceRecords.holds($0, digest) })
        }
        #expect(DeviceRecords.value(digest).withUnsafeBytes { DeviceRecords.holds($0, digest) })
        #expect(![UInt8](DeviceRecords.value(digest).dropLast()).withUnsafeBytes { DeviceRecords.holds($0, digest) })
    }
}

extension Gateway {
    /// Devices whose credentials lie on its loop.
    fileprivate var keptDevices: Int {
        let state = door.value.group.state
        guard let map = state.existingMap(DeviceRecords.map, in: ByteString([])) else { return 0 }
        return state.summary(of: map).records
    }
}

/// Devices and what they are recognised by (protocol.md 2.4), through the whole server.
@Suite struct DeviceTests {
    private struct Tokens: TokenVerifier {
        func verify(_ token: String) async -> Result<Principal, AuthFailure> {
            .success(Principal(subject: token, expiresAtMillis: .max / 2))
        }
    }

    private func guarded() -> SimulatedServer {
        let server = SimulatedServer()
        server.configuration.authentication = .token(TokenRules(key: .text("unused")))
        server.configuration.defaultAccess = .allow
        server.tokens = Tokens()
        server.start()
        return server
    }

    private func greeting(_ server: SimulatedServer, _ token: String?, loop: Int = 0) -> Greeting? {
        greetings(of: server.connect(to: loop, hello: .deviceHello(DeviceHello(deviceToken: token)))).first
    }

    private func greetings(of client: TestClient) -> [Greeting] {
        client.received().compactMap { message in
            switch message {
            case .deviceAcknowledged(let greeting), .authenticationAcknowledged(let greeting): greeting
            default: nil
            }
        }
    }

    @Test(arguments: [1, 3])
    func `a device gets a pair once and is known by it ever after, restarts and power cuts included`(_ loops: Int)
        throws
    {
        let server = SimulatedServer(loops: loops)
        server.options.checkpointLogBytes = 1
        server.start()
        let first = try #require(greeting(server, nil))
        let token = try #require(first.deviceToken)
        #expect(first.deviceID.map { token.hasPrefix($0 + ".") } == true)
        for life in 0..<4 {
            for loop in 0..<loops {
                let again = greeting(server, token, loop: loop)
                #expect(again?.deviceID == first.deviceID, "life \(life)")
                #expect(again?.deviceToken == nil, "life \(life)")
            }
            // From the second life on it comes from a checkpoint, and the segment with its record is gone.
            server.run(millis: 120_000)
            if life % 2 == 0 { server.kill() } else { server.cutPower() }
            #expect(server.start() == nil)
        }
    }

    @Test func `a pair that was told is on the disk`() throws {
        for turns in 0..<60 {
            let server = SimulatedServer(seed: UInt64(turns))
            server.start()
            let client = server.connect(hello: nil)
            client.send(.deviceHello(DeviceHello()))
            for _ in 0..<turns { server.scheduler.runOne() }
            let told = greetings(of: client).first
            server.cutPower()
            server.start()
            guard let token = told?.deviceToken else { continue }
            #expect(greeting(server, token)?.deviceToken == nil, "after \(turns) turns")
        }
    }

    @Test func `what is no valid credential yields a fresh pair, and never an error`() throws {
        let server = SimulatedServer()
        server.start()
        let known = try #require(greeting(server, nil)?.deviceToken)
        let guessed = String(known.prefix(37)) + String(repeating: "0", count: 64)
        let unknown = DeviceCredential(using: SeededEntropy(seed: 99)).text
        var ids: Set<String> = [String(known.prefix(36))]
        for presented in [nil, "", "garbage", guessed, unknown] {
            let answer = try #require(greeting(server, presented))
            let token = try #require(answer.deviceToken)
            #expect(answer.deviceID.map { ids.insert($0).inserted } == true)
            #expect(greeting(server, token)?.deviceID == answer.deviceID)
        }
        #expect(greeting(server, known)?.deviceToken == nil)
    }

    @Test func `a credential is one principal's, and a renewed token keeps the device`() throws {
        let server = guarded()
        let ada = server.connect(hello: .authenticate(Authentication(token: "ada")))
        let first = try #require(greetings(of: ada).first)
        let token = try #require(first.deviceToken)
        let again = server.connect(hello: .authenticate(Authentication(token: "ada", deviceToken: token)))
        #expect(greetings(of: again) == [Greeting(userID: "ada", deviceID: first.deviceID)])
        let bob = server.connect(hello: .authenticate(Authentication(token: "bob", deviceToken: token)))
        let other = greetings(of: bob).first
        #expect(other?.deviceID != first.deviceID && other?.deviceToken != nil)
    }

    @Test func `with authentication on a DEVICE_HELLO is not answered and makes no device`() {
        let server = guarded()
        let client = server.connect()
        server.run(millis: 1_000)
        #expect(client.received() == [.authenticationRequired])
    }

    /// What a client may send more than once before its first greeting is answered.
    private static let greetingsInARow: [[ClientMessage]] = [
        [.deviceHello(DeviceHello()), .deviceHello(DeviceHello())],
        [.deviceHello(DeviceHello()), .authenticate(Authentication(token: "any"))],
        [.authenticate(Authentication(token: "any")), .deviceHello(DeviceHello()), .deviceHello(DeviceHello())],
        [.deviceHello(DeviceHello(deviceToken: "none")), .authenticate(Authentication(token: "any"))],
    ]

    @Test(arguments: greetingsInARow.indices, [0, 100, 400])
    func `a connection is one device however often it greets`(_ index: Int, _ hangingMillis: Int64) throws {
        let server = SimulatedServer(loops: 2)
        server.start()
        server.setDiskHanging(true)
        let client = server.connect(hello: nil)
        for message in Self.greetingsInARow[index] {
            client.send(message)
            server.run(millis: hangingMillis)
        }
        server.setDiskHanging(false)
        server.settle()
        let answers = greetings(of: client)
        let hellos = Self.greetingsInARow[index].count { if case .deviceHello = $0 { true } else { false } }
        #expect(
            answers.count == Self.greetingsInARow[index].count - max(0, hellos - 1), "a second DEVICE_HELLO is ignored")
        #expect(Set(answers.compactMap(\.deviceID)).count <= 1)
        #expect(answers.count { $0.deviceToken != nil } <= 1, "the secret is told once")
        if hangingMillis * Int64(Self.greetingsInARow[index].count) < Limits.devicePatienceMillis {
            #expect(answers.allSatisfy { $0.deviceID != nil })
            #expect(answers.first?.deviceToken != nil)
        }
        #expect(kept(server) == 1)
    }

    private func kept(_ server: SimulatedServer) -> Int {
        let count = Shared(0)
        for loop in 0..<server.loops {
            guard let gateway = server.node?.owners[loop] as? Gateway else { continue }
            server.spawn {
                let devices = await gateway.keptDevices
                count.with { $0 += devices }
            }
        }
        server.settle()
        return count.with { $0 }
    }

    @Test func `two tabs with one credential both live`() throws {
        let server = SimulatedServer(loops: 2)
        server.start()
        let token = try #require(greeting(server, nil)?.deviceToken)
        let tabs = (0..<2).map { server.connect(to: $0, hello: .deviceHello(DeviceHello(deviceToken: token))) }
        for (number, tab) in tabs.enumerated() {
            _ = tab.received()
            tab.send(Make.batch(Make.put(UInt64(number + 1), "k\(number)", 1)))
        }
        server.settle()
        for tab in tabs {
            #expect(tab.received().contains { if case .acknowledgement = $0 { true } else { false } })
            #expect(tab.connection.closeCode == nil)
        }
    }

    @Test func `M22 the secret is nowhere on the disk, only its digest`() throws {
        let server = SimulatedServer()
        server.start()
        let token = try #require(greeting(server, nil)?.deviceToken)
        let secret = stride(from: 37, to: 101, by: 2).compactMap { UInt8(token.dropFirst($0).prefix(2), radix: 16) }
        let digest = try #require(DeviceCredential(token)?.digest)
        let files = server.disk.paths.compactMap { server.disk.content($0) }
        #expect(files.contains { $0.contains(digest) })
        #expect(!files.contains { $0.contains(secret) || $0.contains(Array(token.dropFirst(37).utf8)) })
    }

    @Test func `M14 no client reaches the credentials`() throws {
        let server = SimulatedServer()
        server.start()
        _ = try #require(greeting(server, nil)?.deviceToken)
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        let map = "\(DeviceRecords.map)"
        client.send(.syncStart(SyncStart(mapName: DeviceRecords.map, lastSyncTimestamp: 0)))
        client.send(.merkleRequest(MapPath(mapName: DeviceRecords.map, path: .root)))
        client.send(
            .querySubscribe(QuerySubscription(queryID: "q", mapName: DeviceRecords.map, query: QueryRequest())))
        client.send(Make.batch(Make.put(1, "k", 1, map: map)))
        server.settle()
        for message in client.received() {
            switch message {
            case .error(let error): #expect(error.code == 403)
            case .queryResponse(let response): #expect(response.results.isEmpty && response.code == "FORBIDDEN")
            case .acknowledgement(let message): #expect(message.results?.first?.refusal == .forbidden)
            default: Issue.record("unexpected \(message)")
            }
        }
    }

    @Test func `beyond the limit a device is greeted without an identity`() throws {
        let server = SimulatedServer()
        server.options.devicesPerLoopMax = 2
        server.start()
        let tokens = (0..<2).compactMap { _ in greeting(server, nil)?.deviceToken }
        #expect(tokens.count == 2)
        #expect(greeting(server, nil) == Greeting())
        #expect(greeting(server, tokens[1])?.deviceID == String(tokens[1].prefix(36)))
        let writer = server.connect()
        _ = writer.received()
        writer.send(Make.batch(Make.put(1, "a", 1)))
        server.settle()
        #expect(writer.received() == [.acknowledgement(Acknowledgement(lastID: 1, level: .replicated))])
    }
}

extension [UInt8] {
    fileprivate func contains(_ part: [UInt8]) -> Bool {
        guard count >= part.count else { return false }
        return (0...count - part.count).contains {
            self[$0] == part[0] && self[$0..<$0 + part.count].elementsEqual(part)
        }
    }
}
