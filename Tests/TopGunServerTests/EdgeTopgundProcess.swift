import Foundation
import Synchronization

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// `topgund` itself, as a process of its own.
final class TopgundProcess: Sendable {
    struct Ending: Equatable {
        var status: Int32
        var isSignal: Bool

        static func exit(_ status: Int32) -> Ending { Ending(status: status, isSignal: false) }
    }

    let output: AsyncStream<String>
    let directory: URL
    private let process: Mutex<Process>
    private let endings: AsyncStream<Ending>
    private let complaints = Mutex("")

    /// The program beside the tests; `nil` where only the tests were built.
    static let program: URL? = {
        let places = [
            Bundle.main.bundleURL, URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent(),
        ]
        return places.map { $0.appending(path: "topgund") }.first {
            FileManager.default.isExecutableFile(atPath: $0.path)
        }
    }()

    /// No setting of the server comes from where the tests run, but what a sanitizer is told goes for it too.
    private static let surroundings = ProcessInfo.processInfo.environment
        .filter { ["ASAN_OPTIONS", "TSAN_OPTIONS", "LD_PRELOAD"].contains($0.key) }
        .merging(["SWIFT_BACKTRACE": "enable=no"]) { $1 }

    /// Starts it with a new data directory; `openFiles` is the limit that the system sets for it, and `wrapper` the
    /// beginning of a command line that ends with becoming it.
    init(
        _ arguments: [String] = ["--listen", "127.0.0.1:0"], environment: [String: String] = [:],
        openFiles: Int? = nil, wrapper: [String] = []
    ) throws {
        directory = FileManager.default.temporaryDirectory.appending(path: "topgund-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        let program = Self.program?.path ?? ""
        let process = Process()
        let limit = openFiles.map { "ulimit -n \($0); " } ?? ""
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", limit + "exec \"$0\" \"$@\""] + wrapper + [program] + arguments
        process.currentDirectoryURL = directory
        process.environment = environment.merging(Self.surroundings) { given, _ in given }
        let (out, err) = (Pipe(), Pipe())
        process.standardOutput = out
        process.standardError = err
        let (endings, endingSink) = AsyncStream.makeStream(of: Ending.self)
        let (output, outputSink) = AsyncStream.makeStream(of: String.self)
        self.endings = endings
        self.output = output
        process.terminationHandler = {
            endingSink.yield(Ending(status: $0.terminationStatus, isSignal: $0.terminationReason == .uncaughtSignal))
            endingSink.finish()
        }
        self.process = Mutex(process)
        out.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            if data.isEmpty {
                handle.readabilityHandler = nil
                outputSink.finish()
            } else {
                outputSink.yield(String(decoding: data, as: UTF8.self))
            }
        }
        err.fileHandleForReading.readabilityHandler = { [weak self] handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil }
            self?.complaints.withLock { $0 += String(decoding: data, as: UTF8.self) }
        }
        try self.process.withLock { try $0.run() }
    }

    deinit {
        // Not left behind by a test that failed.
        process.withLock { if $0.isRunning { kill($0.processIdentifier, SIGKILL) } }
        try? FileManager.default.removeItem(at: directory)
    }

    /// The port, once it serves; `nil` if it ended without.
    func port() async -> Int? {
        var text = ""
        for await piece in output {
            text += piece
            if text.hasSuffix("\n") { break }
        }
        guard let match = text.wholeMatch(of: /PORT=(\d+)\n/) else { return nil }
        return Int(match.1)
    }

    var id: Int32 { process.withLock { $0.processIdentifier } }

    func signal(_ signal: Int32) {
        process.withLock { _ = kill($0.processIdentifier, signal) }
    }

    func end() async -> Ending? {
        for await ending in endings { return ending }
        return nil
    }

    /// What it wrote to standard error and was read of it so far; its last words may still be on their way when it has ended.
    var log: String { complaints.withLock { $0 } }
}

/// The socket on which a service manager listens.
final class NotifySocket: Sendable {
    let path: String
    let messages: AsyncStream<String>
    private let descriptor: Int32

    init() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "notify-\(UUID().uuidString.prefix(8))").path
        self.path = path
        #if canImport(Darwin)
        let kind = SOCK_DGRAM
        #else
        let kind = Int32(SOCK_DGRAM.rawValue)
        #endif
        let descriptor = socket(AF_UNIX, kind, 0)
        self.descriptor = descriptor
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard bound == 0 else { throw CocoaError(.fileWriteUnknown) }
        let (messages, sink) = AsyncStream.makeStream(of: String.self)
        self.messages = messages
        let thread = Thread {
            var buffer = [UInt8](repeating: 0, count: 4_096)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                sink.yield(String(decoding: buffer[..<count], as: UTF8.self))
            }
            sink.finish()
        }
        thread.start()
    }

    deinit {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
        unlink(path)
    }
}
