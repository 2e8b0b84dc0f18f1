/// SipHash-2-4 with 128 bits of output: a keyed hash that nobody without the key can steer.
///
/// Written from the specification, J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (2012), with
/// the 128-bit output of the authors' reference implementation: the internal state `v1` starts with `0xee` mixed in,
/// finalisation mixes `0xee` into `v2` for the first half, and `0xdd` into `v1` plus four more rounds give the second.
/// The authors' 64 published test vectors are checked in `SipHash128Tests`.
package struct SipHash128 {
    /// The secret, 128 bits; whoever has it can make collisions.
    package struct Key: Hashable, Sendable {
        package var low: UInt64
        package var high: UInt64

        package init(low: UInt64, high: UInt64) {
            self.low = low
            self.high = high
        }
    }

    private var v0: UInt64
    private var v1: UInt64
    private var v2: UInt64
    private var v3: UInt64
    /// Bytes that do not fill a word yet, the first in the lowest byte.
    private var pending: UInt64 = 0
    /// How many bytes were taken in all.
    private var length = 0

    package init(key: Key) {
        v0 = key.low ^ 0x736f_6d65_7073_6575
        v1 = key.high ^ 0x646f_7261_6e64_6f6d ^ 0xee
        v2 = key.low ^ 0x6c79_6765_6e65_7261
        v3 = key.high ^ 0x7465_6462_7974_6573
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        let count = bytes.count
        var index = 0
        while index < count, length & 7 != 0 {
            append(base.load(fromByteOffset: index, as: UInt8.self))
            index &+= 1
        }
        while index &+ 8 <= count {
            compress(UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self)))
            length &+= 8
            index &+= 8
        }
        while index < count {
            append(base.load(fromByteOffset: index, as: UInt8.self))
            index &+= 1
        }
    }

    /// Takes a number as eight little-endian bytes.
    package mutating func update(_ number: UInt64) {
        guard length & 7 != 0 else {
            compress(number)
            length &+= 8
            return
        }
        for byte: UInt64 in 0..<8 { append(UInt8(truncatingIfNeeded: number &>> (byte &* 8))) }
    }

    /// The hash of everything taken so far.
    package func finalized() -> Digest128 {
        var state = self
        state.compress(pending | UInt64(truncatingIfNeeded: length) &<< 56)
        state.v2 ^= 0xee
        for _ in 0..<4 { state.round() }
        let low = state.v0 ^ state.v1 ^ state.v2 ^ state.v3
        state.v1 ^= 0xdd
        for _ in 0..<4 { state.round() }
        return Digest128(low: low, high: state.v0 ^ state.v1 ^ state.v2 ^ state.v3)
    }

    private mutating func append(_ byte: UInt8) {
        pending |= UInt64(byte) &<< UInt64(truncatingIfNeeded: (length & 7) &* 8)
        length &+= 1
        if length & 7 == 0 {
            compress(pending)
            pending = 0
        }
    }

    @inline(__always)
    private mutating func compress(_ word: UInt64) {
        v3 ^= word
        round()
        round()
        v0 ^= word
    }

    @inline(__always)
    private mutating func round() {
        v0 = v0 &+ v1
        v1 = Self.rotate(v1, 13) ^ v0
        v0 = Self.rotate(v0, 32)
        v2 = v2 &+ v3
        v3 = Self.rotate(v3, 16) ^ v2
        v0 = v0 &+ v3
        v3 = Self.rotate(v3, 21) ^ v0
        v2 = v2 &+ v1
        v1 = Self.rotate(v1, 17) ^ v2
        v2 = Self.rotate(v2, 32)
    }

    @inline(__always)
    private static func rotate(_ word: UInt64, _ bits: UInt64) -> UInt64 {
        word &<< bits | word &>> (64 &- bits)
    }
}

/// A 128-bit hash, or a sum of them.
package struct Digest128: Hashable, Sendable {
    package var low: UInt64
    package var high: UInt64

    package init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    package static let zero = Digest128(low: 0, high: 0)

    /// The sixteen bytes, `low` first, each half little-endian, as the hash is published and sent.
    package var bytes: [UInt8] {
        (0..<16).map { index in
            UInt8(truncatingIfNeeded: (index < 8 ? low : high) >> UInt64(8 * (index & 7)))
        }
    }

    /// Reads ``bytes``; `nil` unless there are sixteen.
    package init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == 16 else { return nil }
        self.init(
            low: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
            high: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
    }

    /// The sum modulo 2^128.
    package static func &+ (left: Digest128, right: Digest128) -> Digest128 {
        let (low, carry) = left.low.addingReportingOverflow(right.low)
        return Digest128(low: low, high: left.high &+ right.high &+ (carry ? 1 : 0))
    }

    /// The difference modulo 2^128.
    package static func &- (left: Digest128, right: Digest128) -> Digest128 {
        let (low, borrow) = left.low.subtractingReportingOverflow(right.low)
        return Digest128(low: low, high: left.high &- right.high &- (borrow ? 1 : 0))
    }
}
