import Foundation

/// A server started for the benchmark on a free port, in a directory of its own; gone when stopped.
final class Peer {
    let name: String
    let port: Int
    let directory: URL
    private(set) var process: Process
    var processID: Int32 { process.processIdentifier }

    private init(name: String, port: Int, directory: URL, process: Process) {
        self.name = name
        self.port = port
        self.directory = directory
        self.process = process
    }

    enum RedisDurability {
        case none
        case everyWrite
    }

    static func redis(_ durability: RedisDurability) throws -> Peer {
        let directory = try freshDirectory("redis")
        let port = try freePort()
        var arguments = ["--port", "\(port)", "--bind", "127.0.0.1", "--dir", directory.path, "--save", ""]
        switch durability {
        case .none: arguments += ["--appendonly", "no"]
        case .everyWrite: arguments += ["--appendonly", "yes", "--appendfsync", "always"]
        }
        let process = try start("/usr/bin/redis-server", arguments, log: directory.appending(path: "log"))
        let peer = Peer(name: "redis", port: port, directory: directory, process: process)
        try peer.waitUntilItListens()
        return peer
    }

    static func topgund() throws -> Peer {
        let directory = try freshDirectory("topgund")
        let port = try freePort()
        let peer = Peer(
            name: "topgund", port: port, directory: directory, process: try startTopgund(port: port, in: directory))
        try peer.waitUntilItListens()
        return peer
    }

    /// Kills the process the hard way and starts it again on the same directory and port.
    func killAndRestart() throws {
        kill(processID, SIGKILL)
        process.waitUntilExit()
        process = try Peer.startTopgund(port: port, in: directory)
    }

    func stop() {
        process.terminate()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: directory)  // A left-over in the temporary folder harms nobody.
    }

    func waitUntilItListens(seconds: Double = 60) throws {
        let deadline = monotonicNanos() + Int64(seconds * 1e9)
        while monotonicNanos() < deadline {
            guard process.isRunning else {
                let log = (try? String(contentsOf: directory.appending(path: "log"), encoding: .utf8)) ?? ""
                throw BenchmarkError("\(name) did not start: \(log.suffix(500))")
            }
            if name == "topgund" {
                if isReady() { return }
            } else if (try? Socket(host: "127.0.0.1", port: port)) != nil {
                return
            }
            usleep(2000)
        }
        throw BenchmarkError("\(name) does not answer on port \(port)")
    }

    private func isReady() -> Bool {
        guard let socket = try? Socket(host: "127.0.0.1", port: port),
            (try? socket.writeAll(Array("GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".utf8)))
                != nil,
            let head = try? socket.readHead()
        else { return false }
        return head.hasPrefix("HTTP/1.1 200")
    }

    private static func startTopgund(port: Int, in directory: URL) throws -> Process {
        let beside = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent()
        let binary = beside.appending(path: "topgund").path
        guard FileManager.default.isExecutableFile(atPath: binary) else {
            throw BenchmarkError("no topgund beside \(CommandLine.arguments[0]); run `make bench`")
        }
        return try start(
            binary, ["--listen", "127.0.0.1:\(port)", "--data-dir", directory.appending(path: "data").path],
            log: directory.appending(path: "log"))
    }

    private static func start(_ binary: String, _ arguments: [String], log: URL) throws -> Process {
        if !FileManager.default.fileExists(atPath: log.path) {
            try Data().write(to: log)
        }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: binary)
        process.arguments = arguments
        let handle = try FileHandle(forWritingTo: log)
        process.standardOutput = handle
        process.standardError = handle
        // A server inherits what the thread blocks, and the threads of the concurrency runtime block SIGTERM.
        var before = sigset_t()
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, &before)
        defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
        try process.run()
        return process
    }

    /// On the disk of the working directory, so that every server syncs to the same device.
    static func freshDirectory(_ name: String) throws -> URL {
        let directory = URL(fileURLWithPath: FileManager.default.currentDirectoryPath)
            .appending(path: ".build/bench-\(name)-\(UInt32.random(in: .min ... .max))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        return directory
    }

    private static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        guard bound else { throw BenchmarkError("no free port: \(errnoText())") }
        return Int(UInt16(bigEndian: address.sin_port))
    }
}
