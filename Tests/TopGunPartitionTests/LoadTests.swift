import Testing
import TopGunModel
import TopGunPartition

@Suite struct LoadTests {
    /// B21: any order, any number of repeats; ties are broken by content.
    @Test(arguments: 0..<20) func `loads in any order give one state`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var records = (0..<300).map { _ in
            Record(
                key: ByteString("k\(Int.random(in: 0..<30, using: &random))"),
                record: LWWRecord(
                    value: Payload(random.bytes(Int.random(in: 1...3, using: &random))),
                    timestamp: Timestamp(
                        millis: Int64.random(in: 0...3, using: &random), counter: 0,
                        node: ["n", "m"].randomElement(using: &random)!),
                    ttlMillis: Int64.random(in: 0...1, using: &random) * 1_000),
                tail: Int.random(in: 0..<4, using: &random) == 0
                    ? [9, 2, 0, 1, UInt8.random(in: 0...2, using: &random)] : [])
        }
        var contents: [[Record: Int]] = []
        for round in 0..<4 {
            let group = GroupState.make(seed: seed &+ UInt64(round))
            for record in records { try record.withStored { try group.load($0) } }
            #expect(group.log.count == 0)
            contents.append(group.content)
            records.shuffle(using: &random)
            records.append(contentsOf: records.prefix(100))
        }
        #expect(contents.allSatisfy { $0 == contents[0] }, "seed \(seed)")
    }

    @Test func `unknown fields of the tail are kept and written out again`() throws {
        let record = Record(
            key: "k", record: LWWRecord(value: Payload([1]), timestamp: Timestamp(millis: 5, counter: 1, node: "n")),
            tail: [200, 3, 0, 1, 2, 3])
        let group = GroupState.make()
        try record.withStored { try group.load($0) }
        let sink = group.checkpoint()
        var offset = 0
        #expect(Record(try #require(StoredRecord(in: sink.bytes, at: &offset))) == record)
        #expect(offset == sink.count)
    }

    @Test func `what no record may have is refused`() {
        let group = GroupState.make()
        func code(_ change: (inout StoredRecord) -> Void) -> PartitionError.Code? {
            let record = Record(
                key: "k", record: LWWRecord(value: Payload([1]), timestamp: Timestamp(millis: 5, counter: 1, node: "n"))
            )
            var found: PartitionError.Code?
            record.withStored { stored in
                var stored = stored
                change(&stored)
                do throws(PartitionError) { try group.load(stored) } catch { found = error.code }
            }
            return found
        }
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        #expect(code { $0.kind = .orAdd } == .unsupportedKind)
        #expect(code { $0.kind = .counter } == .unsupportedKind)
        #expect(code { $0.millis = -1 } == .malformed)
        #expect(code { $0.millis = .max } == .malformed)
        #expect(code { $0.ttlMillis = .min } == .malformed)
        #expect(code { $0.node = empty } == .malformed)
        #expect(code { $0.value = empty } == .malformed)
        #expect(code { _ in } == nil)
    }

    @Test func `a clock bound in the log moves the clock`() throws {
        let group = GroupState.make()
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        try group.load(
            StoredRecord(
                kind: .clockBound, nameSpace: empty, map: empty, key: empty, node: empty, millis: 5_000, counter: 0,
                ttlMillis: 0, value: empty, tail: empty))
        #expect(try group.clock.now(wallMillis: 10).millis >= 5_000)
        #expect(group.recordCount == 0)
    }

    /// K05: the wall clock stands behind what was stored.
    @Test func `after loading, stamps go on above what was loaded`() throws {
        let group = GroupState.make()
        let record = Record(
            key: "k",
            record: LWWRecord(value: Payload([1]), timestamp: Timestamp(millis: 9_000, counter: 77, node: "zz")))
        try record.withStored { try group.load($0) }
        #expect(try group.clock.now(wallMillis: 100) > record.record.timestamp)
    }
}
