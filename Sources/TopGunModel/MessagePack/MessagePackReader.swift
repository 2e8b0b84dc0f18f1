/// Why bytes are not the MessagePack that was asked for.
package enum MessagePackError: Error, Sendable, Equatable {
    /// The bytes end before the value does, or a length claims more than there is.
    case truncated
    /// A value of another kind stands here.
    case wrongKind
    /// A number outside the range asked for, with a fraction, not finite.
    case notAnInteger
    case notUTF8
    case tooDeep
    /// The one byte that MessagePack never uses, `0xc1`.
    case reserved
}

/// A cursor over MessagePack bytes that reads in place: nothing is copied, nothing is built.
///
/// The views it returns point into the bytes it was given and live as long as they do. No input traps, and no length
/// from the input is believed before the bytes are there: loops and allocations are bounded by what really came.
package struct MessagePackReader {
    package enum Kind: UInt8, Sendable {
        case null
        case bool
        case integer
        case float
        case string
        case binary
        case array
        case map
        case `extension`
    }

    package let bytes: UnsafeRawBufferPointer
    package private(set) var offset: Int

    package init(_ bytes: UnsafeRawBufferPointer, offset: Int = 0) {
        self.bytes = bytes
        self.offset = offset
    }

    package var isAtEnd: Bool { offset >= bytes.count }
}

// MARK: - Heads

extension MessagePackReader {
    /// What the next value is; the cursor stays.
    package func peekKind() throws(MessagePackError) -> Kind {
        guard offset < bytes.count else { throw .truncated }
        switch bytes[offset] {
        case 0x00...0x7f, 0xcc...0xd3, 0xe0...0xff: return .integer
        case 0x80...0x8f, 0xde, 0xdf: return .map
        case 0x90...0x9f, 0xdc, 0xdd: return .array
        case 0xa0...0xbf, 0xd9...0xdb: return .string
        case 0xc0: return .null
        case 0xc2, 0xc3: return .bool
        case 0xc4...0xc6: return .binary
        case 0xca, 0xcb: return .float
        case 0xc7...0xc9, 0xd4...0xd8: return .extension
        default: throw .reserved
        }
    }

    /// Steps over a nil, if one stands here.
    package mutating func tryReadNil() -> Bool {
        guard offset < bytes.count, bytes[offset] == 0xc0 else { return false }
        offset += 1
        return true
    }

    /// Reads the head of a map and returns how many pairs follow; each takes two bytes at least, which is checked.
    package mutating func readMapCount() throws(MessagePackError) -> Int {
        guard offset < bytes.count else { throw .truncated }
        let count: Int
        switch bytes[offset] {
        case let head where head & 0xf0 == 0x80:
            offset += 1
            count = Int(head & 0x0f)
        case 0xde: count = try readLength(width: 2)
        case 0xdf: count = try readLength(width: 4)
        default: throw .wrongKind
        }
        guard count <= (bytes.count - offset) / 2 else { throw .truncated }
        return count
    }

    /// Reads the head of an array and returns how many elements follow; each takes a byte at least, which is checked.
    package mutating func readArrayCount() throws(MessagePackError) -> Int {
        guard offset < bytes.count else { throw .truncated }
        let count: Int
        switch bytes[offset] {
        case let head where head & 0xf0 == 0x90:
            offset += 1
            count = Int(head & 0x0f)
        case 0xdc: count = try readLength(width: 2)
        case 0xdd: count = try readLength(width: 4)
        default: throw .wrongKind
        }
        guard count <= bytes.count - offset else { throw .truncated }
        return count
    }
}

// MARK: - Scalars

extension MessagePackReader {
    package mutating func readBool() throws(MessagePackError) -> Bool {
        guard offset < bytes.count else { throw .truncated }
        switch bytes[offset] {
        case 0xc2:
            offset += 1
            return false
        case 0xc3:
            offset += 1
            return true
        default: throw .wrongKind
        }
    }

    /// Reads a whole number in any form that can hold one: every integer width, or a float without a fraction.
    ///
    /// The official client writes whole numbers beyond 32 bits as floats (protocol.md 1.3). NaN, infinities, fractions
    /// and what does not fit `Int64` are refused.
    package mutating func readInteger() throws(MessagePackError) -> Int64 {
        let start = offset
        do {
            return try readIntegerOrThrow()
        } catch {
            offset = start
            throw error
        }
    }

