/// The checksum of everything this target writes: 64 bits, by multiplication.
///
/// ```
///   three lanes, each:  lane = fold((word ^ key) * (next word ^ lane))           48 bytes a round
///   key = constant ^ seed, another constant for each lane
///   fold(x) = high half of the 128-bit product ^ low half
///   the rest 16 bytes at a time, zero-padded; at the end the lanes and the length are folded into one
/// ```
///
/// Not a CRC, for speed: sliced tables reach 2-2.6 GB/s here and this 25, and at half a megabyte per sync the
/// difference is as long as the sync itself. Not a defence against whoever can write the file. But with a secret seed
/// it is one against a client, who chooses the bytes: a word that equals its key makes the product 0 and the lane forget
/// everything before it, the seed included. Hence the seed in every key: nobody can choose a word that is not known.
enum Checksum {
    private static let first: UInt64 = 0xa076_1d64_78bd_642f
    private static let second: UInt64 = 0xe703_7ed1_a0b4_28db
    private static let third: UInt64 = 0x8ebc_6af0_9c88_c6e3
    private static let last: UInt64 = 0x5899_65cc_7537_4cc3

    static func of(_ bytes: UnsafeRawBufferPointer, seed: UInt64) -> UInt64 {
        var left = bytes.count
        // No bytes may come without an address; it is never followed then.
        var cursor = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        let keys = (seed ^ first, seed ^ second, seed ^ third)
        // Each begins with the key of another: with its own, two words could change places unnoticed.
        var lanes = (keys.1, keys.2, keys.0)
        while left >= 48 {
            lanes.0 = fold(word(cursor, 0) ^ keys.0, word(cursor, 8) ^ lanes.0)
            lanes.1 = fold(word(cursor, 16) ^ keys.1, word(cursor, 24) ^ lanes.1)
            lanes.2 = fold(word(cursor, 32) ^ keys.2, word(cursor, 40) ^ lanes.2)
            cursor += 48
            left -= 48
        }
        var sum = lanes.0 ^ fold(lanes.1 ^ keys.0, last) ^ fold(lanes.2 ^ keys.1, last)
        while left >= 16 {
            sum = fold(word(cursor, 0) ^ keys.0, word(cursor, 8) ^ sum)
            cursor += 16
            left -= 16
        }
        if left > 0 {
            var rest: (UInt64, UInt64) = (0, 0)
            withUnsafeMutableBytes(of: &rest) { $0.baseAddress!.copyMemory(from: cursor, byteCount: left) }
            sum = fold(UInt64(littleEndian: rest.0) ^ keys.0, UInt64(littleEndian: rest.1) ^ sum)
        }
        return fold(sum ^ keys.1, UInt64(truncatingIfNeeded: bytes.count) ^ last)
    }

    @inline(__always)
    private static func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
        UInt64(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}
