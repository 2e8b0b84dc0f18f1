import TopGunModel

/// The vector of a search: `float32` components.
///
/// Read from all three forms that exist: bytes, the index-keyed map of bytes that the official client makes of them, and
/// a list of numbers (protocol.md 7.8). Written as bytes, little-endian.
package struct QueryVector: Hashable, Sendable {
    package var components: [Float]

    package init(components: [Float]) {
        self.components = components
    }
}

extension QueryVector {
    init(_ raw: UnsafeRawBufferPointer, field: StaticString) throws(WireError) {
        var reader = MessagePackReader(raw)
        do throws(MessagePackError) {
            switch try reader.peekKind() {
            case .binary: try self.init(bytes: Array(try reader.readBinary()))
            case .map: try self.init(bytes: Self.indexedBytes(&reader))
            case .array: try self.init(components: Self.numbers(&reader))
            case .null, .bool, .integer, .float, .string, .extension: throw .wrongKind
            }
        } catch {
            throw WireError(error, field: field)
        }
    }

    private init(bytes: [UInt8]) throws(MessagePackError) {
        guard bytes.count % 4 == 0, bytes.count / 4 <= WireLimits.vectorComponentsMax else { throw .wrongKind }
        components = []
        components.reserveCapacity(bytes.count / 4)
        bytes.withUnsafeBytes { bytes in
            var offset = 0
            while offset < bytes.count {
                let bits = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
                components.append(Float(bitPattern: UInt32(littleEndian: bits)))
                offset += 4
            }
        }
    }

    /// `{"0": b0, "1": b1, …}`, in any order, every index once.
    private static func indexedBytes(_ reader: inout MessagePackReader) throws(MessagePackError) -> [UInt8] {
        let count = try reader.readMapCount()
        guard count <= 4 * WireLimits.vectorComponentsMax else { throw .wrongKind }
        var bytes = [UInt8](repeating: 0, count: count)
        var seen = [Bool](repeating: false, count: count)
        for _ in 0..<count {
            guard let index = decimalNumber(try reader.readString()), index < UInt64(count) else { throw .wrongKind }
            guard let byte = UInt8(exactly: try reader.readInteger()) else { throw .notAnInteger }
            let place = Int(truncatingIfNeeded: index)
            guard !seen[place] else { throw .wrongKind }
            seen[place] = true
            bytes[place] = byte
        }
        return bytes
    }

    private static func numbers(_ reader: inout MessagePackReader) throws(MessagePackError) -> [Float] {
        let count = try reader.readArrayCount()
        guard count <= WireLimits.vectorComponentsMax else { throw .wrongKind }
        var numbers: [Float] = []
        numbers.reserveCapacity(count)
        for _ in 0..<count { numbers.append(Float(try reader.readDouble())) }
        return numbers
    }

    func write(to out: MessagePackWriter) {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(components.count * 4)
        for component in components {
            let bits = component.bitPattern
            for shift in [0, 8, 16, 24] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: bits >> shift)) }
        }
        bytes.withUnsafeBytes { out.writeBinary($0) }
    }
}

extension Fields {
    func optionalVector(_ name: StaticString) throws(WireError) -> QueryVector? {
        guard has(name), let raw = raw(name) else { return nil }
        return try QueryVector(raw, field: name)
    }
}

extension FieldWriter {
    mutating func vector(_ name: StaticString, _ vector: QueryVector?) {
        guard let vector else { return }
        value(name) { vector.write(to: $0) }
    }
}
