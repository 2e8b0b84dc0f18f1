import Foundation

/// One measurement; what it needs is started in it and stopped again.
typealias Measure = () async throws -> [Row]

/// What is measured of the server, each a closure that starts what it needs and stops it again.
struct Measures {
    let seconds: Double
    let rounds: Int
    let connections: Int
    let space: KeySpace

    var all: [(name: String, measure: Measure)] {
        [
            ("durable, batch 64", { try durable(batch: 64, target: 2.5, cpuTarget: 0.9) }),
            ("memory, batch 64", { try inMemory(batch: 64, target: 1.5) }),
            ("durable, batch 1", { try durable(batch: 1, target: 1.0, cpuTarget: nil) }),
            ("memory, batch 1", { try inMemory(batch: 1, target: 1.0) }),
            ("durable, one client alone", aloneDurable),
            ("notification", notification),
            ("memory per record and restart", memoryAndRestart),
        ]
    }

    // MARK: - Pairs

    private func durable(batch: Int, target: Double, cpuTarget: Double?) throws -> [Row] {
        let (topgun, redis) = try pair(
            connections: connections, batch: batch, concern: "REPLICATED", durability: .everyWrite,
            better: { $0.operationsPerSecond > $1.operationsPerSecond })
        var rows = [ratioRow("REPLICATED, \(connections) connections, batches of \(batch)", topgun, redis, target)]
        if let cpu = topgun.serverCPUMicrosPerOperation {
            rows.append(
                Row(
                    measure: "server CPU per durable operation, batches of \(batch)", value: cpu, unit: "us",
                    target: cpuTarget.map(Row.Target.atMost),
                    detail: "Redis \(text(redis.serverCPUMicrosPerOperation ?? .nan)) us",
                    figures: redis.serverCPUMicrosPerOperation.map { ["redis": $0] } ?? [:]))
        }
        return rows
    }

    private func inMemory(batch: Int, target: Double) throws -> [Row] {
        let (topgun, redis) = try pair(
            connections: connections, batch: batch, concern: "MEMORY", durability: .none,
            better: { $0.operationsPerSecond > $1.operationsPerSecond })
        return [ratioRow("MEMORY, \(connections) connections, batches of \(batch)", topgun, redis, target)]
    }

    private func aloneDurable() throws -> [Row] {
        let (topgun, redis) = try pair(
            connections: 1, batch: 1, concern: "REPLICATED", durability: .everyWrite,
            better: { $0.p50Micros < $1.p50Micros })
        return [
            Row(
                measure: "one client alone, REPLICATED, p50 against Redis", value: topgun.p50Micros / redis.p50Micros,
                unit: "x", target: .atMost(1.2),
                detail: "\(text(topgun.p50Micros)) us, Redis \(text(redis.p50Micros)) us",
                figures: figures(topgun, redis))
        ]
    }

    private func ratioRow(_ name: String, _ topgun: LoadResult, _ redis: LoadResult, _ target: Double) -> Row {
        Row(
            measure: name, value: topgun.operationsPerSecond / redis.operationsPerSecond, unit: "x Redis",
            target: .atLeast(target),
            detail: """
                \(text(topgun.operationsPerSecond))/s (p50 \(text(topgun.p50Micros)) us, p99 \(text(topgun.p99Micros)) us), \
                Redis \(text(redis.operationsPerSecond))/s (p50 \(text(redis.p50Micros)) us, p99 \(text(redis.p99Micros)) us)
                """,
            figures: figures(topgun, redis))
    }

    private func figures(_ topgun: LoadResult, _ redis: LoadResult) -> [String: Double] {
        [
            "topgundPerSecond": topgun.operationsPerSecond, "topgundP50Micros": topgun.p50Micros,
            "topgundP99Micros": topgun.p99Micros, "redisPerSecond": redis.operationsPerSecond,
            "redisP50Micros": redis.p50Micros, "redisP99Micros": redis.p99Micros,
        ]
    }

