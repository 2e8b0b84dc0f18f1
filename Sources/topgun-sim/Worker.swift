import Foundation
import TopGunSimulation

/// Child processes of the simulator, each with a stretch of seeds. A process that was killed in the simulation leaves its
/// memory behind, as the tasks of it never end; so no worker runs more than a few seeds.
enum Worker {
    static let seedsPerWorker: UInt64 = 50
    /// The same where one seed may be enough.
    static let seedsPerSearch: UInt64 = 8

    /// What all workers together had to say.
    struct Summary {
        var seeds = 0
        var turns = 0
        var reached: [String: Int] = [:]
        /// Reports of violations, or of second runs that were not the same.
        var failed: [SeedReport] = []
        /// Seeds that a worker did not live to report.
        var lost: [UInt64] = []
    }

    static let executable: String = {
        #if os(Linux)
        // What the link says, and not the link: a child is to run the file, whatever is at the name by then.
        if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") { return path }
        #endif
        return Bundle.main.executablePath ?? CommandLine.arguments[0]
    }()

    /// Runs the worker command over the seeds, some at a time, until none is left or a report was enough. Failures are
    /// printed as they come if they are `loud`.
    static func run(
        _ seeds: SeedRange, jobs: Int, arguments: [String], isLoud: Bool = false,
        isEnough: (@Sendable (SeedReport) -> Bool)? = nil
    ) -> Summary {
        var pieces: [SeedRange] = []
        let size = isEnough == nil ? seedsPerWorker : seedsPerSearch
        var first = seeds.first
        while first <= seeds.last {
            let last = min(first + size - 1, seeds.last)
            pieces.append(SeedRange(first: first, last: last))
            first = last + 1
        }
        let shared = Shared(pieces, isLoud: isLoud, isEnough: isEnough)
        let group = DispatchGroup()
        for _ in 0..<max(jobs, 1) {
            DispatchQueue.global().async(group: group) {
                while let piece = shared.next() { shared.run(piece, arguments) }
            }
        }
        group.wait()
        return shared.summary
    }

    /// What the threads that wait for workers share.
    private final class Shared: @unchecked Sendable {
        // Unchecked because everything that changes is touched under the lock only.
        private let lock = NSLock()
        private let isLoud: Bool
        private let isEnough: (@Sendable (SeedReport) -> Bool)?
        private var pieces: [SeedRange]
        private(set) var summary = Summary()

        init(_ pieces: [SeedRange], isLoud: Bool, isEnough: (@Sendable (SeedReport) -> Bool)?) {
            self.pieces = pieces.reversed()
            self.isLoud = isLoud
            self.isEnough = isEnough
        }

        func next() -> SeedRange? {
            lock.withLock { pieces.popLast() }
        }

        func run(_ piece: SeedRange, _ arguments: [String]) {
            let output = Worker.output(of: ["worker", "--seeds", "\(piece.first)..\(piece.last)"] + arguments)
            let reports = output.split(separator: UInt8(ascii: "\n")).compactMap {
                // A line that was cut off by the end of the worker is no report.
                try? JSONDecoder().decode(SeedReport.self, from: $0)
            }
            lock.withLock {
                for report in reports { note(report) }
                let seen = Set(reports.map(\.seed))
                let lost = (piece.first...piece.last).filter { !seen.contains($0) }
                if isLoud { for seed in lost { print("seed \(seed): the worker ended; replay it") } }
                summary.lost.append(contentsOf: lost)
            }
        }

        private func note(_ report: SeedReport) {
            summary.seeds += 1
            summary.turns += report.turns
            Reach.add(report.reached, to: &summary.reached)
            guard report.isFailure else { return }
            summary.failed.append(report)
            if isLoud { print(report.text) }
            if isEnough?(report) ?? false { pieces = [] }
        }
    }

    private static func output(of arguments: [String]) -> Data {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        // The runtime complains there of the tasks of killed processes; what ends a worker is seen when its seed is
        // replayed.
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
        } catch {
            return Data()
        }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return data
    }
}
