import Synchronization
import Testing
import TopGunSimulation

@testable import TopGunServer
@testable import TopGunStorage

/// What the watchdog and people are told while the disk hangs.
@Suite struct PulseTests {
    private let server = SimulatedServer()
    private let pulses = Shared(0)

    init() {
        server.start()
        server.run(millis: 1_000)
    }

    /// Asks for a sign of life; ``pulses`` counts those that came.
    private func pulse() throws {
        let node = try #require(server.node)
        server.spawn { [pulses] in
            await node.pulse()
            pulses.with { $0 += 1 }
        }
    }

    private func detail() throws -> String? {
        let node = try #require(server.node)
        let detail = Shared<String?>(nil)
        server.spawn {
            let health = await node.health()
            detail.with { $0 = health.detail }
        }
        server.settle()
        return detail.with { $0 }
    }

    /// The log thread goes into a call of the disk, or comes out of it. A simulated call takes no time by itself.
    private func setHanging(_ isHanging: Bool) throws {
        let log = try #require(server.node).log
        log.progress.busySince.store(isHanging ? max(server.clock.monotonicNanos(), 1) : 0, ordering: .relaxed)
        server.setDiskHanging(isHanging)
    }

    @Test func `D04 a sync that hangs for half a minute is told as a slow disk, and is no reason to be killed`() throws
    {
        try pulse()
        server.run(millis: 10)
        #expect(pulses.with { $0 } == 1)
        #expect(try detail() == NodeHealth.serving)

        try setHanging(true)
        for round in 1...10 {
            try pulse()
            server.run(millis: 3_000)
            #expect(pulses.with { $0 } == 1 + round, "after \(round * 3) seconds")
        }
        #expect(try detail() == "the disk is slow: what was written 30 s ago is not on it yet")

        try setHanging(false)
        server.run(millis: 2_000)
        #expect(pulses.with { $0 } == 11, "each question is answered once")
        #expect(try detail() == NodeHealth.serving)
    }

    @Test func `D04 a log thread that is stuck for good, or at nothing, gives no sign of life`() throws {
        try setHanging(true)
        server.run(millis: TopGunServer.Limits.logBatchMillisMax + 1)
        try pulse()
        server.run(millis: TopGunServer.Limits.logBatchMillisMax)
        #expect(pulses.with { $0 } == 0)
        try setHanging(false)
        server.run(millis: 10)
        #expect(pulses.with { $0 } == 1)

        server.setDiskHanging(true)
        try pulse()
        server.run(millis: 60_000)
        #expect(pulses.with { $0 } == 1)
    }
}
