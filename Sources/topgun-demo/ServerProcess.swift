import Foundation
import Synchronization

/// A `topgund` of its own, from the same build as this program.
struct ServerProcess: Sendable {
    let pid: Int32
    let port: Int
    private let stage: Stage

    var url: String { "ws://127.0.0.1:\(port)/ws" }

    /// Starts the server and returns when it serves.
    static func start(stage: Stage, dataFolder: String, port: Int) async throws -> ServerProcess {
        let program = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            .deletingLastPathComponent().appendingPathComponent("topgund")
        guard FileManager.default.isExecutableFile(atPath: program.path) else {
            stage.fail("there is no \(program.path): build it with `swift build --product topgund`")
        }
        let process = Process()
        process.executableURL = program
        process.arguments = [
            "--listen", "127.0.0.1:\(port)", "--data-dir", dataFolder, "--no-auth", "--log-level", "error",
        ]
        // Settings of the person who runs the demo are none of its business.
        process.environment = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("TOPGUN_") }
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        stage.own(process.processIdentifier)
        let served = await portLine(of: output.fileHandleForReading)
        guard let served else { stage.fail("the server ended before it served") }
        return ServerProcess(pid: process.processIdentifier, port: served, stage: stage)
    }

    /// Reads the one line that the server prints once it serves.
    private static func portLine(of file: FileHandle) async -> Int? {
        await withCheckedContinuation { continuation in
            let state = Mutex((text: "", isDone: false))
            file.readabilityHandler = { file in
                let data = file.availableData
                let port: Int?? = state.withLock { state in
                    guard !state.isDone else { return nil }
                    state.text += String(decoding: data, as: UTF8.self)
                    if let line = state.text.split(separator: "\n").first(where: { $0.hasPrefix("PORT=") }),
                        state.text.hasSuffix("\n")
                    {
                        state.isDone = true
                        return .some(Int(line.dropFirst("PORT=".count)))
                    }
                    guard data.isEmpty else { return nil }
                    state.isDone = true
                    return .some(nil)
                }
                if let port {
                    file.readabilityHandler = nil
                    continuation.resume(returning: port)
                }
            }
        }
    }

    /// `kill -9`: no goodbye, no flush, no drain.
    func kill() {
        Foundation.kill(pid, SIGKILL)
        stage.disown(pid)
    }
}
