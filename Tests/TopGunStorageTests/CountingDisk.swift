import Synchronization
import TopGunEnvironment

/// A disk that knows how many of its files are open at a time.
final class CountingDisk: Disk {
    private let disk: any Disk
    private let count = Mutex((open: 0, most: 0))

    init(_ disk: any Disk) {
        self.disk = disk
    }

    /// The most files that were open at once since the last call.
    func takeMostOpen() -> Int {
        count.withLock { count in
            defer { count.most = count.open }
            return count.most
        }
    }

    private func counted(_ file: any DiskFile) -> any DiskFile {
        count.withLock { count in
            count.open += 1
            count.most = max(count.most, count.open)
        }
        return CountedFile(file, disk: self)
    }

    fileprivate func noteClose() {
        count.withLock { $0.open -= 1 }
    }

    func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        counted(try disk.open(path, mode))
    }

    func lock(_ path: String) throws(DiskError) -> any DiskFile { counted(try disk.lock(path)) }

    func createDirectory(_ path: String) throws(DiskError) { try disk.createDirectory(path) }
    func list(_ directory: String) throws(DiskError) -> [String] { try disk.list(directory) }
    func exists(_ path: String) throws(DiskError) -> Bool { try disk.exists(path) }
    func rename(_ path: String, to newPath: String) throws(DiskError) { try disk.rename(path, to: newPath) }
    func remove(_ path: String) throws(DiskError) { try disk.remove(path) }
    func syncDirectory(_ path: String) throws(DiskError) { try disk.syncDirectory(path) }
    func freeBytes(_ path: String) throws(DiskError) -> Int64 { try disk.freeBytes(path) }
}

private final class CountedFile: DiskFile {
    private let file: any DiskFile
    private let disk: CountingDisk
    private let isClosed = Mutex(false)

    init(_ file: any DiskFile, disk: CountingDisk) {
        self.file = file
        self.disk = disk
    }

    deinit {
        close()
    }

    func close() {
        let wasClosed = isClosed.withLock { isClosed in
            defer { isClosed = true }
            return isClosed
        }
        if !wasClosed { disk.noteClose() }
        file.close()
    }

    func size() throws(DiskError) -> Int64 { try file.size() }
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        try file.read(into: buffer, at: offset)
    }
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError) {
        try file.write(bytes, at: offset)
    }
    func bypassCache() { file.bypassCache() }
    func truncate(to size: Int64) throws(DiskError) { try file.truncate(to: size) }
    func sync() throws(DiskError) { try file.sync() }
}
