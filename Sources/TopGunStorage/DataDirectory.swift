import Synchronization
package import TopGunEnvironment
package import TopGunModel

/// Who a data directory belongs to, and what must not be forgotten about it.
package struct Identity: Hashable, Sendable {
    package var clusterID: ByteString
    package var nodeID: ByteString
    /// How many times the directory was opened; every start has its own.
    package var incarnation: UInt64
    /// How many times its content was restored or salvaged; data of different epochs is never mixed.
    package var restoreEpoch: UInt64
    /// No stamp above it was handed out before the last start, as far as this file knows; the log knows more.
    package var clockBound: Int64
    /// What the checksums of groups start from; a secret of the directory.
    var salt: UInt64
    /// Where the log must begin, at the latest; `.zero` while there is none.
    var logStart: LogPosition
    /// Partitions whose checkpoint replaces a part of the log that is gone.
    var checkpointed: PartitionSet
}

/// The directory that a node keeps everything in, taken for one process at a time.
///
/// ```
///   lock              held by the process that has it open
///   identity          an ``Identity``; replaced as a whole
///   log-E             the write-ahead log of restore epoch E
///   checkpoints-E     its checkpoints
/// ```
package final class DataDirectory: Sendable {
    package let path: String
    package let disk: any Disk
    private let lock: any DiskFile
    private let current: Mutex<Identity>

    private init(path: String, disk: any Disk, lock: any DiskFile, identity: Identity) {
        self.path = path
        self.disk = disk
        self.lock = lock
        self.current = Mutex(identity)
    }

    package var identity: Identity { current.withLock { $0 } }

    var logPath: String { "\(path)/log-\(identity.restoreEpoch)" }
    var checkpointPath: String { "\(path)/checkpoints-\(identity.restoreEpoch)" }

    /// Lets another process have the directory. Also happens when this one ends.
    package func close() {
        lock.close()
    }
}

// MARK: - Opening

extension DataDirectory {
    /// Takes the directory, makes it if it is new, and counts the start.
    ///
    /// - Parameters:
    ///   - nodeID: who opens it; `nil` for whoever it belongs to.
    ///   - clusterID: the cluster it must belong to, if that is known.
    ///   - mayBeNew: whether it is made where there is none; otherwise that is an error, and nothing is touched.
    package static func open(
        path: String, disk: any Disk, entropy: any Entropy, nodeID: ByteString? = nil, clusterID: ByteString? = nil,
        mayBeNew: Bool = true
    ) throws(StorageError) -> DataDirectory {
        if !mayBeNew { try checkThere(path, disk) }
        let lock = try take(path, disk)
        do throws(StorageError) {
            var identity: Identity
            if try onDisk({ () throws(DiskError) in try disk.exists("\(path)/identity") }) {
                identity = try readIdentity(path, disk)
                try check(identity, nodeID: nodeID, clusterID: clusterID, path: path)
                identity.incarnation += 1
            } else {
                try checkEmpty(path, disk)
                identity = Identity(
                    clusterID: clusterID ?? ByteString(entropy.uuid()), nodeID: nodeID ?? ByteString(entropy.uuid()),
                    incarnation: 1, restoreEpoch: 0, clockBound: 0, salt: entropy.next(), logStart: .zero,
                    checkpointed: PartitionSet())
            }
            let directory = DataDirectory(path: path, disk: disk, lock: lock, identity: identity)
            try directory.makeFolders(epoch: identity.restoreEpoch)
            try directory.update { _ in }
            return directory
        } catch {
            lock.close()
            throw error
        }
    }

    private static func checkThere(_ path: String, _ disk: any Disk) throws(StorageError) {
        func isThere(_ path: String) throws(StorageError) -> Bool {
            try onDisk { () throws(DiskError) in try disk.exists(path) }
        }
        if try isThere("\(path)/identity") { return }
        if try isThere(path) { try checkEmpty(path, disk) }
        throw StorageError(.missing, "there is no data directory of a node at \(path); mend --data-dir")
    }

    private static func take(_ path: String, _ disk: any Disk) throws(StorageError) -> any DiskFile {
        do {
            try disk.createDirectory(path)
            try syncParents(of: path, disk)
            return try disk.lock("\(path)/lock")
        } catch  where error.code == .locked {
            throw StorageError(
                .inUse,
                "the data directory \(path) is in use by another process; stop that one, or give this one a directory of its own with --data-dir",
                cause: error)
        } catch {
            throw StorageError(error)
        }
    }

