import Foundation
import Testing

@testable import TopGunServer

/// The unit file, judged by systemd itself where there is one.
@Suite struct EdgeUnitFileTests {
    private static let analyzer = "/usr/bin/systemd-analyze"
    private static var hasAnalyzer: Bool { FileManager.default.isExecutableFile(atPath: analyzer) }

    /// The checkout that this was compiled from.
    private static let unit: URL? = {
        var folder = URL(fileURLWithPath: #filePath)
        while folder.path != "/" {
            folder = folder.deletingLastPathComponent()
            let unit = folder.appending(path: "Deploy/topgund.service")
            if FileManager.default.fileExists(atPath: unit.path) { return unit }
        }
        return nil
    }()

    private static func analyze(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: analyzer)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }

    @Test(.enabled(if: hasAnalyzer, "systemd-analyze is not on this machine"))
    func `O09 systemd accepts the unit file`() throws {
        let unit = try #require(Self.unit)
        let (status, output) = try Self.analyze(["verify", unit.path])
        #expect(status == 0, "\(output)")
        #expect(output.isEmpty, "\(output)")
    }

    @Test(.enabled(if: hasAnalyzer, "systemd-analyze is not on this machine"))
    func `O09 the unit file exposes at most 1_5`() throws {
        let unit = try #require(Self.unit)
        let (_, output) = try Self.analyze(["security", "--offline=true", "--no-pager", unit.path])
        let level = try #require(output.firstMatch(of: /Overall exposure level for topgund\.service: ([0-9.]+)/)?.1)
        let exposure = try #require(Double(level))
        #expect(exposure <= 1.5, "\(output)")
    }

    @Test func `what a restart cannot mend is not restarted`() throws {
        let text = try String(contentsOf: try #require(Self.unit), encoding: .utf8)
        let line = try #require(text.firstMatch(of: /(?m)^RestartPreventExitStatus=(.*)$/)?.1)
        let codes = Set(line.split(separator: " ").compactMap { Int32($0) })
        #expect(codes == [ExitCode.usage, ExitCode.data, ExitCode.disk, ExitCode.configuration])
        #expect(text.contains("\nType=notify\n"))
        #expect(text.contains("\nWatchdogSec="))
    }

    @Test func `P07 a crash loop is ended by systemd, and a crash now and then is not`() throws {
        let text = try String(contentsOf: try #require(Self.unit), encoding: .utf8)
        func seconds(_ name: String) throws -> Int {
            let line = try #require(
                text.firstMatch(of: try Regex("(?m)^\(name)=(\\d+)$", as: (Substring, Substring).self)))
            return try #require(Int(line.1))
        }
        #expect(text.contains("\nRestart=on-failure\n"))
        let (burst, interval) = (try seconds("StartLimitBurst"), try seconds("StartLimitIntervalSec"))
        let pause = try seconds("RestartSec")
        // Starts that fail at once come every `RestartSec` and a moment: all of the burst must fall into the interval.
        #expect(burst > 1 && burst * (pause + 10) < interval)
    }
}
