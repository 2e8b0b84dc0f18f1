/// Memory that all connections of one event loop use in turn while they take apart what was read.
///
/// The messages of one read lie one after the other in `bytes`; a message that took several reads lies in a
/// ``MessageBuffer`` of its own. Both stay valid from ``begin(_:)`` to the next ``end()``.
package final class ReadScratch {
    /// What the read completed, in order.
    package private(set) var messages: [UnsafeRawBufferPointer] = []
    private var bytes: UnsafeMutableRawBufferPointer
    private var used = 0
    /// Messages in memory of their own that `messages` points into.
    private var finished: [MessageBuffer] = []
    private var spare: [MessageBuffer] = []

    package init() {
        bytes = .allocate(byteCount: Limits.receiveBufferBytes, alignment: 16)
        messages.reserveCapacity(1_024)
    }

    deinit {
        bytes.deallocate()
    }

    /// Prepares for a read of so many bytes: unmasked, it is never longer.
    func begin(_ count: Int) {
        precondition(messages.isEmpty, "the last read was not ended")
        if bytes.count < count {
            bytes.deallocate()
            bytes = .allocate(byteCount: count, alignment: 16)
        }
    }

    /// Adds a message that lies in the read as a whole.
    @inline(__always)
    func add(unmasking source: UnsafeRawBufferPointer, mask: UInt32) {
        let target = UnsafeMutableRawBufferPointer(rebasing: bytes[used..<used + source.count])
        WebSocketMask.apply(mask, to: source, into: target)
        used += source.count
        messages.append(UnsafeRawBufferPointer(target))
    }

    /// Adds a message that was put together over time.
    func add(_ buffer: MessageBuffer) {
        finished.append(buffer)
        messages.append(buffer.contents)
    }

    func takeBuffer() -> MessageBuffer {
        spare.popLast() ?? MessageBuffer()
    }

    /// The messages were delivered; forgets them and keeps a little memory for the next that come in pieces.
    package func end() {
        messages.removeAll(keepingCapacity: messages.capacity <= Limits.receiveBufferBytes)
        used = 0
        if bytes.count > Limits.receiveBufferBytes {
            bytes.deallocate()
            bytes = .allocate(byteCount: Limits.receiveBufferBytes, alignment: 16)
        }
        while let buffer = finished.popLast() { recycle(buffer) }
    }

    func recycle(_ buffer: MessageBuffer) {
        guard spare.count < Limits.messageBuffersKept, buffer.capacity <= Limits.messageBufferBytesKept else { return }
        buffer.removeAll()
        spare.append(buffer)
    }
}

/// One message while it arrives in pieces: grows with what has really come, never with what was announced.
final class MessageBuffer {
    private var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private(set) var count = 0

    deinit {
        bytes.deallocate()
    }

    var capacity: Int { bytes.count }
    var contents: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[..<count]) }

    func append(unmasking source: UnsafeRawBufferPointer, mask: UInt32) {
        if count + source.count > bytes.count { grow(to: count + source.count) }
        WebSocketMask.apply(
            mask, to: source, into: UnsafeMutableRawBufferPointer(rebasing: bytes[count..<count + source.count]))
        count += source.count
    }

    func removeAll() {
        count = 0
    }

    private func grow(to needed: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(
            byteCount: max(needed, bytes.count * 2, Limits.messageBufferBytesMin), alignment: 16)
        larger.copyMemory(from: contents)
        bytes.deallocate()
        bytes = larger
    }
}

/// The exclusive or of RFC 6455, eight bytes at a time.
enum WebSocketMask {
    /// The mask is in the order of memory, its first byte lowest; the target holds as many bytes as the source.
    @inline(__always)
    static func apply(_ mask: UInt32, to source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) {
        guard let from = source.baseAddress, let into = target.baseAddress else { return }
        let count = source.count
        let wide = UInt64(mask) << 32 | UInt64(mask)
        var offset = 0
        while offset &+ 8 <= count {
            let word = UInt64(littleEndian: from.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) ^ wide
            into.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt64.self)
            offset &+= 8
        }
        var rest = wide
        while offset < count {
            let byte = from.load(fromByteOffset: offset, as: UInt8.self) ^ UInt8(truncatingIfNeeded: rest)
            into.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
            rest >>= 8
            offset &+= 1
        }
    }

    /// The mask for what follows after so many bytes.
    @inline(__always)
    static func advanced(_ mask: UInt32, by count: Int) -> UInt32 {
        let shift = UInt32(truncatingIfNeeded: count & 3) * 8
        return shift == 0 ? mask : mask >> shift | mask << (32 - shift)
    }
}
