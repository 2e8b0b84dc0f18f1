import Testing
import TopGunModel

@testable import TopGunPartition

/// The raw tables by themselves; these run under the address sanitizer as well.
@Suite struct TableTests {
    private func insert(_ key: ByteString, hash: UInt64, into table: inout RecordTable, hasher: SeededHash) -> Bool {
        key.bytes.withUnsafeBytes { bytes in
            let place = table.find(hash: hash, map: 1, key: bytes)
            guard !place.isFound else { return false }
            let block = RecordBlock.allocate(
                bytes: RecordBlock.bytes(key: bytes.count, lifetime: false, tail: 0, value: 1))
            let value: [UInt8] = [1]
            value.withUnsafeBytes { value in
                block.write(
                    Incoming(
                        hash: hash, keyHash: 0, map: 1, node: 0, counter: 0, millis: 0, ttlMillis: 0, kind: 1,
                        key: bytes,
                        tail: UnsafeRawBufferPointer(start: nil, count: 0), value: value), due: RecordBlock.notDue)
            }
            table.insert(block, hash: hash, at: place, hasher: hasher)
            return true
        }
    }

    /// M17: equal tags and equal homes, up to hashes that are equal altogether.
    @Test func `keys whose hashes collide are kept apart`() {
        for hashOf: (Int) -> UInt64 in [
            { _ in 0 }, { _ in .max }, { UInt64($0) << 32 | 0xabcd }, { UInt64($0) | 0xffff_ffff_0000_0000 },
        ] {
            let hasher = SeededHash(seed: 1)
            var table = RecordTable()
            defer { table.removeAll() }
            // Fewer than make the table grow, which would take the true hashes.
            let keys = (0..<12).map { ByteString("key-\($0)") }
            for (number, key) in keys.enumerated() {
                #expect(insert(key, hash: hashOf(number), into: &table, hasher: hasher))
                #expect(!insert(key, hash: hashOf(number), into: &table, hasher: hasher))
            }
            #expect(table.count == 12 && table.capacity == 16)
            for (number, key) in keys.enumerated() {
                key.bytes.withUnsafeBytes { bytes in
                    let place = table.find(hash: hashOf(number), map: 1, key: bytes)
                    #expect(place.isFound)
                    #expect(table.block(at: place.slot).map { ByteString(copying: $0.key) } == key)
                    #expect(!table.find(hash: hashOf(number), map: 2, key: bytes).isFound)
                }
            }
        }
    }

    @Test func `growth keeps every key and the load below three quarters`() {
        let hasher = SeededHash(seed: 5)
        var table = RecordTable()
        defer { table.removeAll() }
        func hash(_ key: ByteString) -> UInt64 { key.bytes.withUnsafeBytes { hasher.hash($0, salt: 1) } }
        let keys = (0..<5_000).map { ByteString(String(repeating: "a", count: $0 % 40) + "\($0)") }
        for (number, key) in keys.enumerated() {
            #expect(insert(key, hash: hash(key), into: &table, hasher: hasher))
            #expect(table.count * 4 <= table.capacity * 3)
            if number % 500 == 0 {
                for earlier in keys[...number] {
                    #expect(earlier.bytes.withUnsafeBytes { table.find(hash: hash(earlier), map: 1, key: $0).isFound })
                }
            }
        }
        // The walk over probes stays short: no home is far from its record.
        var longest = 0
        for slot in 0..<table.capacity {
            guard let block = table.block(at: slot) else { continue }
            let home = table.home(hasher.hash(block.key, salt: 1))
            longest = max(longest, slot >= home ? slot - home : slot + table.capacity - home)
        }
        #expect(longest < 200)
    }

