import Foundation
import Testing
import TopGunModel
import TopGunPartition

/// The tree that clients walk (protocol.md 4, 9.6).
@Suite struct LeafTests {
    /// The tree built from scratch by the model, from everything the group holds.
    private func reference(_ group: GroupState, _ map: MapID) -> MerkleTree32 {
        var tree = MerkleTree32()
        var cursor: CheckpointCursor?
        let sink = ByteSink()
        for partition in GroupState.allPartitions {
            repeat {
                cursor = group.slice(partition, from: cursor, bytesLimit: .max / 2, into: sink)
            } while cursor != nil
        }
        let name = group.name(of: map)
        var offset = 0
        while let stored = StoredRecord(in: sink.bytes, at: &offset) {
            let record = Record(stored)
            guard record.map == name.name, record.nameSpace == name.nameSpace else { continue }
            tree.add(item: record.record.merkleItem(key: record.key), keyHash: KeyHash.of(record.key))
        }
        return tree
    }

    @Test(arguments: 0..<12) func `leaves follow every write, drop and load`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let group = GroupState.make(seed: seed)
        let nodes: [ByteString] = ["n1", "11111111-1111-4111-8111-111111111111", "knoten-é", "日本"]
        var millis: Int64 = [1, 999_999_999_990, 1_700_000_000_000, 9_999_999_999_990].randomElement(using: &random)!
        func writeSome() {
            let batch = (0..<200).map { _ in
                let number = Int.random(in: 0..<500, using: &random)
                return Write(
                    map: number % 3 == 0 ? "a" : "b",
                    key: ByteString(number % 7 == 0 ? "schlüssel \(number) 😀" : "key-\(number)"),
                    value: [0xc4] + random.bytes(Int.random(in: 0...200, using: &random)),
                    millis: millis + Int64.random(in: 0...3, using: &random),
                    counter: [0, 9, 10, 4_294_967_295].randomElement(using: &random)!,
                    node: nodes.randomElement(using: &random)!)
            }
            group.apply(batch, wall: millis)
        }
        let (a, b) = (try group.map("a", in: ""), try group.map("b", in: ""))
        writeSome()
        for step in 0..<30 {
            millis += Int64.random(in: 0...2, using: &random)
            writeSome()
            // Built in slices, with writes in between.
            if step < 20 { _ = group.buildLeaves(of: a, records: 30) }
            if step == 25 { group.releaseLeaves(of: a) }
            if step % 6 == 5 {
                let partition = PartitionID(Int.random(in: 0..<PartitionID.count, using: &random))
                let sink = ByteSink()
                _ = group.slice(partition, from: nil, bytesLimit: .max / 2, into: sink)
                group.drop(partition)
                if step > 8 { #expect(group.merkleTree(of: b) == reference(group, b)) }
                try group.load(sink)
                group.open(partition)
            }
            if step > 8 {
                #expect(group.merkleTree(of: b) == reference(group, b), "seed \(seed)")
                #expect(group.merkleTree(of: b).root == reference(group, b).root)
            }
        }
        #expect(group.merkleTree(of: a) == reference(group, a), "seed \(seed)")
        // The records of the leaves are those of a full scan, each once.
        for map in [a, b] {
            var scanned = Set<ByteString>()
            _ = group.scan(map, from: nil, visits: .max, wallMillis: 0) { scanned.insert(ByteString(copying: $0.key)) }
            var walked: [ByteString] = []
            var (records, bytes) = (0, 0)
            for leaf in 0..<ModelLimits.merkleLeafCount {
                let path = MerklePath(leaf: leaf)
                var count = 0
                group.forEachRecord(in: map, at: path) {
                    walked.append(ByteString(copying: $0.key))
                    #expect(path.contains(keyHash: KeyHash.of($0.key)))
                    count += 1
                }
                let summary = group.leafSummary(of: map, at: path)
                #expect(summary.records == count)
                records += summary.records
                bytes += summary.bytes
            }
            #expect(walked.count == scanned.count)
            #expect(Set(walked) == scanned)
            #expect(group.leafSummary(of: map, at: .root) == (records, bytes))
            #expect(records == group.summary(of: map).records)
            #expect(bytes == group.summary(of: map).bytes)
        }
    }

