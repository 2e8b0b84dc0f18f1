/// One MessagePack value as it lies in the bytes of a ``Payload``: a scalar decoded, a text or container as a view.
///
/// The views are valid as long as the bytes they were read from.
package enum PayloadValue {
    case null
    case bool(Bool)
    case number(PayloadNumber)
    case string(UnsafeRawBufferPointer)
    case binary(UnsafeRawBufferPointer)
    /// The elements, one after another.
    case array(PayloadElements)
    /// Keys and values in turn.
    case map(PayloadElements)
    case extended(type: Int8, UnsafeRawBufferPointer)

    /// The value that the bytes start with; `nil` if they hold no whole value.
    package init?(_ bytes: UnsafeRawBufferPointer) {
        var reader = PayloadReader(bytes)
        guard let value = reader.read() else { return nil }
        self = value
    }
}

/// The content of an array or a map, still encoded.
package struct PayloadElements {
    /// How many elements, or key and value pairs, there are.
    package let count: Int
    /// Exactly the bytes of the elements.
    package let bytes: UnsafeRawBufferPointer
}

/// Reads MessagePack values where they lie, without copying, throwing or recursion.
///
/// For bytes that were checked when they came in (payloads); what is malformed all the same ends the reading with
/// `nil` and never traps. Every step checks the length that it was told against the bytes that are there.
package struct PayloadReader {
    private let base: UnsafeRawPointer?
    private let count: Int
    package private(set) var offset = 0

    package init(_ bytes: UnsafeRawBufferPointer) {
        base = bytes.baseAddress
        count = bytes.count
    }

    package var isAtEnd: Bool { offset >= count }

    /// The next value; the reader then stands behind it, containers included.
    package mutating func read() -> PayloadValue? {
        guard let header = header() else { return nil }
        switch header {
        case .null: return .null
        case .bool(let bool): return .bool(bool)
        case .number(let number): return .number(number)
        case .string(let length): return take(length).map { .string($0) }
        case .binary(let length): return take(length).map { .binary($0) }
        case .extended(let type, let length): return take(length).map { .extended(type: type, $0) }
        case .array(let elements):
            return skip(UInt64(elements)).map { .array(PayloadElements(count: Int($0.count), bytes: $0.bytes)) }
        case .map(let pairs):
            return skip(UInt64(pairs) * 2).map { .map(PayloadElements(count: Int($0.count / 2), bytes: $0.bytes)) }
        }
    }

    /// The bytes of the next value; the reader then stands behind it.
    package mutating func skipValue() -> UnsafeRawBufferPointer? {
        guard let length = lengthOfScalar() else { return skip(1)?.bytes }
        return take(length)
    }

    /// The next value if it is a text, else `nil`; the reader then stands behind it either way.
    @inline(__always)
    package mutating func readString() -> UnsafeRawBufferPointer? {
        guard offset < count, let base else { return nil }
        // Short texts, which nearly all names are, have their length in the first byte.
        let first = base.load(fromByteOffset: offset, as: UInt8.self)
        if first & 0xe0 == 0xa0 {
            offset &+= 1
            return take(UInt32(first & 0x1f))
        }
        guard case .string(let text)? = read() else { return nil }
        return text
    }

    /// Steps into a map and tells how many pairs follow; `nil`, and nothing moves, if no map stands here.
    package mutating func enterMap() -> Int? {
        let start = offset
        guard case .map(let pairs)? = header(), UInt64(pairs) * 2 <= UInt64(count - offset) else {
            offset = start
            return nil
        }
        return Int(truncatingIfNeeded: pairs)
    }

    /// The bytes under a name in a map; of a name that occurs twice the last. `nil` if the bytes are no map.
    package static func member(_ name: UnsafeRawBufferPointer, of map: UnsafeRawBufferPointer)
        -> UnsafeRawBufferPointer?
    {
        var reader = PayloadReader(map)
        guard let count = reader.enterMap() else { return nil }
        var found: UnsafeRawBufferPointer?
        for _ in 0..<count {
            let key = reader.readString()
            guard let value = reader.skipValue() else { break }
            if let key, key.count == name.count, VersionOrder.equal(key, name) { found = value }
        }
        return found
    }

    // MARK: Steps

    private enum Header {
        case null
        case bool(Bool)
        case number(PayloadNumber)
        case string(UInt32)
        case binary(UInt32)
        case extended(Int8, UInt32)
        case array(UInt32)
        case map(UInt32)
    }

    /// How long the next value is if its first byte, or for a text the second, tells; `nil` says nothing.
    @inline(__always)
    private func lengthOfScalar() -> UInt32? {
        guard offset < count, let base else { return nil }
        let first = base.load(fromByteOffset: offset, as: UInt8.self)
        switch first {
        case 0x00...0x7f, 0xc0, 0xc2, 0xc3, 0xe0...0xff: return 1
        case 0xa0...0xbf: return UInt32(first & 0x1f) &+ 1
        case 0xcc, 0xd0: return 2
        case 0xcd, 0xd1: return 3
        case 0xca, 0xce, 0xd2: return 5
        case 0xcb, 0xcf, 0xd3: return 9
        case 0xd9 where offset &+ 1 < count:
            return UInt32(base.load(fromByteOffset: offset &+ 1, as: UInt8.self)) &+ 2
        default: return nil
        }
    }

    /// Walks over that many values, containers with their content.
    private mutating func skip(_ values: UInt64) -> (count: UInt64, bytes: UnsafeRawBufferPointer)? {
        let start = offset
        var pending = values
        while pending > 0 {
            // Each value takes at least one byte, which also keeps the sum of lying lengths from overflowing.
            guard pending <= UInt64(count - offset), let header = header() else { return nil }
            pending -= 1
            switch header {
            case .null, .bool, .number: break
            case .string(let length), .binary(let length), .extended(_, let length):
                guard take(length) != nil else { return nil }
            case .array(let elements): pending += UInt64(elements)
            case .map(let pairs): pending += UInt64(pairs) * 2
            }
        }
        return (values, UnsafeRawBufferPointer(start: base.map { $0 + start }, count: offset - start))
    }

    @inline(__always)
    private mutating func take(_ length: UInt32) -> UnsafeRawBufferPointer? {
        guard UInt64(length) <= UInt64(truncatingIfNeeded: count &- offset), let base else { return nil }
        let bytes = UnsafeRawBufferPointer(start: base + offset, count: Int(truncatingIfNeeded: length))
        offset &+= bytes.count
        return bytes
    }

    private mutating func load<Number: FixedWidthInteger>(_: Number.Type) -> Number? {
        guard MemoryLayout<Number>.size <= count - offset, let base else { return nil }
        defer { offset += MemoryLayout<Number>.size }
        return Number(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    private mutating func header() -> Header? {
        guard let first = load(UInt8.self) else { return nil }
        switch first {
        case 0x00...0x7f: return .number(.integer(Int64(first)))
        case 0x80...0x8f: return .map(UInt32(first & 0x0f))
        case 0x90...0x9f: return .array(UInt32(first & 0x0f))
        case 0xa0...0xbf: return .string(UInt32(first & 0x1f))
        case 0xc0: return .null
        case 0xc2: return .bool(false)
        case 0xc3: return .bool(true)
        case 0xc4: return load(UInt8.self).map { .binary(UInt32($0)) }
        case 0xc5: return load(UInt16.self).map { .binary(UInt32($0)) }
        case 0xc6: return load(UInt32.self).map { .binary($0) }
        case 0xc7: return extended(load(UInt8.self).map { UInt32($0) })
        case 0xc8: return extended(load(UInt16.self).map { UInt32($0) })
        case 0xc9: return extended(load(UInt32.self))
        case 0xca: return load(UInt32.self).map { .number(.double(Double(Float(bitPattern: $0)))) }
        case 0xcb: return load(UInt64.self).map { .number(.double(Double(bitPattern: $0))) }
        case 0xcc: return load(UInt8.self).map { .number(.integer(Int64($0))) }
        case 0xcd: return load(UInt16.self).map { .number(.integer(Int64($0))) }
        case 0xce: return load(UInt32.self).map { .number(.integer(Int64($0))) }
        case 0xcf: return load(UInt64.self).map { .number(PayloadNumber($0)) }
        case 0xd0: return load(Int8.self).map { .number(.integer(Int64($0))) }
        case 0xd1: return load(Int16.self).map { .number(.integer(Int64($0))) }
        case 0xd2: return load(Int32.self).map { .number(.integer(Int64($0))) }
        case 0xd3: return load(Int64.self).map { .number(.integer($0)) }
        case 0xd4...0xd8: return extended(1 << UInt32(first - 0xd4))
        case 0xd9: return load(UInt8.self).map { .string(UInt32($0)) }
        case 0xda: return load(UInt16.self).map { .string(UInt32($0)) }
        case 0xdb: return load(UInt32.self).map { .string($0) }
        case 0xdc: return load(UInt16.self).map { .array(UInt32($0)) }
        case 0xdd: return load(UInt32.self).map { .array($0) }
        case 0xde: return load(UInt16.self).map { .map(UInt32($0)) }
        case 0xdf: return load(UInt32.self).map { .map($0) }
        case 0xe0...0xff: return .number(.integer(Int64(Int8(bitPattern: first))))
        default: return nil
        }
    }

    private mutating func extended(_ length: UInt32?) -> Header? {
        guard let length, let type = load(Int8.self) else { return nil }
        return .extended(type, length)
    }
}
