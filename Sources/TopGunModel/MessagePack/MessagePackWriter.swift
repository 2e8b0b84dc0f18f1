/// Writes MessagePack into a ``ByteSink``, every value in its shortest form.
///
/// Maps and arrays are written head first: the caller then writes as many values as it announced.
package struct MessagePackWriter {
    package let sink: ByteSink

    package init(_ sink: ByteSink) {
        self.sink = sink
    }

    package func writeNil() {
        byte(0xc0)
    }

    package func write(_ flag: Bool) {
        byte(flag ? 0xc3 : 0xc2)
    }

    package func write(_ number: Int64) {
        switch number {
        case 0...0x7f: byte(UInt8(truncatingIfNeeded: number))
        case -32..<0: byte(UInt8(bitPattern: Int8(truncatingIfNeeded: number)))
        case 0...0xff: head(0xcc, UInt8(truncatingIfNeeded: number))
        case 0...0xffff: head(0xcd, UInt16(truncatingIfNeeded: number))
        case 0...0xffff_ffff: head(0xce, UInt32(truncatingIfNeeded: number))
        case 0...: head(0xcf, UInt64(bitPattern: number))
        case -0x80..<0: head(0xd0, Int8(truncatingIfNeeded: number))
        case -0x8000..<0: head(0xd1, Int16(truncatingIfNeeded: number))
        case -0x8000_0000..<0: head(0xd2, Int32(truncatingIfNeeded: number))
        default: head(0xd3, number)
        }
    }

    package func write(unsigned number: UInt64) {
        if let signed = Int64(exactly: number) { write(signed) } else { head(0xcf, number) }
    }

    /// Writes a float64, whatever the number.
    package func write(_ number: Double) {
        head(0xcb, number.bitPattern)
    }

    package func writeString(_ bytes: UnsafeRawBufferPointer) {
        writeStringHead(bytes.count)
        sink.append(bytes)
    }

    package func write(_ text: ByteString) {
        text.bytes.withUnsafeBytes { writeString($0) }
    }

    package func write(_ text: StaticString) {
        writeString(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    package func writeStringHead(_ count: Int) {
        switch count {
        case 0..<32: byte(0xa0 | UInt8(truncatingIfNeeded: count))
        case 0...0xff: head(0xd9, UInt8(truncatingIfNeeded: count))
        case 0...0xffff: head(0xda, UInt16(truncatingIfNeeded: count))
        default: head(0xdb, UInt32(truncatingIfNeeded: count))
        }
    }

    package func writeBinary(_ bytes: UnsafeRawBufferPointer) {
        switch bytes.count {
        case 0...0xff: head(0xc4, UInt8(truncatingIfNeeded: bytes.count))
        case 0...0xffff: head(0xc5, UInt16(truncatingIfNeeded: bytes.count))
        default: head(0xc6, UInt32(truncatingIfNeeded: bytes.count))
        }
        sink.append(bytes)
    }

    package func writeMapHead(_ count: Int) {
        switch count {
        case 0..<16: byte(0x80 | UInt8(truncatingIfNeeded: count))
        case 0...0xffff: head(0xde, UInt16(truncatingIfNeeded: count))
        default: head(0xdf, UInt32(truncatingIfNeeded: count))
        }
    }

    package func writeArrayHead(_ count: Int) {
        switch count {
        case 0..<16: byte(0x90 | UInt8(truncatingIfNeeded: count))
        case 0...0xffff: head(0xdc, UInt16(truncatingIfNeeded: count))
        default: head(0xdd, UInt32(truncatingIfNeeded: count))
        }
    }

    /// Writes bytes that are MessagePack already.
    package func writeRaw(_ bytes: UnsafeRawBufferPointer) {
        sink.append(bytes)
    }

    package func write(_ payload: Payload) {
        payload.bytes.withUnsafeBytes { sink.append($0) }
    }

    private func byte(_ value: UInt8) {
        sink.reserve(1).storeBytes(of: value, as: UInt8.self)
        sink.advance(by: 1)
    }

    private func head<Number: FixedWidthInteger>(_ lead: UInt8, _ number: Number) {
        let width = MemoryLayout<Number>.size
        let place = sink.reserve(1 + width)
        place.storeBytes(of: lead, as: UInt8.self)
        (place + 1).storeBytes(of: number.bigEndian, as: Number.self)
        sink.advance(by: 1 + width)
    }
}
