import ArgumentParser
import Foundation

/// Compares `topgund` with Redis on this machine, in one run, over real sockets, and measures what an app feels of the SDK.
@main
struct TopGunBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topgun-bench",
        abstract: "Measures topgund against redis-server with the same connections, batches, keys and values.",
        discussion: """
            Every pair runs twice in turn (topgund, Redis, topgund, Redis), the better run of each side counts. Both \
            servers keep their files below .build of the working directory, on one disk; so does the replica.
            """)

    @Option(help: "Seconds that each load is measured, after one second of warm-up.")
    var seconds = 4.0

    @Option(help: "How many times each pair is run.")
    var rounds = 2

    @Option(help: "Keys that the writes are spread over.")
    var keys = 1_000_000

    @Option(help: "Bytes of each value.")
    var valueBytes = 128

    @Option(help: "Connections of the concurrent loads.")
    var connections = 50

    @Option(help: "Only the measures whose name contains this.")
    var only: String?

    @Option(help: "Where the results go as JSON.")
    var json = ".build/bench.json"

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let measures = Measures(
            seconds: seconds, rounds: rounds, connections: connections,
            space: KeySpace(keys: keys, valueBytes: valueBytes))
        let replica = ReplicaMeasures(valueBytes: valueBytes)
        var report = Report()
        for (name, measure) in measures.all + replica.all where only.map(name.contains) ?? true {
            say("measuring: \(name) ...")
            do {
                report.rows += try await measure()
            } catch {
                say("  failed: \(error)")
                report.rows.append(
                    Row(measure: name, value: 0, unit: "", target: .atLeast(1), detail: "failed: \(error)"))
            }
        }
        report.printTable()
        try report.writeJSON(to: json)
        print("\nwritten to \(json)")
    }
}

/// Progress goes to standard error, so that standard output holds the table alone.
func say(_ line: String) {
    FileHandle.standardError.write(Data((line + "\n").utf8))
}
