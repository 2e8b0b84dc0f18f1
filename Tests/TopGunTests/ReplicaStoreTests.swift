import Foundation
import GRDB
import Testing
import TopGun
import TopGunModel
import TopGunReplica

/// What every ``ReplicaStore`` promises, run on each of them.
@Suite struct ReplicaStoreTests {
    enum Kind: CaseIterable, CustomTestStringConvertible {
        case memory
        case device
        case sqlite

        var testDescription: String { "\(self)" }

        func make(_ folder: TemporaryFolder) throws -> any ReplicaStore {
            switch self {
            case .memory: InMemoryStore()
            case .device: try DeviceStore {}.open()
            case .sqlite: try SQLiteStore(path: folder.path("replica.db"))
            }
        }
    }

    private static func record(
        _ millis: Int64, _ value: UInt8 = 1, counter: UInt32 = 0, node: ByteString = "n", ttl: Int64 = 0
    ) -> LWWRecord {
        LWWRecord(
            value: Payload([value]), timestamp: Timestamp(millis: millis, counter: counter, node: node), ttlMillis: ttl)
    }

    private static func entry(
        _ map: ByteString, _ key: ByteString, _ record: LWWRecord?, _ rule: StoredEntry.Rule = .replace
    ) -> StoredEntry {
        StoredEntry(map: map, key: key, record: record, isOwn: record != nil, rule: rule)
    }

    // MARK: The contract