    /// M17: keys that collide in the protocol's hash do not in ours, and another seed gives another order.
    @Test func `the keyed hash spreads what the protocol's hash does not`() {
        // FNV-1a goes on from its state: two texts that collide once collide with every common end.
        var random = SeededGenerator(seed: 3)
        var firstByHash: [UInt32: ByteString] = [:]
        var pair: (ByteString, ByteString)?
        while pair == nil {
            let text = ByteString(random.bytes(8).map { $0 % 26 + 97 })
            if let other = firstByHash.updateValue(text, forKey: KeyHash.of(text)), other != text {
                pair = (other, text)
            }
        }
        guard let (left, right) = pair else { return }
        var hashes = Set<UInt64>()
        var seeded = Set<UInt64>()
        for number in 0..<1_000 {
            let tail = Array("-\(number)".utf8)
            #expect(KeyHash.of(ByteString(left.bytes + tail)) == KeyHash.of(ByteString(right.bytes + tail)))
            for text in [left.bytes + tail, right.bytes + tail] {
                text.withUnsafeBytes {
                    hashes.insert(SeededHash(seed: 1).hash($0, salt: 0))
                    seeded.insert(SeededHash(seed: 2).hash($0, salt: 0))
                }
            }
        }
        #expect(hashes.count == 2_000 && seeded.count == 2_000)
        #expect(hashes.isDisjoint(with: seeded))
    }

    @Test func `every bit of a key moves the hash, at every length`() {
        let hasher = SeededHash(seed: 11)
        for length in 1...70 {
            var bytes = [UInt8](repeating: 0, count: length)
            let base = bytes.withUnsafeBytes { hasher.hash($0, salt: 9) }
            for bit in 0..<(length * 8) {
                bytes[bit / 8] ^= 1 << UInt8(bit % 8)
                let changed = bytes.withUnsafeBytes { hasher.hash($0, salt: 9) }
                #expect((changed ^ base).nonzeroBitCount > 8)
                bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            }
            #expect(bytes.withUnsafeBytes { hasher.hash($0, salt: 8) } != base)
        }
    }

    @Test func `names keep their numbers and places`() {
        let table = NameTable(hasher: SeededHash(seed: 2))
        let names = (0..<3_000).map { ByteString($0 == 7 ? "" : "name-\($0)") }
        for (number, name) in names.enumerated() {
            name.bytes.withUnsafeBytes {
                #expect(table.find($0) == nil)
                #expect(table.add($0) == UInt32(number))
            }
        }
        let first = table[0].baseAddress
        for (number, name) in names.enumerated() {
            name.bytes.withUnsafeBytes { #expect(table.find($0) == UInt32(number)) }
            #expect(ByteString(copying: table[UInt32(number)]) == name)
        }
        #expect(table[0].baseAddress == first)
    }

    @Test func `a leaf item equals the model's for all lengths of numbers and names`() {
        let key: ByteString = "k"
        var millis: Int64 = 0
        while millis < ModelLimits.millisMax / 11 {
            for counter: UInt32 in [0, 9, 10, 99, .max] {
                for node in ["", "n", "12345678", "123456789", "é1234567", "1234567é9", "a-b-c-d-e-f-g-h-i-j"] {
                    let node = ByteString(node)
                    let expected = KeyHash.mix(
                        LWWRecord(value: .tombstone, timestamp: Timestamp(millis: millis, counter: counter, node: node))
                            .merkleItem(key: key))
                    let item = key.bytes.withUnsafeBytes { bytes in
                        node.bytes.withUnsafeBytes {
                            LeafItem.mixed(
                                keyHash: KeyHash.of(key), key: bytes, millis: millis, counter: counter, node: $0)
                        }
                    }
                    #expect(item == expected)
                }
            }
            millis = millis * 10 + 9 * (millis % 2) + 1
        }
    }

    @Test func `all memory that is counted is given back`() {
        let group = GroupState.make()
        var random = SeededGenerator(seed: 8)
        for round in 0..<50 {
            group.apply(
                (0..<100).map { _ in
                    Write(
                        key: ByteString("k\(Int.random(in: 0..<2_000, using: &random))"),
                        value: random.bytes(Int.random(in: 1...300, using: &random)), millis: Int64(round),
                        ttlMillis: Int64.random(in: 0...1, using: &random) * 100)
                })
        }
        #expect(group.memoryBytes > 0)
        for partition in GroupState.allPartitions { group.drop(partition) }
        #expect(group.memoryBytes == 0)
        #expect(group.recordCount == 0)
        #expect(group.summary(of: MapID(0)) == MapSummary(records: 0, liveRecords: 0, bytes: 0))
        #expect(group.expiry.scheduled == 0)
        group.expire(wallMillis: 1_000_000, limit: .max)
        #expect(group.log.count > 0 && group.expiryQueueCount == 0)
    }
}
