/// The protocol's string hash: FNV-1a of 32 bits over **UTF-16 code units**, and the two steps built on it.
///
/// ```
/// text ──UTF-16 units──> hash ──mix──> summed per Merkle node (combine)
///                         └──mod 271──> partition
/// ```
///
/// Texts are stored as UTF-8, so units are derived while hashing. ASCII, nearly all of it, is one unit per byte and is
/// taken eight bytes at a time. Golden data: `hash.json`.
package enum KeyHash {
    package static let offsetBasis: UInt32 = 0x811c_9dc5
    package static let prime: UInt32 = 0x0100_0193

    package static func of(_ utf8: UnsafeRawBufferPointer) -> UInt32 {
        var hasher = KeyHasher()
        hasher.update(utf8)
        return hasher.hash
    }

    package static func of(_ text: ByteString) -> UInt32 {
        text.bytes.withUnsafeBytes { of($0) }
    }

    /// Spreads a hash before it is summed, so that sums of hashes that differ in few bits differ in many.
    @inlinable
    package static func mix(_ hash: UInt32) -> UInt32 {
        var hash = hash
        hash ^= hash &>> 16
        hash = hash &* 0x85eb_ca6b
        hash ^= hash &>> 13
        hash = hash &* 0xc2b2_ae35
        hash ^= hash &>> 16
        return hash
    }

    /// The order-free sum of mixed hashes; nothing gives 0.
    package static func combine(_ hashes: some Sequence<UInt32>) -> UInt32 {
        hashes.reduce(0) { $0 &+ mix($1) }
    }
}

/// A ``KeyHash`` taken piece by piece, so that texts put together from fields are hashed without building them.
///
/// Every piece must be whole UTF-8. Bytes that are not UTF-8 count as U+FFFD one by one: the hash is then still the
/// same everywhere, though no text has it.
package struct KeyHasher {
    package private(set) var hash: UInt32

    package init() {
        hash = KeyHash.offsetBasis
    }

    /// Goes on behind a text whose hash is known.
    package init(continuing hash: UInt32) {
        self.hash = hash
    }

    package mutating func update(_ utf8: UnsafeRawBufferPointer) {
        guard let base = utf8.baseAddress else { return }
        var hash = hash
        let count = utf8.count
        var index = 0
        while index < count {
            if index &+ 8 <= count {
                let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                if word & 0x8080_8080_8080_8080 == 0 {
                    for byte: UInt64 in 0..<8 {
                        let unit = UInt32(truncatingIfNeeded: (word &>> (byte &* 8)) & 0xff)
                        hash = (hash ^ unit) &* KeyHash.prime
                    }
                    index &+= 8
                    continue
                }
            }
            let byte = base.load(fromByteOffset: index, as: UInt8.self)
            if byte < 0x80 {
                hash = (hash ^ UInt32(byte)) &* KeyHash.prime
                index &+= 1
                continue
            }
            let scalar = Self.scalar(in: utf8, at: &index)
            if scalar < 0x1_0000 {
                hash = (hash ^ scalar) &* KeyHash.prime
            } else {
                let offset = scalar &- 0x1_0000
                hash = (hash ^ (0xd800 &+ (offset &>> 10))) &* KeyHash.prime
                hash = (hash ^ (0xdc00 &+ (offset & 0x3ff))) &* KeyHash.prime
            }
        }
        self.hash = hash
    }

    package mutating func update(_ text: ByteString) {
        text.bytes.withUnsafeBytes { update($0) }
    }

    /// Takes one ASCII character.
    @inline(__always)
    package mutating func update(ascii byte: UInt8) {
        hash = (hash ^ UInt32(byte)) &* KeyHash.prime
    }

    /// Takes the decimal digits of a number.
    package mutating func update(decimal number: Int64) {
        if number < 0 { update(ascii: UInt8(ascii: "-")) }
        var magnitude = number.magnitude
        // The digits of a 64-bit number fit in 20 bytes; they come out last first.
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var start = 20
            repeat {
                let (quotient, digit) = magnitude.quotientAndRemainder(dividingBy: 10)
                start &-= 1
                digits[start] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: digit)
                magnitude = quotient
            } while magnitude > 0
            for index in start..<20 { update(ascii: digits[index]) }
        }
    }

    /// The scalar that starts at `index`, which is no ASCII byte; moves `index` behind it.
    private static func scalar(in utf8: UnsafeRawBufferPointer, at index: inout Int) -> UInt32 {
        let first = UInt32(utf8[index])
        let length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
        guard first >= 0xc2, first <= 0xf4, index &+ length <= utf8.count else {
            index &+= 1
            return 0xfffd
        }
        var scalar = first & (0x7f &>> UInt32(truncatingIfNeeded: length))
        for offset in 1..<length {
            let next = UInt32(utf8[index &+ offset])
            guard next & 0xc0 == 0x80 else {
                index &+= 1
                return 0xfffd
            }
            scalar = scalar &<< 6 | next & 0x3f
        }
        let smallest: UInt32 = length == 4 ? 0x1_0000 : length == 3 ? 0x800 : 0x80
        guard scalar >= smallest, scalar <= 0x10_ffff, scalar & 0xffff_f800 != 0xd800 else {
            index &+= 1
            return 0xfffd
        }
        index &+= length
        return scalar
    }
}
