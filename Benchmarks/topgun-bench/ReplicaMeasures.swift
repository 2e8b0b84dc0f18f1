import Foundation
import TopGun

/// What an app feels of the SDK: reading and writing its own replica, and filling an empty one from a server.
struct ReplicaMeasures {
    private static let records = 100_000
    private static let reads = 400_000
    private static let writes = 20_000
    private static let durableWrites = 400

    let valueBytes: Int

    var all: [(name: String, measure: Measure)] {
        [
            ("SDK, reads and writes", { try await readsAndWrites(server: nil) }),
            ("SDK, reads and writes while syncing", withServer { try await readsAndWrites(server: $0) }),
            ("SDK, first sync", withServer { try await firstSync(from: $0) }),
        ]
    }

    /// A value as apps have them: a few fields of different types.
    private struct Article: Codable, Equatable {
        var title: String
        var body: String
        var price: Double
        var stock: Int
        var isOnSale: Bool

        init(number: Int, bodyBytes: Int) {
            title = "Article \(number)"
            body = String(repeating: "b", count: bodyBytes)
            price = Double(number) + 0.5
            stock = number
            isOnSale = number.isMultiple(of: 2)
        }
    }

    // MARK: - One replica

    private func readsAndWrites(server: Peer?) async throws -> [Row] {
        let directory = try Peer.freshDirectory("replica")
        // A left-over below .build harms nobody.
        defer { try? FileManager.default.removeItem(at: directory) }
        let store = StoreLocation.file(directory.appending(path: "replica.db").path)
        let url = server.map(address(of:))
        let keys = (0..<Self.records).map(key)

        try await fill(store, server: url, keys)
        // Opened again, so that the first read of each key finds it as it is after the start of an app.
        let client = try await TopGunClient(server: url, store: store)
        let map = try await client.map("articles", of: Article.self)
        guard map.count == keys.count else { throw BenchmarkError("\(map.count) of \(keys.count) records were stored") }

        var picker = KeyPicker.random(share: 0, of: 1, keys: keys.count, seed: 11)
        let order = (0..<Self.reads).map { _ in picker.next() }
        let first = try durations(of: Array(0..<keys.count).shuffled(), keys, reading: map)
        let reads = try durations(of: order, keys, reading: map)

        var sets: [Double] = []
        sets.reserveCapacity(Self.writes)
        var last: WriteReceipt?
        for turn in 0..<Self.writes {
            let number = picker.next()
            var article = Article(number: number, bodyBytes: valueBytes)
            article.price = Double(turn)
            let start = monotonicNanos()
            last = try map.set(article, for: keys[number])
            sets.append(Double(monotonicNanos() - start) / 1000)
            guard map[keys[number]] == article else { throw BenchmarkError("a write is not seen") }
        }
        try await last?.reaches(.stored)

        var durables: [Double] = []
        for turn in 0..<Self.durableWrites {
            let number = picker.next()
            let start = monotonicNanos()
            let receipt = try map.set(Article(number: turn, bodyBytes: valueBytes), for: keys[number])
            try await receipt.reaches(.stored)
            durables.append(Double(monotonicNanos() - start) / 1e6)
        }
        await client.close()

        let suffix = server == nil ? "" : ", server connected"
        return [
            row("SDK: map[key], 100,000 records\(suffix), p50", "us", reads, target: 1),
            row("SDK: first map[key] after the start (decodes)\(suffix), p50", "us", first, target: nil),
            row("SDK: set, 100,000 records\(suffix), p50", "us", sets, target: 20),
            row("SDK: set until durable in SQLite\(suffix), p99", "ms", durables, percentile: 0.99, target: 20),
        ]
    }

    private func fill(_ store: StoreLocation, server: String?, _ keys: [String]) async throws {
        let client = try await TopGunClient(server: server, store: store)
        let map = try await client.map("articles", of: Article.self)
        var last: WriteReceipt?
        for (number, key) in keys.enumerated() {
            last = try map.set(Article(number: number, bodyBytes: valueBytes), for: key)
        }
        try await last?.reaches(server == nil ? .stored : .replicated)
        await client.close()
    }

