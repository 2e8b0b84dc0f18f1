import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

/// More than the disk takes: who is slowed, who is refused, and how much is held meanwhile.
@Suite struct OverloadTests {
    private static let valueBytes = 900_000

    @Test func `P11 what a slow disk cannot take is first not read and then refused as busy, and no more is held`() {
        let server = SimulatedServer()
        server.start()
        let client = server.connect(hello: .hello([.results]))
        _ = client.received()
        server.setDiskHanging(true)
        var pausedAfter: Int?
        // A socket that is not read any more still brings what was read before: here it brings everything.
        for id in UInt64(1)...100 {
            client.send(Make.batch(Make.blob(id, "k\(id)", bytes: Self.valueBytes, millis: 1_000)))
            server.run(millis: 1)
            if pausedAfter == nil, !client.isReading { pausedAfter = Int(id) * Self.valueBytes }
        }
        let paused = pausedAfter ?? .max
        #expect(paused > Limits.logBacklogBytesPause / 2 && paused < Limits.logBacklogBytesPause * 2, "\(paused)")

        // What is not taken is told at once, and does not wait for the disk.
        let refused = results(client)
        #expect(refused.allSatisfy { $0.refusal == .busy })
        server.setDiskHanging(false)
        server.settle()
        let taken = results(client)
        #expect(taken.allSatisfy { $0.isSuccess })
        #expect(Set((taken + refused).map(\.id)) == Set(1...100))
        #expect(taken.count + refused.count == 100)
        #expect(taken.count * Self.valueBytes <= Limits.logBacklogBytesMax + Self.valueBytes, "\(taken.count)")
        #expect(refused.count > 10)
        #expect(refused.allSatisfy { $0.isFinal != true && !$0.isSuccess }, "a client keeps it and tries again")
        #expect(client.isReading)
        for result in refused {
            client.send(Make.batch(Make.blob(result.id, "k\(result.id)", bytes: Self.valueBytes, millis: 1_000)))
            server.settle()
        }
        #expect(Set(results(client).filter(\.isSuccess).map(\.id)) == Set(refused.map(\.id)))
    }

    private func results(_ client: TestClient) -> [OperationResult] {
        client.received().flatMap { message -> [OperationResult] in
            if case .acknowledgement(let message) = message { return message.results ?? [] }
            return []
        }
    }
}
