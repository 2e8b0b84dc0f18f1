import Testing
import TopGunModel
import TopGunSimulation
import TopGunWire

@testable import TopGunServer

@Suite struct DeviceMemoryTests {
    private func ranges(_ ids: UInt64...) -> IDRanges {
        var ranges = IDRanges()
        for id in ids { ranges.insert(id) }
        return ranges
    }

    @Test func `a device that was never here has sent nothing`() {
        #expect(DeviceMemory().arrive("a").lastSeen == 0)
    }

    @Test func `an id left open is not covered until a later connection decides it`() {
        let memory = DeviceMemory()
        _ = memory.arrive("a")
        memory.leave("a", highest: 9, undecided: ranges(5, 7), decided: IDRanges())
        let second = memory.arrive("a")
        #expect(second.lastSeen == 4)
        #expect(second.open.contains(5) && second.open.contains(7) && !second.open.contains(6))
        memory.leave("a", highest: 12, undecided: IDRanges(), decided: ranges(5))
        #expect(memory.arrive("a").lastSeen == 6)
        memory.leave("a", highest: 12, undecided: IDRanges(), decided: ranges(7))
        #expect(memory.arrive("a").lastSeen == 12)
    }

    @Test func `while another connection is open nothing is claimed`() {
        let memory = DeviceMemory()
        _ = memory.arrive("a")
        _ = memory.arrive("a")
        memory.leave("a", highest: 9, undecided: IDRanges(), decided: IDRanges())
        #expect(memory.arrive("a").lastSeen == 0)
        memory.leave("a", highest: 3, undecided: ranges(2), decided: IDRanges())
        memory.leave("a", highest: 3, undecided: IDRanges(), decided: IDRanges())
        #expect(memory.arrive("a").lastSeen == 1)
    }

    @Test func `more devices than the limit push out those that left first, never one that is here`() {
        let memory = DeviceMemory(limit: 3)
        _ = memory.arrive("here")
        for round in 0..<1_000 {
            for device in ["a", "b", "c", "d"] {
                _ = memory.arrive(device)
                memory.leave(device, highest: UInt64(round + 1), undecided: IDRanges(), decided: IDRanges())
            }
        }
        #expect(memory.count == 3)
        #expect(memory.arrive("d").lastSeen == 1_000)
        #expect(memory.arrive("a").lastSeen == 0)
        memory.leave("here", highest: 5, undecided: IDRanges(), decided: IDRanges())
        #expect(memory.arrive("here").lastSeen == 5)
    }

    @Test func `a device that leaves too many gaps is told nothing any more`() {
        let memory = DeviceMemory()
        var gaps = IDRanges()
        for number in 0...Limits.undecidedRangesMax { gaps.insert(UInt64(10 + 2 * number)) }
        _ = memory.arrive("a")
        memory.leave("a", highest: 9_999, undecided: gaps, decided: IDRanges())
        #expect(memory.arrive("a").lastSeen == 0)
    }

    @Test(arguments: 0..<200)
    func `sets of ids join and are taken away as a naive set's`(_ seed: UInt64) {
        var generator = Generator(seed: seed)
        var sets: [Set<UInt64>] = [[], []]
        var ranges = [IDRanges(), IDRanges()]
        for _ in 0..<40 {
            let (which, id) = (Int.random(in: 0...1, using: &generator), UInt64.random(in: 0...60, using: &generator))
            sets[which].insert(id)
            ranges[which].insert(id)
        }
        var (union, rest) = (ranges[0], ranges[0])
        union.formUnion(ranges[1])
        rest.subtract(ranges[1])
        for id in UInt64(0)...61 {
            #expect(union.contains(id) == sets[0].union(sets[1]).contains(id), "seed \(seed)")
            #expect(rest.contains(id) == sets[0].subtracting(sets[1]).contains(id), "seed \(seed)")
        }
    }
}

/// `lastSeenOpId` of the greeting, through the whole server.
@Suite struct LastSeenTests {
    private func server(loops: Int = 1) -> SimulatedServer {
        let server = SimulatedServer(loops: loops)
        server.start()
        return server
    }

    private func greeting(_ client: TestClient) -> Greeting? {
        for message in client.received() {
            if case .deviceAcknowledged(let greeting) = message { return greeting }
        }
        return nil
    }

    private func connect(_ server: SimulatedServer, _ token: String?, loop: Int = 0) -> (TestClient, Greeting?) {
        let client = server.connect(
            to: loop,
            hello: .deviceHello(DeviceHello(deviceToken: token, protocolVersion: 3, features: [.results, .clock])))
        return (client, greeting(client))
    }

    @Test(arguments: [1, 3])
    func `a device that comes back is told how far it was heard, on whatever loop`(_ loops: Int) throws {
        let server = server(loops: loops)
        let (client, first) = connect(server, nil)
        let token = try #require(first?.deviceToken)
        #expect(first?.server?.lastSeenOperationID == 0)
        client.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2), Make.put(3, "c", 3)))
        server.settle()
        client.cut()
        server.settle()
        let (again, second) = connect(server, token, loop: loops - 1)
        #expect(second?.server?.lastSeenOperationID == 3)
        let (_, third) = connect(server, token)
        #expect(third?.server?.lastSeenOperationID == 0, "another connection is open")
        again.cut()
        server.kill()
        server.start()
        #expect(connect(server, token).1?.server?.lastSeenOperationID == 0, "kept in memory only")
    }

    @Test func `an operation to be tried again holds it back until it is decided`() throws {
        let server = server()
        let (client, first) = connect(server, nil)
        let token = try #require(first?.deviceToken)
        let ahead = server.clock.wallMillis() + 3_600_000
        client.send(Make.batch(Make.put(1, "a", 1), Make.put(2, "b", 2, millis: ahead), Make.put(3, "c", 3)))
        server.settle()
        client.cut()
        server.settle()
        let (again, second) = connect(server, token)
        #expect(second?.server?.lastSeenOperationID == 1)
        again.send(Make.batch(Make.put(2, "b", 2)))
        server.settle()
        again.cut()
        server.settle()
        #expect(connect(server, token).1?.server?.lastSeenOperationID == 3)
    }

    @Test func `what is not on disk is not claimed`() throws {
        let server = server()
        let (client, first) = connect(server, nil)
        let token = try #require(first?.deviceToken)
        server.setDiskHanging(true)
        client.send(Make.batch(Make.put(1, "a", 1)))
        server.settle()
        client.cut()
        server.settle()
        let (again, second) = connect(server, token)
        #expect(second?.deviceID == first?.deviceID)
        #expect(second?.server?.lastSeenOperationID == 0)
        server.setDiskHanging(false)
        server.settle()
        again.cut()
        server.settle()
        #expect(connect(server, token).1?.server?.lastSeenOperationID == 1)
    }
}
