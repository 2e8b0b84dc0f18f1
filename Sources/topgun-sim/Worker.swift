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
        /// Seeds that ran twice.
        var repeated = 0
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

    /// What is said while a run goes on.
    enum Voice {
        case nothing
        /// How far it is, if it takes long.
        case progress
        /// Failures as they come, too.
        case all
    }

    /// Runs the worker command over the seeds, some at a time, until none is left or a report was enough. One seed in
    /// `repeating` runs again in a process of its own, in which sets and dictionaries have another order: a second run in the
    /// first process would hide what depends on that, or on the seeds before.
    static func run(
        _ seeds: SeedRange, jobs: Int, arguments: [String], repeating: UInt64 = 0, voice: Voice = .nothing,
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
        let shared = Shared(pieces, total: seeds.count, repeating: repeating, voice: voice, isEnough: isEnough)
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
        private let repeating: UInt64
        private let voice: Voice
        private let isEnough: (@Sendable (SeedReport) -> Bool)?
        private var progress: Progress
        private var pieces: [SeedRange]
        private(set) var summary = Summary()

        init(
            _ pieces: [SeedRange], total: Int, repeating: UInt64, voice: Voice,
            isEnough: (@Sendable (SeedReport) -> Bool)?
        ) {
            self.pieces = pieces.reversed()
            self.repeating = repeating
            self.voice = voice
            self.isEnough = isEnough
            progress = Progress(total: total)
        }

        private var tellsFailures: Bool {
            switch voice {
            case .nothing, .progress: false
            case .all: true
            }
        }

        private var tellsProgress: Bool {
            switch voice {
            case .nothing: false
            case .progress, .all: true
            }
        }

        func next() -> SeedRange? {
            lock.withLock { pieces.popLast() }
        }

        func run(_ piece: SeedRange, _ arguments: [String]) {
            let arguments =
                ["worker", "--seeds", "\(piece.first)..\(piece.last)", "--repeating", "\(repeating)"] + arguments
            var reports = Worker.reports(of: arguments)
            var again: [UInt64: SeedReport] = [:]
            if repeating > 0 {
                for report in Worker.reports(of: arguments + ["--only-repeated"], inAnotherOrder: true) {
                    again[report.seed] = report
                }
                for index in reports.indices where reports[index].seed % repeating == 0 {
                    reports[index].differs = again[reports[index].seed]?.fingerprint != reports[index].fingerprint
                }
            }
            lock.withLock {
                summary.repeated += again.count
                for report in reports { note(report) }
                let seen = Set(reports.map(\.seed))
                let lost = (piece.first...piece.last).filter { !seen.contains($0) }
                if tellsFailures {
                    for seed in lost { say("seed \(seed): the worker ended; topgun-sim replay \(seed) shows why") }
                }
                summary.lost.append(contentsOf: lost)
                if tellsProgress {
                    progress.note(done: summary.seeds, failed: summary.failed.count + summary.lost.count)
                }
            }
        }

        /// At once, wherever standard output leads: a long run is looked at while it goes on.
        private func say(_ line: String) {
            FileHandle.standardOutput.write(Data("\(line)\n".utf8))
        }

        private func note(_ report: SeedReport) {
            summary.seeds += 1
            summary.turns += report.turns
            Reach.add(report.reached, to: &summary.reached)
            guard report.isFailure else { return }
            summary.failed.append(report)
            if tellsFailures { say(report.text) }
            if isEnough?(report) ?? false { pieces = [] }
        }
    }

    private static func reports(of arguments: [String], inAnotherOrder: Bool = false) -> [SeedReport] {
        output(of: arguments, inAnotherOrder).split(separator: UInt8(ascii: "\n")).compactMap {
            // A line that was cut off by the end of the worker is no report.
            try? JSONDecoder().decode(SeedReport.self, from: $0)
        }
    }

    private static func output(of arguments: [String], _ isInAnotherOrder: Bool) -> Data {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        if isInAnotherOrder { process.environment = FixedEnvironment.inAnotherOrder }
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
