import Foundation

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A control group whose processes the kernel kills when they take more memory than they may.
final class MemoryGroup: Sendable {
    private static let mounts = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"]

    /// Why this machine has none; `nil` where it has. As root in CI it must have, or the tests fail.
    static let obstacle: String? = {
        if ProcessInfo.processInfo.environment["CI"] == "true", geteuid() == 0 { return nil }
        do {
            _ = try MemoryGroup()
            return nil
        } catch {
            return "no control group for memory can be made here: \(error)"
        }
    }()

    private let path: String
    private let limit: String
    private let usage: String

    init() throws {
        var why = "there is no memory controller"
        for mount in Self.mounts {
            let path = "\(mount)/topgun-\(UUID().uuidString)"
            guard mkdir(path, 0o755) == 0 else {
                why = "\(path): \(String(cString: strerror(errno)))"
                continue
            }
            guard let files = Self.files(in: path) else {
                rmdir(path)
                continue
            }
            self.path = path
            limit = files.limit
            usage = files.usage
            return
        }
        throw PrivateDisk.Refusal(description: why)
    }

    /// Of the second version of control groups, or of the first.
    private static func files(in path: String) -> (limit: String, usage: String)? {
        let versions = [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")]
        return versions.map { ("\(path)/\($0.0)", "\(path)/\($0.1)") }
            .first { FileManager.default.fileExists(atPath: $0.0) }
    }

    deinit {
        // The kernel lets a group go once the last process in it is gone, which may take a moment.
        for _ in 0..<200 where rmdir(path) != 0 && errno == EBUSY { usleep(10_000) }
    }

    /// What a command line begins with that is to run in it.
    var wrapper: [String] { ["/bin/sh", "-c", "echo $$ > '\(path)/cgroup.procs' && exec \"$0\" \"$@\""] }

    /// Allows so much more than what is taken now.
    func allow(moreBytes: Int) throws {
        let taken = try String(contentsOfFile: usage, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let bytes = Int(taken), let file = FileHandle(forWritingAtPath: limit) else {
            throw PrivateDisk.Refusal(description: "\(usage) says \(taken), and \(limit) may not be written")
        }
        try file.write(contentsOf: Data("\(bytes + moreBytes)".utf8))
        try file.close()
    }
}
