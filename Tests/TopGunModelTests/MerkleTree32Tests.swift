import GoldenVectors
import Testing
import TopGunModel

@Suite struct MerkleTree32Tests {
    private struct Entry: Hashable {
        var key: ByteString
        var timestamp: Timestamp

        var keyHash: UInt32 { KeyHash.of(key) }
        var item: UInt32 { LWWRecord(value: .tombstone, timestamp: timestamp).merkleItem(key: key) }
        var path: MerklePath { MerklePath(leaf: MerkleTree32.leaf(ofKeyHash: keyHash)) }
    }

    private static func tree(of entries: some Sequence<Entry>) -> MerkleTree32 {
        var tree = MerkleTree32()
        for entry in entries { tree.add(item: entry.item, keyHash: entry.keyHash) }
        return tree
    }

    /// Checks a reply of the vectors: the digits it lists have these hashes, and all others are empty.
    private static func expectBuckets(_ buckets: JSON, at path: MerklePath, of tree: MerkleTree32) {
        var expected = [UInt32](repeating: 0, count: 16)
        for member in buckets.members { expected[Int(member.name, radix: 16)!] = member.value.uint32 }
        #expect(tree.buckets(at: path) == expected, "path \(path.text)")
    }

    private static func entry(_ row: JSON) -> Entry {
        Entry(key: ByteString(row["key"].text), timestamp: Timestamp(row["timestamp"]))
    }

    @Test func `every set of the vectors gives every text, hash, node and root`() throws {
        for set in try JSON.vectors("merkle-lww")["sets"].elements {
            let name = set["name"].text
            var entries: [Entry] = []
            for row in set["records"].elements {
                let entry = Self.entry(row)
                #expect(entry.path.text == ByteString(row["path"].text))
                #expect(entry.key.string + ":" + entry.timestamp.text.string == row["leafText"].text)
                #expect(KeyHash.of(ByteString(row["leafText"].text)) == row["leafHash"].uint32)
                #expect(entry.item == row["leafHash"].uint32)
                #expect(LWWRecord(row).merkleItem(key: entry.key) == entry.item, "the value is not hashed")
                entries.append(entry)
            }
            let tree = Self.tree(of: entries)
            #expect(tree.root == set["rootHash"].uint32, "\(name)")
            #expect(tree.count == entries.count)
            for node in set["nodes"].members {
                let path = MerklePath(node.name)
                if let buckets = node.value.member("buckets") {
                    Self.expectBuckets(buckets, at: path, of: tree)
                } else {
                    let keys = node.value["keys"].elements.map { ByteString($0.text) }
                    #expect(Set(entries.filter { path.contains(keyHash: $0.keyHash) }.map(\.key)) == Set(keys))
                    #expect(tree.count(at: path) == keys.count)
                }
            }
        }
    }

