/// A cursor over MessagePack bytes that reads in place: it copies nothing and builds nothing.
///
/// The views it gives out point into the bytes it was made with and live as long as those do. No input traps: every read
/// checks the bytes that are there before it believes a length, so whoever loops or allocates by a count that came from
/// here is bounded by the size of the input. A read that throws leaves the cursor where it was.
package struct MessagePackReader {
    /// What a value is, by its first byte.
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
    /// Where the next value begins; moved by every read.
    @inlinable
    package var offset: Int { place }
    @usableFromInline var place: Int

    @inlinable
    package init(_ bytes: UnsafeRawBufferPointer, offset: Int = 0) {
        self.bytes = bytes
        self.place = min(max(offset, 0), bytes.count)
    }

    @inlinable
    package var isAtEnd: Bool { place == bytes.count }

    /// What is left.
    @inlinable
    package var remaining: Int { bytes.count &- place }
}

// MARK: - Kinds and containers

extension MessagePackReader {
    /// What the next value is; the cursor stays.
    package func peekKind() throws(MessagePackError) -> Kind {
        switch try head() {
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

    /// Steps over a nil if one stands here.
    @inlinable
    package mutating func tryReadNil() -> Bool {
        guard place < bytes.count, bytes[place] == 0xc0 else { return false }
        place &+= 1
        return true
    }

    /// Reads the head of a map: how many pairs follow. Never more than the bytes that are left could hold.
    @inlinable
    package mutating func readMapCount() throws(MessagePackError) -> Int {
        let head = try head()
        if head & 0xf0 == 0x80 { return try enter(count: Int(head & 0x0f), headBytes: 1, bytesPerElement: 2) }
        switch head {
        case 0xde: return try enter(count: try length(width: 2), headBytes: 3, bytesPerElement: 2)
        case 0xdf: return try enter(count: try length(width: 4), headBytes: 5, bytesPerElement: 2)
        default: throw .wrongKind
        }
    }

    /// Reads the head of an array: how many elements follow. Never more than the bytes that are left could hold.
    @inlinable
    package mutating func readArrayCount() throws(MessagePackError) -> Int {
        let head = try head()
        if head & 0xf0 == 0x90 { return try enter(count: Int(head & 0x0f), headBytes: 1, bytesPerElement: 1) }
        switch head {
        case 0xdc: return try enter(count: try length(width: 2), headBytes: 3, bytesPerElement: 1)
        case 0xdd: return try enter(count: try length(width: 4), headBytes: 5, bytesPerElement: 1)
        default: throw .wrongKind
        }
    }
}

// MARK: - Scalars

extension MessagePackReader {
    package mutating func readBool() throws(MessagePackError) -> Bool {
        switch try head() {
        case 0xc2:
            place &+= 1
            return false
        case 0xc3:
            place &+= 1
            return true
        default: throw .wrongKind
        }
    }

    /// Reads a whole number in any form that holds one: every integer width, or a float without a fraction.
    ///
    /// The official client writes whole numbers beyond 32 bits as floats (protocol.md 1.3). What has a fraction, is not
    /// finite or does not fit is ``MessagePackError/notAnInteger``.
    @inlinable
    package mutating func readInteger() throws(MessagePackError) -> Int64 {
        let head = try head()
        switch head {
        case 0x00...0x7f, 0xe0...0xff:
            place &+= 1
            return Int64(Int8(bitPattern: head))
        case 0xcc: return Int64(try fixed(UInt8.self))
        case 0xcd: return Int64(try fixed(UInt16.self))
        case 0xce: return Int64(try fixed(UInt32.self))
        case 0xd0: return Int64(try fixed(Int8.self))
        case 0xd1: return Int64(try fixed(Int16.self))
        case 0xd2: return Int64(try fixed(Int32.self))
        case 0xd3: return try fixed(Int64.self)
        case 0xcb, 0xca, 0xcf:
            let start = place
            let whole: Int64? =
                switch head {
                case 0xcb: Int64(whole: Double(bitPattern: try fixed(UInt64.self)))
                case 0xca: Int64(whole: Double(Float(bitPattern: try fixed(UInt32.self))))
                default: Int64(exactly: try fixed(UInt64.self))
                }
            guard let whole else {
                place = start
                throw .notAnInteger
            }
            return whole
        default: throw .wrongKind
        }
    }

    /// Reads an unsigned number of up to 64 bits; otherwise as ``readInteger()``.
    package mutating func readUnsigned() throws(MessagePackError) -> UInt64 {
        if try head() == 0xcf { return try fixed(UInt64.self) }
        let start = place
        guard let unsigned = UInt64(exactly: try readInteger()) else {
            place = start
            throw .notAnInteger
        }
        return unsigned
    }

    /// Reads any number as a double; integers beyond 2^53 are rounded, as JavaScript rounds them.
    package mutating func readDouble() throws(MessagePackError) -> Double {
        switch try head() {
        case 0xca: return Double(Float(bitPattern: try fixed(UInt32.self)))
        case 0xcb: return Double(bitPattern: try fixed(UInt64.self))
        case 0xcf: return Double(try fixed(UInt64.self))
        default: return Double(try readInteger())
        }
    }

    /// Reads a string and returns its bytes, whatever they hold; ``readText()`` is the checked way.
    @inlinable
    package mutating func readString() throws(MessagePackError) -> UnsafeRawBufferPointer {
        let head = try head()
        if head & 0xe0 == 0xa0 { return try view(count: Int(head & 0x1f), headBytes: 1) }
        switch head {
        case 0xd9: return try view(count: try length(width: 1), headBytes: 2)
        case 0xda: return try view(count: try length(width: 2), headBytes: 3)
        case 0xdb: return try view(count: try length(width: 4), headBytes: 5)
        default: throw .wrongKind
        }
    }

    /// Reads a string of at most 31 bytes, as names in the protocol are; `nil`, without moving, for anything else.
    @inlinable
    @inline(__always)
    package mutating func tryReadShortString() -> UnsafeRawBufferPointer? {
        guard place < bytes.count, bytes[place] & 0xe0 == 0xa0 else { return nil }
        let count = Int(bytes[place] & 0x1f)
        let start = place &+ 1
        guard count <= bytes.count &- start else { return nil }
        place = start &+ count
        return UnsafeRawBufferPointer(rebasing: bytes[start..<place])
    }

    /// Reads a string that must be well-formed UTF-8.
    package mutating func readText() throws(MessagePackError) -> UnsafeRawBufferPointer {
        let start = place
        let text = try readString()
        guard isUTF8(text) else {
            place = start
            throw .notUTF8
        }
        return text
    }

    package mutating func readBinary() throws(MessagePackError) -> UnsafeRawBufferPointer {
        switch try head() {
        case 0xc4: return try view(count: try length(width: 1), headBytes: 2)
        case 0xc5: return try view(count: try length(width: 2), headBytes: 3)
        case 0xc6: return try view(count: try length(width: 4), headBytes: 5)
        default: throw .wrongKind
        }
    }
}

// MARK: - Whole values

extension MessagePackReader {
    /// Steps over one value of any kind and returns its bytes.
    ///
    /// Iterative: nesting costs a word on a small fixed stack, never a call.
    /// - Parameter depthLimit: how many containers may lie inside each other; a scalar has none.
    @discardableResult
    package mutating func skipValue(
        depthLimit: Int = ModelLimits.valueDepthMax
    ) throws(MessagePackError) -> UnsafeRawBufferPointer {
        let start = place
        do throws(MessagePackError) {
            let inside = try stepOver()
            if inside > 0 { try stepOverContent(of: inside, depthLimit: depthLimit) }
        } catch {
            place = start
            throw error
        }
        return UnsafeRawBufferPointer(rebasing: bytes[start..<place])
    }

    /// Steps over one value however deep it nests, without a stack: for what nobody is going to look into.
    package mutating func skipValueOfAnyDepth() throws(MessagePackError) {
        let start = place
        do throws(MessagePackError) {
            var left = 1
            while left > 0 {
                // Every value still to come takes a byte at least; this also keeps the count from growing without bound.
                guard left <= remaining else { throw .truncated }
                left &+= try stepOver() &- 1
            }
        } catch {
            place = start
            throw error
        }
    }

    private mutating func stepOverContent(of count: Int, depthLimit: Int) throws(MessagePackError) {
        guard depthLimit > 0 else { throw .tooDeep }
        // Holds, for each container around the innermost one, how many of its values are still to come.
        try withUnsafeTemporaryAllocation(of: Int.self, capacity: depthLimit) {
            (outer: UnsafeMutableBufferPointer<Int>) throws(MessagePackError) in
            var depth = 0
            var left = count
            while true {
                while left > 0 {
                    left &-= 1
                    let inside = try stepOver()
                    if inside > 0 {
                        outer[depth] = left
                        depth &+= 1
                        guard depth < depthLimit else { throw .tooDeep }
                        left = inside
                    }
                }
                guard depth > 0 else { return }
                depth &-= 1
                left = outer[depth]
            }
        }
    }

    /// Steps over a scalar, or over the head of a container; returns how many values lie inside.
    private mutating func stepOver() throws(MessagePackError) -> Int {
        let head = try head()
        switch head {
        case 0x00...0x7f, 0xe0...0xff, 0xc0, 0xc2, 0xc3: place &+= 1
        case 0xa0...0xbf: try skip(1 &+ Int(head & 0x1f))
        case 0x80...0x8f, 0xde, 0xdf: return try readMapCount() &* 2
        case 0x90...0x9f, 0xdc, 0xdd: return try readArrayCount()
        case 0xcc, 0xd0: try skip(2)
        case 0xcd, 0xd1, 0xd4: try skip(3)
        case 0xd5: try skip(4)
        case 0xce, 0xd2, 0xca: try skip(5)
        case 0xd6: try skip(6)
        case 0xcf, 0xd3, 0xcb: try skip(9)
        case 0xd7: try skip(10)
        case 0xd8: try skip(18)
        case 0xc4, 0xd9: _ = try view(count: try length(width: 1), headBytes: 2)
        case 0xc5, 0xda: _ = try view(count: try length(width: 2), headBytes: 3)
        case 0xc6, 0xdb: _ = try view(count: try length(width: 4), headBytes: 5)
        case 0xc7: _ = try view(count: try length(width: 1), headBytes: 3)
        case 0xc8: _ = try view(count: try length(width: 2), headBytes: 4)
        case 0xc9: _ = try view(count: try length(width: 4), headBytes: 6)
        default: throw .reserved
        }
        return 0
    }
}

// MARK: - Steps

extension MessagePackReader {
    @inlinable
    @inline(__always)
    func head() throws(MessagePackError) -> UInt8 {
        guard place < bytes.count else { throw .truncated }
        return bytes[place]
    }

    @inlinable
    @inline(__always)
    mutating func skip(_ count: Int) throws(MessagePackError) {
        guard count <= remaining else { throw .truncated }
        place &+= count
    }

    /// The big-endian length of `width` bytes behind the head; never negative and never more than there are bytes.
    @inlinable
    @inline(__always)
    func length(width: Int) throws(MessagePackError) -> Int {
        guard remaining > width else { throw .truncated }
        let start = place &+ 1
        let declared: UInt32 =
            switch width {
            case 1: UInt32(bytes[start])
            case 2: UInt32(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt16.self)))
            default: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self))
            }
        // Where `Int` has 32 bits the largest lengths turn negative.
        let length = Int(truncatingIfNeeded: declared)
        guard length >= 0, length <= bytes.count else { throw .truncated }
        return length
    }

    /// Steps over the head of a container and checks that its elements can be there at all.
    @inlinable
    @inline(__always)
    mutating func enter(count: Int, headBytes: Int, bytesPerElement: Int) throws(MessagePackError) -> Int {
        guard count <= (remaining &- headBytes) / bytesPerElement else { throw .truncated }
        place &+= headBytes
        return count
    }

    /// Steps over a head and the `count` bytes behind it, which are returned.
    @inlinable
    @inline(__always)
    mutating func view(count: Int, headBytes: Int) throws(MessagePackError) -> UnsafeRawBufferPointer {
        guard count <= remaining &- headBytes else { throw .truncated }
        let start = place &+ headBytes
        place = start &+ count
        return UnsafeRawBufferPointer(rebasing: bytes[start..<place])
    }

    @inlinable
    @inline(__always)
    mutating func fixed<Number: FixedWidthInteger>(_: Number.Type) throws(MessagePackError) -> Number {
        let width = MemoryLayout<Number>.size
        guard remaining > width else { throw .truncated }
        let number = bytes.loadUnaligned(fromByteOffset: place &+ 1, as: Number.self)
        place &+= 1 &+ width
        return Number(bigEndian: number)
    }
}

extension Int64 {
    /// The same number, if it is whole and fits. Unlike `init(exactly:)` it needs no rounding function of the C library,
    /// which a browser does not have.
    @inlinable
    @inline(__always)
    package init?(whole number: Double) {
        guard number >= -0x1p63, number < 0x1p63 else { return nil }
        let integer = Int64(number)
        guard Double(integer) == number else { return nil }
        self = integer
    }
}
