import Testing
import TopGunModel
import TopGunPartition

@Suite struct MergeTests {
    /// B21, D05: random batches against a dictionary with the model's own merge rule.
    @Test(arguments: 0..<24) func `random batches give what a dictionary gives`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let group = GroupState.make(seed: seed)
        var model: [String: LWWRecord] = [:]
        let maps: [ByteString] = ["a", "b", "map-with-a-longer-name", ""]
        let nodes: [ByteString] = ["n1", "n2", "0123456789-abcdef", "é-node"]
        let keys = (0..<Int.random(in: 3...400, using: &random)).map { number in
            ByteString("k\(number)" + String(repeating: "x", count: number % 41))
        }
        for _ in 0..<60 {
            let batch = (0..<Int.random(in: 1...150, using: &random)).map { _ in
                let isRemoval = Int.random(in: 0..<5, using: &random) == 0
                return Write(
                    kind: isRemoval ? .remove : .put, map: maps.randomElement(using: &random)!,
                    key: keys.randomElement(using: &random)!,
                    value: isRemoval ? [0xc0] : [0xc4] + random.bytes(Int.random(in: 0...300, using: &random)),
                    millis: Int64.random(in: 0...50, using: &random),
                    counter: UInt32.random(in: 0...2, using: &random), node: nodes.randomElement(using: &random)!,
                    ttlMillis: Int.random(in: 0..<8, using: &random) == 0 ? 10_000_000 : 0)
            }
            let outcomes = group.apply(batch)
            for (write, outcome) in zip(batch, outcomes) {
                let place = "\(write.map)/\(write.key)"
                let record = LWWRecord(
                    value: Payload(write.value),
                    timestamp: Timestamp(millis: write.millis, counter: write.counter, node: write.node),
                    ttlMillis: write.ttlMillis)
                let expected: Outcome
                switch model[place].map({ VersionOrder.compare(record.timestamp, to: $0.timestamp) }) {
                case nil, .newer: expected = .merged
                case .same: expected = .repeated
                case .older: expected = .superseded
                }
                if expected == .merged { model[place] = record }
                #expect(outcome == expected, "seed \(seed)")
            }
        }
        for map in maps {
            for key in keys { #expect(group.stored(key, in: map) == model["\(map)/\(key)"], "seed \(seed)") }
        }
        #expect(group.recordCount == model.count)
        let live = (0..<group.mapCount).reduce(0) { $0 + group.summary(of: MapID(UInt32($1))).liveRecords }
        #expect(live == model.values.count { !$0.isTombstone })
        #expect(group.content.count == model.count)
        // What was logged, replayed anywhere, is the same state.
        let replayed = GroupState.make(node: "server-2", seed: seed &+ 1)
        try replayed.load(group.log)
        #expect(replayed.content == group.content)
        let restored = GroupState.make(seed: seed &+ 2)
        try restored.load(group.checkpoint())
        #expect(restored.content == group.content)
    }

    @Test func `operations of one key within a batch are taken in order`() {
        let group = GroupState.make()
        let outcomes = group.apply([
            Write(key: "k", value: [1], millis: 5),
            Write(key: "k", value: [2], millis: 7),
            Write(key: "k", value: [3], millis: 6),
            Write(key: "k", value: [2], millis: 7),
        ])
        #expect(outcomes == [.merged, .merged, .superseded, .repeated])
        #expect(group.stored("k")?.value == Payload([2]))
        #expect(group.logged.map(\.record.value) == [Payload([1]), Payload([2])])
    }

    @Test func `only what changed is logged, in the bytes of a stored record`() {
        let group = GroupState.make()
        group.apply(
            [Write(map: "m", key: "schlüssel", value: [0xa1, 0x61], millis: 5, counter: 9, ttlMillis: 77)],
            nameSpace: "tenant")
        group.apply(
            [Write(map: "m", key: "schlüssel", value: [0xa1, 0x61], millis: 5, counter: 9)], nameSpace: "tenant")
        let record = Record(
            nameSpace: "tenant", map: "m", key: "schlüssel",
            record: LWWRecord(
                value: Payload([0xa1, 0x61]), timestamp: Timestamp(millis: 5, counter: 9, node: "node-a"),
                ttlMillis: 77))
        let expected = ByteSink()
        record.withStored { $0.append(to: expected) }
        #expect(group.log.bytes.elementsEqual(expected.bytes))
        let (log, partitions) = group.takeLog(replacingWith: ByteSink())
        #expect(log.bytes.elementsEqual(expected.bytes))
        #expect(partitions.members == [PartitionID(of: "schlüssel").index])
        #expect(group.log.count == 0)
        #expect(group.takeLog(replacingWith: ByteSink()).partitions.isEmpty)
    }

