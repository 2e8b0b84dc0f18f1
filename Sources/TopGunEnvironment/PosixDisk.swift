import Synchronization

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// The file system of the machine. Everything it creates belongs to the owner alone.
package struct PosixDisk: Disk {
    package init() {}

    package func createDirectory(_ path: String) throws(DiskError) {
        guard mkdir(path, 0o700) != 0 else { return }
        switch errno {
        case EEXIST:
            var status = stat()
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                throw DiskError(.exists, operation: "mkdir", path: path)
            }
        case ENOENT:
            guard let parent = Self.parent(of: path) else {
                throw DiskError(.notFound, operation: "mkdir", path: path)
            }
            try createDirectory(parent)
            try Self.check(mkdir(path, 0o700), "mkdir", path)
        default:
            throw DiskError(errno: errno, operation: "mkdir", path: path)
        }
    }

    package func list(_ directory: String) throws(DiskError) -> [String] {
        guard let stream = opendir(directory) else {
            throw DiskError(errno: errno, operation: "opendir", path: directory)
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw DiskError(errno: errno, operation: "readdir", path: directory) }
        names.sort { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        return names
    }

    package func exists(_ path: String) throws(DiskError) -> Bool {
        var status = stat()
        if lstat(path, &status) == 0 { return true }
        if errno == ENOENT || errno == ENOTDIR { return false }
        throw DiskError(errno: errno, operation: "stat", path: path)
    }

    package func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile {
        let flags =
            switch mode {
            case .read: O_RDONLY
            case .readWrite: O_RDWR
            case .create: O_RDWR | O_CREAT | O_EXCL
            }
        return PosixFile(descriptor: try Self.openDescriptor(path, flags), path: path)
    }

    package func rename(_ path: String, to newPath: String) throws(DiskError) {
        #if canImport(Darwin)
        try Self.check(Darwin.rename(path, newPath), "rename", path)
        #else
        try Self.check(Glibc.rename(path, newPath), "rename", path)
        #endif
    }

    package func remove(_ path: String) throws(DiskError) {
        try Self.check(unlink(path), "unlink", path)
    }

    package func syncDirectory(_ path: String) throws(DiskError) {
        let descriptor = try Self.openDescriptor(path, O_RDONLY | O_DIRECTORY)
        defer { Self.closeDescriptor(descriptor) }
        try Self.check(Self.retryingInterrupts { Int(fsync(descriptor)) }, "fsync", path)
    }

    package func lock(_ path: String) throws(DiskError) -> any DiskFile {
        let descriptor = try Self.openDescriptor(path, O_RDWR | O_CREAT)
        guard Self.retryingInterrupts({ Int(flock(descriptor, LOCK_EX | LOCK_NB)) }) == 0 else {
            let cause = errno
            Self.closeDescriptor(descriptor)
            throw DiskError(errno: cause, operation: "flock", path: path)
        }
        return PosixFile(descriptor: descriptor, path: path)
    }

    package func freeBytes(_ path: String) throws(DiskError) -> Int64 {
        var status = statvfs()
        try Self.check(statvfs(path, &status), "statvfs", path)
        return Int64(clamping: UInt64(status.f_bavail) &* UInt64(status.f_frsize))
    }
}

// MARK: - System calls

extension PosixDisk {
    private static func parent(of path: String) -> String? {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")), slash > path.startIndex else { return nil }
        return String(path[..<slash])
    }

    private static func openDescriptor(_ path: String, _ flags: Int32) throws(DiskError) -> Int32 {
        #if canImport(Darwin)
        let descriptor = retryingInterrupts { Int(Darwin.open(path, flags | O_CLOEXEC, 0o600)) }
        #else
        let descriptor = retryingInterrupts { Int(Glibc.open(path, flags | O_CLOEXEC, 0o600)) }
        #endif
        guard descriptor >= 0 else { throw DiskError(errno: errno, operation: "open", path: path) }
        return Int32(descriptor)
    }

    fileprivate static func closeDescriptor(_ descriptor: Int32) {
        #if canImport(Darwin)
        _ = Darwin.close(descriptor)
        #else
        _ = Glibc.close(descriptor)
        #endif
    }

    fileprivate static func retryingInterrupts(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if result >= 0 || errno != EINTR { return result }
        }
    }

    private static func check(_ result: some BinaryInteger, _ operation: String, _ path: String) throws(DiskError) {
        guard result == 0 else { throw DiskError(errno: errno, operation: operation, path: path) }
    }
}

#if os(Linux)
/// `O_DIRECT`, which the module map leaves out; its value is one of the few that depend on the processor.
#if arch(arm) || arch(arm64)
private let openDirect: Int32 = 0o200_000
#else
private let openDirect: Int32 = 0o40_000
#endif
#endif

