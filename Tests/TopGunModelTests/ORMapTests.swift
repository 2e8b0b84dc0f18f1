import GoldenVectors
import Testing
import TopGunModel

@Suite struct ORMapTests {
    // MARK: Vectors

    @Test func `every case of the vectors gives every result and state`() throws {
        for example in try JSON.vectors("ormap-merge")["cases"].elements {
            let name = example["case"].text
            var map = ORMap()
            var clock = HybridLogicalClock(node: "local")
            // The official client compares objects by identity; the protocol asks us to compare in depth (9.5).
            let removesByIdentity = name.contains("identity comparison")
            for step in example["steps"].elements {
                let now = step.member("clock")?.int ?? 0
                let result = step.member("result")
                switch step["op"].text {
                case "add":
                    let record = try map.add(
                        Payload(step["value"].messagePack()), for: ByteString(step["key"].text), clock: &clock,
                        wallMillis: now)
                    #expect(record == ORMapRecord(result!), "\(name)")
                case "get":
                    let values = map.values(of: ByteString(step["key"].text), nowMillis: now)
                    let expected = removesByIdentity ? [] : result!.elements.map { Payload($0.messagePack()) }
                    #expect(values == expected, "\(name)")
                case "apply":
                    let applied = map.apply(ORMapRecord(step["record"]), for: ByteString(step["key"].text))
                    #expect(applied == result!.bool, "\(name)")
                case "tombstone":
                    map.tombstone(ByteString(step["tag"].text))
                case "remove":
                    let tags = map.remove(Payload(step["value"].messagePack()), for: ByteString(step["key"].text))
                    let expected = removesByIdentity ? ["1:0:n1"] : result!.elements.map { ByteString($0.text) }
                    #expect(tags == expected, "\(name)")
                case "mergeKey":
                    let outcome = map.merge(
                        step["records"].elements.map { ORMapRecord($0) },
                        tombstones: step["tombstones"].elements.map { ByteString($0.text) },
                        for: ByteString(step["key"].text))
                    #expect(outcome.added == Int(result!["added"].int), "\(name)")
                    #expect(outcome.updated == Int(result!["updated"].int), "\(name)")
                case "prune":
                    let forgotten = map.prune(olderThan: Timestamp(step["olderThan"]))
                    #expect(forgotten == result!.elements.map { ByteString($0.text) }, "\(name)")
                default:
                    Issue.record("unknown step \(step)")
                }
            }
            guard !removesByIdentity else { continue }
            var items: [ByteString: [ORMapRecord]] = [:]
            for item in example["state"]["items"].members {
                items[ByteString(item.name)] = item.value.elements.map { ORMapRecord($0) }
            }
            #expect(map.records == items, "\(name)")
            #expect(
                map.tombstones == Set(example["state"]["tombstones"].elements.map { ByteString($0.text) }), "\(name)")
        }
    }

    @Test(arguments: JSON.Form.allCases)
    func `every entry of the Merkle vectors gives its path, text and hash in any encoding`(form: JSON.Form) throws {
        for entry in try JSON.vectors("merkle-ormap")["entries"].elements {
            let key = ByteString(entry["key"].text)
            var records: [ORMapRecord] = []
            for row in entry["records"].elements {
                var record = ORMapRecord(row)
                if row.member("valueNote") == nil { record.value = Payload(row["value"].messagePack(form)) }
                records.append(record)
            }
            #expect(ORMapEntry.text(key: key, records: records).string == entry["text"].text)
            #expect(ORMapEntry.item(key: key, records: records.reversed()) == entry["hash"].uint32)
            #expect(
                MerklePath(leaf: MerkleTree32.leaf(ofKeyHash: KeyHash.of(key))).text
                    == ByteString(entry["path"].text))
        }
    }

    @Test func `a lifetime of nil hashes otherwise, which is why it is never written`() throws {
        let row = try JSON.vectors("merkle-ormap")["nullTtl"]
        #expect(row["record"]["ttlMs"].isNull)
        #expect(KeyHash.of(ByteString(row["text"].text)) == row["hash"].uint32)
        var members = row["record"].members
        members.removeAll { $0.name == "ttlMs" }
        let ours = ORMapEntry.text(key: ByteString(row["key"].text), records: [ORMapRecord(JSON.object(members))])
        #expect(ours.string + ":ttl=null" == row["text"].text)
    }

    @Test func `the steps of the Merkle vectors give every root along the way`() throws {
        var map = ORMap()
        func apply(_ value: String, _ key: ByteString, _ tag: String) {
            let stamp = Timestamp(text: ByteString(tag))!
            map.apply(
                ORMapRecord(value: Payload(JSON.string(value).messagePack()), timestamp: stamp, tag: ByteString(tag)),
                for: key)
        }
        for step in try JSON.vectors("merkle-ormap")["tree"].elements {
            let words = step["step"].text.split(separator: " ").map(String.init)
            switch words[0] {
            case "apply": apply(words[2], ByteString(words[1]), words[3])
            case "tombstone" where words[1] == "of": map.tombstone("77:7:never")
            case "tombstone": map.tombstone(ByteString(words[1]))
            default: Issue.record("unknown step \(step)")
            }
            #expect(map.tree.root == step["rootHash"].uint32, "\(step)")
            var buckets = [UInt32](repeating: 0, count: 16)
            for member in step["rootBuckets"].members { buckets[Int(member.name, radix: 16)!] = member.value.uint32 }
            #expect(map.tree.buckets(at: .root) == buckets, "\(step)")
        }
    }

    // MARK: Tags

    @Test func `a tag that somebody used under two keys goes from both`() {
        var map = ORMap()
        let record = ORMapRecord(
            value: Payload([1]), timestamp: Timestamp(millis: 1, counter: 0, node: "n"), tag: "1:0:n")
        map.apply(record, for: "a")
        map.apply(record, for: "b")
        map.tombstone("1:0:n")
        #expect(map.records.isEmpty && map.tree.root == 0)
    }

    @Test func `tags are ordered by UTF-16 units`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        let alphabet: [Unicode.Scalar] = ["a", "é", "\u{d7ff}", "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}"]
        for _ in 0..<5_000 {
            func text() -> String {
                let scalars = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                    alphabet.randomElement(using: &generator)!
                }
                return String(String.UnicodeScalarView(scalars))
            }
            let (left, right) = (text(), text())
            #expect(
                UTF16Order.precedes(ByteString(left), ByteString(right))
                    == left.utf16.lexicographicallyPrecedes(right.utf16), "seed \(seed)")
        }
    }

    // MARK: Properties

    @Test func `between replicas merging is commutative, associative, idempotent and equal to a naive model`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        struct Delta {
            var key: ByteString
            var records: [ORMapRecord]
            var tombstones: [ByteString]
        }
        func randomDelta() -> Delta {
            // A tag belongs to one key, as tags are made; the same tag may come with several versions.
            let key = ["x", "y"].randomElement(using: &generator)! as ByteString
            func tag() -> ByteString { ByteString("\(Int.random(in: 0...3, using: &generator)):0:\(key)") }
            let records = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                ORMapRecord(
                    value: Payload([UInt8.random(in: 0...2, using: &generator)]),
                    timestamp: Timestamp(millis: Int64.random(in: 1...2, using: &generator), counter: 0, node: "n"),
                    tag: tag(), ttlMillis: [0, 0, 9].randomElement(using: &generator)!)
            }
            return Delta(
                key: key, records: records, tombstones: Bool.random(using: &generator) ? [] : [tag()])
        }
        func merge(_ deltas: [Delta], into map: inout ORMap) {
            for delta in deltas {
                map.merge(delta.records, tombstones: delta.tombstones, for: delta.key, tie: .contentDecides)
            }
        }
        /// What a map holds, without the order of arrival.
        func content(_ map: ORMap) -> [ByteString: Set<ORMapRecord>] { map.records.mapValues { Set($0) } }
        func merged(_ left: ORMap, _ right: ORMap) -> ORMap {
            var result = left
            for tag in right.tombstones { result.tombstone(tag) }
            for (key, records) in right.records {
                result.merge(records, tombstones: right.tombstones, for: key, tie: .contentDecides)
            }
            return result
        }
        for _ in 0..<300 {
            let deltas = (0..<8).map { _ in randomDelta() }
            let tombstones = Set(deltas.flatMap(\.tombstones))
            var naive: [ByteString: Set<ORMapRecord>] = [:]
            for (key, group) in Dictionary(grouping: deltas, by: \.key) {
                let live = group.flatMap(\.records).filter { !tombstones.contains($0.tag) }
                for (_, versions) in Dictionary(grouping: live, by: \.tag) {
                    let winner = versions.max {
                        ($0.timestamp.millis, $0.value.bytes[0], $0.ttlMillis)
                            < ($1.timestamp.millis, $1.value.bytes[0], $1.ttlMillis)
                    }
                    naive[key, default: []].insert(winner!)
                }
            }
            var roots: Set<UInt32> = []
            for _ in 0..<3 {
                var replica = ORMap()
                merge((deltas + deltas.prefix(3)).shuffled(using: &generator), into: &replica)
                #expect(content(replica) == naive, "seed \(seed)")
                #expect(replica.tombstones == tombstones, "seed \(seed)")
                roots.insert(replica.tree.root)
            }
            #expect(roots.count == 1, "seed \(seed)")

            let parts = (0..<3).map { part in
                var map = ORMap()
                merge(deltas.indices.filter { $0 % 3 == part }.map { deltas[$0] }, into: &map)
                return map
            }
            let left = merged(merged(parts[0], parts[1]), parts[2])
            let right = merged(parts[0], merged(parts[1], parts[2]))
            #expect(content(left) == content(right) && content(left) == naive, "seed \(seed)")
            #expect(content(merged(left, left)) == content(left), "seed \(seed)")
            #expect(
                content(merged(parts[0], parts[1])) == content(merged(parts[1], parts[0])), "seed \(seed)")
            var rebuilt = MerkleTree32()
            for (key, records) in left.records {
                rebuilt.add(item: ORMapEntry.item(key: key, records: records), keyHash: KeyHash.of(key))
            }
            #expect(left.tree == rebuilt, "seed \(seed)")
        }
    }
}
