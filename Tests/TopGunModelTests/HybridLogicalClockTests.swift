import GoldenVectors
import Testing
import TopGunModel

@Suite struct HybridLogicalClockTests {
    // MARK: Vectors

    @Test func `stamps compare by bytes as published`() throws {
        for row in try JSON.vectors("hlc")["compare"].elements {
            let (left, right) = (Timestamp(row["a"]), Timestamp(row["b"]))
            let expected = VersionOrder.Result(rawValue: Int8(row["bytes"].int))
            #expect(VersionOrder.compare(left, to: right) == expected, "\(row)")
            #expect((left < right) == (expected == .older))
            #expect((right < left) == (expected == .newer))
            #expect((left == right) == (expected == .same))
            let fromViews = left.node.bytes.withUnsafeBytes { leftNode in
                right.node.bytes.withUnsafeBytes { rightNode in
                    VersionOrder.compare(
                        millis: left.millis, counter: left.counter, node: leftNode,
                        to: right.millis, right.counter, rightNode)
                }
            }
            #expect(fromViews == expected)
            // The rows on which the official client's collation differs are those with ids that we never make.
            let differs = row.member("differs")?.bool ?? false
            #expect((row["official"].int != row["bytes"].int) == differs)
            for node in [left.node, right.node] where differs == false {
                #expect(node.bytes.allSatisfy { "0123456789abcdefghijklmnopqrstuvwxyz-".utf8.contains($0) })
            }
        }
    }

    @Test func `the sequences of the vectors give every stamp and every state`() throws {
        for sequence in try JSON.vectors("hlc")["sequences"].elements {
            var clock = HybridLogicalClock(node: ByteString(sequence["node"].text))
            for step in sequence["steps"].elements {
                let wall = step["clock"].int
                switch step["op"].text {
                case "now":
                    #expect(try clock.now(wallMillis: wall) == Timestamp(step["returns"]))
                case "update":
                    try clock.observe(Timestamp(step["remote"]), wallMillis: wall, from: .trusted)
                    #expect(clock.millis == step["stateAfter"]["millis"].int)
                    #expect(clock.counter == step["stateAfter"]["counter"].uint32)
                default:
                    Issue.record("unknown step \(step)")
                }
            }
        }
    }

    @Test func `the text form prints and parses as published`() throws {
        let vectors = try JSON.vectors("hlc")
        for row in vectors["text"].elements {
            #expect(Timestamp(row["ts"]).text == ByteString(row["s"].text))
            #expect(Timestamp(text: ByteString(row["s"].text)) == Timestamp(row["ts"]))
        }
        for bad in vectors["badText"].elements {
            #expect(Timestamp(text: ByteString(bad.text)) == nil)
        }
    }

    @Test(arguments: [
        "-1:0:n", "1:-1:n", "+1:0:n", " 1:0:n", "1.0:0:n", "1e3:0:n", "9007199254740992:0:n", "1:4294967296:n",
        "99999999999999999999:0:n", ":0:n", "1::n",
    ])
    func `a text with numbers out of range or not in plain digits is no stamp`(text: String) {
        #expect(Timestamp(text: ByteString(text)) == nil)
    }

    // MARK: Faults

    @Test func `a wall clock that steps back does not take the stamps with it (K04)`() throws {
        var clock = HybridLogicalClock(node: "n")
        let first = try clock.now(wallMillis: 5_000_000)
        let second = try clock.now(wallMillis: 1)
        let third = try clock.now(wallMillis: -1)
        #expect(first < second && second < third)
        #expect(third.millis == 5_000_000)
    }

    @Test func `a restart behind the stored bound never issues a stamp again (K05)`() throws {
        var clock = HybridLogicalClock(node: "n", restoredBound: 0)
        clock.raiseBound(to: 1_000)
        let last = try clock.now(wallMillis: 1_000)
        var restarted = HybridLogicalClock(node: "n", restoredBound: 1_000)
        let refusal = #expect(throws: ClockError.self) { try restarted.now(wallMillis: 3) }
        #expect(refusal?.code == .boundReached)
        restarted.raiseBound(to: try #require(refusal).millis)
        #expect(try restarted.now(wallMillis: 3) > last)
    }

    @Test func `a restart issues nothing again on a clock that stands at the beginning of time either (K05)`() throws {
        var clock = HybridLogicalClock(node: "n", restoredBound: 0)
        let refusal = #expect(throws: ClockError.self) { try clock.now(wallMillis: 0) }
        #expect(refusal?.code == .boundReached)
        clock.raiseBound(to: try #require(refusal).millis)
        let last = try clock.now(wallMillis: 0)
        var restarted = HybridLogicalClock(node: "n", restoredBound: clock.bound)
        restarted.raiseBound(to: clock.bound + 1_000)
        #expect(try restarted.now(wallMillis: 0) > last)
    }

    @Test func `the clock never stamps past its bound and says which one it needs`() throws {
        var clock = HybridLogicalClock(node: "n", restoredBound: 0)
        #expect(throws: ClockError(code: .boundReached, millis: 1_000 + ModelLimits.clockReserveMillis)) {
            try clock.now(wallMillis: 1_000)
        }
        #expect(clock.millis == 0 && clock.counter == 0, "a refusal changes nothing")
        #expect(clock.boundToReserve(wallMillis: 1_000) == 1_000 + ModelLimits.clockReserveMillis)
        clock.raiseBound(to: 1_000 + ModelLimits.clockReserveMillis)
        #expect(clock.boundToReserve(wallMillis: 1_000) == nil, "half of the reserve is left")
        #expect(try clock.now(wallMillis: 1_000).millis == 1_000)
        let late = 1_000 + ModelLimits.clockReserveMillis / 2 + 1
        #expect(clock.boundToReserve(wallMillis: late) == late + ModelLimits.clockReserveMillis)
        clock.raiseBound(to: 5)
        #expect(clock.bound == 1_000 + ModelLimits.clockReserveMillis, "a bound is never lowered")
    }

    @Test func `an overflowing counter rolls into the next millisecond (K06)`() throws {
        var clock = HybridLogicalClock(node: "n")
        try clock.observe(millis: 100, counter: .max - 1, wallMillis: 100, from: .client)
        #expect(clock.millis == 100 && clock.counter == .max)
        #expect(try clock.now(wallMillis: 100) == Timestamp(millis: 101, counter: 0, node: "n"))
        var observer = HybridLogicalClock(node: "n")
        try observer.observe(millis: 100, counter: .max, wallMillis: 100, from: .client)
        #expect(observer.millis == 101 && observer.counter == 0)
    }

    @Test(
        arguments: [
            (.client, 60_000), (.node, 500), (.peer, 62_000),
        ] as [(HybridLogicalClock.Source, Int64)])
    func `a stamp beyond the bound of its source is refused before it touches the clock (K02)`(
        source: HybridLogicalClock.Source, ahead: Int64
    ) throws {
        var clock = HybridLogicalClock(node: "n")
        let wall: Int64 = 1_700_000_000_000
        #expect(throws: ClockError(code: .ahead, millis: ahead + 1)) {
            try clock.observe(millis: wall + ahead + 1, counter: 0, wallMillis: wall, from: source)
        }
        #expect(clock.millis == 0 && clock.counter == 0)
        try clock.observe(millis: wall + ahead, counter: 0, wallMillis: wall, from: source)
        #expect(clock.millis == wall + ahead)
    }

