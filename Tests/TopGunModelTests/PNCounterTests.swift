import GoldenVectors
import Testing
import TopGunModel

@Suite struct PNCounterTests {
    private static func totals(_ json: JSON) -> [ByteString: Double] {
        Dictionary(uniqueKeysWithValues: json.members.map { (ByteString($0.name), $0.value.double) })
    }

    private static func counter(_ json: JSON, _ positive: String = "positive", _ negative: String = "negative")
        -> PNCounter
    {
        PNCounter(positive: totals(json[positive]), negative: totals(json[negative]))
    }

    @Test func `every case of the vectors gives every value and state`() throws {
        for example in try JSON.vectors("pncounter")["cases"].elements {
            var counter = PNCounter()
            for step in example["steps"].elements {
                switch step["op"].text {
                case "add": #expect(counter.add(step["delta"].double, node: "me") == true)
                case "merge": counter.merge(Self.counter(step["state"]))
                default: Issue.record("unknown step \(step)")
                }
                #expect(counter.value == step["value"].double, "\(example["case"].text)")
            }
            #expect(counter == Self.counter(example["state"]), "\(example["case"].text)")
        }
    }

    @Test func `both wire forms of the vectors hold the same state`() throws {
        let forms = try JSON.vectors("pncounter")["wire"].elements.map { $0["state"] }
        let official = Self.counter(forms[0])
        #expect(official.positive == ["a": 5] && official.negative == ["b": 2])
        #expect(Self.counter(forms[1], "p", "n") == official)
        #expect(Self.counter(forms[2]) == official)
        #expect(Self.counter(forms[2], "p", "n") == official)
    }

    @Test func `numbers that are no totals never get in (M07)`() {
        var counter = PNCounter(
            positive: ["a": .nan, "b": .infinity, "c": -1, "d": 2], negative: ["e": -.infinity, "f": 0])
        #expect(counter == PNCounter(positive: ["d": 2], negative: ["f": 0]))
        for delta in [Double.nan, .infinity, -.infinity] { #expect(counter.add(delta, node: "d") == false) }
        #expect(counter.add(.greatestFiniteMagnitude, node: "g") == true)
        #expect(counter.add(.greatestFiniteMagnitude, node: "g") == false, "the total would be infinite")
        #expect(counter.positive["g"] == .greatestFiniteMagnitude)
    }

    @Test func `merging is commutative, associative, idempotent and the maximum of every entry`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        func totals() -> [ByteString: Double] {
            var totals: [ByteString: Double] = [:]
            for node in ["a", "b", "c", "d"] as [ByteString] where Bool.random(using: &generator) {
                totals[node] = Double(Int.random(in: 0...8, using: &generator)) / 2
            }
            return totals
        }
        func merged(_ counters: PNCounter...) -> PNCounter {
            var result = PNCounter()
            for counter in counters { result.merge(counter) }
            return result
        }
        for _ in 0..<1_000 {
            let (a, b, c) = (
                PNCounter(positive: totals(), negative: totals()), PNCounter(positive: totals(), negative: totals()),
                PNCounter(positive: totals(), negative: totals())
            )
            #expect(merged(a, b) == merged(b, a), "seed \(seed)")
            #expect(merged(merged(a, b), c) == merged(a, merged(b, c)), "seed \(seed)")
            #expect(merged(a, a) == a, "seed \(seed)")
            let naive = PNCounter(
                positive: a.positive.merging(b.positive, uniquingKeysWith: max),
                negative: a.negative.merging(b.negative, uniquingKeysWith: max))
            #expect(merged(a, b) == naive, "seed \(seed)")
            var again = merged(a, b)
            #expect(again.merge(b) == false, "a repeat is no change, seed \(seed)")
        }
    }
}
