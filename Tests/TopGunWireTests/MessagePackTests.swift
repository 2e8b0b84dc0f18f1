import GoldenVectors
import Testing
import TopGunModel

/// The codec below everything.
struct MessagePackTests {
    private func read<Value>(
        _ bytes: [UInt8], _ body: (inout MessagePackReader) throws(MessagePackError) -> Value
    ) throws(MessagePackError) -> Value {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { memory.deallocate() }
        memory.copyBytes(from: bytes)
        var reader = MessagePackReader(UnsafeRawBufferPointer(memory))
        return try body(&reader)
    }

    private func written(_ body: (MessagePackWriter) -> Void) -> [UInt8] {
        let sink = ByteSink()
        body(MessagePackWriter(sink))
        return Array(sink.bytes)
    }

    /// Every power of two and its neighbours.
    private var edges: [Int64] {
        var edges: [Int64] = [.max, .min]
        for bit in 0..<63 {
            let power: Int64 = 1 << Int64(bit)
            edges += [power - 1, power, -power, -power - 1]
        }
        return edges
    }

    @Test func `integers at every limit come back, in the shortest form, M07`() throws {
        for number in edges {
            let bytes = written { $0.write(number) }
            #expect(try read(bytes) { (reader) throws(MessagePackError) in try reader.readInteger() } == number)
            #expect(bytes.count == shortest(number), "\(number)")
        }
    }

    private func shortest(_ number: Int64) -> Int {
        switch number {
        case -32..<128: 1
        case -128..<256: 2
        case -32768..<65536: 3
        case -(1 << 31)..<(1 << 32): 5
        default: 9
        }
    }

    @Test func `whole floats are integers and others are not, M07`() throws {
        let cases: [(Double, Int64?)] = [
            (0, 0), (-0.0, 0), (1.7e12, 1_700_000_000_000), (-5, -5), (0x1p62, 1 << 62), (-0x1p63, .min),
            (0x1p63, nil), (0.5, nil), (1e300, nil), (.nan, nil), (.infinity, nil), (-.infinity, nil),
            (.leastNonzeroMagnitude, nil),
        ]
        for (double, number) in cases {
            let bytes = written { $0.write(double) }
            if let number {
                #expect(try read(bytes) { (reader) throws(MessagePackError) in try reader.readInteger() } == number)
            } else {
                #expect(throws: MessagePackError.notAnInteger) {
                    try read(bytes) { (reader) throws(MessagePackError) in try reader.readInteger() }
                }
            }
        }
        #expect(
            try read([0xca, 0x40, 0xa0, 0, 0]) { (reader) throws(MessagePackError) in try reader.readInteger() } == 5)
        let large: [UInt8] = [0xcf, 0x80, 0, 0, 0, 0, 0, 0, 0]
        #expect(throws: MessagePackError.notAnInteger) {
            try read(large) { (reader) throws(MessagePackError) in try reader.readInteger() }
        }
        #expect(try read(large) { (reader) throws(MessagePackError) in try reader.readUnsigned() } == 1 << 63)
    }

    @Test func `a read that fails leaves the cursor where it was`() throws {
        for bytes in [[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], [0xa2, 0x61], [0x92, 0x01], [0xc1]] as [[UInt8]] {
            try read(bytes) { (reader) throws(MessagePackError) in
                #expect(throws: MessagePackError.self) { try reader.readInteger() }
                #expect(throws: MessagePackError.self) { try reader.readMapCount() }
                #expect(throws: MessagePackError.self) { try reader.readText() }
                #expect(reader.offset == 0)
            }
        }
    }

    @Test func `a value is stepped over in every form, and cut short in none`() throws {
        let bodies: [UInt8: Int] = [
            0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4, 0xd9: 1, 0xda: 2, 0xdb: 4,
        ]
        for head in UInt8.min...UInt8.max {
            var bytes: [UInt8] = [head]
            if let width = bodies[head] {
                bytes += [UInt8](repeating: 0, count: width - 1) + [3]
            } else if head >= 0xdc, head <= 0xdf {
                bytes += [UInt8](repeating: 0, count: head % 2 == 0 ? 1 : 3) + [3]
            }
            bytes += [UInt8](repeating: 0, count: 40)
            guard head != 0xc1 else {
                #expect(throws: MessagePackError.reserved) { try skip(bytes) }
                continue
            }
            let length = try skip(bytes)
            #expect(try skip(Array(bytes.prefix(length))) == length)
            for cut in 0..<length { #expect(throws: MessagePackError.truncated) { try skip(Array(bytes.prefix(cut))) } }
        }
    }

    private func skip(_ bytes: [UInt8]) throws(MessagePackError) -> Int {
        try read(bytes) { (reader) throws(MessagePackError) in
            let length = try reader.skipValue().count
            var other = MessagePackReader(reader.bytes)
            try other.skipValueOfAnyDepth()
            #expect(other.offset == length)
            return length
        }
    }

    @Test func `depth is limited exactly`() throws {
        for depth in 0...3 {
            let bytes = [UInt8](repeating: 0x91, count: depth) + [0x01]
            #expect(
                try read(bytes) { (reader) throws(MessagePackError) in try reader.skipValue(depthLimit: depth).count }
                    == depth + 1)
            guard depth > 0 else { continue }
            #expect(throws: MessagePackError.tooDeep) {
                try read(bytes) { (reader) throws(MessagePackError) in try reader.skipValue(depthLimit: depth - 1) }
            }
        }
    }

    @Test func `UTF-8 is judged as the standard library judges it, M08`() {
        let seed: UInt64 = 0x5eed_0002
        var generator = SeededGenerator(state: seed)
        let interesting: [UInt8] = [
            0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4,
            0xf5, 0xff,
        ]
        for _ in 0..<200_000 {
            let bytes = (0..<Int.random(in: 0...12, using: &generator)).map { _ in
                interesting.randomElement(using: &generator) ?? 0
            }
            let isValid = bytes.withUnsafeBytes { isUTF8($0) }
            #expect(isValid == (String(validating: bytes, as: UTF8.self) != nil), "\(bytes), seed \(seed)")
        }
    }

    @Test func `numbers of protocol fields are integers where JavaScript holds them`() {
        #expect(written { $0.write(number: 5) } == [5])
        #expect(written { $0.write(number: -0.0) }.first == 0xcb)
        #expect(written { $0.write(number: 0.5) }.first == 0xcb)
        #expect(written { $0.write(number: 9_007_199_254_740_991) }.first == 0xcf)
        #expect(written { $0.write(number: 9_007_199_254_740_992) }.first == 0xcb)
        #expect(written { $0.write(number: .nan) }.first == 0xcb)
    }
}
