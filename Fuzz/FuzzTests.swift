import GoldenVectors
import Testing

/// The targets of the fuzzer on a few inputs each, so that they keep compiling and keep holding; `make fuzz` looks longer.
@Suite struct FuzzTests {
    @Test(arguments: FuzzTarget.all.map(\.name))
    func `every fuzz target holds on its seeds and on what becomes of them`(name: String) throws {
        let target = try #require(FuzzTarget.named(name))
        let seeds = try target.seeds()
        #expect(seeds.count > 2, "too little to start from")
        let seed = UInt64.random(in: 0...(.max))
        print("\(name): seed \(seed)")
        var generator = SeededGenerator(state: seed)
        for seed in seeds.shuffled(using: &generator).prefix(100) { target.run(seed) }
        var count = 0
        while count < 200, let seed = seeds.randomElement(using: &generator) {
            target.run(Self.changed(seed, words: target.words, using: &generator))
            count += 1
        }
        #expect(count == 200)
    }

    @Test func `what a target cannot read is no reason to end`() {
        for target in FuzzTarget.all {
            for bytes: [UInt8] in [[], [0], [0xff], Array(repeating: 0xff, count: 40)] { target.run(bytes) }
        }
        #expect(FuzzTarget.all.count == Set(FuzzTarget.all.map(\.name)).count)
    }

    /// The seed with a few changes of the kinds that libFuzzer makes.
    private static func changed(
        _ seed: [UInt8], words: [[UInt8]], using generator: inout SeededGenerator
    ) -> [UInt8] {
        var bytes = seed
        for _ in 0...Int.random(in: 0...4, using: &generator) {
            let place = Int.random(in: 0...bytes.count, using: &generator)
            switch Int.random(in: 0..<5, using: &generator) {
            case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1 where place < bytes.count: bytes[place] = .random(in: 0...255, using: &generator)
            case 2: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...9, using: &generator)))
            case 3: bytes.insert(contentsOf: words.randomElement(using: &generator) ?? [0xff], at: place)
            default: bytes.insert(.random(in: 0...255, using: &generator), at: place)
            }
        }
        return bytes
    }
}