    /// Runs both servers in turn under the same load; the better run of each side counts.
    private func pair(
        connections: Int, batch: Int, concern: String, durability: Peer.RedisDurability,
        better: (LoadResult, LoadResult) -> Bool
    ) throws -> (topgun: LoadResult, redis: LoadResult) {
        var best: (topgun: LoadResult?, redis: LoadResult?)
        for round in 0..<rounds {
            let seed = UInt64(round * 1000 + 1)
            let topgun = try withPeer(Peer.topgund()) { peer in
                try fill(peer, shares: connections)
                return try load(peer, connections: connections, batch: batch).run(keys: space.keys, seed: seed) {
                    TopGunSpeaker(space: space, concern: concern, node: "bench-\($0)", share: $0)
                }
            }
            let redis = try withPeer(Peer.redis(durability)) { peer in
                try fill(peer, shares: connections)
                return try load(peer, connections: connections, batch: batch).run(keys: space.keys, seed: seed) { _ in
                    RedisSpeaker(space: space)
                }
            }
            say(
                "  round \(round + 1): topgund \(text(topgun.operationsPerSecond))/s, Redis \(text(redis.operationsPerSecond))/s"
            )
            if best.topgun.map({ better(topgun, $0) }) ?? true { best.topgun = topgun }
            if best.redis.map({ better(redis, $0) }) ?? true { best.redis = redis }
        }
        guard let topgun = best.topgun, let redis = best.redis else { throw BenchmarkError("no rounds") }
        return (topgun, redis)
    }

    private func load(_ peer: Peer, connections: Int, batch: Int) -> Load {
        Load(port: peer.port, connections: connections, batch: batch, seconds: seconds, serverProcess: peer.processID)
    }

    private func withPeer<Result>(_ peer: Peer, _ body: (Peer) throws -> Result) throws -> Result {
        defer { peer.stop() }
        return try body(peer)
    }

    /// Writes every key once, so that the load overwrites and tables have their size.
    private func fill(_ peer: Peer, shares: Int) throws {
        for share in 0..<shares {
            let socket = try Socket(host: "127.0.0.1", port: peer.port)
            if peer.name == "redis" {
                try fillKeys(
                    socket, share: share, of: shares, keys: space.keys, speaker: RedisSpeaker(space: space))
            } else {
                let speaker = TopGunSpeaker(space: space, concern: "REPLICATED", node: "bench-fill", share: share)
                try fillKeys(socket, share: share, of: shares, keys: space.keys, speaker: speaker)
            }
        }
    }

    // MARK: - Notification, memory, restart

    private func notification() throws -> [Row] {
        try withPeer(Peer.topgund()) { peer in
            let watcher = try Watcher(
                listener: Socket(host: "127.0.0.1", port: peer.port), writer: Socket(host: "127.0.0.1", port: peer.port)
            )
            let micros = try watcher.measure(
                writes: 2000, speaker: TopGunSpeaker(space: space, concern: "REPLICATED", node: "bench-w", share: 0))
            return [
                Row(
                    measure: "write to notification on another idle client, p50",
                    value: micros[micros.count / 2] / 1000,
                    unit: "ms", target: .atMost(1), detail: "p99 \(text(micros[micros.count * 99 / 100])) us",
                    figures: ["p50Micros": micros[micros.count / 2], "p99Micros": micros[micros.count * 99 / 100]])
            ]
        }
    }

    private func memoryAndRestart() throws -> [Row] {
        try withPeer(Peer.topgund()) { peer in
            guard let before = residentBytes(of: peer.processID) else { throw BenchmarkError("no /proc") }
            try fill(peer, shares: 1)
            sleep(2)
            guard let after = residentBytes(of: peer.processID) else { throw BenchmarkError("no /proc") }
            let perRecord = Double(after - before) / Double(space.keys) - Double(KeySpace.keyBytes + space.value.count)
            let start = monotonicNanos()
            try peer.killAndRestart()
            try peer.waitUntilItListens()
            let restart = Double(monotonicNanos() - start) / 1e9
            return [
                Row(
                    measure: "memory per record above key and value, \(space.keys) records", value: perRecord,
                    unit: "bytes", target: .atMost(100),
                    detail: "resident \((after - before) >> 20) MiB more, log buffers and all"),
                Row(
                    measure: "restart after SIGKILL with \(space.keys) records to ready", value: restart, unit: "s",
                    target: .atMost(3), detail: ""),
            ]
        }
    }
}
