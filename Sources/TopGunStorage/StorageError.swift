package import TopGunEnvironment

/// Why the storage of a node cannot be opened or go on. The message is for the operator: what is wrong, and what to do.
package struct StorageError: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Code: Hashable, Sendable {
        /// Another process has the data directory.
        case inUse
        /// The directory, or a file in it, belongs to another node, cluster or life of this node.
        case foreign
        /// There is no data directory where one must be.
        case missing
        /// Written by a version of TopGun that this one cannot read.
        case newerFormat
        /// Written by a version of TopGun whose format is no longer read.
        case olderFormat
        /// The file that says whose directory it is cannot be read.
        case damagedIdentity
        /// The log is damaged, or incomplete, where it was known to be durable.
        case damagedLog
        /// A checkpoint is damaged or gone, and the log no longer reaches back far enough to do without.
        case damagedCheckpoint
        /// The disk is full.
        case noSpace
        /// No file can be opened at present.
        case tooManyFiles
        /// The disk failed.
        case disk
    }

    package var code: Code
    package var message: String
    package var cause: DiskError?

    package init(_ code: Code, _ message: String, cause: DiskError? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    init(_ error: DiskError) {
        switch error.code {
        case .noSpace: self.init(.noSpace, "the disk is full: \(error)", cause: error)
        case .tooManyFiles:
            self.init(.tooManyFiles, "too many files are open: \(error); raise the limit (LimitNOFILE)", cause: error)
        case .inputOutput, .notFound, .exists, .locked, .readOnly, .denied, .other:
            self.init(.disk, "the disk cannot be used: \(error)", cause: error)
        }
    }

    /// Whether the same may go well later: no reason to end a node that serves.
    package var isPassing: Bool { code == .noSpace || code == .tooManyFiles }

    package var description: String { message }
}

/// Runs something on the disk and turns its error into one of storage.
func onDisk<Result>(_ body: () throws(DiskError) -> Result) throws(StorageError) -> Result {
    do {
        return try body()
    } catch {
        throw StorageError(error)
    }
}

extension DiskFile {
    /// Syncs what acknowledgements rest on. Whatever a failure gives as its reason, a lack of room too, the state of the
    /// pages is unknown after it: that is a failure of the disk, never something to wait for.
    func syncForGood() throws(StorageError) {
        do throws(DiskError) {
            try sync()
        } catch {
            throw StorageError(.disk, "the disk cannot be used: \(error)", cause: error)
        }
    }
}
