import GoldenVectors
import Testing
import TopGunModel

@Suite struct LWWMapTests {
    // MARK: Vectors

    @Test func `every merge of the vectors is decided as published`() throws {
        for row in try JSON.vectors("lww-merge")["merge"].elements {
            let name = row["case"].text
            var map = LWWMap()
            if !row["local"].isNull { #expect(map.merge(LWWRecord(row["local"]), for: "k") == true) }
            #expect(map.merge(LWWRecord(row["remote"]), for: "k") == row["accepted"].bool, "\(name)")
            #expect(map[record: "k"] == LWWRecord(row["stored"]), "\(name)")
            let seen = map.value(of: "k", nowMillis: LWWRecord(row["stored"]).timestamp.millis)
            #expect(seen == (row["visible"].isNull ? nil : Payload(row["visible"].messagePack())), "\(name)")
        }
    }

    @Test(arguments: JSON.Form.allCases)
    func `every echo of the vectors is merged, adopted or refused as published`(form: JSON.Form) throws {
        for row in try JSON.vectors("lww-merge")["adoptServerEcho"].elements {
            let name = row["case"].text
            var map = LWWMap()
            map.merge(LWWRecord(row["local"]), for: "k")
            var server = LWWRecord(row["server"])
            server.value = Payload(row["server"]["value"].messagePack(form))
            let merged = map.merge(server, for: "k")
            #expect(merged == row["merged"].bool, "\(name)")
            if !merged { #expect(map.adoptEcho(server, for: "k") == row["adopted"].bool, "\(name)") }
            var stored = LWWRecord(row["stored"])
            if merged || row["adopted"].bool { stored.value = server.value }
            #expect(map[record: "k"] == stored, "\(name)")
        }
    }

    @Test func `every lifetime of the vectors ends as published`() throws {
        for row in try JSON.vectors("lww-merge")["ttl"].elements {
            var map = LWWMap()
            let record = LWWRecord(row["record"])
            map.merge(record, for: "k")
            let now = row["clock"].int
            #expect((map.value(of: "k", nowMillis: now) != nil) == row["visible"].bool, "\(row)")
            var entries: [ByteString] = []
            map.forEachVisible(nowMillis: now) { key, _ in entries.append(key) }
            #expect((entries == ["k"]) == row["inEntries"].bool, "\(row)")
            #expect((map[record: "k"] != nil) == row["stillStored"].bool, "\(row)")
            if row.member("note") != nil { #expect(record.ttlMillis == 0) }
        }
    }

    @Test func `every pruning of the vectors forgets what is published`() throws {
        for row in try JSON.vectors("lww-merge")["prune"].elements {
            var map = LWWMap()
            for member in row["records"].members { map.merge(LWWRecord(member.value), for: ByteString(member.name)) }
            let removed = map.prune(olderThan: Timestamp(row["olderThan"]))
            #expect(removed.map(\.string) == row["removedKeys"].elements.map(\.text))
            #expect(map.records.keys.map(\.string).sorted() == row["left"].elements.map(\.text))
        }
    }

    @Test func `the sets of the Merkle vectors give their roots as maps`() throws {
        for set in try JSON.vectors("merkle-lww")["sets"].elements {
            var map = LWWMap()
            for row in set["records"].elements { map.merge(LWWRecord(row), for: ByteString(row["key"].text)) }
            #expect(map.tree.root == set["rootHash"].uint32)
            #expect(map.count == set["records"].elements.count, "keys that look alike stay apart")
        }
    }

    // MARK: Local writes

    @Test func `set and remove stamp, and a clock without room changes nothing`() throws {
        var map = LWWMap()
        var clock = HybridLogicalClock(node: "me", restoredBound: 0)
        #expect(throws: ClockError.self) {
            try map.set(Payload([1]), for: "k", clock: &clock, wallMillis: 10)
        }
        #expect(map.count == 0)
        clock.raiseBound(to: 1_000)
        let put = try map.set(Payload([1]), for: "k", ttlMillis: 5, clock: &clock, wallMillis: 10)
        #expect(
            put
                == LWWRecord(
                    value: Payload([1]), timestamp: Timestamp(millis: 10, counter: 0, node: "me"), ttlMillis: 5))
        #expect(map.value(of: "k", nowMillis: 15) == Payload([1]))
        #expect(map.value(of: "k", nowMillis: 16) == nil)
        let removed = try map.remove("k", clock: &clock, wallMillis: 3)
        #expect(removed.isTombstone && removed.timestamp > put.timestamp)
        #expect(map.count == 1 && map.tombstoneCount == 1)
    }

    @Test func `a write of the future loses to nothing older and a repeat changes nothing (B21)`() {
        var map = LWWMap()
        let record = LWWRecord(value: Payload([1]), timestamp: Timestamp(millis: 5, counter: 0, node: "a"))
        #expect(map.merge(record, for: "k") == true)
        let root = map.tree.root
        #expect(map.merge(record, for: "k") == false)
        #expect(map.tree.root == root)
    }

    // MARK: Properties

    private static func randomRecord(using generator: inout SeededGenerator) -> LWWRecord {
        // Few different stamps and values, so that ties of every kind happen all the time.
        LWWRecord(
            value: [Payload([0xc0]), Payload([1]), Payload([2]), Payload([0x92, 1, 2])].randomElement(
                using: &generator)!,
            timestamp: Timestamp(
                millis: Int64.random(in: 1...3, using: &generator),
                counter: UInt32.random(in: 0...1, using: &generator),
                node: ["a", "b"].randomElement(using: &generator)!),
            ttlMillis: [0, 0, 5].randomElement(using: &generator)!)
    }

    @Test func `between replicas merging is commutative, associative, idempotent and equal to a naive maximum`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<300 {
            let writes = (0..<12).map { _ in
                (
                    key: ["x", "y", "é", "e\u{301}"].randomElement(using: &generator)! as ByteString,
                    record: Self.randomRecord(using: &generator)
                )
            }
            var replicas: [LWWMap] = []
            for _ in 0..<3 {
                var replica = LWWMap()
                // Any order, some of them twice.
                for write in (writes + writes.prefix(4)).shuffled(using: &generator) {
                    replica.merge(write.record, for: write.key, tie: .contentDecides)
                }
                replicas.append(replica)
            }
            var naive: [ByteString: LWWRecord] = [:]
            for write in writes {
                guard let stored = naive[write.key] else {
                    naive[write.key] = write.record
                    continue
                }
                let greater =
                    (stored.timestamp, stored.value.bytes.map(Int.init), stored.ttlMillis)
                    < (write.record.timestamp, write.record.value.bytes.map(Int.init), write.record.ttlMillis)
                if greater { naive[write.key] = write.record }
            }
            for replica in replicas {
                #expect(replica.records == naive, "seed \(seed)")
                #expect(replica.tree == replicas[0].tree, "seed \(seed)")
                #expect(replica.tombstoneCount == naive.values.count(where: \.isTombstone), "seed \(seed)")
            }

            // Merging whole maps: (a + b) + c == a + (b + c), and a + a == a.
            func merged(_ left: LWWMap, _ right: LWWMap) -> LWWMap {
                var result = left
                for (key, record) in right.records { result.merge(record, for: key, tie: .contentDecides) }
                return result
            }
            let parts = (0..<3).map { part in
                var map = LWWMap()
                for index in writes.indices where index % 3 == part {
                    map.merge(writes[index].record, for: writes[index].key, tie: .contentDecides)
                }
                return map
            }
            let left = merged(merged(parts[0], parts[1]), parts[2])
            let right = merged(parts[0], merged(parts[1], parts[2]))
            #expect(left.records == right.records && left.records == naive, "seed \(seed)")
            #expect(merged(left, left).records == left.records, "seed \(seed)")
            #expect(merged(parts[0], parts[1]).records == merged(parts[1], parts[0]).records, "seed \(seed)")
        }
    }

    @Test func `the tree of a map always is the tree of its records`() throws {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        var map = LWWMap()
        for _ in 0..<2_000 {
            let key = ByteString("k\(Int.random(in: 0..<50, using: &generator))")
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: map.forget(key)
            case 1: map.adoptEcho(Self.randomRecord(using: &generator), for: key)
            case 2: map.prune(olderThan: Timestamp(millis: 2, counter: 0, node: "a"))
            case 3: map.store(Self.randomRecord(using: &generator), for: key)
            default: map.merge(Self.randomRecord(using: &generator), for: key)
            }
        }
        var rebuilt = LWWMap()
        for (key, record) in map.records { rebuilt.store(record, for: key) }
        #expect(map.tree == rebuilt.tree, "seed \(seed)")
        #expect(map.tombstoneCount == rebuilt.tombstoneCount, "seed \(seed)")
    }
}

private func < (
    left: (Timestamp, [Int], Int64), right: (Timestamp, [Int], Int64)
) -> Bool {
    if left.0 != right.0 { return left.0 < right.0 }
    if left.1 != right.1 { return left.1.lexicographicallyPrecedes(right.1) }
    return left.2 < right.2
}
