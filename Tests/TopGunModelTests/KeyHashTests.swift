import GoldenVectors
import Testing
import TopGunModel

@Suite struct KeyHashTests {
    @Test func `every string of the vectors hashes as published`() throws {
        let rows = try JSON.vectors("hash")["strings"].elements
        #expect(rows.count == 32)
        for row in rows {
            let text = row["s"].text
            if let units = row.member("u16") {
                #expect(Array(text.utf16) == units.elements.map { UInt16($0.int) }, "the parser kept the code units")
            }
            if let length = row.member("len") { #expect(text.utf16.count == Int(length.int)) }
            let hash = KeyHash.of(ByteString(text))
            #expect(hash == row["hash"].uint32, "\(row)")
            #expect(hash == UInt32(row["hex8"].text, radix: 16))
        }
    }

    @Test func `mix and combine give the published numbers`() throws {
        let vectors = try JSON.vectors("hash")
        for row in vectors["mix"].elements {
            #expect(KeyHash.mix(row["in"].uint32) == row["out"].uint32)
            #expect(KeyHash.combine([row["in"].uint32]) == row["out"].uint32, "mix(h) equals combine([h])")
        }
        for row in vectors["combine"].elements {
            #expect(KeyHash.combine(row["in"].elements.map(\.uint32)) == row["out"].uint32)
        }
    }

    @Test func `the hash over UTF-8 equals a plain one over UTF-16 for any text and any cut into pieces`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<2_000 {
            let scalars = (0..<Int.random(in: 0...40, using: &generator)).map { _ in randomScalar(using: &generator) }
            let text = String(String.UnicodeScalarView(scalars))
            var expected: UInt32 = 0x811c_9dc5
            for unit in text.utf16 { expected = (expected ^ UInt32(unit)) &* 0x0100_0193 }
            #expect(KeyHash.of(ByteString(text)) == expected, "seed \(seed)")

            var hasher = KeyHasher()
            for scalar in scalars { hasher.update(ByteString(String(scalar))) }
            #expect(hasher.hash == expected, "seed \(seed)")
        }
    }

    @Test func `bytes that are not UTF-8 hash without a trap (M08)`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<5_000 {
            let bytes = (0..<Int.random(in: 0...20, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            let once = KeyHash.of(ByteString(bytes))
            #expect(once == KeyHash.of(ByteString(bytes)), "seed \(seed)")
        }
        #expect(KeyHash.of(ByteString([0xed, 0xa0, 0x80])) != KeyHash.of(ByteString([0xed, 0xa0])))
    }

    @Test(arguments: [0, 9, 10, 1_700_000_000_000, -1, Int64.max, Int64.min])
    func `decimal digits are hashed as their text`(number: Int64) {
        var hasher = KeyHasher()
        hasher.update(decimal: number)
        #expect(hasher.hash == KeyHash.of(ByteString("\(number)")))
    }

    private func randomScalar(using generator: inout SeededGenerator) -> Unicode.Scalar {
        while true {
            let top: UInt32 = [0x80, 0x800, 0x1_0000, 0x11_0000].randomElement(using: &generator)!
            if let scalar = Unicode.Scalar(UInt32.random(in: 0..<top, using: &generator)) { return scalar }
        }
    }
}
