import Testing
import TopGunModel
import TopGunPartition
import TopGunQuery

/// Numbers of maps and writers are for ever and their tables are bounded, so that only a record may take one.
@Suite struct NameTests {
    private static let wall: Int64 = 1_000_000
    private static let ahead = wall + ModelLimits.clientAheadMillisMax + 1

    @Test func `what is refused or superseded takes no number, however many names it invents`() {
        var limits = GroupLimits()
        limits.mapsMax = 3
        limits.nodesMax = 4
        let group = GroupState.make(limits: limits)
        group.apply([Write(map: "known", key: "k", value: [1], millis: 500, node: "writer")])
        let (maps, nodes) = (group.mapCount, group.nodeCount)
        #expect(maps == 1 && nodes == 2)
        for round in 0..<100 {
            let invented = ByteString("invented-\(round)")
            let refused = group.apply(
                [
                    Write(map: invented, key: "k", value: [1], millis: Self.ahead, node: invented),
                    Write(map: "known", key: "k", value: [1], millis: 499, node: invented),
                    Write(map: invented, key: "k", value: [1], millis: 1, node: ByteString("bad:\(round)")),
                    Write(map: ByteString([UInt8](repeating: 97, count: 1_025)), key: "k", value: [1], millis: 1),
                ], rules: [.reportsClockAhead])
            #expect(
                refused == [.refused(.clockAhead), .superseded, .refused(.badRequest), .refused(.tooLarge)])
            #expect(group.mapCount == maps && group.nodeCount == nodes)
        }
        // The places are still there for those who write something.
        for number in 0..<2 {
            let name = ByteString("new-\(number)")
            #expect(group.apply([Write(map: name, key: "k", value: [1], millis: 1, node: name)]) == [.merged])
        }
        #expect(group.apply([Write(map: "late", key: "k", value: [1], millis: 1)]) == [.refused(.nodeFull)])
        #expect(group.apply([Write(map: "known", key: "l", value: [1], node: "late")]) == [.refused(.nodeFull)])
        #expect(group.mapCount == 3 && group.nodeCount == 4)
    }

    @Test func `a full memory gives the numbers back`() {
        var limits = GroupLimits()
        limits.recordsMax = 1
        let group = GroupState.make(limits: limits)
        group.apply([Write(map: "a", key: "k", value: [1], millis: 1, node: "a")])
        for number in 0..<50 {
            let name = ByteString("n\(number)")
            #expect(group.apply([Write(map: name, key: "k", value: [1], node: name)]) == [.refused(.nodeFull)])
        }
        #expect(group.mapCount == 1 && group.nodeCount == 2)
    }

    /// Many names in few batches, so that those taken back are followed by others under the same number.
    @Test(arguments: 0..<20) func `every name that a record has, and no other, has a number`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let group = GroupState.make()
        var model: [ByteString: [ByteString: Write]] = [:]
        var writers: Set<ByteString> = ["server-1"]
        for _ in 0..<60 {
            let writes = (0..<Int.random(in: 1...90, using: &random)).map { _ in
                let name = Int.random(in: 0..<200, using: &random)
                return Write(
                    map: ByteString("map-\(Int.random(in: 0..<40, using: &random))"),
                    key: ByteString("k\(Int.random(in: 0..<3, using: &random))"),
                    value: random.bytes(Int.random(in: 2...40, using: &random)),
                    millis: Int.random(in: 0..<3, using: &random) == 0
                        ? Self.ahead : Int64.random(in: 1...60, using: &random),
                    node: ByteString("node-\(name)"))
            }
            let outcomes = group.apply(writes, rules: [.reportsClockAhead], wall: Self.wall)
            for (write, outcome) in zip(writes, outcomes) {
                let stored = model[write.map]?[write.key]
                let wins = stored.map { ($0.millis, $0.node) < (write.millis, write.node) } ?? true
                let isSame = stored.map { $0.millis == write.millis && $0.node == write.node } ?? false
                if write.millis == Self.ahead {
                    #expect(outcome == .refused(.clockAhead), "seed \(seed)")
                } else if isSame {
                    #expect(outcome == .repeated, "seed \(seed)")
                } else {
                    #expect(outcome == (wins ? .merged : .superseded), "seed \(seed)")
                }
                guard outcome == .merged else { continue }
                model[write.map, default: [:]][write.key] = write
                writers.insert(write.node)
            }
            #expect(group.mapCount == model.count, "seed \(seed)")
            #expect(group.nodeCount == writers.count, "seed \(seed)")
        }
        for (map, records) in model {
            for (key, write) in records {
                let stored = group.stored(key, in: map)
                #expect(stored?.value == Payload(write.value), "seed \(seed)")
                #expect(stored?.timestamp.node == write.node, "seed \(seed)")
            }
        }
        let other = GroupState.make(seed: 9)
        try other.load(group.checkpoint())
        #expect(other.content == group.content)
    }

    // MARK: Interest

    @Test func `interest in maps that are not there takes no number and is kept until they come`() throws {
        let group = GroupState.make()
        for number in 0..<100 {
            try group.watch(ByteString("map-\(number)"), in: "")
            try group.subscribe(UInt64(number), to: ByteString("map-\(number)"), in: "", filter: .everything)
        }
        try group.subscribe(500, to: "map-1", in: "", filter: .everything)
        try group.subscribe(500, to: "map-2", in: "", filter: .everything)
        #expect(group.mapCount == 0)
        // A write that is refused tells nobody, and the next one does.
        let refused = Write(map: "map-2", key: "k", value: [1], millis: Self.ahead)
        #expect(group.apply([refused], rules: [.reportsClockAhead]) == [.refused(.clockAhead)])
        #expect(group.mapCount == 0 && group.changes.isEmpty && group.queryChanges.isEmpty)
        group.apply([Write(map: "map-2", key: "k", value: [1], millis: 1)])
        #expect(group.mapCount == 1)
        #expect(group.changes.count == 1)
        #expect(group.queryChanges.map(\.subscription) == [2, 500])
        #expect(group.queryChanges.map(\.kind) == [.enter, .enter])
        _ = group.takeLog(replacingWith: ByteSink())

        // One that is not waited for any more comes without a word, and what came is ended under its number.
        group.unwatch("map-3", in: "")
        group.unsubscribe(3)
        group.unwatch("map-2", in: "")
        group.unsubscribe(2)
        group.unsubscribe(500)
        group.apply([
            Write(map: "map-2", key: "k", value: [2], millis: 2), Write(map: "map-3", key: "k", value: [1], millis: 1),
        ])
        #expect(group.changes.isEmpty && group.queryChanges.isEmpty)
    }

    @Test func `a map that is loaded is told to those who wait for it from then on`() throws {
        let source = GroupState.make()
        source.apply([Write(map: "m", key: "k", value: [1], millis: 1)])
        let group = GroupState.make()
        try group.watch("m", in: "")
        try group.subscribe(7, to: "m", in: "", filter: .everything)
        try group.load(source.checkpoint())
        #expect(group.mapCount == 1 && group.changes.isEmpty)
        group.apply([Write(map: "m", key: "k", value: [2], millis: 2)])
        #expect(group.changes.count == 1)
        #expect(group.queryChanges.map(\.kind) == [.update])
    }

    @Test func `those who wait count against the limit of subscriptions, and names have a length`() throws {
        var limits = GroupLimits()
        limits.subscriptionsMax = 2
        let group = GroupState.make(limits: limits)
        try group.subscribe(1, to: "a", in: "", filter: .everything)
        try group.subscribe(2, to: "b", in: "", filter: .everything)
        #expect(throws: PartitionError(code: .full)) {
            try group.subscribe(3, to: "c", in: "", filter: .everything)
        }
        group.unsubscribe(1)
        try group.subscribe(3, to: "c", in: "", filter: .everything)
        let long = ByteString([UInt8](repeating: 97, count: PartitionLimits.mapNameBytesMax + 1))
        #expect(throws: PartitionError(code: .tooLarge)) { try group.watch(long, in: "") }
        group.unsubscribe(3)
        #expect(throws: PartitionError(code: .tooLarge)) {
            try group.subscribe(3, to: long, in: "", filter: .everything)
        }
    }
}
