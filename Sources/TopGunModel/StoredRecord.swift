/// One record in the form that logs, checkpoints and replicas share, as views over its bytes.
///
/// ```
///  u8  kind        u8  name-space length   u16 map length    u32 key length
///  u32 value length          u16 node length      u16 tail length
///  i64 millis                u32 counter          i64 ttl (ms, 0 = none)
///  name space, map, key, node, value, tail
/// ```
///
/// All numbers are little-endian. The tail is a run of tagged fields, each `u8 tag, u16 length, bytes`; tags that this
/// version does not know are kept, stored and forwarded as they are.
package struct StoredRecord {
    package enum Kind: UInt8, Sendable {
        case lww = 1
        case orAdd = 2
        case orRemove = 3
        case counter = 4
        /// The highest stamp this node may hand out before the next such record is on disk.
        case clockBound = 5
    }

    /// Tags of the tail.
    package enum Tag: UInt8, Sendable {
        /// The stamp the client sent, where the server had to assign another: `i64 millis, u32 counter, node`.
        case originStamp = 1
        case operationID = 2
        case fencingToken = 3
        case policyVersion = 4
        case schemaVersion = 5
        case orTag = 6
    }

    package var kind: Kind
    package var nameSpace: UnsafeRawBufferPointer
    package var map: UnsafeRawBufferPointer
    package var key: UnsafeRawBufferPointer
    package var node: UnsafeRawBufferPointer
    package var millis: Int64
    package var counter: UInt32
    package var ttlMillis: Int64
    package var value: UnsafeRawBufferPointer
    package var tail: UnsafeRawBufferPointer

    package static let headerBytes = 36

    package init(
        kind: Kind, nameSpace: UnsafeRawBufferPointer, map: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer,
        node: UnsafeRawBufferPointer, millis: Int64, counter: UInt32, ttlMillis: Int64, value: UnsafeRawBufferPointer,
        tail: UnsafeRawBufferPointer
    ) {
        self.kind = kind
        self.nameSpace = nameSpace
        self.map = map
        self.key = key
        self.node = node
        self.millis = millis
        self.counter = counter
        self.ttlMillis = ttlMillis
        self.value = value
        self.tail = tail
    }

    package var encodedBytes: Int {
        Self.headerBytes + nameSpace.count + map.count + key.count + node.count + value.count + tail.count
    }
}

// MARK: - Bytes

extension StoredRecord {
    /// Appends the record; the lengths must fit their fields, which the limits on names and values see to.
    package func append(to sink: ByteSink) {
        let total = encodedBytes
        var cursor = sink.reserve(total)
        cursor.storeBytes(of: kind.rawValue, as: UInt8.self)
        cursor.storeBytes(of: UInt8(nameSpace.count), toByteOffset: 1, as: UInt8.self)
        cursor.storeBytes(of: UInt16(map.count).littleEndian, toByteOffset: 2, as: UInt16.self)
        cursor.storeBytes(of: UInt32(key.count).littleEndian, toByteOffset: 4, as: UInt32.self)
        cursor.storeBytes(of: UInt32(value.count).littleEndian, toByteOffset: 8, as: UInt32.self)
        cursor.storeBytes(of: UInt16(node.count).littleEndian, toByteOffset: 12, as: UInt16.self)
        cursor.storeBytes(of: UInt16(tail.count).littleEndian, toByteOffset: 14, as: UInt16.self)
        cursor.storeBytes(of: millis.littleEndian, toByteOffset: 16, as: Int64.self)
        cursor.storeBytes(of: counter.littleEndian, toByteOffset: 24, as: UInt32.self)
        cursor.storeBytes(of: ttlMillis.littleEndian, toByteOffset: 28, as: Int64.self)
        cursor += Self.headerBytes
        func copy(_ part: UnsafeRawBufferPointer) {
            guard let source = part.baseAddress, part.count > 0 else { return }
            cursor.copyMemory(from: source, byteCount: part.count)
            cursor += part.count
        }
        copy(nameSpace)
        copy(map)
        copy(key)
        copy(node)
        copy(value)
        copy(tail)
        sink.advance(by: total)
    }

    /// Reads the record that starts at `offset` and moves `offset` behind it; `nil` if the bytes are no whole record.
    package init?(in bytes: UnsafeRawBufferPointer, at offset: inout Int) {
        guard offset >= 0, bytes.count - offset >= Self.headerBytes else { return nil }
        let header = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        guard let kind = Kind(rawValue: header[0]) else { return nil }
        let nameSpaceCount = Int(header[1])
        let mapCount = Int(UInt16(littleEndian: header.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
        let keyCount = Int(
            truncatingIfNeeded: UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
        let valueCount = Int(
            truncatingIfNeeded: UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        let nodeCount = Int(UInt16(littleEndian: header.loadUnaligned(fromByteOffset: 12, as: UInt16.self)))
        let tailCount = Int(UInt16(littleEndian: header.loadUnaligned(fromByteOffset: 14, as: UInt16.self)))
        var remaining = header.count - Self.headerBytes
        // One at a time, so that no sum can overflow where `Int` has 32 bits.
        func fits(_ part: Int) -> Bool {
            guard part >= 0, part <= remaining else { return false }
            remaining -= part
            return true
        }
        guard fits(nameSpaceCount), fits(mapCount), fits(keyCount), fits(nodeCount), fits(valueCount), fits(tailCount)
        else { return nil }
        var start = Self.headerBytes
        func take(_ count: Int) -> UnsafeRawBufferPointer {
            defer { start += count }
            return UnsafeRawBufferPointer(rebasing: header[start..<start + count])
        }
        let (nameSpace, map, key) = (take(nameSpaceCount), take(mapCount), take(keyCount))
        let (node, value, tail) = (take(nodeCount), take(valueCount), take(tailCount))
        self.init(
            kind: kind, nameSpace: nameSpace, map: map, key: key, node: node,
            millis: Int64(littleEndian: header.loadUnaligned(fromByteOffset: 16, as: Int64.self)),
            counter: UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 24, as: UInt32.self)),
            ttlMillis: Int64(littleEndian: header.loadUnaligned(fromByteOffset: 28, as: Int64.self)),
            value: value, tail: tail)
        offset += start
    }
}
