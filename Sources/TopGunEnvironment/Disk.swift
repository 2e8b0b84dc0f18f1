/// Files, as durable storage sees them. Every call blocks; call it only on a thread made for that.
///
/// What a `write` wrote may be lost, kept or torn at sectors by a power cut until ``DiskFile/sync()`` returned; a new,
/// renamed or removed name may be lost until ``syncDirectory(_:)`` returned. A failed sync leaves the state of the
/// pages unknown: it must not be tried again.
package protocol Disk: Sendable {
    func createDirectory(_ path: String) throws(DiskError)
    /// Names in a directory, ascending by bytes.
    func list(_ directory: String) throws(DiskError) -> [String]
    func exists(_ path: String) throws(DiskError) -> Bool
    func open(_ path: String, _ mode: DiskOpenMode) throws(DiskError) -> any DiskFile
    func rename(_ path: String, to newPath: String) throws(DiskError)
    func remove(_ path: String) throws(DiskError)
    func syncDirectory(_ path: String) throws(DiskError)
    /// Takes an exclusive lock that lives until the file is closed or the process ends; `.locked` if another holds it.
    func lock(_ path: String) throws(DiskError) -> any DiskFile
    /// Bytes that an ordinary process may still write below `path`.
    func freeBytes(_ path: String) throws(DiskError) -> Int64
}

package enum DiskOpenMode: Sendable {
    case read
    case readWrite
    /// For reading and writing; fails with `.exists` if the file is there. Owner-only permissions.
    case create
}

package protocol DiskFile: AnyObject, Sendable {
    func size() throws(DiskError) -> Int64
    /// Fills the buffer from `offset` on and returns how many bytes there were; fewer only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(DiskError) -> Int
    /// Writes all of it or throws; after a throw any part of it may be in the file.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(DiskError)
    /// From now on a write of whole ``DiskBlock``s from memory that begins at one goes past the system's cache where the
    /// file system can do so: for files that are written once and read rarely. It is as durable as any other write: not
    /// at all until ``sync()``. A hint that changes no content.
    func bypassCache()
    func truncate(to size: Int64) throws(DiskError)
    /// Returns when everything written is on the device (`fdatasync`).
    func sync() throws(DiskError)
    func close()
}

/// The unit in which files are written past the system's cache; a multiple of the sectors of every common device.
package enum DiskBlock {
    package static let bytes = 4_096
}

package struct DiskError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: Hashable, Sendable {
        case noSpace
        /// The process, or the machine, has as many files open as it may.
        case tooManyFiles
        case inputOutput
        case notFound
        case exists
        case locked
        case readOnly
        case denied
        case other(Int32)
    }

    package var code: Code
    /// What was tried, such as `write`.
    package var operation: String
    package var path: String

    package init(_ code: Code, operation: String, path: String) {
        self.code = code
        self.operation = operation
        self.path = path
    }

    /// Whether it says nothing about the disk itself: the same call may go well later.
    package var isPassing: Bool { code == .noSpace || code == .tooManyFiles }

    package var description: String { "\(operation) \(path): \(code)" }
}
