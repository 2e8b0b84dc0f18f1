/// Writes MessagePack into a ``ByteSink``, every head in its shortest form.
///
/// A map or array is written head first; the caller then writes as many values as it announced. A trivial struct: make
/// one wherever it is needed.
package struct MessagePackWriter {
    package let sink: ByteSink

    package init(_ sink: ByteSink) {
        self.sink = sink
    }
}

// MARK: - Scalars

extension MessagePackWriter {
    package func writeNil() {
        put(0xc0)
    }

    package func write(_ flag: Bool) {
        put(flag ? 0xc3 : 0xc2)
    }

    package func write(_ number: Int64) {
        if number >= 0 { return write(UInt64(bitPattern: number)) }
        switch number {
        case -0x20...(-1): put(UInt8(truncatingIfNeeded: number))
        case -0x80...(-0x21): put(0xd0, Int8(truncatingIfNeeded: number))
        case -0x8000...(-0x81): put(0xd1, Int16(truncatingIfNeeded: number))
        case -0x8000_0000...(-0x8001): put(0xd2, Int32(truncatingIfNeeded: number))
        default: put(0xd3, number)
        }
    }

    package func write(_ number: UInt64) {
        switch number {
        case 0...0x7f: put(UInt8(truncatingIfNeeded: number))
        case 0x80...0xff: put(0xcc, UInt8(truncatingIfNeeded: number))
        case 0x100...0xffff: put(0xcd, UInt16(truncatingIfNeeded: number))
        case 0x1_0000...0xffff_ffff: put(0xce, UInt32(truncatingIfNeeded: number))
        default: put(0xcf, number)
        }
    }

    package func write(unsigned number: UInt64) { write(number) }
    package func write(_ number: Int) { write(Int64(number)) }
    package func write(_ number: UInt32) { write(UInt64(number)) }

    /// Writes a `float64`, whatever the number.
    package func write(_ number: Double) {
        put(0xcb, number.bitPattern)
    }

    /// Writes a `float32`.
    package func write(_ number: Float) {
        put(0xca, number.bitPattern)
    }

    /// Writes a number as protocol fields carry it: an integer where it is whole and JavaScript can hold it, otherwise a
    /// `float64`. Negative zero stays a float.
    package func write(number: Double) {
        if let whole = Int64(whole: number), whole.magnitude <= UInt64(ModelLimits.millisMax),
            whole != 0 || number.sign == .plus
        {
            write(whole)
        } else {
            write(number)
        }
    }
}

// MARK: - Text and bytes

extension MessagePackWriter {
    package func writeString(_ utf8: UnsafeRawBufferPointer) {
        writeStringHead(utf8.count)
        sink.append(utf8)
    }

    package func write(_ text: ByteString) {
        text.bytes.withUnsafeBytes { writeString($0) }
    }

    package func write(_ text: StaticString) {
        writeString(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    package func write(_ text: String) {
        var text = text
        text.withUTF8 { writeString(UnsafeRawBufferPointer($0)) }
    }

    package func writeStringHead(_ count: Int) {
        switch count {
        case 0...0x1f: put(0xa0 | UInt8(truncatingIfNeeded: count))
        case 0x20...0xff: put(0xd9, UInt8(truncatingIfNeeded: count))
        case 0x100...0xffff: put(0xda, UInt16(truncatingIfNeeded: count))
        default: put(0xdb, UInt32(truncatingIfNeeded: count))
        }
    }

    package func writeBinary(_ bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 0...0xff: put(0xc4, UInt8(truncatingIfNeeded: bytes.count))
        case 0x100...0xffff: put(0xc5, UInt16(truncatingIfNeeded: bytes.count))
        default: put(0xc6, UInt32(truncatingIfNeeded: bytes.count))
        }
        sink.append(bytes)
    }

    /// Copies bytes that are MessagePack already.
    package func writeRaw(_ encoded: UnsafeRawBufferPointer) {
        sink.append(encoded)
    }

    package func write(_ payload: Payload) {
        payload.bytes.withUnsafeBytes { sink.append($0) }
    }
}

// MARK: - Containers

extension MessagePackWriter {
    /// Opens a map of `count` pairs.
    package func writeMapHead(_ count: Int) {
        switch count {
        case 0...0xf: put(0x80 | UInt8(truncatingIfNeeded: count))
        case 0x10...0xffff: put(0xde, UInt16(truncatingIfNeeded: count))
        default: put(0xdf, UInt32(truncatingIfNeeded: count))
        }
    }

    /// Opens an array of `count` elements.
    package func writeArrayHead(_ count: Int) {
        switch count {
        case 0...0xf: put(0x90 | UInt8(truncatingIfNeeded: count))
        case 0x10...0xffff: put(0xdc, UInt16(truncatingIfNeeded: count))
        default: put(0xdd, UInt32(truncatingIfNeeded: count))
        }
    }
}

// MARK: - Steps

extension MessagePackWriter {
    @inline(__always)
    private func put(_ byte: UInt8) {
        sink.reserve(1).storeBytes(of: byte, as: UInt8.self)
        sink.advance(by: 1)
    }

    @inline(__always)
    private func put<Number: FixedWidthInteger>(_ head: UInt8, _ number: Number) {
        let width = MemoryLayout<Number>.size
        let place = sink.reserve(1 &+ width)
        place.storeBytes(of: head, as: UInt8.self)
        (place + 1).storeBytes(of: number.bigEndian, as: Number.self)
        sink.advance(by: 1 &+ width)
    }
}