    @Test func `name spaces and maps keep the same key apart`() {
        let group = GroupState.make()
        group.apply([Write(map: "bc", key: "k", value: [1], millis: 1)], nameSpace: "a")
        group.apply([Write(map: "c", key: "k", value: [2], millis: 1)], nameSpace: "ab")
        #expect(group.stored("k", in: "bc", nameSpace: "a")?.value == Payload([1]))
        #expect(group.stored("k", in: "c", nameSpace: "ab")?.value == Payload([2]))
        #expect(group.mapCount == 2)
    }

    /// M08: canonical equivalence must not merge keys.
    @Test func `keys are compared by bytes`() {
        let group = GroupState.make()
        group.apply([
            Write(key: "\u{e9}", value: [1], millis: 1), Write(key: "e\u{301}", value: [2], millis: 1),
            Write(key: "", value: [3], millis: 1),
        ])
        #expect(group.stored("\u{e9}")?.value == Payload([1]))
        #expect(group.stored("e\u{301}")?.value == Payload([2]))
        #expect(group.stored("")?.value == Payload([3]))
    }

    @Test func `an equal stamp with other content is a conflict only for clients that can be told`() {
        let group = GroupState.make()
        group.apply([Write(key: "k", value: [1], millis: 5)])
        #expect(group.apply([Write(key: "k", value: [2], millis: 5)]) == [.repeated])
        #expect(
            group.apply([Write(key: "k", value: [2], millis: 5)], rules: .reportsReplicaConflict)
                == [.refused(.replicaIDConflict)])
        #expect(
            group.apply([Write(key: "k", value: [1], millis: 5, ttlMillis: 1)], rules: .reportsReplicaConflict)
                == [.refused(.replicaIDConflict)])
        #expect(group.apply([Write(key: "k", value: [1], millis: 5)], rules: .reportsReplicaConflict) == [.repeated])
        #expect(group.stored("k")?.value == Payload([1]))
        #expect(group.logged.count == 1)
    }

    @Test func `accepted stamps move the clock, refused ones do not`() throws {
        let group = GroupState.make()
        group.apply([Write(key: "k", millis: 1_000_500, counter: 4)], wall: 1_000_000)
        #expect(try group.clock.now(wallMillis: 1_000_000) > Timestamp(millis: 1_000_500, counter: 4, node: "zzz"))
        group.apply([Write(key: "k", millis: 9_000_000)], rules: .reportsClockAhead, wall: 1_000_000)
        #expect(group.clock.millis == 1_000_500)
    }

    /// M07: every limit of a field is an answer, never a trap.
    @Test func `bad fields are refused one by one`() {
        var limits = GroupLimits()
        limits.valueBytesMax = 10
        limits.keyBytesMax = 5
        let group = GroupState.make(limits: limits)
        let outcomes = group.apply([
            Write(key: "k", millis: -1),
            Write(key: "k", millis: .min),
            Write(key: "k", millis: .max),
            Write(key: "k", millis: ModelLimits.millisMax + 1),
            Write(key: "k", millis: 1, node: ""),
            Write(key: "k", millis: 1, node: "a:b"),
            Write(key: "k", millis: 1, node: ByteString([UInt8](repeating: 97, count: 256))),
            Write(key: "k", millis: 1, ttlMillis: -1),
            Write(key: "k", millis: 1, ttlMillis: .max),
            Write(key: "k", value: [], millis: 1),
            Write(key: "k", value: [UInt8](repeating: 1, count: 11), millis: 1),
            Write(key: "toolong", millis: 1),
            Write(map: ByteString([UInt8](repeating: 97, count: 1_025)), key: "k", millis: 1),
            Write(kind: .orAdd, key: "k", millis: 1),
            Write(kind: .orRemove, key: "k", millis: 1),
            Write(key: "k", millis: 1, refusal: .forbidden),
            Write(key: "k", millis: 1),
        ])
        let expected: [Refusal] = [
            .badStamp, .badStamp, .badStamp, .badStamp, .badRequest, .badRequest, .badRequest, .badRequest,
            .badRequest, .badRequest, .tooLarge, .tooLarge, .tooLarge, .badRequest, .badRequest, .forbidden,
        ]
        #expect(outcomes == expected.map { .refused($0) } + [.merged])
        #expect(group.recordCount == 1)
    }

    @Test func `a value changes its length and the block follows`() {
        let group = GroupState.make()
        var expected: [UInt8] = []
        for round in 1...400 {
            let length = [0, 5, 200, 1_000, 37, 300][round % 6] + round % 7
            expected = [0xc4] + [UInt8](repeating: UInt8(round & 0xff), count: length)
            #expect(
                group.apply([
                    Write(key: "k", value: expected, millis: Int64(round), ttlMillis: round % 5 == 0 ? 9_999_999 : 0)
                ]) == [.merged])
            #expect(group.stored("k")?.value.bytes == expected)
        }
        group.apply([Write(key: "k", value: [UInt8](repeating: 1, count: 1_000), millis: 450)])
        let before = group.memoryBytes
        group.apply([Write(kind: .remove, key: "k", millis: 500)])
        #expect(group.memoryBytes < before)
        #expect(group.stored("k")?.isTombstone == true)
    }
}

