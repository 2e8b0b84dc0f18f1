import Testing

@testable import TopGunServer

@Suite struct AcknowledgementLedgerTests {
    @Test func `in order every decided id is covered at once`() {
        var ledger = AcknowledgementLedger()
        for id in UInt64(1)...100 {
            ledger.decide(id)
            #expect(ledger.lastID == id)
        }
    }

    @Test func `an id that must be tried again is never covered`() {
        var ledger = AcknowledgementLedger()
        ledger.decide(1)
        ledger.postpone(2)
        ledger.decide(3)
        #expect(ledger.lastID == 1)
        ledger.decide(2)
        #expect(ledger.lastID == 3)
    }

    @Test func `the smallest and the largest id there can be are ids like any other`() {
        var ledger = AcknowledgementLedger()
        ledger.postpone(0)
        #expect(ledger.lastID == 0)
        ledger.postpone(.max)
        #expect(ledger.lastID == 0)
        ledger.decide(0)
        #expect(ledger.lastID == 0)
        ledger.decide(.max)
        #expect(ledger.lastID == .max)
        ledger.postpone(0)
        #expect(ledger.lastID == 0)
    }

    @Test func `repeats of covered ids take nothing back`() {
        var ledger = AcknowledgementLedger()
        for id in UInt64(1)...5 { ledger.decide(id) }
        ledger.decide(2)
        #expect(ledger.lastID == 5)
        ledger.postpone(6)
        ledger.decide(3)
        #expect(ledger.lastID == 5)
    }

    @Test(arguments: 0..<200)
    func `against a naive model nothing undecided is ever covered and everything is at the end`(_ seed: UInt64) {
        var generator = Generator(seed: seed)
        var ledger = AcknowledgementLedger()
        var undecided: Set<UInt64> = []
        var highest: UInt64 = 0
        for _ in 0..<300 {
            let id = UInt64.random(in: 0...40, using: &generator)
            if Bool.random(using: &generator) {
                // The highest id that is covered cannot become undecided again: it was decided for good.
                guard id > ledger.lastID else { continue }
                ledger.postpone(id)
                undecided.insert(id)
            } else {
                ledger.decide(id)
                undecided.remove(id)
            }
            highest = max(highest, id)
            let bound = undecided.min().map { $0 == 0 ? 0 : $0 - 1 } ?? highest
            #expect(ledger.lastID <= bound, "seed \(seed)")
            if undecided.isEmpty { #expect(ledger.lastID == highest, "seed \(seed)") }
        }
    }

    @Test(arguments: ["descending", "ascending", "shuffled"])
    func `ids with ever so many gaps take bounded memory, and nothing undecided is covered`(_ order: String) {
        var generator = Generator(seed: 1)
        var ids = (0..<20_000).map { UInt64(10 + 2 * $0) }
        switch order {
        case "descending": ids.reverse()
        case "shuffled": ids.shuffle(using: &generator)
        default: break
        }
        var ledger = AcknowledgementLedger()
        ledger.decide(9)
        for id in ids {
            ledger.postpone(id)
            ledger.decide(id + 1)
            #expect(ledger.undecided.rangeCount <= Limits.undecidedRangesMax)
        }
        #expect(ledger.lastID == 9)
        #expect(ids.allSatisfy { ledger.undecided.contains($0) })
        // In whatever order they are decided in the end, no more is covered than what lies below the first that is not.
        var rest = Set(ids)
        for (number, id) in ids.shuffled(using: &generator).enumerated() {
            ledger.decide(id)
            rest.remove(id)
            #expect(ledger.undecided.rangeCount <= Limits.undecidedRangesMax)
            if number % 500 == 0, let first = rest.min() { #expect(ledger.lastID < first) }
        }
    }

    @Test func `a limit of ranges stretches the next one, and keeps one that would be split`() {
        var ranges = IDRanges()
        for id in [10, 20, 30] as [UInt64] { ranges.insert(id, rangesMax: 3) }
        ranges.insert(15, rangesMax: 3)
        #expect(ranges.rangeCount == 3)
        #expect((15...20).allSatisfy { ranges.contains($0) } && !ranges.contains(14))
        ranges.insert(40, rangesMax: 3)
        #expect((30...40).allSatisfy { ranges.contains($0) } && !ranges.contains(41) && !ranges.contains(29))
        ranges.insert(5, rangesMax: 3)
        #expect(ranges.first == 5 && ranges.contains(7) && !ranges.contains(11))
        ranges.remove(17, rangesMax: 3)
        #expect(ranges.contains(17) && ranges.rangeCount == 3)
        ranges.remove(15, rangesMax: 3)
        #expect(!ranges.contains(15))
        ranges.insert(11, rangesMax: 3)
        #expect(ranges.contains(11) && ranges.rangeCount == 3)
    }

    @Test func `ranges join, split and are counted`() {
        var ranges = IDRanges()
        for id in [1, 3, 5, 2, 4] as [UInt64] { ranges.insert(id) }
        #expect(ranges.rangeCount == 1)
        ranges.remove(3)
        #expect(ranges.rangeCount == 2)
        #expect(!ranges.contains(3))
        #expect(ranges.contains(4))
        for id in [1, 2, 4, 5] as [UInt64] { ranges.remove(id) }
        #expect(ranges.isEmpty)
        ranges.insert(.max)
        ranges.insert(0)
        #expect(ranges.first == 0)
        #expect(ranges.rangeCount == 2)
    }
}

/// SplitMix64: the same numbers for the same seed on every machine.
struct Generator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
