import TopGunModel

/// Writes MessagePack into memory that was reserved before: no check per byte, so whoever makes one reserves enough.
///
/// Only for the frames of the hot path, see ``ServerFrame``; all others are written by ``FieldWriter``.
struct FrameCursor {
    private let sink: ByteSink
    private let start: UnsafeMutableRawPointer
    private var next: UnsafeMutableRawPointer
    private let limit: Int

    /// What the head of any value takes at most, and any number as a whole.
    static let longestHeadBytes = 9

    /// Reserves `bytes`, more than which must not be written.
    @inline(__always)
    init(_ sink: ByteSink, reserving bytes: Int) {
        self.sink = sink
        self.start = sink.reserve(bytes)
        self.next = start
        self.limit = bytes
    }

    /// Makes what was written part of the sink.
    @inline(__always)
    consuming func finish() {
        let written = next - start
        precondition(written <= limit, "a frame of \(written) bytes in room for \(limit)")
        sink.advance(by: written)
    }

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        next.storeBytes(of: value, as: UInt8.self)
        next += 1
    }

    @inline(__always)
    private mutating func head<Number: FixedWidthInteger>(_ head: UInt8, _ number: Number) {
        next.storeBytes(of: head, as: UInt8.self)
        (next + 1).storeBytes(of: number.bigEndian, as: Number.self)
        next += 1 &+ MemoryLayout<Number>.size
    }

    /// A name or word of the protocol, at most 31 bytes.
    @inline(__always)
    mutating func word(_ text: StaticString) {
        byte(0xa0 | UInt8(truncatingIfNeeded: text.utf8CodeUnitCount))
        next.copyMemory(from: text.utf8Start, byteCount: text.utf8CodeUnitCount)
        next += text.utf8CodeUnitCount
    }

    /// A map of at most fifteen pairs.
    @inline(__always)
    mutating func map(_ count: Int) {
        byte(0x80 | UInt8(truncatingIfNeeded: count))
    }

    mutating func array(_ count: Int) {
        switch count {
        case 0...0xf: byte(0x90 | UInt8(truncatingIfNeeded: count))
        case 0x10...0xffff: head(0xdc, UInt16(truncatingIfNeeded: count))
        default: head(0xdd, UInt32(truncatingIfNeeded: count))
        }
    }

    @inline(__always)
    mutating func raw(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        next.copyMemory(from: source, byteCount: bytes.count)
        next += bytes.count
    }

    mutating func text(_ bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 0...0x1f: byte(0xa0 | UInt8(truncatingIfNeeded: bytes.count))
        case 0x20...0xff: head(0xd9, UInt8(truncatingIfNeeded: bytes.count))
        case 0x100...0xffff: head(0xda, UInt16(truncatingIfNeeded: bytes.count))
        default: head(0xdb, UInt32(truncatingIfNeeded: bytes.count))
        }
        raw(bytes)
    }

    /// A number that is not negative.
    @inline(__always)
    mutating func unsigned(_ number: UInt64) {
        switch number {
        case 0...0x7f: byte(UInt8(truncatingIfNeeded: number))
        case 0x80...0xff: head(0xcc, UInt8(truncatingIfNeeded: number))
        case 0x100...0xffff: head(0xcd, UInt16(truncatingIfNeeded: number))
        case 0x1_0000...0xffff_ffff: head(0xce, UInt32(truncatingIfNeeded: number))
        default: head(0xcf, number)
        }
    }

    /// A number as decimal text, at most 21 bytes.
    mutating func decimal(_ number: UInt64) {
        var digits = 1
        var rest = number / 10
        while rest > 0 {
            digits &+= 1
            rest /= 10
        }
        byte(0xa0 | UInt8(truncatingIfNeeded: digits))
        rest = number
        var place = digits
        while place > 0 {
            place &-= 1
            (next + place).storeBytes(of: 0x30 | UInt8(truncatingIfNeeded: rest % 10), as: UInt8.self)
            rest /= 10
        }
        next += digits
    }
}