@Suite struct AdmissionTests {
    @Test func `a full group refuses new and growing records and takes removals`() {
        var limits = GroupLimits()
        limits.memoryBytesMax = 20_000
        let group = GroupState.make(limits: limits)
        var number = 0
        while group.apply([Write(key: ByteString("k\(number)"), value: [UInt8](repeating: 1, count: 100), millis: 1)])
            == [.merged]
        {
            number += 1
        }
        #expect(group.outcomes == [.refused(.nodeFull)])
        #expect(number > 20)
        #expect(group.memoryBytes <= 20_000)
        #expect(
            group.apply([Write(key: "k0", value: [UInt8](repeating: 1, count: 5_000), millis: 2)]) == [
                .refused(.nodeFull)
            ])
        #expect(group.stored("k0")?.timestamp.millis == 1)
        #expect(group.apply([Write(key: "k0", value: [UInt8](repeating: 2, count: 100), millis: 3)]) == [.merged])
        #expect(
            group.apply((0..<number).map { Write(kind: .remove, key: ByteString("k\($0)"), millis: 4) }).allSatisfy {
                $0 == .merged
            })
        #expect(group.apply([Write(key: "k1", value: [UInt8](repeating: 1, count: 100), millis: 5)]) == [.merged])
        #expect(group.logged.count == number + 1 + number + 1)
    }

    @Test func `maps, writers and records have a limit`() throws {
        var limits = GroupLimits()
        limits.mapsMax = 2
        limits.nodesMax = 3
        limits.recordsMax = 3
        let group = GroupState.make(limits: limits)
        #expect(
            group.apply([
                Write(map: "a", key: "k", millis: 1), Write(map: "b", key: "k", millis: 1),
                Write(map: "c", key: "k", millis: 1), Write(map: "a", key: "k", millis: 2, node: "n2"),
                Write(map: "a", key: "k", millis: 3, node: "n3"), Write(map: "a", key: "l", millis: 1),
                Write(map: "a", key: "m", millis: 1), Write(map: "a", key: "l", millis: 2),
            ]) == [
                .merged, .merged, .refused(.nodeFull), .merged, .refused(.nodeFull), .merged, .refused(.nodeFull),
                .merged,
            ])
        #expect(throws: PartitionError(code: .full)) { try group.map("d", in: "") }
        // What was acknowledged once is loaded whatever the limits are now.
        let record = Record(
            map: "d", key: "k",
            record: LWWRecord(value: Payload([1]), timestamp: Timestamp(millis: 1, counter: 0, node: "n9")))
        try record.withStored { try group.load($0) }
        #expect(group.stored("k", in: "d")?.value == Payload([1]))
    }

    @Test func `a partition that is elsewhere or closed is not ready`() throws {
        let key: ByteString = "k"
        let home = PartitionID(of: key)
        let other = GroupState(
            partitions: GroupState.allPartitions.filter { $0 != home }, clock: HybridLogicalClock(node: "s"),
            hashSeed: 1)
        #expect(other.apply([Write(key: key, millis: 1)]) == [.refused(.notReady)])
        #expect(other.summary(of: home) == nil)
        let group = GroupState.make()
        group.apply([Write(key: key, value: [7], millis: 1)])
        let log = group.takeLog(replacingWith: ByteSink()).log
        group.drop(home)
        #expect(group.apply([Write(key: key, millis: 2)]) == [.refused(.notReady)])
        #expect(group.stored(key) == nil)
        try group.load(log)
        group.open(home)
        #expect(group.stored(key)?.value == Payload([7]))
        #expect(group.apply([Write(key: key, millis: 2)]) == [.merged])
    }
}
