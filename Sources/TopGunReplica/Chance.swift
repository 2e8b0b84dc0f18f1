import TopGunModel

/// A stream of random numbers from 128 bits of entropy that the shell gave: jitter, and node ids when new ones are
/// needed.
struct Chance: Sendable {
    private var low: UInt64
    private var high: UInt64

    init(seed: (UInt64, UInt64)) {
        // All zero would stay zero for ever.
        low = seed.0 | 1
        high = seed.1
    }

    /// xoroshiro128++ by Blackman and Vigna.
    mutating func next() -> UInt64 {
        let sum = low &+ high
        let result = (sum &<< 17 | sum &>> 47) &+ low
        let mixed = high ^ low
        low = (low &<< 49 | low &>> 15) ^ mixed ^ (mixed &<< 21)
        high = mixed &<< 28 | mixed &>> 36
        return result
    }

    /// The delay times a random factor from 0.5 up to 1.5.
    mutating func jittered(_ millis: Int64) -> Int64 {
        guard millis > 0 else { return 0 }
        return millis / 2 + Int64(truncatingIfNeeded: next() % UInt64(millis + 1))
    }

    /// A random UUID, version 4, in lower-case text.
    mutating func uuid() -> ByteString {
        let words = (next(), next())
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for index in 0..<16 {
            let word = index < 8 ? words.0 : words.1
            var byte = UInt8(truncatingIfNeeded: word &>> UInt64(8 * (index & 7)))
            if index == 6 { byte = byte & 0x0f | 0x40 }
            if index == 8 { byte = byte & 0x3f | 0x80 }
            if index == 4 || index == 6 || index == 8 || index == 10 { text.append(UInt8(ascii: "-")) }
            text.append(MerklePath.digit(Int(byte &>> 4)))
            text.append(MerklePath.digit(Int(byte & 15)))
        }
        return ByteString(text)
    }
}
