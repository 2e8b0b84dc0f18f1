import Testing
import TopGunModel
import TopGunPartition

@Suite struct ScanTests {
    @Test(arguments: [false, true], 0..<6)
    func `a scan in slices sees every key that stays, whatever is written meanwhile`(overLeaves: Bool, seed: UInt64)
        throws
    {
        var random = SeededGenerator(seed: seed)
        let group = GroupState.make(seed: seed)
        let map = try group.map("map", in: "")
        let stays = (0..<600).map { ByteString("stays-\($0)") }
        group.apply(stays.map { Write(key: $0, value: [1], millis: 1) })
        if overLeaves { _ = group.merkleTree(of: map) }
        var seen: [ByteString: Int] = [:]
        var cursor: ScanCursor?
        var (calls, fresh) = (0, 0)
        repeat {
            cursor = group.scan(map, from: cursor, visits: 37, wallMillis: 1_000) {
                seen[ByteString(copying: $0.key), default: 0] += 1
            }
            calls += 1
            // New keys make the tables grow, longer values make the blocks move.
            let batch =
                (0..<60).map { Write(key: ByteString("new-\(fresh + $0)"), value: [2], millis: 1) }
                + (0..<20).map { _ in
                    Write(
                        key: stays.randomElement(using: &random)!,
                        value: [UInt8](repeating: 1, count: Int.random(in: 1...400, using: &random)),
                        millis: Int64(calls + 1))
                }
            if fresh < 6_000 {
                group.apply(batch)
                fresh += 60
            }
        } while cursor != nil
        for key in stays { #expect(seen[key, default: 0] >= 1, "seed \(seed)") }
        #expect(calls > 10)
    }

    @Test(arguments: [false, true])
    func `a scan ends with the record that is the last for now, and goes on behind it`(overLeaves: Bool) throws {
        let group = GroupState.make()
        let map = try group.map("map", in: "")
        group.apply((0..<100).map { Write(key: ByteString("k\($0)"), value: [1], millis: 1) })
        if overLeaves { _ = group.merkleTree(of: map) }
        var seen: [ByteString] = []
        var (calls, cursor): (Int, ScanCursor?) = (0, nil)
        repeat {
            cursor = group.scan(map, from: cursor, visits: .max, wallMillis: 1) {
                seen.append(ByteString(copying: $0.key))
                return seen.count % 3 == 0
            }
            calls += 1
            #expect(cursor == nil || seen.count == 3 * calls)
        } while cursor != nil
        #expect(seen.count == 100 && Set(seen).count == 100)
        #expect(calls == 34)
    }

    @Test func `a scan that loses its leaves on the way goes on`() throws {
        let group = GroupState.make()
        let map = try group.map("map", in: "")
        group.apply((0..<300).map { Write(key: ByteString("k\($0)"), value: [1], millis: 1) })
        _ = group.merkleTree(of: map)
        var seen = Set<ByteString>()
        let cursor = group.scan(map, from: nil, visits: 100, wallMillis: 1) { seen.insert(ByteString(copying: $0.key)) }
        #expect(seen.count == 100)
        group.releaseLeaves(of: map)
        #expect(
            group.scan(map, from: cursor, visits: .max, wallMillis: 1) { seen.insert(ByteString(copying: $0.key)) }
                == nil)
        #expect(seen.count == 300)
    }

    @Test func `dropping a partition in the middle hides none of the others`() throws {
        for overLeaves in [false, true] {
            let group = GroupState.make()
            let map = try group.map("map", in: "")
            let keys = (0..<2_000).map { ByteString("k\($0)") }
            group.apply(keys.map { Write(key: $0, value: [1], millis: 1) })
            if overLeaves { _ = group.merkleTree(of: map) }
            var seen = Set<ByteString>()
            let cursor = group.scan(map, from: nil, visits: 1_000, wallMillis: 1) {
                seen.insert(ByteString(copying: $0.key))
            }
            for partition in 0..<40 { group.drop(PartitionID(partition)) }
            _ = group.scan(map, from: cursor, visits: .max, wallMillis: 1) { seen.insert(ByteString(copying: $0.key)) }
            #expect(keys.allSatisfy { PartitionID(of: $0).index < 40 || seen.contains($0) })
        }
    }

    @Test func `removed and expired records and other maps are not seen`() throws {
        let group = GroupState.make()
        group.apply(
            [
                Write(key: "live", value: [1], millis: 100), Write(kind: .remove, key: "gone", millis: 100),
                Write(key: "lives till 150", value: [1], millis: 100, ttlMillis: 50),
                Write(map: "other", key: "else", value: [1], millis: 100),
            ], wall: 100)
        let map = try group.map("map", in: "")
        func visible(at wall: Int64) -> Set<ByteString> {
            var keys = Set<ByteString>()
            _ = group.scan(map, from: nil, visits: .max, wallMillis: wall) { keys.insert(ByteString(copying: $0.key)) }
            return keys
        }
        for _ in 0..<2 {
            #expect(visible(at: 150) == ["live", "lives till 150"])
            #expect(visible(at: 151) == ["live"])
            _ = group.merkleTree(of: map)
        }
    }

    @Test func `checkpoint slices never miss a record that stays`() {
        let group = GroupState.make()
        // All of one partition, so that its table grows often.
        let keys = (0..<200_000).lazy.map { ByteString("k\($0)") }.filter { PartitionID(of: $0).index == 7 }
        let stays = Array(keys.prefix(300))
        var fresh = Array(keys.dropFirst(300))
        group.apply(stays.map { Write(key: $0, value: [1], millis: 1) })
        let sink = ByteSink()
        var cursor: CheckpointCursor?
        var slices = 0
        repeat {
            cursor = group.slice(PartitionID(7), from: cursor, bytesLimit: 500, into: sink)
            slices += 1
            group.apply(fresh.suffix(9).map { Write(key: $0, value: [1], millis: 1) })
            fresh.removeLast(min(9, fresh.count))
        } while cursor != nil
        var (offset, seen) = (0, Set<ByteString>())
        while let record = StoredRecord(in: sink.bytes, at: &offset) { seen.insert(ByteString(copying: record.key)) }
        #expect(stays.allSatisfy { seen.contains($0) })
        #expect(slices > 10)
    }
}
