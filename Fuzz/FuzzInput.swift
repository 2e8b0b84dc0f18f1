/// One input as a run of choices: what is missing at its end is 0, so that every input means something.
struct FuzzInput {
    private(set) var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) {
        rest = bytes
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 {
        guard let first = rest.first else { return 0 }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
        return first
    }

    mutating func word() -> UInt16 {
        let low = UInt16(byte())
        return UInt16(byte()) << 8 | low
    }

    mutating func number() -> UInt64 {
        (0..<8).reduce(0) { number, index in number | UInt64(byte()) << UInt64(8 * index) }
    }

    /// A choice among so many; `count` is positive.
    mutating func choice(_ count: Int) -> Int {
        Int(byte()) % count
    }

    /// The next bytes, fewer at the end.
    mutating func take(_ count: Int) -> UnsafeRawBufferPointer {
        let taken = UnsafeRawBufferPointer(rebasing: rest.prefix(count))
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
        return taken
    }

    /// The next piece: its length in two bytes, then as much of it as there is.
    mutating func piece() -> UnsafeRawBufferPointer {
        take(Int(word()))
    }

    /// How a piece is written.
    static func piece(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: bytes.count), UInt8(truncatingIfNeeded: bytes.count >> 8)] + bytes
    }
}
