import GoldenVectors
import Testing
import TopGunModel

@Suite struct MerkleTree128Tests {
    private struct Record: Hashable {
        var kind: StoredRecord.Kind = .lww
        var nameSpace: ByteString = ""
        var map: ByteString = "m"
        var key: ByteString = "k"
        var tag: ByteString = ""
        var millis: Int64 = 1
        var counter: UInt32 = 0
        var node: ByteString = "n"
        var ttlMillis: Int64 = 0
        var value: ByteString = "v"
        var isRemoval = false

        func contribution(to tree: MerkleTree128) -> MerkleTree128.Contribution {
            func view(_ text: ByteString) -> UnsafeRawBufferPointer {
                let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(text.count, 1), alignment: 1)
                bytes.copyBytes(from: text.bytes)
                return UnsafeRawBufferPointer(rebasing: bytes[..<text.count])
            }
            let views = [nameSpace, map, key, tag, node, value].map(view)
            defer { for view in views { view.baseAddress?.deallocate() } }
            return tree.contribution(
                of: MerkleTree128.Item(
                    kind: kind, nameSpace: views[0], map: views[1], key: views[2], tag: views[3], millis: millis,
                    counter: counter, node: views[4], ttlMillis: ttlMillis, value: views[5], isRemoval: isRemoval))
        }
    }

    private static let key = SipHash128.Key(low: 1, high: 2)

    private static func tree(of records: some Sequence<Record>, digits: Int = 2) -> MerkleTree128 {
        var tree = MerkleTree128(key: key, digits: digits)
        for record in records { tree.add(record.contribution(to: tree)) }
        return tree
    }

    @Test func `every field of a record counts, and no field can be shifted into the next`() {
        var variants = [Record()]
        for change: (inout Record) -> Void in [
            { $0.kind = .orAdd }, { $0.nameSpace = "t" }, { $0.map = "n" }, { $0.key = "l" }, { $0.tag = "t" },
            { $0.millis = 2 }, { $0.counter = 1 }, { $0.node = "o" }, { $0.ttlMillis = 1 }, { $0.value = "w" },
            { $0.isRemoval = true }, { ($0.map, $0.key) = ("mk", "") }, { ($0.nameSpace, $0.map) = ("m", "") },
            { ($0.node, $0.value) = ("nv", "") },
        ] {
            var record = Record()
            change(&record)
            variants.append(record)
        }
        let roots = variants.map { Self.tree(of: [$0]).root }
        #expect(Set(roots).count == variants.count)
        let other = MerkleTree128(key: SipHash128.Key(low: 1, high: 3))
        #expect(Record().contribution(to: other) != Record().contribution(to: Self.tree(of: [])), "the key counts")
    }

    @Test func `all versions of a key lie in one leaf, so that a leaf can be compared key by key`() {
        let tree = MerkleTree128(key: Self.key)
        let position = Record().contribution(to: tree).position
        #expect(
            Record(millis: 99, node: "z", value: "other", isRemoval: true).contribution(to: tree).position == position)
        #expect(Record(map: "other").contribution(to: tree).position != position)
    }

    @Test func `trees are equal exactly if their content is, whatever the way there (M17)`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<50 {
            var content: [ByteString: Record] = [:]
            var tree = MerkleTree128(key: Self.key)
            for _ in 0..<100 {
                let key = ByteString("\(Int.random(in: 0..<30, using: &generator))")
                if let old = content.removeValue(forKey: key) { tree.remove(old.contribution(to: tree)) }
                guard Bool.random(using: &generator) else { continue }
                let record = Record(key: key, millis: Int64.random(in: 0...5, using: &generator))
                content[key] = record
                tree.add(record.contribution(to: tree))
            }
            let rebuilt = Self.tree(of: content.values.shuffled(using: &generator))
            #expect(tree == rebuilt && tree.root == rebuilt.root, "seed \(seed)")
            guard var changed = content.values.randomElement(using: &generator) else { continue }
            tree.remove(changed.contribution(to: tree))
            #expect(tree != rebuilt && tree.root != rebuilt.root, "seed \(seed)")
            changed.value = "other"
            tree.add(changed.contribution(to: tree))
            #expect(tree.root != rebuilt.root, "the same stamp with another value, seed \(seed)")
        }
    }

    @Test func `nodes are the sums of their children, shards add up and depths agree`() {
        let records = (0..<500).map { Record(key: ByteString("\($0)")) }
        let tree = Self.tree(of: records, digits: 3)
        #expect(tree.buckets(path: 0, length: 0).reduce(.zero, &+) == tree.root)
        for digit in 0..<16 {
            #expect(tree.buckets(path: digit, length: 1).reduce(.zero, &+) == tree.digest(path: digit, length: 1))
        }
        let shallow = Self.tree(of: records, digits: 1)
        #expect(shallow.root == tree.root)
        #expect(shallow.buckets(path: 0, length: 0) == tree.buckets(path: 0, length: 0))
        var halves = Self.tree(of: records[..<200], digits: 3)
        halves.formUnion(Self.tree(of: records[200...], digits: 3))
        #expect(halves == tree)
        var filled = 0
        for leaf in 0..<4096 where tree.digest(path: leaf, length: 3) != .zero { filled += 1 }
        #expect(filled > 400, "500 keys spread over the leaves")
    }

    @Test func `the difference of two trees leads to the leaf of the differing record`() {
        let records = (0..<200).map { Record(key: ByteString("\($0)")) }
        let left = Self.tree(of: records)
        var changed = records
        changed[77].millis = 9
        let right = Self.tree(of: changed)
        let expected = left.leaf(at: records[77].contribution(to: left).position)
        let differing = (0..<256).filter { left.digest(path: $0, length: 2) != right.digest(path: $0, length: 2) }
        #expect(differing == [expected])
    }
}