    @Test(arguments: 0..<12) func `a leaf in pieces shows every record that stays, whatever happens meanwhile`(
        seed: UInt64
    ) throws {
        var random = SeededGenerator(seed: seed)
        let group = GroupState.make(seed: seed)
        let map = try group.map("map", in: "")
        let leaf = 0x374
        let keys = Array(
            (0...).lazy.map { ByteString("k\($0)") }.filter { MerkleTree32.leaf(ofKeyHash: KeyHash.of($0)) == leaf }
                .prefix(60))
        group.apply(keys.prefix(40).map { Write(key: $0, value: [1], millis: 1) })
        var seen: Set<ByteString> = []
        var (piece, step): ([ByteString], Int64) = ([], 1)
        var place: LeafPlace? = LeafPlace(leaf: leaf)
        while let from = place {
            piece = []
            place = group.forEachRecord(in: map, from: from) {
                piece.append(ByteString(copying: $0.key))
                return piece.count == 7
            }
            #expect(piece.count == 7 || place == nil)
            #expect(Set(piece).count == piece.count)
            seen.formUnion(piece)
            step += 1
            // Records move, others come, and once all are somewhere else.
            let value = random.bytes(Int.random(in: 0...300, using: &random))
            group.apply([
                Write(key: keys.randomElement(using: &random)!, value: [0xc4] + value, millis: step),
                Write(key: keys[Int(39 + step)], value: [1], millis: 1),
            ])
            if step == 2 + Int64(seed % 5) {
                if seed % 2 == 0 {
                    group.releaseLeaves(of: map)
                } else {
                    group.drop(PartitionID(of: keys[0]))
                }
            }
        }
        let lost = seed % 2 == 0 ? nil : PartitionID(of: keys[0])
        #expect(keys.prefix(40).allSatisfy { seen.contains($0) || PartitionID(of: $0) == lost }, "seed \(seed)")
    }

    @Test func `the trees of the golden vectors`() throws {
        let vectors = try Vectors.object("merkle-lww.json")
        for set in try #require(vectors["sets"] as? [[String: Any]]) {
            let group = GroupState.make()
            let map = try group.map("m", in: "")
            let records = try #require(set["records"] as? [[String: Any]])
            for (index, record) in records.enumerated() {
                let stamp = try #require(record["timestamp"] as? [String: Any])
                let write = Write(
                    map: "m", key: ByteString(try #require(record["key"] as? String)), value: [1],
                    millis: try #require(stamp["millis"] as? Int64),
                    counter: UInt32(try #require(stamp["counter"] as? Int)),
                    node: ByteString(try #require(stamp["nodeId"] as? String)))
                #expect(group.apply([write], wall: 1_800_000_000_000) == [.merged])
                // Some of the records come before the leaves, some after.
                if index == records.count / 2 { _ = group.merkleTree(of: map) }
            }
            let tree = group.merkleTree(of: map)
            #expect(tree.root == UInt32(try #require(set["rootHash"] as? Int)))
            for (text, node) in try #require(set["nodes"] as? [String: [String: Any]]) {
                let path = try #require(MerklePath(text: ByteString(text)))
                if let buckets = node["buckets"] as? [String: Int] {
                    for (digit, hash) in buckets {
                        #expect(tree.buckets(at: path)[Int(digit, radix: 16)!] == UInt32(hash))
                    }
                }
                if let keys = node["keys"] as? [String] {
                    var found: Set<ByteString> = []
                    group.forEachRecord(in: map, at: path) { found.insert(ByteString(copying: $0.key)) }
                    #expect(found == Set(keys.map { ByteString($0) }))
                }
            }
        }
    }

    @Test func `500 records over all partitions make the client's root`() throws {
        let set = try #require(try Vectors.object("merkle-lww.json")["largeSet"] as? [String: Any])
        // Two groups, as two event loops have them; their trees add up.
        let groups = (0..<2).map { loop in
            GroupState(
                partitions: GroupState.allPartitions.filter { $0.index % 2 == loop },
                clock: HybridLogicalClock(node: "s"), hashSeed: 3)
        }
        for number in 0..<500 {
            let key = ByteString("k\(number)")
            groups[PartitionID(of: key).index % 2].apply(
                [
                    Write(
                        map: "m", key: key, millis: 1_700_000_000_000 + Int64(number), counter: UInt32(number % 7),
                        node: ByteString(try #require(set[number % 2 == 1 ? "N1" : "N2"] as? String)))
                ], wall: 1_800_000_000_000)
        }
        var tree = MerkleTree32()
        for group in groups { tree.formUnion(group.merkleTree(of: try group.map("m", in: ""))) }
        #expect(tree.count == 500)
        #expect(tree.root == UInt32(try #require(set["rootHash"] as? Int)))
    }
}

/// The golden data of `Tests/Vectors`.
enum Vectors {
    static func object(_ name: String) throws -> [String: Any] {
        var folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        while folder.path != "/" {
            for candidate in ["Vectors", "Tests/Vectors"] {
                let file = folder.appendingPathComponent(candidate).appendingPathComponent(name)
                guard let data = try? Data(contentsOf: file) else { continue }  // Looked for further up.
                return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
            }
            folder.deleteLastPathComponent()
        }
        throw CocoaError(.fileNoSuchFile)
    }
}