    private mutating func readIntegerOrThrow() throws(MessagePackError) -> Int64 {
        guard offset < bytes.count else { throw .truncated }
        let head = bytes[offset]
        switch head {
        case 0x00...0x7f:
            offset += 1
            return Int64(head)
        case 0xe0...0xff:
            offset += 1
            return Int64(Int8(bitPattern: head))
        case 0xcc: return Int64(try readFixed(UInt8.self))
        case 0xcd: return Int64(try readFixed(UInt16.self))
        case 0xce: return Int64(try readFixed(UInt32.self))
        case 0xcf:
            guard let number = Int64(exactly: try readFixed(UInt64.self)) else { throw .notAnInteger }
            return number
        case 0xd0: return Int64(try readFixed(Int8.self))
        case 0xd1: return Int64(try readFixed(Int16.self))
        case 0xd2: return Int64(try readFixed(Int32.self))
        case 0xd3: return try readFixed(Int64.self)
        case 0xca, 0xcb:
            guard let number = Int64(exactly: try readDouble()) else { throw .notAnInteger }
            return number
        default: throw .wrongKind
        }
    }

    /// Reads any number as a double; integers beyond 2^53 lose precision, as they do in JavaScript.
    package mutating func readDouble() throws(MessagePackError) -> Double {
        guard offset < bytes.count else { throw .truncated }
        switch bytes[offset] {
        case 0xca: return Double(Float(bitPattern: try readFixed(UInt32.self)))
        case 0xcb: return Double(bitPattern: try readFixed(UInt64.self))
        case 0xcf: return Double(try readFixed(UInt64.self))
        default: return Double(try readInteger())
        }
    }

    /// Reads a string and returns its bytes, unchecked; see ``isUTF8(_:)``.
    package mutating func readString() throws(MessagePackError) -> UnsafeRawBufferPointer {
        guard offset < bytes.count else { throw .truncated }
        let count: Int
        switch bytes[offset] {
        case let head where head & 0xe0 == 0xa0:
            offset += 1
            count = Int(head & 0x1f)
        case 0xd9: count = try readLength(width: 1)
        case 0xda: count = try readLength(width: 2)
        case 0xdb: count = try readLength(width: 4)
        default: throw .wrongKind
        }
        return try take(count)
    }

    /// Reads a string that must be valid UTF-8.
    package mutating func readText() throws(MessagePackError) -> UnsafeRawBufferPointer {
        let text = try readString()
        guard isUTF8(text) else { throw .notUTF8 }
        return text
    }

    package mutating func readBinary() throws(MessagePackError) -> UnsafeRawBufferPointer {
        guard offset < bytes.count else { throw .truncated }
        let count: Int
        switch bytes[offset] {
        case 0xc4: count = try readLength(width: 1)
        case 0xc5: count = try readLength(width: 2)
        case 0xc6: count = try readLength(width: 4)
        default: throw .wrongKind
        }
        return try take(count)
    }
}

// MARK: - Whole values

extension MessagePackReader {
    /// Steps over one value of any kind and returns its bytes.
    ///
    /// Works through a counter per open container instead of recursion, so that depth costs no stack.
    /// - Parameter depthLimit: How many containers may be open at once, at most ``Limits/nestingDepth``.
    @discardableResult
    package mutating func skipValue(depthLimit: Int = ModelLimits.valueDepthMax) throws(MessagePackError)
        -> UnsafeRawBufferPointer
    {
        let start = offset
        try skipScalarOrContainer(depthLimit: min(depthLimit, ModelLimits.valueDepthMax))
        return UnsafeRawBufferPointer(rebasing: bytes[start..<offset])
    }

    private mutating func skipScalarOrContainer(depthLimit: Int) throws(MessagePackError) {
        var inside = try skipHead()
        guard inside > 0 else { return }
        guard depthLimit > 0 else { throw .tooDeep }
        // `open` holds what is left to read in each enclosing container; scratch memory on the stack keeps it off the heap.
        try withUnsafeTemporaryStack(of: depthLimit) {
            (open: UnsafeMutableBufferPointer<Int>) throws(MessagePackError) in
            var depth = 0
            open[0] = inside
            while depth >= 0 {
                if open[depth] == 0 {
                    depth -= 1
                    continue
                }
                open[depth] -= 1
                inside = try skipHead()
                guard inside > 0 else { continue }
                depth += 1
                guard depth < depthLimit else { throw .tooDeep }
                open[depth] = inside
            }
        }
    }

