import Testing

@testable import TopGunServer

@Suite struct DurabilityGateTests {
    private func put(_ number: UInt64, into gate: inout DurabilityGate) {
        gate.open.entries.append(GateEntry(kind: .answer, number: number))
    }

    private func numbers(_ batches: [GateBatch]) -> [UInt64] { batches.flatMap { $0.entries.map(\.number) } }

    @Test func `nothing leaves before its ticket is on disk`() {
        var gate = DurabilityGate()
        put(1, into: &gate)
        let ticket = gate.close(logged: true)
        #expect(gate.release(upTo: gate.reached).isEmpty)
        #expect(numbers(gate.release(upTo: ticket)) == [1])
        #expect(gate.isIdle)
    }

    @Test func `a read leaves at once when nothing is outstanding`() {
        var gate = DurabilityGate()
        put(1, into: &gate)
        _ = gate.close(logged: false)
        #expect(numbers(gate.release(upTo: gate.reached)) == [1])
    }

    @Test func `a read waits for what was handed over before it`() {
        var gate = DurabilityGate()
        let ticket = gate.close(logged: true)
        put(2, into: &gate)
        _ = gate.close(logged: false)
        #expect(gate.release(upTo: gate.reached).isEmpty)
        #expect(numbers(gate.release(upTo: ticket)) == [2])
    }

    @Test(arguments: 0..<100)
    func `everything leaves once, in order, never before its write`(_ seed: UInt64) {
        var generator = Generator(seed: seed)
        var gate = DurabilityGate()
        var next: UInt64 = 0
        var needs: [UInt64: Int64] = [:]
        var left: [UInt64] = []
        var pending: [UInt64] = []
        var dirty = false
        for _ in 0..<500 {
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                put(next, into: &gate)
                pending.append(next)
                next += 1
            case 1:
                dirty = true
            case 2:
                let ticket = gate.close(logged: dirty)
                for number in pending { needs[number] = ticket }
                pending = []
                dirty = false
                left += numbers(gate.release(upTo: gate.reached))
            default:
                let released = gate.release(
                    upTo: Int64.random(in: gate.reached...gate.handedOver, using: &generator))
                left += numbers(released)
                for batch in released { gate.recycle(batch) }
            }
            for number in left.suffix(8) { #expect(needs[number]! <= gate.reached, "seed \(seed)") }
        }
        _ = gate.close(logged: false)
        left += numbers(gate.release(upTo: gate.handedOver))
        #expect(left == Array(0..<next), "seed \(seed)")
    }
}
