import Foundation

/// What the kernel says about a process.
struct ProcessFigures {
    var residentBytes: Int
    /// The most that it ever was.
    var residentBytesMax: Int
    var openFiles: Int

    static let obstacle: String? =
        FileManager.default.fileExists(atPath: "/proc/self/status") ? nil : "this system says nothing in /proc"

    /// Throws when there is no such process.
    init(of process: Int32) throws {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        func bytes(_ name: String) -> Int {
            for line in status.split(separator: "\n") where line.hasPrefix(name + ":") {
                return (line.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int($0) } ?? 0) * 1_024
            }
            return 0
        }
        residentBytes = bytes("VmRSS")
        residentBytesMax = bytes("VmHWM")
        openFiles = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(process)/fd").count
    }
}
