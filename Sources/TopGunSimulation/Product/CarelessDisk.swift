import TopGunEnvironment

/// The mutant `syncFailureIgnored`: a program that tries a failed sync once more and believes the second answer.
final class CarelessDisk: Disk {
    private let disk: SimulatedDisk

    init(_ disk: SimulatedDisk) {
        self.disk = disk
    }

    func createDirectory(_ path: String) throws(DiskError) { try disk.createDirectory(path) }
    func list(_ directory: String) throws(DiskError) -> [String] { try disk.list(directory) }
    func exists(_ path: String) throws(DiskError) -> Bool { try disk.exists(path) }
    func rename(_ path: String, to newPath: String) throws(DiskError) { try disk.rename(path, to: newPath) }
    func remove(_ path: String) throws(DiskError) { try disk.remove(path) }
    func syncDirectory(_ path: String) throws(DiskError) { try disk.syncDirectory(path) }
    func lock(_ path: String) throws(DiskError) -> any DiskFile { try disk.lock(path) }
    func freeBytes(_ path: String) throws(DiskError) -> Int64 { try disk.freeBytes(path) }

    func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        CarelessFile(try disk.open(path, mode))
    }
}

private final class CarelessFile: DiskFile {
    private let file: any DiskFile

    init(_ file: any DiskFile) {
        self.file = file
    }

    func size() throws(DiskError) -> Int64 { try file.size() }
    func truncate(to size: Int64) throws(DiskError) { try file.truncate(to: size) }
    func close() { file.close() }
    func bypassCache() { file.bypassCache() }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        try file.read(into: buffer, at: offset)
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError) {
        try file.write(bytes, at: offset)
    }

    func sync() throws(DiskError) {
        do {
            try file.sync()
        } catch {
            try file.sync()
        }
    }
}
