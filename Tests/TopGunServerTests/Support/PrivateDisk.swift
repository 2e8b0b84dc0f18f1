import Foundation

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A file system of its own for a test, whose power can be cut, which can turn read-only, or become full.
///
/// ```
///   folder/outer.img ── ext4, only there to be frozen
///     outer/disk.img ── the disk that a server writes to
///       disk/ ── ext4; writes nothing back by itself for five minutes
/// ```
///
/// A process that waits at our pipe holds the mounts in a namespace of their own. Both end with the tests, however these
/// end: no mount and no loop device is left behind. Programs see the disk through ``wrapper``.
final class PrivateDisk: Sendable {
    /// How ext4 treats what a file's blocks hold.
    enum Journal: String, CaseIterable {
        /// Blocks that were written past the cache are on the disk, and the files they belong to may not be.
        case ordered
        /// Nothing at all is on the disk before it was synced.
        case journal
    }

    /// Why this machine has none of them; `nil` where it has. As root in CI it must have, or the tests fail.
    static let obstacle: String? = {
        if ProcessInfo.processInfo.environment["CI"] == "true", geteuid() == 0 { return nil }
        do {
            try PrivateDisk(.ordered).end()
            return nil
        } catch {
            return "no file system can be mounted here, which takes root and loop devices: \(error)"
        }
    }()

    let folder: URL
    private let holder: Holder

    /// An empty disk, or the one of another as it is at one instant, between any two writes of a block: what a power cut
    /// leaves of it. The other goes on.
    private convenience init(
        _ journal: Journal, cutFrom other: PrivateDisk?, whileFrozen: () -> Void
    ) throws {
        try self.init(
            script: """
                mkdir outer disk
                truncate -s 900M outer.img
                mkfs.ext4 -q -F -O ^has_journal outer.img
                mount -o loop,noatime outer.img outer
                if [ -n "$2" ]; then
                    trap 'fsfreeze --unfreeze "$2"' EXIT
                    fsfreeze --freeze "$2"
                    cp --sparse=always "$2/disk.img" outer/disk.img
                    echo frozen
                    read -r go
                    fsfreeze --unfreeze "$2"
                    trap - EXIT
                else
                    truncate -s 800M outer/disk.img
                    mkfs.ext4 -q -F -J size=128 outer/disk.img
                fi
                mount -o loop,noatime,commit=300,errors=remount-ro,data=$1 outer/disk.img disk
                """,
            [journal.rawValue, other.map { "/proc/\($0.holder.process)/root\($0.folder.path)/outer" } ?? ""],
            whileFrozen: whileFrozen)
    }

    /// An empty disk.
    convenience init(_ journal: Journal) throws {
        try self.init(journal, cutFrom: nil) {}
    }

    /// A disk in memory with so much room.
    convenience init(megabytes: Int) throws {
        try self.init(script: "mkdir disk; mount -t tmpfs -o size=\(megabytes)m,mode=700 none disk", [])
    }

    private init(script: String, _ arguments: [String], whileFrozen: () -> Void = {}) throws {
        folder = try Daemon.temporaryDirectory()
        do {
            holder = try Holder(script: script, arguments, in: folder, whileFrozen: whileFrozen)
        } catch {
            // The folder has only what the script left in it.
            try? FileManager.default.removeItem(at: folder)
            throw error
        }
    }

    deinit {
        holder.end()
        // What cannot be removed lies in a temporary folder.
        try? FileManager.default.removeItem(at: folder)
    }

    /// Where it is mounted, for programs that run with ``wrapper``.
    var path: String { folder.appending(path: "disk").path }

    /// What a command line begins with that is to see the disk; paths in it must be absolute.
    var wrapper: [String] { ["/usr/bin/nsenter", "--mount=/proc/\(holder.process)/ns/mnt", "--"] }

