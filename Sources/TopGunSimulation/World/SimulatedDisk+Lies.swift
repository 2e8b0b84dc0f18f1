import Synchronization
import TopGunEnvironment

// What a disk does wrong without saying so (promises.md D.3): bits that are wrong, sectors from before, sectors of
// somewhere else; and a whole disk that is set back.

extension SimulatedDisk.State {
    /// Spoils what was read, if it is its turn.
    mutating func misread(_ bytes: UnsafeMutableRawBufferPointer, of inode: SimulatedDisk.Inode, at offset: Int) {
        guard let left = faults.readsUntilWrong else { return }
        guard left <= 0 else {
            faults.readsUntilWrong = left - 1
            return
        }
        faults.readsUntilWrong = nil
        guard let range = spoil(bytes, of: inode, at: offset) else { return }
        witness.onMisread?(isTail(range, of: inode))
    }

    /// Returns the stretch of the file that was read as something else.
    private mutating func spoil(
        _ bytes: UnsafeMutableRawBufferPointer, of inode: SimulatedDisk.Inode, at offset: Int
    ) -> Range<Int>? {
        switch faults.wrongRead {
        case .flipped:
            let index = generator.below(bytes.count)
            bytes[index] ^= UInt8(1 << generator.below(8))
            return offset + index..<offset + index + 1
        case .stale:
            let sectors = offset / SimulatedDisk.sectorBytes...(offset + bytes.count - 1) / SimulatedDisk.sectorBytes
            let stale = sectors.filter { inode.stale[$0] != nil }
            guard !stale.isEmpty else { return nil }
            let sector = stale[generator.below(stale.count)]
            return put(inode.stale[sector] ?? [], sector * SimulatedDisk.sectorBytes, into: bytes, at: offset)
        case .misdirected:
            let sector = (offset + generator.below(bytes.count)) / SimulatedDisk.sectorBytes
            let sectors = (inode.cached.count + SimulatedDisk.sectorBytes - 1) / SimulatedDisk.sectorBytes
            guard sectors > 1 else { return nil }
            var other = generator.below(sectors - 1)
            if other >= sector { other += 1 }
            let start = other * SimulatedDisk.sectorBytes
            let found = Array(inode.cached[start..<min(start + SimulatedDisk.sectorBytes, inode.cached.count)])
            return put(found, sector * SimulatedDisk.sectorBytes, into: bytes, at: offset)
        }
    }

    /// Puts a sector's bytes into a read, as far as the read has them; `nil` if that changes nothing.
    private func put(
        _ sector: [UInt8], _ start: Int, into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) -> Range<Int>? {
        let range = max(start, offset)..<max(min(start + sector.count, offset + bytes.count), max(start, offset))
        var isChanged = false
        for index in range where bytes[index - offset] != sector[index - start] {
            bytes[index - offset] = sector[index - start]
            isChanged = true
        }
        return isChanged ? range : nil
    }

    /// Where a write goes: elsewhere in the file, if it is its turn and the file is a segment of a log that has bytes there.
    mutating func misdirect(
        _ offset: Int, _ bytes: UnsafeRawBufferPointer, of inode: SimulatedDisk.Inode, path: String
    ) -> Int {
        guard Self.isSegment(path), bytes.first ?? 0 != 0 else { return offset }
        inode.noteWrite(at: offset)
        if lastWritten.first !== inode {
            lastWritten.insert(inode, at: 0)
            if lastWritten.count > 2 { lastWritten.removeLast() }
        }
        guard let left = faults.writesUntilMisdirected else { return offset }
        faults.writesUntilMisdirected = left > 0 ? left - 1 : nil
        let room = inode.cached.count - bytes.count
        guard left <= 0, room > SimulatedDisk.sectorBytes else { return offset }
        let other = generator.below(room / SimulatedDisk.sectorBytes) * SimulatedDisk.sectorBytes
        guard other != offset else { return offset }
        misplaced.append(Misplaced(inode: inode, range: offset..<offset + bytes.count))
        misplaced.append(Misplaced(inode: inode, range: other..<other + bytes.count))
        return other
    }

    /// Whether the file is a segment of a log; one is written through the handle that it was made with, or made a segment again,
    /// under another name.
    private static func isSegment(_ openedAs: String) -> Bool {
        openedAs.contains("/log-")
    }

    func isTail(_ range: Range<Int>, of inode: SimulatedDisk.Inode) -> Bool {
        lastWritten.contains { $0 === inode } && range.upperBound > inode.tailStart
    }
}

extension SimulatedDisk {
    /// Whether something was written to another place than it was meant for.
    package var hasMisplaced: Bool { state.withLock { !$0.misplaced.isEmpty } }

    /// Whether some of that concerns what was written last, of which nothing behind it says that it was ever durable.
    package var isTailMisplaced: Bool {
        state.withLock { state in state.misplaced.contains { state.isTail($0.range, of: $0.inode) } }
    }

    /// Forgets what was written to other places.
    package func forgetMisplaced() {
        state.withLock { $0.misplaced = [] }
    }

    /// The disk as the machine below sees it, to be put back with ``restore(_:)``.
    package struct Image: Sendable {
        fileprivate var names: [String: State.Entry]
    }

    package var image: Image {
        state.withLock { state in Image(names: Self.platter(of: state.platterNames)) }
    }

    /// Sets everything back to how it was; the process must be gone.
    package func restore(_ image: Image) {
        state.withLock { state in
            state.names = Self.platter(of: image.names)
            state.platterNames = state.names
            state.pending = []
            state.misplaced = []
            state.lastWritten = []
            state.forgetProcess()
            state.recount()
        }
    }

    private static func platter(of names: [String: State.Entry]) -> [String: State.Entry] {
        var twins: [ObjectIdentifier: Inode] = [:]
        return names.mapValues { entry in
            guard case .file(let inode) = entry else { return entry }
            let twin = twins[ObjectIdentifier(inode)] ?? Inode(platterOf: inode)
            twins[ObjectIdentifier(inode)] = twin
            return .file(twin)
        }
    }
}
