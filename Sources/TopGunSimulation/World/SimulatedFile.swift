import Synchronization
import TopGunEnvironment

/// An open file on a ``SimulatedDisk``. Dead as soon as the process that opened it has crashed.
final class SimulatedFile: DiskFile, @unchecked Sendable {
    // Unchecked: `inode` is touched only under the lock of the disk, `holdsLock` and `isOpen` as well.
    private let disk: SimulatedDisk
    private let inode: SimulatedDisk.Inode
    private let path: String
    private let process: Int
    var holdsLock = false
    private var isOpen = true

    init(disk: SimulatedDisk, inode: SimulatedDisk.Inode, path: String, process: Int) {
        self.disk = disk
        self.inode = inode
        self.path = path
        self.process = process
    }

    deinit {
        close()
    }

    func size() throws(DiskError) -> Int64 {
        try disk.state.withLock { (state) throws(DiskError) in
            _ = try begin("fstat", &state)
            return Int64(inode.cached.count)
        }
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        try disk.state.withLock { (state) throws(DiskError) in
            _ = try begin("read", &state)
            let count = min(max(inode.cached.count - Int(offset), 0), buffer.count)
            guard count > 0 else { return 0 }
            guard inode.isReadable(Int(offset)..<Int(offset) + count) else {
                state.witness.onFault?(.inputOutput)
                throw DiskError(.inputOutput, operation: "read", path: path)
            }
            inode.cached.withUnsafeBytes { cached in
                let part = UnsafeRawBufferPointer(rebasing: cached[Int(offset)..<Int(offset) + count])
                buffer.copyMemory(from: part)
            }
            let read = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
            state.misread(read, of: inode, at: Int(offset))
            return count
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError) {
        try disk.state.withLock { (state) throws(DiskError) in
            let halts = try begin("write", &state, halting: true)
            var failure: DiskError.Code?
            if halts { failure = .other(0) }
            if let left = state.faults.writesUntilFailure {
                state.faults.writesUntilFailure = left > 0 ? left - 1 : nil
                if left <= 0 {
                    failure = failure ?? state.faults.writeFailure
                    state.witness.onFault?(state.faults.writeFailure)
                }
            }
            let offset = Int64(state.misdirect(Int(offset), bytes, of: inode, path: path))
            let wanted = failure == nil ? bytes.count : state.generator.below(bytes.count + 1)
            let part = UnsafeRawBufferPointer(rebasing: bytes[..<wanted])
            if state.write(part, to: inode, at: Int(offset)) < wanted { failure = failure ?? .noSpace }
            if let failure {
                if failure == .noSpace { state.witness.onFault?(.noSpace) }
                throw DiskError(failure, operation: "write", path: path)
            }
        }
    }

    func bypassCache() {}

    func truncate(to size: Int64) throws(DiskError) {
        try disk.state.withLock { (state) throws(DiskError) in
            _ = try begin("truncate", &state)
            guard Int(size) - inode.cached.count <= Int(clamping: state.freeBytes) else {
                throw DiskError(.noSpace, operation: "truncate", path: path)
            }
            state.resize(inode, to: Int(size))
        }
    }

    func sync() throws(DiskError) {
        try disk.state.withLock { (state) throws(DiskError) in
            let halts = try begin("fdatasync", &state, halting: true)
            if state.faults.syncNanosMax > 0 {
                disk.spend(Int64(state.generator.below(Int(state.faults.syncNanosMax))))
            }
            if let hang = state.faults.hangNanos {
                state.faults.hangNanos = nil
                disk.spend(hang)
            }
            if state.faults.syncDoesNothing { return }
            if let left = state.faults.syncsUntilFailure {
                state.faults.syncsUntilFailure = left > 0 ? left - 1 : nil
                if left <= 0 {
                    let failure = state.faults.syncFailure
                    state.witness.onFault?(failure)
                    state.loseDirtySectors(of: inode, revertCache: false)
                    throw DiskError(failure, operation: "fdatasync", path: path)
                }
            }
            if halts {
                // Dying in a sync: it may have done its work, but nobody hears of it.
                if state.generator.chance(1, in: 2) { state.sync(inode) }
                throw DiskError(.other(0), operation: "fdatasync", path: path)
            }
            state.sync(inode)
        }
    }

    func close() {
        disk.state.withLock { state in
            if isOpen, holdsLock, process == state.process { inode.isLocked = false }
            isOpen = false
        }
    }

    private func begin(
        _ operation: String, _ state: inout SimulatedDisk.State, halting: Bool = false
    ) throws(DiskError) -> Bool {
        guard isOpen, process == state.process else { throw DiskError(.other(9), operation: operation, path: path) }
        let halts = try state.beginHalting(operation, path)
        if halts, !halting { throw DiskError(.other(0), operation: operation, path: path) }
        return halts
    }
}