/// An open file; closed with its last reference at the latest.
private final class PosixFile: DiskFile {
    /// -1 once closed.
    private let descriptor: Atomic<Int32>
    /// The same file opened for writing past the cache; -1 where that is not wanted or not possible.
    private let direct = Atomic<Int32>(-1)
    private let path: String

    init(descriptor: Int32, path: String) {
        self.descriptor = Atomic(descriptor)
        self.path = path
    }

    deinit {
        close()
    }

    func size() throws(DiskError) -> Int64 {
        var status = stat()
        guard fstat(descriptor.load(ordering: .relaxed), &status) == 0 else { throw failure("fstat") }
        return Int64(status.st_size)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int {
        let descriptor = descriptor.load(ordering: .relaxed)
        var done = 0
        while done < buffer.count, let base = buffer.baseAddress {
            let rest = buffer.count - done
            let count = PosixDisk.retryingInterrupts {
                pread(descriptor, base + done, rest, off_t(offset) + off_t(done))
            }
            guard count >= 0 else { throw failure("read") }
            if count == 0 { break }
            done += count
        }
        return done
    }

    func bypassCache() {
        #if os(Linux)
        guard direct.load(ordering: .relaxed) < 0 else { return }
        // By its descriptor, because the name may have changed since.
        let path = "/proc/self/fd/\(descriptor.load(ordering: .relaxed))"
        let opened = PosixDisk.retryingInterrupts { Int(Glibc.open(path, O_WRONLY | openDirect | O_CLOEXEC)) }
        guard opened >= 0 else { return }
        direct.store(Int32(opened), ordering: .relaxed)
        #endif
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError) {
        let isWhole =
            Int(bitPattern: bytes.baseAddress) % DiskBlock.bytes == 0 && bytes.count % DiskBlock.bytes == 0
            && offset % Int64(DiskBlock.bytes) == 0
        let direct = isWhole ? direct.load(ordering: .relaxed) : -1
        if direct >= 0 {
            do throws(DiskError) {
                return try write(bytes, at: offset, through: direct)
            } catch  where error.code == .other(EINVAL) {
                // The file system wants other blocks, or none.
                closeDirect()
            }
        }
        try write(bytes, at: offset, through: descriptor.load(ordering: .relaxed))
    }

    private func write(
        _ bytes: UnsafeRawBufferPointer, at offset: Int64, through descriptor: Int32
    ) throws(DiskError) {
        var done = 0
        while done < bytes.count, let base = bytes.baseAddress {
            let rest = bytes.count - done
            let count = PosixDisk.retryingInterrupts {
                pwrite(descriptor, base + done, rest, off_t(offset) + off_t(done))
            }
            guard count > 0 else { throw failure("write") }
            done += count
        }
    }

    func truncate(to size: Int64) throws(DiskError) {
        let descriptor = descriptor.load(ordering: .relaxed)
        guard PosixDisk.retryingInterrupts({ Int(ftruncate(descriptor, off_t(size))) }) == 0 else {
            throw failure("truncate")
        }
    }

    func sync() throws(DiskError) {
        let descriptor = descriptor.load(ordering: .relaxed)
        #if canImport(Darwin)
        let result = PosixDisk.retryingInterrupts { Int(fcntl(descriptor, F_FULLFSYNC)) }
        #else
        let result = PosixDisk.retryingInterrupts { Int(fdatasync(descriptor)) }
        #endif
        guard result >= 0 else { throw failure("fdatasync") }
    }

    func close() {
        let descriptor = descriptor.exchange(-1, ordering: .relaxed)
        if descriptor >= 0 { PosixDisk.closeDescriptor(descriptor) }
        closeDirect()
    }

    private func closeDirect() {
        let direct = direct.exchange(-1, ordering: .relaxed)
        if direct >= 0 { PosixDisk.closeDescriptor(direct) }
    }

    private func failure(_ operation: String) -> DiskError {
        DiskError(errno: errno, operation: operation, path: path)
    }
}

extension DiskError {
    fileprivate init(errno: Int32, operation: String, path: String) {
        let code: Code =
            switch errno {
            case ENOSPC, EDQUOT: .noSpace
            case EMFILE, ENFILE: .tooManyFiles
            case EIO: .inputOutput
            case ENOENT: .notFound
            case EEXIST: .exists
            case EWOULDBLOCK: .locked
            case EROFS: .readOnly
            case EACCES, EPERM: .denied
            default: .other(errno)
            }
        self.init(code, operation: operation, path: path)
    }
}