    /// The disk as a power cut at this instant leaves it, mounted anew.
    ///
    /// - Parameter whileFrozen: looks at the world in that instant: nothing is written to the disk meanwhile, and whoever
    ///   waits for it goes on waiting.
    func cut(_ journal: Journal, whileFrozen: () -> Void) throws -> PrivateDisk {
        try PrivateDisk(journal, cutFrom: self, whileFrozen: whileFrozen)
    }

    /// The kernel finds an error in the file system and lets nobody write to it any more.
    func turnReadOnly() throws {
        try run("echo 1 > /sys/fs/ext4/$(basename $(findmnt -n -o SOURCE disk))/trigger_fs_error")
    }

    /// What an operator does then, with everything stopped.
    func repair() throws {
        // 1 says that errors were found and mended.
        try run("umount disk; e2fsck -p -f outer/disk.img || [ $? = 1 ]; mount -o loop,noatime outer/disk.img disk")
    }

    func resize(megabytes: Int) throws {
        try run("mount -o remount,size=\(megabytes)m disk")
    }

    /// Runs a shell text where the disk can be seen.
    func run(_ text: String) throws {
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: wrapper[0])
        shell.arguments = Array(wrapper.dropFirst()) + ["/bin/sh", "-euc", "cd '\(folder.path)'; \(text)"]
        let complaints = Pipe()
        shell.standardOutput = complaints
        shell.standardError = complaints
        try shell.run()
        let said = complaints.fileHandleForReading.readDataToEndOfFile()
        shell.waitUntilExit()
        guard shell.terminationStatus == 0 else {
            throw Refusal(description: "\(text): \(String(decoding: said, as: UTF8.self))")
        }
    }

    func end() throws {
        holder.end()
    }
}

extension PrivateDisk {
    struct Refusal: Error, CustomStringConvertible {
        var description: String
    }

    /// The process whose mount namespace has the disk.
    private final class Holder: Sendable {
        let process: Int32
        private let shell: Process
        private let string: FileHandle

        init(script: String, _ arguments: [String], in folder: URL, whileFrozen: () -> Void) throws {
            shell = Process()
            shell.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
            shell.arguments =
                ["--mount", "--propagation", "private", "/bin/sh", "-euc", "\(script)\necho ready\nexec cat", "sh"]
                + arguments
            shell.currentDirectoryURL = folder
            let (input, output, complaints) = (Pipe(), Pipe(), Pipe())
            shell.standardInput = input
            shell.standardOutput = output
            shell.standardError = complaints
            try shell.run()
            string = input.fileHandleForWriting
            process = shell.processIdentifier
            while true {
                switch Self.line(output.fileHandleForReading) {
                case "ready": return
                case "frozen":
                    whileFrozen()
                    try string.write(contentsOf: Data("\n".utf8))
                default:
                    let why = complaints.fileHandleForReading.readDataToEndOfFile()
                    throw Refusal(description: String(decoding: why, as: UTF8.self))
                }
            }
        }

        /// The next line; empty at the end.
        private static func line(_ file: FileHandle) -> String {
            var line = ""
            while true {
                let byte = String(decoding: file.readData(ofLength: 1), as: UTF8.self)
                if byte.isEmpty || byte == "\n" { return line }
                line += byte
            }
        }

        func end() {
            // Closed already when the test ended it itself.
            try? string.close()
            shell.waitUntilExit()
        }
    }
}

extension TopgundProcess {
    /// One whose data is on a disk of its own.
    convenience init(on disk: PrivateDisk, logLevel: String = "warning") throws {
        try self.init(
            ["--listen", "127.0.0.1:0", "--data-dir", disk.path + "/data", "--log-level", logLevel],
            wrapper: disk.wrapper)
    }

    /// One whose data is in a folder.
    convenience init(in folder: URL, logLevel: String = "warning", wrapper: [String] = []) throws {
        try self.init(
            ["--listen", "127.0.0.1:0", "--data-dir", folder.path, "--log-level", logLevel], wrapper: wrapper)
    }
}