    @Test func `the large set of the vectors gives its root, its buckets and its sample`() throws {
        let set = try JSON.vectors("merkle-lww")["largeSet"]
        let nodes = [ByteString(set["N2"].text), ByteString(set["N1"].text)]
        let entries = (0..<500).map { (index: Int) -> Entry in
            let stamp = Timestamp(
                millis: 1_700_000_000_000 + Int64(index), counter: UInt32(index % 7), node: nodes[index % 2])
            return Entry(key: ByteString("k\(index)"), timestamp: stamp)
        }
        let tree = Self.tree(of: entries)
        #expect(tree.root == set["rootHash"].uint32)
        Self.expectBuckets(set["rootBuckets"], at: .root, of: tree)
        Self.expectBuckets(set["sample"]["buckets"], at: MerklePath(set["sample"]["path0"].text), of: tree)
        Self.expectBuckets(set["samplePath2"]["buckets"], at: MerklePath(set["samplePath2"]["path"].text), of: tree)
        let leaf = MerklePath(set["sampleLeaf"]["path"].text)
        #expect(
            entries.filter { leaf.contains(keyHash: $0.keyHash) }.map(\.key.string)
                == set["sampleLeaf"]["keys"].elements.map(\.text))
    }

    @Test func `the steps of the vectors give every root along the way`() throws {
        var tree = MerkleTree32()
        var entries: [ByteString: Entry] = [:]
        for step in try JSON.vectors("merkle-lww")["steps"].elements {
            let key = ByteString(step["key"].text)
            if let old = entries.removeValue(forKey: key) { tree.remove(item: old.item, keyHash: old.keyHash) }
            if step["op"].text == "set" {
                let entry = Self.entry(step)
                entries[key] = entry
                tree.add(item: entry.item, keyHash: entry.keyHash)
            }
            #expect(tree.root == step["rootHash"].uint32, "\(step)")
            Self.expectBuckets(step["rootBuckets"], at: .root, of: tree)
        }
    }

    @Test func `shards compose by their leaves, not by their roots`() throws {
        let vectors = try JSON.vectors("merkle-lww")
        let composition = vectors["partitionComposition"]
        let sets = vectors["sets"].elements
        let entries = [sets[2], sets[4]].flatMap { $0["records"].elements.map(Self.entry) }
        let shards = Dictionary(grouping: entries) { PartitionID(hash: $0.keyHash) }
        #expect(
            shards.keys.sorted().map(\.index)
                == composition["partitions"].elements.map { Int($0["partition"].int) })
        var whole = MerkleTree32()
        for partition in composition["partitions"].elements {
            let shard = Self.tree(of: shards[PartitionID(Int(partition["partition"].int))]!)
            #expect(shard.root == partition["rootHash"].uint32)
            whole.formUnion(shard)
        }
        for leaf in composition["leafSums"].members {
            #expect(whole.hash(at: MerklePath(leaf.name)) == leaf.value.uint32)
        }
        #expect(whole.root == composition["rootHash"].uint32)
        let roots = composition["partitions"].elements.map { $0["rootHash"].uint32 }
        #expect(KeyHash.combine(roots) == composition["wrongRoot"].uint32)
        #expect(whole.root != composition["wrongRoot"].uint32)
        #expect(whole == Self.tree(of: entries))
    }

    @Test func `a tree built by any changes in any order equals the tree of its content`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<20 {
            var tree = MerkleTree32()
            var content: [ByteString: Entry] = [:]
            for _ in 0..<300 {
                let key = ByteString("key\(Int.random(in: 0..<60, using: &generator))")
                if let old = content.removeValue(forKey: key) { tree.remove(item: old.item, keyHash: old.keyHash) }
                guard Int.random(in: 0..<3, using: &generator) > 0 else { continue }
                let stamp = Timestamp(
                    millis: Int64.random(in: 0...9, using: &generator), counter: 0,
                    node: ByteString("n\(Int.random(in: 0...1, using: &generator))"))
                let entry = Entry(key: key, timestamp: stamp)
                content[key] = entry
                tree.add(item: entry.item, keyHash: entry.keyHash)
            }
            let rebuilt = Self.tree(of: content.values.shuffled(using: &generator))
            #expect(tree == rebuilt && tree.root == rebuilt.root, "seed \(seed)")
            #expect(tree.count == content.count, "seed \(seed)")
            var halves = [MerkleTree32(), MerkleTree32()]
            for entry in content.values {
                halves[Int.random(in: 0...1, using: &generator)].add(item: entry.item, keyHash: entry.keyHash)
            }
            halves[0].formUnion(halves[1])
            #expect(halves[0] == tree, "seed \(seed)")
            if let some = content.values.randomElement(using: &generator) {
                tree.remove(item: some.item, keyHash: some.keyHash)
                #expect(tree != rebuilt && tree.root != rebuilt.root, "seed \(seed)")
            }
        }
    }

    @Test func `an emptied tree equals one that was never filled`() {
        let entry = Entry(key: "k", timestamp: Timestamp(millis: 1, counter: 0, node: "n"))
        var tree = Self.tree(of: [entry])
        tree.remove(item: entry.item, keyHash: entry.keyHash)
        #expect(tree == MerkleTree32() && MerkleTree32() == tree)
        #expect(tree.root == 0)
    }

    @Test(arguments: ["A", "g", "0000", " ", "٣", "0/0", "-1"])
    func `only short lower-case hex is a path`(text: String) {
        #expect(MerklePath(text: ByteString(text)) == nil)
    }

    @Test(arguments: ["", "0", "f", "0a", "a0", "000", "fff", "3c9"])
    func `a path survives its text form`(text: String) throws {
        let path = try #require(MerklePath(text: ByteString(text)))
        #expect(path.text == ByteString(text))
        #expect(path.leafCount == 4096 >> (4 * text.count))
    }
}
