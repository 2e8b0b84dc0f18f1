import Foundation

/// `strace` at a process that runs: its system calls fail, or take their time, from now until ``end()``.
///
/// Counts such as `when=1` are those of each thread.
final class FailingCalls {
    private static let program = "/usr/bin/strace"

    /// Why this machine has none of it; `nil` where it has. In CI it must have, or the tests fail.
    static let obstacle: String? = {
        if ProcessInfo.processInfo.environment["CI"] == "true" { return nil }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = ["-qq", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO", "/bin/true"]
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            return "strace is not on this machine"
        }
        process.waitUntilExit()
        return process.terminationStatus == 0 ? nil : "strace may not look at processes here"
    }()

    /// The number by which the system knows the thread that asks.
    static var currentThread: Int32 {
        get throws {
            let path = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
            return path.split(separator: "/").last.flatMap { Int32($0) } ?? 0
        }
    }

    private let process = Process()

    /// - Parameter injections: such as `fdatasync:error=EIO`.
    convenience init(of target: Int32, _ injections: String...) throws {
        try self.init(["-f", "-p", "\(target)"], injections)
    }

    /// The calls of one thread only, which may be one of this very process.
    convenience init(ofThread target: Int32, _ injections: String...) throws {
        try self.init(["-p", "\(target)"], injections)
    }

    private init(_ arguments: [String], _ injections: [String]) throws {
        process.executableURL = URL(fileURLWithPath: Self.program)
        let calls = injections.compactMap { $0.split(separator: ":").first }.joined(separator: ",")
        process.arguments =
            arguments + ["-o", "/dev/null", "-e", "trace=\(calls)"] + injections.flatMap { ["-e", "inject=\($0)"] }
        let complaints = Pipe()
        process.standardError = complaints
        try process.run()
        var said = Data()
        while !String(decoding: said, as: UTF8.self).contains("attached") {
            let data = complaints.fileHandleForReading.availableData
            guard !data.isEmpty else {
                throw PrivateDisk.Refusal(description: String(decoding: said, as: UTF8.self))
            }
            said += data
        }
    }

    deinit {
        end()
    }

    func end() {
        guard process.isRunning else { return }
        // Not SIGTERM, which is blocked where it was started from a thread that blocks it. The kernel lets go of what it
        // looked at.
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