    /// Steps over a scalar whole, or over the head of a container, and returns how many values are inside.
    private mutating func skipHead() throws(MessagePackError) -> Int {
        guard offset < bytes.count else { throw .truncated }
        let head = bytes[offset]
        switch head {
        case 0x00...0x7f, 0xe0...0xff, 0xc0, 0xc2, 0xc3: return try skip(1)
        case 0xa0...0xbf: return try skip(1 + Int(head & 0x1f))
        case 0x80...0x8f, 0xde, 0xdf: return try 2 * readMapCount()
        case 0x90...0x9f, 0xdc, 0xdd: return try readArrayCount()
        case 0xcc, 0xd0: return try skip(2)
        case 0xcd, 0xd1: return try skip(3)
        case 0xce, 0xd2, 0xca: return try skip(5)
        case 0xcf, 0xd3, 0xcb: return try skip(9)
        case 0xc4, 0xd9: return try skip(try readLength(width: 1))
        case 0xc5, 0xda: return try skip(try readLength(width: 2))
        case 0xc6, 0xdb: return try skip(try readLength(width: 4))
        case 0xd4: return try skip(3)
        case 0xd5: return try skip(4)
        case 0xd6: return try skip(6)
        case 0xd7: return try skip(10)
        case 0xd8: return try skip(18)
        case 0xc7: return try skip(1 + (try readLength(width: 1)))
        case 0xc8: return try skip(1 + (try readLength(width: 2)))
        case 0xc9: return try skip(1 + (try readLength(width: 4)))
        default: throw .reserved
        }
    }
}

// MARK: - Steps

extension MessagePackReader {
    private mutating func skip(_ count: Int) throws(MessagePackError) -> Int {
        guard count <= bytes.count - offset else { throw .truncated }
        offset += count
        return 0
    }

    private mutating func take(_ count: Int) throws(MessagePackError) -> UnsafeRawBufferPointer {
        guard count <= bytes.count - offset else { throw .truncated }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    /// Reads the length behind a head byte; never negative, and at most what is left, even where `Int` has 32 bits.
    private mutating func readLength(width: Int) throws(MessagePackError) -> Int {
        guard bytes.count - offset > width else { throw .truncated }
        var length: UInt32 = 0
        for index in 1...width { length = length << 8 | UInt32(bytes[offset + index]) }
        guard UInt64(length) <= UInt64(bytes.count) else { throw .truncated }
        offset += 1 + width
        return Int(truncatingIfNeeded: length)
    }

    private mutating func readFixed<Number: FixedWidthInteger>(_: Number.Type) throws(MessagePackError) -> Number {
        let width = MemoryLayout<Number>.size
        guard bytes.count - offset > width else { throw .truncated }
        let number = bytes.loadUnaligned(fromByteOffset: offset + 1, as: Number.self)
        offset += 1 + width
        return Number(bigEndian: number)
    }
}

/// A scratch array on the stack for the length of the call.
private func withUnsafeTemporaryStack(
    of count: Int, _ body: (UnsafeMutableBufferPointer<Int>) throws(MessagePackError) -> Void
) throws(MessagePackError) {
    try withUnsafeTemporaryAllocation(of: Int.self, capacity: count) {
        (buffer: UnsafeMutableBufferPointer<Int>) throws(MessagePackError) in
        try body(buffer)
    }
}

/// Whether the bytes are well-formed UTF-8: no overlong forms, no surrogates, nothing beyond U+10FFFF.
///
/// The table of Unicode 15, section 3.9, as code; eight ASCII bytes at a time.
package func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var index = 0
    let count = bytes.count
    while index < count {
        if count - index >= 8 {
            let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            if word & 0x8080_8080_8080_8080 == 0 {
                index += 8
                continue
            }
        }
        let lead = bytes[index]
        let length: Int
        var lowest: UInt8 = 0x80
        var highest: UInt8 = 0xbf
        switch lead {
        case 0x00...0x7f: length = 1
        case 0xc2...0xdf: length = 2
        case 0xe0: (length, lowest) = (3, 0xa0)
        case 0xed: (length, highest) = (3, 0x9f)
        case 0xe1...0xef: length = 3
        case 0xf0: (length, lowest) = (4, 0x90)
        case 0xf4: (length, highest) = (4, 0x8f)
        case 0xf1...0xf3: length = 4
        default: return false
        }
        guard length <= count - index else { return false }
        if length > 1 {
            guard bytes[index + 1] >= lowest, bytes[index + 1] <= highest else { return false }
            for next in 2..<max(length, 2) where bytes[index + next] & 0xc0 != 0x80 { return false }
        }
        index += length
    }
    return true
}
