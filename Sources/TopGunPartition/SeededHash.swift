/// The keyed hash that places records and names in tables: 64 bits over the bytes, under a secret of this process.
///
/// The protocol's ``KeyHash`` decides partition and Merkle leaf, and anybody can make keys collide in it; so it places
/// nothing (promises.md M17). Sixteen bytes are taken per multiplication, folded from 128 bits to 64. Never leaves
/// the process.
struct SeededHash {
    private let first: UInt64
    private let second: UInt64

    init(seed: UInt64) {
        func scrambled(_ number: UInt64) -> UInt64 {
            var number = number
            number = (number ^ number >> 30) &* 0xbf58_476d_1ce4_e5b9
            number = (number ^ number >> 27) &* 0x94d0_49bb_1331_11eb
            return number ^ number >> 31
        }
        first = scrambled(seed &+ 0x9e37_79b9_7f4a_7c15) | 1
        second = scrambled(seed &+ 0x3c6e_f372_fe94_f82a) | 1
    }

    @inline(__always)
    func hash(_ bytes: UnsafeRawBufferPointer, salt: UInt32) -> UInt64 {
        guard let base = bytes.baseAddress else { return hash(of: UnsafeRawPointer(bitPattern: 1)!, 0, salt: salt) }
        return hash(of: base, bytes.count, salt: salt)
    }

    @inline(__always)
    func hash(of base: UnsafeRawPointer, _ count: Int, salt: UInt32) -> UInt64 {
        var state = first ^ (UInt64(salt) &* 0xa076_1d64_78bd_642f)
        let head: UInt64
        let end: UInt64
        if count > 16 {
            var offset = 0
            while count &- offset > 16 {
                state = Self.fold(word(base, offset) ^ second, word(base, offset &+ 8) ^ state)
                offset &+= 16
            }
            head = word(base, count &- 16)
            end = word(base, count &- 8)
        } else if count >= 8 {
            head = word(base, 0)
            end = word(base, count &- 8)
        } else if count >= 4 {
            head = UInt64(base.loadUnaligned(as: UInt32.self))
            end = UInt64(base.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self))
        } else if count > 0 {
            head =
                UInt64(base.load(as: UInt8.self)) << 16
                | UInt64(base.load(fromByteOffset: count &>> 1, as: UInt8.self)) << 8
                | UInt64(base.load(fromByteOffset: count &- 1, as: UInt8.self))
            end = 0
        } else {
            head = 0
            end = 0
        }
        let mixed = Self.fold(head ^ second, end ^ state)
        return Self.fold(second ^ UInt64(truncatingIfNeeded: count), mixed ^ first)
    }

    @inline(__always)
    private func word(_ base: UnsafeRawPointer, _ offset: Int) -> UInt64 {
        base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }

    @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }
}

/// Whether two runs of `count` bytes are the same, eight bytes at a time.
@inline(__always)
func sameBytes(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, _ count: Int) -> Bool {
    var index = 0
    while index &+ 8 <= count {
        if left.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            != right.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        {
            return false
        }
        index &+= 8
    }
    while index < count {
        if left.load(fromByteOffset: index, as: UInt8.self) != right.load(fromByteOffset: index, as: UInt8.self) {
            return false
        }
        index &+= 1
    }
    return true
}
