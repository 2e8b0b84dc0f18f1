import Testing
import TopGunModel

@testable import TopGunStorage

/// A client chooses the bytes of its values; a checksum must not let it choose what is noticed.
@Suite struct ChecksumTests {
    /// The constants of the lanes, which everybody can read.
    private static let constants: [UInt64] = [0xa076_1d64_78bd_642f, 0xe703_7ed1_a0b4_28db, 0x8ebc_6af0_9c88_c6e3]

    private func sum(_ words: [UInt64], seed: UInt64) -> UInt64 {
        words.map(\.littleEndian).withUnsafeBytes { Checksum.of($0, seed: seed) }
    }

    @Test(arguments: constants, constants) func `no header that is known beforehand has a checksum that is known`(
        _ first: UInt64, _ second: UInt64
    ) throws {
        // The fields that a lane takes as they are: clock bound, and two words of partitions.
        var partitions = PartitionSet()
        partitions.words.1 = first
        partitions.words.3 = second
        for third in Self.constants {
            let header = GroupHeader(
                payloadBytes: 8, number: 1, position: LogPosition(1_000), durableBefore: LogPosition(1 << 40),
                clockBound: Int64(bitPattern: third), partitions: partitions, payloadChecksum: 1, chain: 2)
            let sums = (UInt64(1)...16).map { salt in
                var bytes = [UInt8](repeating: 0, count: GroupHeader.bytes)
                return bytes.withUnsafeMutableBytes { header.store(to: $0, salt: salt &* 0x9e37_79b9_7f4a_7c15) }
            }
            #expect(Set(sums).count == sums.count)
        }
    }

    @Test(arguments: constants) func `no word that is known makes it forget what stands before`(_ known: UInt64) {
        var generator = SystemRandomNumberGenerator()
        let seed = UInt64.random(in: 1...(.max), using: &generator)
        for place in 6..<18 {
            var words = (0..<24).map { _ in UInt64.random(in: 0...(.max), using: &generator) }
            words[place] = known
            let expected = sum(words, seed: seed)
            for changed in 0..<place {
                var damaged = words
                damaged[changed] ^= 1 << 17
                #expect(sum(damaged, seed: seed) != expected, "word \(changed) before word \(place)")
            }
        }
    }

    @Test func `every bit, every length and every order counts`() {
        let words = (0..<13).map { UInt64($0 + 1) &* 0x9e37_79b9_7f4a_7c15 }
        let bytes = words.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> ($0 * 8)) } }
        var seen: Set<UInt64> = []
        var expected = 0
        func see(_ bytes: ArraySlice<UInt8>, seed: UInt64 = 7) {
            seen.insert(bytes.withUnsafeBytes { Checksum.of($0, seed: seed) })
            expected += 1
        }
        for count in 1...bytes.count { see(bytes[..<count]) }
        for bit in 0..<bytes.count * 8 {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            see(changed[...])
        }
        for first in 0..<words.count {
            for second in first + 1..<words.count {
                var swapped = bytes
                for byte in 0..<8 { swapped.swapAt(first * 8 + byte, second * 8 + byte) }
                see(swapped[...])
            }
        }
        for seed in UInt64(8)..<64 { see(bytes[...], seed: seed) }
        #expect(seen.count == expected)
    }

    @Test func `the payload's checksum takes the secret of the directory too`() {
        let payload: [UInt8] = Array(repeating: 3, count: 200)
        let sums = (UInt64(0)..<16).map { salt in
            payload.withUnsafeBytes { GroupHeader.checksum(ofPayload: $0, salt: salt) }
        }
        #expect(Set(sums).count == sums.count)
    }
}