    /// Microseconds of each read, the reading of the clock included.
    private func durations(
        of order: [Int], _ keys: [String], reading map: TopGunMap<Article>
    ) throws -> [Double] {
        var durations: [Double] = []
        durations.reserveCapacity(order.count)
        for number in order {
            let start = monotonicNanos()
            let article = map[keys[number]]
            durations.append(Double(monotonicNanos() - start) / 1000)
            guard article?.stock == number else { throw BenchmarkError("a read found what was not written") }
        }
        return durations
    }

    // MARK: - From a server

    private func firstSync(from server: Peer) async throws -> [Row] {
        let space = KeySpace(keys: Self.records, valueBytes: valueBytes)
        try fillKeys(
            Socket(host: "127.0.0.1", port: server.port), share: 0, of: 1, keys: Self.records,
            speaker: TopGunSpeaker(space: space, concern: "REPLICATED", node: "bench-fill", share: 0))
        let name = TopGunSpeaker.map(ofShare: 0)
        var live: [Double] = []
        var stored: [Double] = []
        for _ in 0..<5 {
            let directory = try Peer.freshDirectory("replica")
            // A left-over below .build harms nobody.
            defer { try? FileManager.default.removeItem(at: directory) }
            let store = StoreLocation.file(directory.appending(path: "replica.db").path)
            let start = monotonicNanos()
            let client = try await TopGunClient(server: address(of: server), store: store)
            let map = try await client.map(name, of: String.self)
            for await state in client.syncState where state == .live { break }
            live.append(Double(monotonicNanos() - start) / 1e9)
            let expected = String(decoding: space.value, as: UTF8.self)
            guard map.count == Self.records, map[key(Self.records - 1)] == expected else {
                throw BenchmarkError("live with \(map.count) of \(Self.records) records")
            }
            await client.close()
            stored.append(Double(monotonicNanos() - start) / 1e9)
            try await expectAll(in: store, name)
        }
        return [
            row("SDK: first sync of 100,000 records, p50 of 5", "s", live, target: 3),
            row("SDK: the same until all are durable in SQLite and the client is closed", "s", stored, target: nil),
        ]
    }

    /// What was synced must be there without a server too.
    private func expectAll(in store: StoreLocation, _ name: String) async throws {
        let client = try await TopGunClient(store: store)
        let map = try await client.map(name, of: String.self)
        let count = map.count
        await client.close()
        guard count == Self.records else { throw BenchmarkError("the store has \(count) of \(Self.records) records") }
    }

    // MARK: - Helpers

    private func withServer(_ body: @escaping (Peer) async throws -> [Row]) -> Measure {
        {
            let server = try Peer.topgund()
            defer { server.stop() }
            return try await body(server)
        }
    }

    private func address(of server: Peer) -> String { "ws://127.0.0.1:\(server.port)/ws" }

    /// As ``KeySpace`` names them.
    private func key(_ number: Int) -> String {
        let digits = String(number)
        return "key:" + String(repeating: "0", count: 12 - digits.count) + digits
    }

    private func row(
        _ measure: String, _ unit: String, _ samples: [Double], percentile: Double = 0.5, target: Double?
    ) -> Row {
        let sorted = samples.sorted()
        func at(_ share: Double) -> Double { sorted[Int(Double(sorted.count - 1) * share)] }
        return Row(
            measure: measure, value: at(percentile), unit: unit, target: target.map(Row.Target.atMost),
            detail: "p50 \(text(at(0.5))) \(unit), p99 \(text(at(0.99))) \(unit), worst \(text(at(1))) \(unit)",
            figures: ["p50": at(0.5), "p99": at(0.99), "worst": at(1)])
    }
}