    /// Makes the names of all directories above durable: an earlier start may have died before it came to it.
    private static func syncParents(of path: String, _ disk: any Disk) throws(DiskError) {
        var path = path
        while path != "/", path != "." {
            let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
            path = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
            do {
                try disk.syncDirectory(path)
            } catch  where error.code == .denied {
                // What this user cannot even read, it has not made.
                continue
            }
        }
    }

    private static func readIdentity(_ path: String, _ disk: any Disk) throws(StorageError) -> Identity {
        let found = try onDisk { () throws(DiskError) in
            try FileHeader.read(.identity, of: try disk.open("\(path)/identity", .read))
        }
        switch found {
        case .success(let header):
            return Identity(
                clusterID: header.clusterID, nodeID: header.nodeID, incarnation: header.incarnation,
                restoreEpoch: header.restoreEpoch, clockBound: header.clockBound, salt: header.chain,
                logStart: header.position, checkpointed: header.partitions)
        case .failure(.newer(let version)):
            throw newerFormat("the data directory \(path)", version)
        case .failure(.older(let version)):
            throw olderFormat("the data directory \(path)", version)
        case .failure(.blank), .failure(.damaged), .failure(.unreadable):
            throw StorageError(
                .damagedIdentity,
                "the file \(path)/identity is damaged, so it is unknown whose data this is; restore that one file from a backup, or move the directory away and let the node start empty and take its data from its peers"
            )
        }
    }

    static func newerFormat(_ subject: String, _ version: UInt16) -> StorageError {
        StorageError(
            .newerFormat,
            "\(subject) was written by a newer TopGun (its format needs readers of version \(version), this one is \(FileHeader.currentVersion)); start the newer version"
        )
    }

    static func olderFormat(_ subject: String, _ version: UInt16) -> StorageError {
        StorageError(
            .olderFormat,
            "\(subject) was written by an older TopGun in format \(version), which this one no longer reads (its own is \(FileHeader.currentVersion)); start the older version, or move the directory away"
        )
    }

    private static func check(
        _ identity: Identity, nodeID: ByteString?, clusterID: ByteString?, path: String
    ) throws(StorageError) {
        if let nodeID, nodeID != identity.nodeID {
            throw StorageError(
                .foreign,
                "the data directory \(path) belongs to node \(identity.nodeID), not to \(nodeID); start with --node-id \(identity.nodeID), or with another --data-dir"
            )
        }
        if let clusterID, clusterID != identity.clusterID {
            throw StorageError(
                .foreign,
                "the data directory \(path) belongs to cluster \(identity.clusterID), not to \(clusterID); start with another --data-dir"
            )
        }
    }

    /// A directory without an identity must have no data either.
    private static func checkEmpty(_ path: String, _ disk: any Disk) throws(StorageError) {
        let names = try onDisk { () throws(DiskError) in try disk.list(path) }
        for name in names where name.hasPrefix("log-") || name.hasPrefix("checkpoints-") {
            let inside = try onDisk { () throws(DiskError) in try disk.list("\(path)/\(name)") }
            guard inside.isEmpty else {
                throw StorageError(
                    .damagedIdentity,
                    "the data directory \(path) holds data but its file `identity` is gone; restore that file from a backup, or move the directory away"
                )
            }
        }
    }

    func makeFolders(epoch: UInt64) throws(StorageError) {
        try onDisk { () throws(DiskError) in
            try disk.createDirectory("\(path)/log-\(epoch)")
            try disk.createDirectory("\(path)/checkpoints-\(epoch)")
            try disk.syncDirectory(path)
        }
    }
}

// MARK: - Changing the identity

extension DataDirectory {
    /// Changes the identity on disk, then here. A crash leaves the old one or the new one.
    func update(_ change: (inout Identity) -> Void) throws(StorageError) {
        try current.withLock { (identity) throws(StorageError) in
            var changed = identity
            change(&changed)
            let header = FileHeader(
                kind: .identity, incarnation: changed.incarnation, restoreEpoch: changed.restoreEpoch,
                clockBound: changed.clockBound, position: changed.logStart, chain: changed.salt,
                partitions: changed.checkpointed,
                clusterID: changed.clusterID, nodeID: changed.nodeID)
            try onDisk { () throws(DiskError) in
                try disk.replace("\(path)/identity", in: path, with: header.encoded())
            }
            identity = changed
        }
    }
}
