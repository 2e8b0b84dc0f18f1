/// A growing run of raw bytes: what records, frames and log groups are written into.
///
/// One of the few places that own raw memory. Not thread-safe: one owner at a time; handing it to another thread hands
/// over the ownership. That one owner is also why its fields do without the run-time check for exclusive access, which
/// would cost more than the write itself.
package final class ByteSink {
    @exclusivity(unchecked)
    @usableFromInline package internal(set) var base: UnsafeMutableRawPointer
    @exclusivity(unchecked)
    @usableFromInline package internal(set) var count = 0
    @exclusivity(unchecked)
    @usableFromInline var capacity: Int
    private let alignment: Int

    /// `alignment` is a power of two, and that of the memory however it grows.
    package init(capacity: Int = 4096, alignment: Int = 16) {
        self.capacity = max(capacity, 64)
        self.alignment = alignment
        self.base = UnsafeMutableRawPointer.allocate(byteCount: self.capacity, alignment: alignment)
    }

    deinit {
        base.deallocate()
    }

    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Forgets the content and keeps the memory.
    package func removeAll() {
        count = 0
    }

    /// Cuts the content to its first `length` bytes.
    package func truncate(to length: Int) {
        precondition(length >= 0 && length <= count, "cannot cut \(count) bytes to \(length)")
        count = length
    }

    /// Appends zeros.
    package func append(zeros length: Int) {
        guard length > 0 else { return }
        UnsafeMutableRawBufferPointer(start: reserve(length), count: length).initializeMemory(
            as: UInt8.self, repeating: 0)
        advance(by: length)
    }

    /// Forgets the first `length` bytes and moves the rest to the front.
    package func removeFirst(_ length: Int) {
        precondition(length >= 0 && length <= count, "cannot take \(length) bytes off \(count)")
        base.copyMemory(from: base + length, byteCount: count - length)
        count -= length
    }

    /// Makes room for `length` more bytes and returns where they go; follow with ``advance(by:)``.
    @inlinable
    package func reserve(_ length: Int) -> UnsafeMutableRawPointer {
        if count &+ length > capacity { grow(for: length) }
        return base + count
    }

    @inlinable
    package func advance(by length: Int) {
        count &+= length
        assert(count <= capacity)
    }

    package func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count).copyMemory(from: source, byteCount: bytes.count)
        advance(by: bytes.count)
    }

    package func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    package func append<Number: FixedWidthInteger>(littleEndian number: Number) {
        let width = MemoryLayout<Number>.size
        reserve(width).storeBytes(of: number.littleEndian, as: Number.self)
        advance(by: width)
    }

    @usableFromInline
    func grow(for length: Int) {
        var larger = capacity
        while count + length > larger { larger *= 2 }
        let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: alignment)
        moved.copyMemory(from: base, byteCount: count)
        base.deallocate()
        base = moved
        capacity = larger
    }
}

// Safe to hand over because the giver drops its last reference; see the type's contract.
extension ByteSink: @unchecked Sendable {}
