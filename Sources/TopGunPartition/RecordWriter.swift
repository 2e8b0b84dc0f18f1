import TopGunModel

/// Writes a record into the log on the way of every write: the bytes of ``StoredRecord/append(to:)``, without building
/// the views first. A test holds the two together.
enum RecordWriter {
    @inline(__always)
    static func append(
        _ incoming: Incoming, nameSpace: UnsafeRawBufferPointer, map: UnsafeRawBufferPointer,
        node: UnsafeRawBufferPointer, to sink: ByteSink
    ) {
        let total =
            StoredRecord.headerBytes &+ nameSpace.count &+ map.count &+ incoming.key.count &+ node.count
            &+ incoming.value.count &+ incoming.tail.count
        let base = sink.reserve(total)
        base.storeBytes(of: incoming.kind, as: UInt8.self)
        base.storeBytes(of: UInt8(truncatingIfNeeded: nameSpace.count), toByteOffset: 1, as: UInt8.self)
        store(UInt16(truncatingIfNeeded: map.count), at: base + 2)
        store(UInt32(truncatingIfNeeded: incoming.key.count), at: base + 4)
        store(UInt32(truncatingIfNeeded: incoming.value.count), at: base + 8)
        store(UInt16(truncatingIfNeeded: node.count), at: base + 12)
        store(UInt16(truncatingIfNeeded: incoming.tail.count), at: base + 14)
        store(incoming.millis, at: base + 16)
        store(incoming.counter, at: base + 24)
        #if MUTANTS
        store(Mutant.lifetimeNotLogged.isOn ? 0 : incoming.ttlMillis, at: base + 28)
        #else
        store(incoming.ttlMillis, at: base + 28)
        #endif
        var cursor = base + StoredRecord.headerBytes
        copy(nameSpace, to: &cursor)
        copy(map, to: &cursor)
        copy(incoming.key, to: &cursor)
        copy(node, to: &cursor)
        copy(incoming.value, to: &cursor)
        copy(incoming.tail, to: &cursor)
        sink.advance(by: total)
    }

    @inline(__always)
    private static func store<Number: FixedWidthInteger>(_ number: Number, at base: UnsafeMutableRawPointer) {
        base.storeBytes(of: number.littleEndian, as: Number.self)
    }

    @inline(__always)
    private static func copy(_ bytes: UnsafeRawBufferPointer, to cursor: inout UnsafeMutableRawPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        cursor.copyMemory(from: source, byteCount: bytes.count)
        cursor += bytes.count
    }
}
