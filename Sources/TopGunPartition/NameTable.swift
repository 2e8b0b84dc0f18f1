/// Names that were met once and are numbers from then on: 0, 1, 2 … in order of coming, never taken back but for one that
/// came to nothing at once (``removeLast()``).
///
/// The bytes of a name stay where they are for the life of the table, so views of them are good as long as it lives.
final class NameTable {
    private var entries: UnsafeMutablePointer<UnsafeRawBufferPointer>
    private var entryCapacity: Int
    /// Number + 1 of the name in each slot, 0 where it is empty; a power of two of them, at most half used.
    private var slots: UnsafeMutablePointer<UInt32>
    private var slotMask: Int
    private(set) var count = 0
    private let hasher: SeededHash

    init(hasher: SeededHash) {
        self.hasher = hasher
        entryCapacity = 32
        entries = .allocate(capacity: entryCapacity)
        slots = .allocate(capacity: 64)
        slots.initialize(repeating: 0, count: 64)
        slotMask = 63
    }

    deinit {
        for index in 0..<count { entries[index].deallocate() }
        entries.deallocate()
        slots.deallocate()
    }

    @inline(__always)
    subscript(number: UInt32) -> UnsafeRawBufferPointer {
        assert(Int(number) < count)
        return entries[Int(number)]
    }

    @inline(__always)
    func isName(_ bytes: UnsafeRawBufferPointer, at number: UInt32) -> Bool {
        guard Int(number) < count else { return false }
        let name = entries[Int(number)]
        guard name.count == bytes.count else { return false }
        return bytes.count == 0 || sameBytes(name.baseAddress!, bytes.baseAddress!, bytes.count)
    }

    func find(_ bytes: UnsafeRawBufferPointer) -> UInt32? {
        var slot = Int(truncatingIfNeeded: hasher.hash(bytes, salt: 0)) & slotMask
        while slots[slot] != 0 {
            if isName(bytes, at: slots[slot] &- 1) { return slots[slot] &- 1 }
            slot = (slot &+ 1) & slotMask
        }
        return nil
    }

    /// Adds a name that is not there yet.
    func add(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        if count == entryCapacity { growEntries() }
        if (count + 1) * 2 > slotMask + 1 { growSlots() }
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 8)
        copy.copyMemory(from: bytes)
        entries[count] = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<bytes.count])
        count += 1
        place(UInt32(count - 1))
        return UInt32(count - 1)
    }

    /// Takes back the name that was added last. Nothing else was placed behind it, so its slot is free for the next.
    func removeLast() {
        let number = UInt32(count - 1)
        var slot = Int(truncatingIfNeeded: hasher.hash(self[number], salt: 0)) & slotMask
        while slots[slot] != number + 1 { slot = (slot &+ 1) & slotMask }
        slots[slot] = 0
        entries[count - 1].deallocate()
        count -= 1
    }

    private func place(_ number: UInt32) {
        var slot = Int(truncatingIfNeeded: hasher.hash(self[number], salt: 0)) & slotMask
        while slots[slot] != 0 { slot = (slot &+ 1) & slotMask }
        slots[slot] = number + 1
    }

    private func growEntries() {
        let grown = UnsafeMutablePointer<UnsafeRawBufferPointer>.allocate(capacity: entryCapacity * 2)
        grown.moveInitialize(from: entries, count: count)
        entries.deallocate()
        entries = grown
        entryCapacity *= 2
    }

    private func growSlots() {
        slots.deallocate()
        let capacity = (slotMask + 1) * 2
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: 0, count: capacity)
        slotMask = capacity - 1
        for number in 0..<count { place(UInt32(number)) }
    }
}
