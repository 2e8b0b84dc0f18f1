import ArgumentParser
import Foundation
import TopGunSimulation

/// The first harness level: cores alone, as many steps as the processor takes.
struct CoresCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cores", abstract: "Drives the cores directly and compares every step with a naive model.")

    @Option(help: "The seeds, as FIRST..LAST.") var seeds = SeedRange(first: 1, last: 2_000)
    @Option(help: "Steps of a seed.") var steps = 10_000
    @Option(help: "Threads.") var jobs = 2
    @Flag(help: "Prints the result as one JSON object.") var json = false

    func run() throws {
        let clock = Progress(total: 0)
        let tally = Tally(seeds)
        let group = DispatchGroup()
        for _ in 0..<max(jobs, 1) {
            DispatchQueue.global().async(group: group) { [steps] in
                while let seed = tally.next() { tally.note(seed, CoreRun(seed: seed).run(steps: steps)) }
            }
        }
        group.wait()
        let result = Result(
            seeds: seeds.count, steps: tally.steps, seconds: clock.seconds,
            failed: tally.failed.sorted { $0.seed < $1.seed })
        if json { try Report.print(result) } else { print(result.text) }
        if !result.failed.isEmpty { throw ExitCode.failure }
    }

    private struct Failure: Encodable {
        var seed: UInt64
        var violations: [String]
    }

    private struct Result: Encodable {
        var seeds: Int
        var steps: Int
        var seconds: Double
        var failed: [Failure]

        var text: String {
            let lines = failed.flatMap { failure in
                ["seed \(failure.seed): topgun-sim cores --seeds \(failure.seed)"]
                    + failure.violations.map { "  \($0)" }
            }
            let rate = String(format: "%.2f million steps/s", Double(steps) / seconds / 1e6)
            return (lines + ["\(seeds) seeds of cores, \(failed.count) failed; \(steps) steps, \(rate)"])
                .joined(separator: "\n")
        }
    }

    /// What the threads share.
    private final class Tally: @unchecked Sendable {
        // Unchecked because everything is touched under the lock only.
        private let lock = NSLock()
        private var nextSeed: UInt64
        private let last: UInt64
        private(set) var steps = 0
        private(set) var failed: [Failure] = []

        init(_ seeds: SeedRange) {
            nextSeed = seeds.first
            last = seeds.last
        }

        func next() -> UInt64? {
            lock.withLock {
                guard nextSeed <= last else { return nil }
                defer { nextSeed += 1 }
                return nextSeed
            }
        }

        func note(_ seed: UInt64, _ outcome: CoreRun.Outcome) {
            lock.withLock {
                steps += outcome.steps
                guard !outcome.violations.isEmpty else { return }
                failed.append(Failure(seed: seed, violations: outcome.violations.map(\.description)))
            }
        }
    }
}
