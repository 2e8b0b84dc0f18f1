import Foundation

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// What is done to the process before anything else runs in it.
package enum ProcessSetup {
    /// Files of the node are its own business, and a peer that is gone is an error of a call, not a signal.
    package static func harden() {
        umask(0o077)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Raises the number of files that may be open to what the system allows; returns it.
    package static func raiseOpenFiles() -> Int {
        var limit = rlimit()
        #if canImport(Darwin)
        let resource = RLIMIT_NOFILE
        #else
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        #endif
        guard getrlimit(resource, &limit) == 0 else { return 0 }
        if limit.rlim_cur < limit.rlim_max {
            var raised = limit
            raised.rlim_cur = limit.rlim_max
            if setrlimit(resource, &raised) == 0 { limit = raised }
        }
        return Int(clamping: UInt64(limit.rlim_cur))
    }

    /// How many connections there may be so that the log and its checkpoints never lack a file: a node that cannot open
    /// them stops, and clients must not be able to bring that about.
    package static func connectionsMax(
        openFiles: Int, for configuration: ServerConfiguration
    ) throws(ServerError) -> Int {
        let room = openFiles - Limits.otherFilesMin - configuration.eventLoops * Limits.filesPerLoop
        guard room > 0 else {
            throw ServerError(
                .configuration, "Only \(openFiles) files may be open, too few to serve anyone: raise the limit.")
        }
        return min(room, configuration.connectionsMax)
    }

    /// What speaks against keeping data here; `nil` for a directory that is fine or not there yet.
    package static func fault(ofDataDirectory path: String) -> DirectoryFault? {
        // Not there, or not to be looked at: opening it will tell.
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path) else { return nil }
        guard attributes[.type] as? FileAttributeType == .typeDirectory else { return .isNoDirectory }
        let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue ?? 0
        if mode & 0o002 != 0 { return .isWritableByAll }
        return mode & 0o004 != 0 ? .isReadableByAll : nil
    }

    /// Whether every user of the machine may read the file that the key for tokens is in.
    package static func hasOpenKey(_ configuration: ServerConfiguration) -> Bool {
        guard case .token(let rules) = configuration.authentication, case .file(let path) = rules.key else {
            return false
        }
        return isReadableByAll(path)
    }

    /// Whether every user of the machine may read the key for TLS.
    package static func hasOpenTLSKey(_ configuration: ServerConfiguration) -> Bool {
        configuration.tls.map { isReadableByAll($0.key) } ?? false
    }

    private static func isReadableByAll(_ path: String) -> Bool {
        // Not there: reading it will tell.
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
            let mode = (attributes[.posixPermissions] as? NSNumber)?.intValue
        else { return false }
        return mode & 0o004 != 0
    }

    package enum DirectoryFault: Sendable {
        case isNoDirectory
        case isWritableByAll
        case isReadableByAll
    }

    /// Ends the process at once, past everything that could wait for a disk that does not answer.
    package static func end(_ code: Int32) -> Never {
        _exit(code)
    }
}
