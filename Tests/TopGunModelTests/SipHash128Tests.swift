import GoldenVectors
import Testing
import TopGunModel

@Suite struct SipHash128Tests {
    private static let key = SipHash128.Key(low: 0x0706_0504_0302_0100, high: 0x0f0e_0d0c_0b0a_0908)

    @Test func `the authors' 64 vectors come out, whatever the cut into pieces`() {
        let lines = Self.published.split(separator: "\n")
        #expect(lines.count == 64)
        for (length, line) in lines.enumerated() {
            let message = (0..<length).map { UInt8($0) }
            let expected = line.split(separator: " ").map { UInt8($0, radix: 16)! }
            for cut in 0...length {
                var hash = SipHash128(key: Self.key)
                message[..<cut].withUnsafeBytes { hash.update($0) }
                message[cut...].withUnsafeBytes { hash.update($0) }
                #expect(hash.finalized().bytes == expected, "length \(length), cut \(cut)")
            }
        }
    }

    @Test(arguments: 0..<9)
    func `a number is taken as its eight little-endian bytes at any offset`(offset: Int) {
        let number: UInt64 = 0x0123_4567_89ab_cdef
        let before = [UInt8](repeating: 7, count: offset)
        var asNumber = SipHash128(key: Self.key)
        before.withUnsafeBytes { asNumber.update($0) }
        asNumber.update(number)
        var asBytes = SipHash128(key: Self.key)
        before.withUnsafeBytes { asBytes.update($0) }
        withUnsafeBytes(of: number.littleEndian) { asBytes.update($0) }
        #expect(asNumber.finalized() == asBytes.finalized())
    }

    @Test func `digests add, subtract and survive their byte form`() throws {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<1_000 {
            let left = Digest128(low: generator.next(), high: generator.next())
            let right = Digest128(low: generator.next() | 1 << 63, high: generator.next())
            let sum = left &+ right
            let wide =
                (UInt128(left.high) << 64 | UInt128(left.low)) &+ (UInt128(right.high) << 64 | UInt128(right.low))
            #expect(sum == Digest128(low: UInt64(truncatingIfNeeded: wide), high: UInt64(wide >> 64)), "seed \(seed)")
            #expect(sum &- right == left, "seed \(seed)")
            #expect(sum.bytes.withUnsafeBytes { Digest128(bytes: $0) } == sum)
        }
        #expect([UInt8](repeating: 0, count: 15).withUnsafeBytes { Digest128(bytes: $0) } == nil)
    }

