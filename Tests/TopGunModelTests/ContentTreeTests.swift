import GoldenVectors
import Testing
import TopGunModel

@Suite struct ContentTreeTests {
    private static let key = SipHash128.Key(low: 1, high: 2)

    private static func record(_ value: UInt8, _ millis: Int64 = 1, node: ByteString = "n", ttl: Int64 = 0) -> LWWRecord
    {
        LWWRecord(
            value: Payload([value]), timestamp: Timestamp(millis: millis, counter: 0, node: node), ttlMillis: ttl)
    }

    @Test func `every part of a record, and the key, makes another digest`() {
        let tree = ContentTree(key: Self.key)
        let base = tree.digest(of: Self.record(1), key: "k")
        let others = [
            tree.digest(of: Self.record(2), key: "k"), tree.digest(of: Self.record(1, 2), key: "k"),
            tree.digest(of: Self.record(1, node: "m"), key: "k"), tree.digest(of: Self.record(1, ttl: 5), key: "k"),
            tree.digest(of: Self.record(1), key: "l"), tree.digest(of: Self.record(1, node: ""), key: "kn"),
            ContentTree(key: SipHash128.Key(low: 1, high: 3)).digest(of: Self.record(1), key: "k"),
        ]
        #expect(Set(others).count == others.count && !others.contains(base))
        #expect(tree.digest(of: Self.record(1), key: "k") == base)
    }

    @Test(arguments: 0..<50) func `nodes are the sums of what lies below, in whatever order it came`(_ seed: UInt64) {
        var generator = SeededGenerator(state: seed)
        var tree = ContentTree(key: Self.key)
        var other = ContentTree(key: Self.key)
        var records: [(ByteString, LWWRecord)] = []
        for number in 0..<60 {
            records.append(
                (ByteString("k\(number)"), Self.record(UInt8(number), Int64.random(in: 0..<9, using: &generator))))
        }
        for (key, record) in records { tree.add(tree.digest(of: record, key: key), keyHash: KeyHash.of(key)) }
        for (key, record) in records.shuffled(using: &generator) {
            other.add(tree.digest(of: record, key: key), keyHash: KeyHash.of(key))
        }
        #expect(tree.root == other.root)
        for path in [MerklePath.root, MerklePath.root.child(3), MerklePath.root.child(3).child(0)] {
            let below = records.filter { path.contains(keyHash: KeyHash.of($0.0)) }
            #expect(tree.digest(at: path) == below.reduce(.zero) { $0 &+ tree.digest(of: $1.1, key: $1.0) })
            #expect(tree.buckets(at: path).reduce(.zero) { $0 &+ $1 } == tree.digest(at: path))
        }
        for (key, record) in records { tree.remove(tree.digest(of: record, key: key), keyHash: KeyHash.of(key)) }
        #expect(tree.root == .zero)
    }

    @Test func `a key is read back from its sixteen bytes and from nothing else`() {
        #expect(Self.key.bytes.withUnsafeBytes { SipHash128.Key(bytes: $0) } == Self.key)
        #expect([UInt8](repeating: 0, count: 15).withUnsafeBytes { SipHash128.Key(bytes: $0) } == nil)
    }
}