    @Test(arguments: Kind.allCases) func `a fresh store knows nothing`(_ kind: Kind) throws {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        #expect(try store.identity() == nil)
        #expect(try store.maps().isEmpty)
        #expect(try store.entries(ofMap: "m", after: nil, limit: 10).isEmpty)
        #expect(try store.operations(after: 0, limit: 10).isEmpty)
        #expect(try store.setAside(after: 0, limit: 10).isEmpty)
        #expect(
            try store.changes(since: 0, operationsAfter: 0, limit: 10)
                == StoreChanges(sequence: 0, entries: [], operations: [], isCut: false))
    }

    @Test(arguments: Kind.allCases) func `the identity comes back whole`(_ kind: Kind) throws {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        var identity = StoredIdentity(node: "n1")
        var transaction = StoreTransaction()
        transaction.identity = identity
        _ = try store.commit(transaction)
        #expect(try store.identity() == identity)
        identity.clockBound = .max
        identity.clusterID = "c"
        identity.userID = ByteString([0, 255])
        identity.restoreEpoch = 3
        identity.deviceID = "d"
        identity.deviceToken = ""
        transaction.identity = identity
        _ = try store.commit(transaction)
        #expect(try store.identity() == identity)
    }

    @Test(arguments: Kind.allCases) func `names and keys are bytes: NUL, invalid and both forms of é`(_ kind: Kind)
        throws
    {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        let keys = [[], [0], [0, 0], [97, 0, 98], [0x65, 0xcc, 0x81], [0xc3, 0xa9], [0xff]].map { ByteString($0) }
        var transaction = StoreTransaction()
        transaction.maps = [StoredMap(name: "m\u{0}", lastSyncMillis: 7), StoredMap(name: "a")]
        for key in keys { transaction.entries.append(Self.entry("m\u{0}", key, Self.record(1))) }
        _ = try store.commit(transaction)
        #expect(try store.maps() == [StoredMap(name: "a"), StoredMap(name: "m\u{0}", lastSyncMillis: 7)])
        #expect(try store.entries(ofMap: "m\u{0}", after: nil, limit: 99).map(\.key) == keys)
        #expect(try store.entries(ofMap: "m\u{0}", after: keys[2], limit: 2).map(\.key) == [keys[3], keys[4]])
        #expect(try store.entries(ofMap: "m", after: nil, limit: 99).isEmpty)
    }

    @Test(arguments: Kind.allCases)
    func `merging keeps the newer stamp, replacing keeps what comes`(_ kind: Kind) throws {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        func write(_ record: LWWRecord?, _ rule: StoredEntry.Rule) throws {
            var transaction = StoreTransaction()
            transaction.entries = [Self.entry("m", "k", record, rule)]
            _ = try store.commit(transaction)
        }
        func stored() throws -> LWWRecord? { try store.entries(ofMap: "m", after: nil, limit: 1).first?.record }
        let old = Self.record(5, counter: 2, node: "b")
        try write(old, .replace)
        for loser in [
            Self.record(4, 9, counter: 9, node: "z"), Self.record(5, 9, counter: 1, node: "z"),
            Self.record(5, 9, counter: 2, node: "a"), Self.record(5, 9, counter: 2, node: "b"),
        ] {
            try write(loser, .merge)
            #expect(try stored() == old)
        }
        for winner in [
            Self.record(5, 2, counter: 2, node: "ba"), Self.record(5, 2, counter: 3, node: "a"),
            Self.record(6, 2, counter: 0, node: "a", ttl: 50),
        ] {
            try write(winner, .merge)
            #expect(try stored() == winner)
        }
        try write(old, .replace)
        #expect(try stored() == old)
        try write(nil, .replace)
        #expect(try stored() == nil)
        try write(Self.record(1), .merge)
        #expect(try stored() == Self.record(1))
    }

    @Test(arguments: Kind.allCases)
    func `what is newer than a stamp stays, whatever is to be written in its place`(_ kind: Kind) throws {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        func write(_ record: LWWRecord?, _ rule: StoredEntry.Rule) throws {
            var transaction = StoreTransaction()
            transaction.entries = [Self.entry("m", "k", record, rule)]
            _ = try store.commit(transaction)
        }
        func stored() throws -> LWWRecord? { try store.entries(ofMap: "m", after: nil, limit: 1).first?.record }
        let old = Self.record(5, counter: 2, node: "b")
        try write(old, .replace)
        for lower in [
            Self.record(4, counter: 9, node: "z"), Self.record(5, counter: 1, node: "z"),
            Self.record(5, counter: 2, node: "a"),
        ] {
            try write(nil, .unlessNewer(than: lower.timestamp))
            try write(Self.record(3), .unlessNewer(than: lower.timestamp))
            #expect(try stored() == old)
        }
        try write(Self.record(3), .unlessNewer(than: old.timestamp))
        #expect(try stored() == Self.record(3))
        try write(nil, .unlessNewer(than: old.timestamp))
        #expect(try stored() == nil)
        try write(old, .unlessNewer(than: Self.record(1).timestamp))
        #expect(try stored() == old, "where nothing stands nothing is newer")
    }

    @Test(arguments: Kind.allCases) func `operation ids only grow, also when the log was empty in between`(_ kind: Kind)
        throws
    {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        var transaction = StoreTransaction()
        let operation = NewOperation(map: "m", key: "k", record: Self.record(1))
        transaction.newOperations = [operation, operation]
        #expect(try store.commit(transaction).firstOperationID == 1)
        transaction = StoreTransaction()
        transaction.retired = [1, 2, 99]
        _ = try store.commit(transaction)
        #expect(try store.operations(after: 0, limit: 9).isEmpty)
        transaction = StoreTransaction()
        transaction.newOperations = [operation]
        #expect(try store.commit(transaction).firstOperationID == 3)
        #expect(try store.operations(after: 2, limit: 9).map(\.id) == [3])
        #expect(try store.operations(after: 3, limit: 9).isEmpty)
    }

    @Test(arguments: Kind.allCases) func `an operation is pending, then retired or set aside, then forgotten`(
        _ kind: Kind
    ) throws {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        var transaction = StoreTransaction()
        transaction.newOperations = (1...3).map { NewOperation(map: "m", key: "k", record: Self.record($0)) }
        _ = try store.commit(transaction)
        #expect(try store.fates(of: [3, 1, 2]) == [.pending, .pending, .pending])

        let refused = SetAsideOperation(
            operation: StoredOperation(id: 2, map: "m", key: "k", record: Self.record(2)), code: "FORBIDDEN")
        transaction = StoreTransaction()
        transaction.retired = [1]
        transaction.setAside = [refused]
        transaction.restamped = [StoredOperation(id: 3, map: "m", key: "k", record: Self.record(30))]
        transaction.decided = [DecidedOperation(id: 1, level: .replicated)]
        _ = try store.commit(transaction)
        #expect(
            try store.fates(of: [1, 2, 3, 4])
                == [.retired(.replicated), .setAside(code: "FORBIDDEN"), .pending, .unknown])
        #expect(try store.setAside(after: 0, limit: 9) == [refused])
        #expect(try store.setAside(after: 2, limit: 9).isEmpty)
        #expect(
            try store.operations(after: 0, limit: 9)
                == [StoredOperation(id: 3, map: "m", key: "k", record: Self.record(30))])

        transaction = StoreTransaction()
        transaction.forgotten = [2]
        transaction.decided = [DecidedOperation(id: 1, level: .persisted)]
        _ = try store.commit(transaction)
        #expect(try store.setAside(after: 0, limit: 9).isEmpty)
        #expect(
            try store.fates(of: [1, 2]) == [.retired(.persisted), .setAside(code: "FORBIDDEN")],
            "forgotten by the application, not by the one that has to answer its author")

        // Fates are kept for so many operations.
        transaction = StoreTransaction()
        let operation = NewOperation(map: "m", key: "k", record: Self.record(4))
        transaction.newOperations = Array(repeating: operation, count: Int(ReplicaLimits.decidedOperationsMax) - 2)
        _ = try store.commit(transaction)
        #expect(try store.fates(of: [1, 2]) == [.unknown, .setAside(code: "FORBIDDEN")])
    }

    @Test func `a file of the first format goes on, and learns what becomes of operations`() throws {
        let folder = try TemporaryFolder()
        let path = folder.path("replica.db")
        var transaction = StoreTransaction()
        transaction.newOperations = [NewOperation(map: "m", key: "k", record: Self.record(1))]
        _ = try SQLiteStore(path: path).commit(transaction)
        try DatabaseQueue(path: path).write {
            try $0.execute(sql: "DROP TABLE decided; UPDATE meta SET value = 1 WHERE name = 'format'")
        }
        let store = try SQLiteStore(path: path)
        #expect(try store.fates(of: [1]) == [.pending])
        transaction = StoreTransaction()
        transaction.retired = [1]
        transaction.decided = [DecidedOperation(id: 1, level: .applied)]
        _ = try store.commit(transaction)
        #expect(try store.fates(of: [1]) == [.retired(.applied)])
        let format = try DatabaseQueue(path: path).read {
            try Int64.fetchOne($0, sql: "SELECT value FROM meta WHERE name = 'format'")
        }
        #expect(format == SQLiteStore.format)
    }

    @Test(arguments: Kind.allCases) func `changes tell of everything once, removed entries included`(_ kind: Kind)
        throws
    {
        let folder = try TemporaryFolder()
        var store = try kind.make(folder)
        for index in 0..<5 {
            var transaction = StoreTransaction()
            transaction.entries = [
                Self.entry("m", ByteString("k\(index)"), Self.record(1)),
                Self.entry("m", "shared", Self.record(Int64(index))),
            ]
            _ = try store.commit(transaction)
        }
        var transaction = StoreTransaction()
        transaction.clearedMaps = ["m"]
        transaction.entries = [Self.entry("m", "new", Self.record(9))]
        let sequence = try store.commit(transaction).sequence
        #expect(try store.entries(ofMap: "m", after: nil, limit: 99).map(\.key) == ["new"])
        let all = try store.changes(since: 0, operationsAfter: 0, limit: 99)
        #expect(all.sequence == sequence)
        #expect(!all.isCut)
        #expect(all.entries.filter { $0.record == nil }.count == 6)
        #expect(all.entries.filter { $0.record != nil }.map(\.key) == ["new"])
        #expect(try store.changes(since: sequence, operationsAfter: 0, limit: 99).entries.isEmpty)
    }

    @Test func `SQLite and memory tell the same of a thousand random transactions`() throws {
        let seed = UInt64.random(in: .min ... .max)
        var random = SplitMix(state: seed)
        let folder = try TemporaryFolder()
        var (model, store) = (InMemoryStore(), try SQLiteStore(path: folder.path("replica.db")))
        for round in 0..<1000 {
            let transaction = try Self.transaction(&random, model)
            let outcomes = (try model.commit(transaction), try store.commit(transaction))
            try #require(outcomes.0 == outcomes.1, "seed \(seed) round \(round)")
            if round % 50 == 17 { store = try SQLiteStore(path: folder.path("replica.db")) }
            guard round % 10 == 0 else { continue }
            for map: ByteString in ["a", "b", "c"] {
                try #require(
                    try model.entries(ofMap: map, after: "k3", limit: 5)
                        == store.entries(ofMap: map, after: "k3", limit: 5), "seed \(seed) round \(round)")
            }
            let ids = (0..<20).map { _ in random.next() % 3000 }
            try #require(try model.fates(of: ids) == store.fates(of: ids), "seed \(seed) round \(round)")
            try #require(
                try model.operations(after: ids[0], limit: 7) == store.operations(after: ids[0], limit: 7),
                "seed \(seed) round \(round)")
            try #require(
                try model.setAside(after: ids[1], limit: 7) == store.setAside(after: ids[1], limit: 7),
                "seed \(seed) round \(round)")
            let since = Int64(random.next() % UInt64(round + 1))
            let (left, right) = (
                try model.changes(since: since, operationsAfter: ids[2], limit: 6),
                try store.changes(since: since, operationsAfter: ids[2], limit: 6)
            )
            try #require(left.sequence == right.sequence && left.isCut == right.isCut, "seed \(seed) round \(round)")
            try #require(left.operations == right.operations, "seed \(seed) round \(round)")
            try #require(
                Set(left.entries.map { "\($0)" }) == Set(right.entries.map { "\($0)" }), "seed \(seed) round \(round)")
        }
    }

    private static func transaction(
        _ random: inout SplitMix, _ store: InMemoryStore
    ) throws -> StoreTransaction {
        func below(_ bound: UInt64) -> UInt64 { random.next() % bound }
        let maps: [ByteString] = ["a", "b", "c"]
        func record() -> LWWRecord {
            Self.record(
                Int64(below(20)), UInt8(below(100)), counter: UInt32(below(3)), node: ByteString("n\(below(3))"),
                ttl: Int64(below(2) * 100))
        }
        func operation(_ id: UInt64) -> StoredOperation {
            StoredOperation(id: id, map: maps[Int(below(3))], key: ByteString("k\(below(20))"), record: record())
        }
        var transaction = StoreTransaction()
        if below(30) == 0 { transaction.clearedMaps = [maps[Int(below(3))]] }
        // Declared first, as the core does: the in-memory store lists only declared maps.
        if below(5) == 0 { transaction.maps = [StoredMap(name: maps[Int(below(3))], lastSyncMillis: Int64(below(9)))] }
        for _ in 0..<below(4) {
            transaction.entries.append(
                StoredEntry(
                    map: maps[Int(below(3))], key: ByteString("k\(below(20))"), record: below(6) == 0 ? nil : record(),
                    isOwn: below(2) == 0, rule: below(2) == 0 ? .merge : .replace))
        }
        for _ in 0..<below(4) {
            let new = operation(0)
            transaction.newOperations.append(NewOperation(map: new.map, key: new.key, record: new.record))
        }
        for var pending in try store.operations(after: below(2000), limit: Int(below(3))) {
            pending.record = record()
            transaction.restamped.append(pending)
        }
        transaction.retired = (0..<below(3)).map { _ in below(2000) + 1 }
        if below(4) == 0 {
            transaction.setAside = [SetAsideOperation(operation: operation(below(2000) + 1), code: "TOO_OLD")]
        }
        if below(4) == 0 { transaction.forgotten = [below(2000) + 1] }
        transaction.decided = (0..<below(3)).map { _ in
            DecidedOperation(id: below(2000) + 1, level: below(2) == 0 ? .replicated : .persisted)
        }
        return transaction
    }

    // MARK: Only SQLite

    @Test func `C01: what was committed is there when the file is opened again without being closed`() throws {
        let folder = try TemporaryFolder()
        let first = try SQLiteStore(path: folder.path("replica.db"))
        var transaction = StoreTransaction()
        transaction.identity = StoredIdentity(node: "n")
        transaction.entries = [Self.entry("m", "k", Self.record(1))]
        transaction.newOperations = [NewOperation(map: "m", key: "k", record: Self.record(1))]
        _ = try first.commit(transaction)
        // A copy of the files as a crash leaves them: the write-ahead log has not been folded in.
        let copy = try TemporaryFolder()
        for name in ["replica.db", "replica.db-wal"] {
            try FileManager.default.copyItem(atPath: folder.path(name), toPath: copy.path(name))
        }
        let second = try SQLiteStore(path: copy.path("replica.db"))
        #expect(try second.identity() == first.identity())
        #expect(try second.entries(ofMap: "m", after: nil, limit: 9).count == 1)
        #expect(try second.operations(after: 0, limit: 9).count == 1)
    }

    @Test func `C02: the log is written with full sync`() throws {
        let folder = try TemporaryFolder()
        let store = try SQLiteStore(path: folder.path("replica.db"))
        #expect(try store.settings() == ["wal", "2", "1", "1"])
    }

    @Test func `C02: whatever may leave the device waits for the disk, what comes again from the servers does not`()
        throws
    {
        let folder = try TemporaryFolder()
        let store = try SQLiteStore(path: folder.path("replica.db"))
        var write = StoreTransaction()
        write.newOperations = [NewOperation(map: "m", key: "k", record: Self.record(1))]
        let id = try store.commit(write).firstOperationID
        #expect(try store.settings() == ["wal", "2", "1", "1"])
        var news = StoreTransaction()
        news.entries = [Self.entry("m", "k", Self.record(2))]
        news.retired = [id]
        _ = try store.commit(news)
        #expect(try store.settings() == ["wal", "1", "1", "1"])
        for change in 0..<3 {
            var transaction = StoreTransaction()
            switch change {
            case 0: transaction.identity = StoredIdentity(node: "n")
            case 1: transaction.restamped = [StoredOperation(id: id, map: "m", key: "k", record: Self.record(3))]
            default: transaction = write
            }
            _ = try store.commit(transaction)
            #expect(try store.settings() == ["wal", "2", "1", "1"], "\(change)")
            _ = try store.commit(news)
        }
    }

    @Test func `C05: two stores on one file see each other's writes, and ids never collide`() throws {
        let folder = try TemporaryFolder()
        let stores = try [SQLiteStore(path: folder.path("replica.db")), SQLiteStore(path: folder.path("replica.db"))]
        let version = try stores[0].otherProcessVersion()
        var ids: Set<UInt64> = []
        for round in 0..<20 {
            var transaction = StoreTransaction()
            transaction.entries = [Self.entry("m", ByteString("k\(round)"), Self.record(1))]
            transaction.newOperations = [NewOperation(map: "m", key: "k", record: Self.record(1))]
            ids.insert(try stores[round % 2].commit(transaction).firstOperationID)
        }
        #expect(ids.count == 20)
        #expect(try stores[0].otherProcessVersion() != version)
        for store in stores {
            let changes = try store.changes(since: 0, operationsAfter: 0, limit: 99)
            #expect(changes.entries.count == 20)
            #expect(changes.operations.count == 20)
        }
    }

    @Test func `a store of a newer version, another program's file and garbage are refused untouched`() throws {
        let folder = try TemporaryFolder()
        let newer = folder.path("newer.db")
        _ = try SQLiteStore(path: newer)
        try DatabaseQueue(path: newer).write {
            try $0.execute(
                sql: "UPDATE meta SET value = ? WHERE name = 'oldestReader'", arguments: [SQLiteStore.format + 1])
        }
        let foreign = folder.path("foreign.db")
        try DatabaseQueue(path: foreign).write { try $0.execute(sql: "CREATE TABLE t(a)") }
        let garbage = folder.path("garbage.db")
        try Data(repeating: 7, count: 5000).write(to: URL(fileURLWithPath: garbage))
        for path in [newer, foreign, garbage] {
            let error = #expect(throws: TopGunError.self) { try SQLiteStore(path: path) }
            #expect(error?.code == (path == newer ? .storeTooNew : .storage), "\(path): \(error.debugDescription)")
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: garbage)) == Data(repeating: 7, count: 5000))
    }

    @Test func `C03: on a full disk a commit fails whole, and works again when there is room`() throws {
        let folder = try TemporaryFolder()
        let store = try SQLiteStore(path: folder.path("replica.db"))
        try store.limitPages(to: 40)
        var transaction = StoreTransaction()
        transaction.newOperations = [NewOperation(map: "m", key: "k", record: Self.record(1))]
        _ = try store.commit(transaction)
        let large = LWWRecord(
            value: Payload([UInt8](repeating: 1, count: 1 << 20)),
            timestamp: Timestamp(millis: 2, counter: 0, node: "n"))
        transaction.entries = [Self.entry("fresh", "k", large)]
        let error = #expect(throws: StoreError.self) { try store.commit(transaction) }
        #expect(error?.code == .full)
        #expect(try store.operations(after: 0, limit: 9).map(\.id) == [1])
        try store.limitPages(to: 100_000)
        #expect(try store.commit(transaction).firstOperationID == 2)
        #expect(try store.entries(ofMap: "fresh", after: nil, limit: 9).count == 1)
    }

    @Test func `C05: two that open a new file at once have the same one`() async throws {
        for _ in 0..<50 {
            let folder = try TemporaryFolder()
            let path = folder.path("replica.db")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for key: ByteString in ["a", "b"] {
                    group.addTask {
                        let store = try SQLiteStore(path: path)
                        var transaction = StoreTransaction()
                        transaction.entries = [Self.entry("m", key, Self.record(1))]
                        _ = try store.commit(transaction)
                    }
                }
                try await group.waitForAll()
            }
            let store = try SQLiteStore(path: path)
            #expect(try store.entries(ofMap: "m", after: nil, limit: 9).map(\.key) == ["a", "b"])
        }
    }

    @Test func `the file is its owner's alone`() throws {
        let folder = try TemporaryFolder()
        _ = try SQLiteStore(path: folder.path("replica.db"))
        let mode = try FileManager.default.attributesOfItem(atPath: folder.path("replica.db"))[.posixPermissions]
        #expect((mode as? Int) == 0o600)
    }
}
