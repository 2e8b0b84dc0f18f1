import Foundation

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// What the system says about this process. Absent where it has no `/proc`.
struct ProcessFigures {
    var residentBytes: Int?
    var openFiles: Int?

    static func read() -> ProcessFigures {
        // Absent outside Linux, which the type says.
        let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?
            .split(separator: " ").dropFirst().first.flatMap { Int($0) }
        let files = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd"))?.count
        return ProcessFigures(residentBytes: pages.map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) }, openFiles: files)
    }
}