    /// The 128-bit vectors of the authors' `vectors.h` (github.com/veorq/SipHash): key 00 01 … 0f, message 00 01 … of
    /// length 0 to 63.
    private static let published = """
        a3 81 7f 04 ba 25 a8 e6 6d f6 72 14 c7 55 02 93
        da 87 c1 d8 6b 99 af 44 34 76 59 11 9b 22 fc 45
        81 77 22 8d a4 a4 5d c7 fc a3 8b de f6 0a ff e4
        9c 70 b6 0c 52 67 a9 4e 5f 33 b6 b0 29 85 ed 51
        f8 81 64 c1 2d 9c 8f af 7d 0f 6e 7c 7b cd 55 79
        13 68 87 59 80 77 6f 88 54 52 7a 07 69 0e 96 27
        14 ee ca 33 8b 20 86 13 48 5e a0 30 8f d7 a1 5e
        a1 f1 eb be d8 db c1 53 c0 b8 4a a6 1f f0 82 39
        3b 62 a9 ba 62 58 f5 61 0f 83 e2 64 f3 14 97 b4
        26 44 99 06 0a d9 ba ab c4 7f 8b 02 bb 6d 71 ed
        00 11 0d c3 78 14 69 56 c9 54 47 d3 f3 d0 fb ba
        01 51 c5 68 38 6b 66 77 a2 b4 dc 6f 81 e5 dc 18
        d6 26 b2 66 90 5e f3 58 82 63 4d f6 85 32 c1 25
        98 69 e2 47 e9 c0 8b 10 d0 29 93 4f c4 b9 52 f7
        31 fc ef ac 66 d7 de 9c 7e c7 48 5f e4 49 49 02
        54 93 e9 99 33 b0 a8 11 7e 08 ec 0f 97 cf c3 d9
        6e e2 a4 ca 67 b0 54 bb fd 33 15 bf 85 23 05 77
        47 3d 06 e8 73 8d b8 98 54 c0 66 c4 7a e4 77 40
        a4 26 e5 e4 23 bf 48 85 29 4d a4 81 fe ae f7 23
        78 01 77 31 cf 65 fa b0 74 d5 20 89 52 51 2e b1
        9e 25 fc 83 3f 22 90 73 3e 93 44 a5 e8 38 39 eb
        56 8e 49 5a be 52 5a 21 8a 22 14 cd 3e 07 1d 12
        4a 29 b5 45 52 d1 6b 9a 46 9c 10 52 8e ff 0a ae
        c9 d1 84 dd d5 a9 f5 e0 cf 8c e2 9a 9a bf 69 1c
        2d b4 79 ae 78 bd 50 d8 88 2a 8a 17 8a 61 32 ad
        8e ce 5f 04 2d 5e 44 7b 50 51 b9 ea cb 8d 8f 6f
        9c 0b 53 b4 b3 c3 07 e8 7e ae e0 86 78 14 1f 66
        ab f2 48 af 69 a6 ea e4 bf d3 eb 2f 12 9e eb 94
        06 64 da 16 68 57 4b 88 b9 35 f3 02 73 58 ae f4
        aa 4b 9d c4 bf 33 7d e9 0c d4 fd 3c 46 7c 6a b7
        ea 5c 7f 47 1f af 6b de 2b 1a d7 d4 68 6d 22 87
        29 39 b0 18 32 23 fa fc 17 23 de 4f 52 c4 3d 35
        7c 39 56 ca 5e ea fc 3e 36 3e 9d 55 65 46 eb 68
        77 c6 07 71 46 f0 1c 32 b6 b6 9d 5f 4e a9 ff cf
        37 a6 98 6c b8 84 7e df 09 25 f0 f1 30 9b 54 de
        a7 05 f0 e6 9d a9 a8 f9 07 24 1a 2e 92 3c 8c c8
        3d c4 7d 1f 29 c4 48 46 1e 9e 76 ed 90 4f 67 11
        0d 62 bf 01 e6 fc 0e 1a 0d 3c 47 51 c5 d3 69 2b
        8c 03 46 8b ca 7c 66 9e e4 fd 5e 08 4b be e7 b5
        52 8a 5b b9 3b af 2c 9c 44 73 cc e5 d0 d2 2b d9
        df 6a 30 1e 95 c9 5d ad 97 ae 0c c8 c6 91 3b d8
        80 11 89 90 2c 85 7f 39 e7 35 91 28 5e 70 b6 db
        e6 17 34 6a c9 c2 31 bb 36 50 ae 34 cc ca 0c 5b
        27 d9 34 37 ef b7 21 aa 40 18 21 dc ec 5a df 89
        89 23 7d 9d ed 9c 5e 78 d8 b1 c9 b1 66 cc 73 42
        4a 6d 80 91 bf 5e 7d 65 11 89 fa 94 a2 50 b1 4c
        0e 33 f9 60 55 e7 ae 89 3f fc 0e 3d cf 49 29 02
        e6 1c 43 2b 72 0b 19 d1 8e c8 d8 4b dc 63 15 1b
        f7 e5 ae f5 49 f7 82 cf 37 90 55 a6 08 26 9b 16
        43 8d 03 0f d0 b7 a5 4f a8 37 f2 ad 20 1a 64 03
        a5 90 d3 ee 4f bf 04 e3 24 7e 0d 27 f2 86 42 3f
        5f e2 c1 a1 72 fe 93 c4 b1 5c d3 7c ae f9 f5 38
        2c 97 32 5c bd 06 b3 6e b2 13 3d d0 8b 3a 01 7c
        92 c8 14 22 7a 6b ca 94 9f f0 65 9f 00 2a d3 9e
        dc e8 50 11 0b d8 32 8c fb d5 08 41 d6 91 1d 87
        67 f1 49 84 c7 da 79 12 48 e3 2b b5 92 25 83 da
        19 38 f2 cf 72 d5 4e e9 7e 94 16 6f a9 1d 2a 36
        74 48 1e 96 46 ed 49 fe 0f 62 24 30 16 04 69 8e
        57 fc a5 de 98 a9 d6 d8 00 64 38 d0 58 3d 8a 1d
        9f ec de 1c ef dc 1c be d4 76 36 74 d9 57 53 59
        e3 04 0c 00 eb 28 f1 53 66 ca 73 cb d8 72 e7 40
        76 97 00 9a 6a 83 1d fe cc a9 1c 59 93 67 0f 7a
        58 53 54 23 21 f5 67 a0 05 d5 47 a4 f0 47 59 bd
        51 50 d1 77 2f 50 83 4a 50 3e 06 9a 97 3f bd 7c
        """
}