    @Test(
        arguments: [
            (.max, .badStamp), (.min, .badStamp), (-1, .badStamp), (9_007_199_254_740_992, .badStamp),
            (9_007_199_254_740_991, .clockAhead), (1_000 + 3_600_000, .clockAhead),
            (1_000 + 10 * 365 * 86_400_000, .clockAhead),
        ] as [(Int64, Refusal)])
    func `stamps from impossible clocks are refused by name and trap nothing (K07)`(
        millis: Int64, refusal: Refusal
    ) throws {
        var clock = HybridLogicalClock(node: "n")
        let error = #expect(throws: ClockError.self) {
            try clock.observe(millis: millis, counter: .max, wallMillis: 1_000, from: .client)
        }
        #expect(Refusal(try #require(error)) == refusal)
        #expect(clock.millis == 0)
    }

    @Test func `impossible wall clocks trap nothing`() throws {
        var clock = HybridLogicalClock(node: "n")
        #expect(try clock.now(wallMillis: .min).millis == 0)
        #expect(throws: ClockError.self) {
            try clock.observe(millis: 5, counter: 0, wallMillis: .min, from: .client)
        }
        #expect(try clock.now(wallMillis: .max).millis == ModelLimits.millisMax)
        #expect(clock.boundToReserve(wallMillis: .max) == nil)
        try clock.observe(millis: ModelLimits.millisMax, counter: .max, wallMillis: 0, from: .trusted)
        #expect(throws: ClockError.self) { try clock.now(wallMillis: 0) }
    }

    // MARK: Properties

    @Test func `stamps grow strictly under any jumps, observations and restarts`() throws {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<200 {
            var durableBound: Int64 = 0
            var clock = HybridLogicalClock(node: "n", restoredBound: 0)
            var wall = Int64.random(in: 0...2_000_000, using: &generator)
            var last: Timestamp?
            for _ in 0..<200 {
                switch Int.random(in: 0..<10, using: &generator) {
                case 0: wall = Int64.random(in: 0...2_000_000, using: &generator)
                case 1: clock = HybridLogicalClock(node: "n", restoredBound: durableBound)
                case 2:
                    let remote = Timestamp(
                        millis: wall + Int64.random(in: -70_000...70_000, using: &generator),
                        counter: [0, 7, .max - 1, .max].randomElement(using: &generator)!, node: "r")
                    let before = (clock.millis, clock.counter)
                    do throws(ClockError) {
                        try clock.observe(remote, wallMillis: wall, from: .client)
                        let seen = Timestamp(millis: clock.millis, counter: clock.counter, node: "")
                        #expect(
                            seen > Timestamp(millis: remote.millis, counter: remote.counter, node: ""), "seed \(seed)")
                    } catch {
                        #expect(before == (clock.millis, clock.counter), "seed \(seed)")
                    }
                case 3:
                    if let bound = clock.boundToReserve(wallMillis: wall) {
                        durableBound = max(durableBound, bound)
                        clock.raiseBound(to: bound)
                    }
                default:
                    wall += Int64.random(in: 0...3, using: &generator)
                    do throws(ClockError) {
                        let stamp = try clock.now(wallMillis: wall)
                        if let last { #expect(last < stamp, "seed \(seed)") }
                        #expect(stamp.millis <= durableBound, "seed \(seed)")
                        last = stamp
                    } catch {
                        #expect(error.code == .boundReached, "seed \(seed)")
                        durableBound = max(durableBound, error.millis)
                        clock.raiseBound(to: error.millis)
                        let stamp = try clock.now(wallMillis: wall)
                        if let last { #expect(last < stamp, "seed \(seed)") }
                        last = stamp
                    }
                }
            }
        }
    }
}
