import Foundation
import GRDB
import TopGunEnvironment
package import TopGunModel
package import TopGunReplica

/// A replica's store in one SQLite file.
///
/// WAL mode with `synchronous = FULL`: when ``commit(_:)`` returns, the transaction survives a power cut. One that need not
/// is written with `NORMAL`, which spares the disk a sync: the next sync covers it, for all go through one file in order.
/// Two processes
/// may have the file open; SQLite serialises their writes, and every write carries the number of its change, so that
/// each finds what the other did (``changes(since:operationsAfter:limit:)``).
///
/// Names, keys, stamps' nodes and values are stored as the bytes they are. Blocks; for one thread at a time.
///
/// ```
///   meta(name, value)                  format, change counter, highest operation id
///   identity(...)                      one row: node, clock bound, cluster, user, device
///   map(id, name, lastSync)
///   record(map, key, stamp, ttl, value, own, change)     stamp NULL: taken away, kept until everybody has seen it
///   operation(id, map, key, stamp, ttl, value)           the log
///   refused(id, ..., code)                               set aside
///   decided(id, level, code)                             what other processes may still ask about; level NULL: refused
/// ```
package final class SQLiteStore: ReplicaStore {
    /// The format that this version writes. A file with a higher ``oldestReader`` is not opened.
    package static let format: Int64 = 2
    /// The oldest format whose software can read what this version writes.
    static let oldestReader: Int64 = 1

    let queue: DatabaseQueue
    private var mapIDs: [ByteString: Int64] = [:]
    private var syncsEveryCommit = true
    /// A write or a sync has failed: what earlier commits left to it may be missing from the log on the disk.
    private var isLogSuspect = false

    /// Opens the file, or makes it, readable by its owner only.
    package init(path: String) throws(TopGunError) {
        do {
            Self.create(path)
            var configuration = Configuration()
            configuration.busyMode = .timeout(TimeInterval(Limits.storeBusyMillisMax) / 1000)
            configuration.prepareDatabase { database in
                try Self.useWriteAheadLog(database)
                try database.execute(sql: "PRAGMA synchronous = FULL")
                // Elsewhere they change nothing; on Apple's systems a sync reaches no further than the drive's cache without.
                try database.execute(sql: "PRAGMA fullfsync = ON")
                try database.execute(sql: "PRAGMA checkpoint_fullfsync = ON")
                try database.execute(sql: "PRAGMA temp_store = MEMORY")
                try database.execute(sql: "PRAGMA cache_size = -\(Limits.storeCacheKiBMax)")
            }
            queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.writeWithoutTransaction { try Self.migrate($0) }
        } catch let error as TopGunError {
            throw error
        } catch {
            let error = StoreError(error)
            throw TopGunError(.storage, "the store cannot be opened: \(error.message)", cause: error)
        }
    }

    /// Made here, because SQLite would make it readable by everybody. Never in the place of one that is there: another
    /// process may have made it just now, and holds it open.
    private static func create(_ path: String) {
        do throws(DiskError) {
            _ = try PosixDisk().open(path, .create)
        } catch {
            // Mostly it is there already; where it is not, opening says why.
        }
    }

    /// Where two processes make the file at once, SQLite refuses this to one of them without waiting for the other, as it
    /// does for everything else.
    private static func useWriteAheadLog(_ database: Database) throws {
        for _ in 1..<Limits.storeOpenAttemptsMax {
            do {
                return try database.execute(sql: "PRAGMA journal_mode = WAL")
            } catch let error as DatabaseError where error.resultCode == .SQLITE_BUSY {
                try database.execute(sql: "BEGIN IMMEDIATE; COMMIT")
            }
        }
        try database.execute(sql: "PRAGMA journal_mode = WAL")
    }

    /// Makes the tables in an empty file; refuses a file of a newer version, or of another program.
    private static func migrate(_ database: Database) throws {
        try database.inTransaction(.immediate) {
            let application = try Int64.fetchOne(database, sql: "PRAGMA application_id") ?? 0
            if application == 0 {
                guard try Int.fetchOne(database, sql: "SELECT count(*) FROM sqlite_schema") == 0 else {
                    throw TopGunError(.storage, "the file is a database of another program")
                }
                try database.execute(sql: schema)
                try database.execute(sql: decidedTable)
                return .commit
            }
            guard application == applicationID else {
                throw TopGunError(.storage, "the file is a database of another program")
            }
            let reader = try Int64.fetchOne(database, sql: "SELECT value FROM meta WHERE name = 'oldestReader'")
            guard let reader, reader <= format else {
                throw TopGunError(.storeTooNew, "the store was written by a newer version of TopGun")
            }
            // Format 1 lacks it, and its software does without.
            try database.execute(sql: decidedTable)
            try database.execute(
                sql: "UPDATE meta SET value = ? WHERE name = 'format' AND value < ?", arguments: [format, format])
            return .commit
        }
    }

    /// "TGun".
    private static let applicationID: Int64 = 0x5447_756e

    private static let schema = """
        PRAGMA application_id = \(applicationID);
        CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO meta VALUES ('format', \(format)), ('oldestReader', \(oldestReader)), ('sequence', 0), ('operation', 0);
        CREATE TABLE identity(
            only INTEGER PRIMARY KEY CHECK (only = 1), node BLOB NOT NULL, clockBound INTEGER NOT NULL, cluster BLOB,
            user BLOB, restoreEpoch INTEGER, device BLOB, deviceToken BLOB);
        CREATE TABLE map(id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, lastSync INTEGER NOT NULL);
        CREATE TABLE record(
            map INTEGER NOT NULL, key BLOB NOT NULL, millis INTEGER, counter INTEGER, node BLOB, ttl INTEGER,
            value BLOB, own INTEGER NOT NULL, change INTEGER NOT NULL, PRIMARY KEY (map, key)) WITHOUT ROWID;
        CREATE INDEX recordByChange ON record(change);
        CREATE TABLE operation(
            id INTEGER PRIMARY KEY, map INTEGER NOT NULL, key BLOB NOT NULL, millis INTEGER NOT NULL,
            counter INTEGER NOT NULL, node BLOB NOT NULL, ttl INTEGER NOT NULL, value BLOB NOT NULL);
        CREATE TABLE refused(
            id INTEGER PRIMARY KEY, map INTEGER NOT NULL, key BLOB NOT NULL, millis INTEGER NOT NULL,
            counter INTEGER NOT NULL, node BLOB NOT NULL, ttl INTEGER NOT NULL, value BLOB NOT NULL, code BLOB NOT NULL);
        """

    private static let decidedTable = """
        CREATE TABLE IF NOT EXISTS decided(id INTEGER PRIMARY KEY, level INTEGER, code BLOB);
        """
}

// MARK: - Reading

extension SQLiteStore {
    private func read<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        do {
            // One transaction, so that what is read together is of one moment.
            return try queue.read(body)
        } catch {
            throw StoreError(error)
        }
    }

    package func identity() throws(StoreError) -> StoredIdentity? {
        try read { database in
            guard let row = try Row.fetchOne(database, sql: "SELECT * FROM identity") else { return nil }
            var identity = StoredIdentity(node: ByteString(blob: row["node"]))
            identity.clockBound = row["clockBound"]
            identity.clusterID = (row["cluster"] as Data?).map { ByteString(blob: $0) }
            identity.userID = (row["user"] as Data?).map { ByteString(blob: $0) }
            identity.restoreEpoch = row["restoreEpoch"]
            identity.deviceID = (row["device"] as Data?).map { ByteString(blob: $0) }
            identity.deviceToken = (row["deviceToken"] as Data?).map { ByteString(blob: $0) }
            return identity
        }
    }

    package func maps() throws(StoreError) -> [StoredMap] {
        try read { database in
            try Row.fetchAll(database, sql: "SELECT name, lastSync FROM map ORDER BY name").map {
                StoredMap(name: ByteString(blob: $0["name"]), lastSyncMillis: $0["lastSync"])
            }
        }
    }

    package func entries(
        ofMap map: ByteString, after key: ByteString?, limit: Int
    ) throws(StoreError) -> [StoredEntry] {
        try read { database in
            let sql = """
                SELECT key, millis, counter, node, ttl, value, own FROM record
                WHERE map = (SELECT id FROM map WHERE name = ?) \(key == nil ? "" : "AND key > ?") AND millis IS NOT NULL
                ORDER BY key LIMIT ?
                """
            let statement = try database.cachedStatement(sql: sql)
            var arguments: [(any DatabaseValueConvertible)?] = [map.blob]
            if let key { arguments.append(key.blob) }
            arguments.append(limit)
            var entries: [StoredEntry] = []
            let rows = try Row.fetchCursor(statement, arguments: StatementArguments(arguments))
            while let row = try rows.next() {
                entries.append(
                    StoredEntry(
                        map: map, key: try row.bytes(0), record: try row.record(from: 1), isOwn: row[6] != 0))
            }
            return entries
        }
    }

    package func operations(after id: UInt64, limit: Int) throws(StoreError) -> [StoredOperation] {
        try read { try Self.operations($0, after: id, limit: limit) }
    }

    private static func operations(
        _ database: Database, after id: UInt64, limit: Int
    ) throws -> [StoredOperation] {
        let statement = try database.cachedStatement(
            sql: """
                SELECT operation.id, name, key, millis, counter, node, ttl, value
                FROM operation JOIN map ON map.id = operation.map WHERE operation.id > ? ORDER BY operation.id LIMIT ?
                """)
        var operations: [StoredOperation] = []
        let rows = try Row.fetchCursor(statement, arguments: [Int64(clamping: id), limit])
        while let row = try rows.next() { operations.append(try row.operation()) }
        return operations
    }

    package func setAside(after id: UInt64, limit: Int) throws(StoreError) -> [SetAsideOperation] {
        try read { database in
            let sql = """
                SELECT refused.id, name, key, millis, counter, node, ttl, value, code
                FROM refused JOIN map ON map.id = refused.map WHERE refused.id > ? ORDER BY refused.id LIMIT ?
                """
            return try Row.fetchAll(database, sql: sql, arguments: [Int64(clamping: id), limit]).map {
                SetAsideOperation(operation: try $0.operation(), code: try $0.bytes(8))
            }
        }
    }

    package func changes(
        since sequence: Int64, operationsAfter operation: UInt64, limit: Int
    ) throws(StoreError) -> StoreChanges {
        try read { database in
            var reached = try Int64.fetchOne(database, sql: "SELECT value FROM meta WHERE name = 'sequence'") ?? 0
            var isCut = false
            // Cut between two changes of the store, never inside one, so that `sequence` says where to go on.
            let cut = try Int64.fetchOne(
                database, sql: "SELECT change FROM record WHERE change > ? ORDER BY change LIMIT 1 OFFSET ?",
                arguments: [sequence, limit - 1])
            let hasMore = "SELECT EXISTS (SELECT 1 FROM record WHERE change > ?)"
            if let cut, try Bool.fetchOne(database, sql: hasMore, arguments: [cut]) ?? false {
                isCut = true
                reached = cut
            }
            let sql = """
                SELECT name, key, millis, counter, node, ttl, value, own
                FROM record JOIN map ON map.id = record.map WHERE change > ? AND change <= ?
                ORDER BY change, record.map, key
                """
            var entries: [StoredEntry] = []
            let rows = try Row.fetchCursor(database, sql: sql, arguments: [sequence, reached])
            while let row = try rows.next() {
                entries.append(
                    StoredEntry(
                        map: try row.bytes(0), key: try row.bytes(1),
                        record: row.hasNull(atIndex: 2) ? nil : try row.record(from: 2), isOwn: row[7] != 0))
            }
            let operations = try Self.operations(database, after: operation, limit: limit + 1)
            if operations.count > limit { isCut = true }
            return StoreChanges(
                sequence: reached, entries: entries, operations: Array(operations.prefix(limit)), isCut: isCut)
        }
    }

    package func fates(of ids: [UInt64]) throws(StoreError) -> [OperationFate] {
        try read { database in
            let refused = try database.cachedStatement(sql: "SELECT code FROM refused WHERE id = ?")
            let pending = try database.cachedStatement(sql: "SELECT 1 FROM operation WHERE id = ?")
            let decided = try database.cachedStatement(sql: "SELECT level, code FROM decided WHERE id = ? AND id > ?")
            let oldest = try Self.oldestDecided(database)
            return try ids.map { id in
                let id = Int64(clamping: id)
                if let code = try Data.fetchOne(refused, arguments: [id]) {
                    return .setAside(code: ByteString(blob: code))
                }
                if try Int.fetchOne(pending, arguments: [id]) != nil { return .pending }
                guard let row = try Row.fetchOne(decided, arguments: [id, oldest]) else { return .unknown }
                guard let level = row[0] as Int64? else { return .setAside(code: try row.bytes(1)) }
                return UInt8(exactly: level).flatMap { WriteConcern(rawValue: $0) }.map { .retired($0) } ?? .unknown
            }
        }
    }

    /// Of operations up to this one nothing is told once they have left the log.
    private static func oldestDecided(_ database: Database) throws -> Int64 {
        let last = try Int64.fetchOne(database, sql: "SELECT value FROM meta WHERE name = 'operation'") ?? 0
        return last - Int64(ReplicaLimits.decidedOperationsMax)
    }

    /// Changes whenever another process has committed something; cheap enough to ask often.
    package func otherProcessVersion() throws(StoreError) -> Int64 {
        do {
            return try queue.inDatabase { try Int64.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
        } catch {
            throw StoreError(error)
        }
    }
}

// MARK: - Writing

extension SQLiteStore {
    package func commit(_ transaction: StoreTransaction) throws(StoreError) -> CommitOutcome {
        do {
            var outcome: CommitOutcome?
            try queue.writeWithoutTransaction { database in
                try renewLog(database)
                try setSyncsEveryCommit(transaction.mustBeDurable, database)
                try database.inTransaction(.immediate) {
                    outcome = try write(transaction, to: database)
                    return .commit
                }
            }
            guard let outcome else { throw StoreError(code: .io, message: "the transaction was not run") }
            return outcome
        } catch {
            // An id given to a map by a transaction that was rolled back is nobody's.
            mapIDs = [:]
            if let error = error as? DatabaseError, error.resultCode == .SQLITE_IOERR { isLogSuspect = true }
            throw StoreError(error)
        }
    }

    /// Begins the log anew, everything in it written to the database itself first. Linux lets go of what a failed sync could
    /// not write, goes on showing it to readers, and calls the next sync a success; a commit behind such a hole would be told
    /// durable and be cut off with it after a power cut.
    private func renewLog(_ database: Database) throws {
        guard isLogSuspect else { return }
        try database.checkpoint(.truncate)
        isLogSuspect = false
    }

    private func setSyncsEveryCommit(_ isWanted: Bool, _ database: Database) throws {
        guard isWanted != syncsEveryCommit else { return }
        try database.execute(sql: "PRAGMA synchronous = \(isWanted ? "FULL" : "NORMAL")")
        syncsEveryCommit = isWanted
    }

    private func write(_ transaction: StoreTransaction, to database: Database) throws -> CommitOutcome {
        let sequence = try count("sequence", 1, database)
        if let identity = transaction.identity { try write(identity, database) }
        for map in transaction.clearedMaps { try clear(map, sequence, database) }
        for map in transaction.maps {
            try database.cachedStatement(sql: "UPDATE map SET lastSync = ? WHERE id = ?").execute(
                arguments: [map.lastSyncMillis, try mapID(map.name, database)])
        }
        try write(transaction.entries, sequence, database)
        let first = try append(transaction.newOperations, database)
        for operation in transaction.restamped { try restamp(operation, database) }
        let retire = try database.cachedStatement(sql: "DELETE FROM operation WHERE id = ?")
        for id in transaction.retired { try retire.execute(arguments: [Int64(clamping: id)]) }
        for refusal in transaction.setAside {
            try retire.execute(arguments: [Int64(clamping: refusal.operation.id)])
            try setAside(refusal, database)
        }
        try forget(transaction.forgotten, database)
        try decide(transaction.decided, database)
        return CommitOutcome(firstOperationID: first, sequence: sequence)
    }

    private func forget(_ ids: [UInt64], _ database: Database) throws {
        guard !ids.isEmpty else { return }
        let keep = try database.cachedStatement(
            sql: "INSERT OR REPLACE INTO decided SELECT id, NULL, code FROM refused WHERE id = ?")
        let forget = try database.cachedStatement(sql: "DELETE FROM refused WHERE id = ?")
        for id in ids {
            try keep.execute(arguments: [Int64(clamping: id)])
            try forget.execute(arguments: [Int64(clamping: id)])
        }
    }

    private func decide(_ operations: [DecidedOperation], _ database: Database) throws {
        guard !operations.isEmpty else { return }
        let decide = try database.cachedStatement(sql: "INSERT OR REPLACE INTO decided VALUES (?, ?, NULL)")
        for operation in operations {
            try decide.execute(arguments: [Int64(clamping: operation.id), Int64(operation.level.rawValue)])
        }
        try database.cachedStatement(sql: "DELETE FROM decided WHERE id <= ?").execute(
            arguments: [try Self.oldestDecided(database)])
    }

    /// Raises one of the counters and returns its new value.
    private func count(_ name: String, _ step: Int, _ database: Database) throws -> Int64 {
        let statement = try database.cachedStatement(
            sql: "UPDATE meta SET value = value + ? WHERE name = ? RETURNING value")
        guard let value = try Int64.fetchOne(statement, arguments: [step, name]) else {
            throw StoreError(code: .unreadable, message: "the store has lost its counters")
        }
        return value
    }

    private func write(_ identity: StoredIdentity, _ database: Database) throws {
        try database.cachedStatement(sql: "INSERT OR REPLACE INTO identity VALUES (1, ?, ?, ?, ?, ?, ?, ?)").execute(
            arguments: [
                identity.node.blob, identity.clockBound, identity.clusterID?.blob, identity.userID?.blob,
                identity.restoreEpoch, identity.deviceID?.blob, identity.deviceToken?.blob,
            ])
    }

    private func mapID(_ name: ByteString, _ database: Database) throws -> Int64 {
        if let id = mapIDs[name] { return id }
        try database.cachedStatement(sql: "INSERT OR IGNORE INTO map(name, lastSync) VALUES (?, 0)").execute(
            arguments: [name.blob])
        let statement = try database.cachedStatement(sql: "SELECT id FROM map WHERE name = ?")
        guard let id = try Int64.fetchOne(statement, arguments: [name.blob]) else {
            throw StoreError(code: .unreadable, message: "the store has lost a map")
        }
        mapIDs[name] = id
        return id
    }

    /// Empties a map; its keys are kept without records, so that another process sees them go.
    private func clear(_ map: ByteString, _ sequence: Int64, _ database: Database) throws {
        try database.cachedStatement(
            sql: """
                UPDATE record SET millis = NULL, counter = NULL, node = NULL, ttl = NULL, value = NULL, own = 0,
                change = ? WHERE map = ?
                """
        ).execute(arguments: [sequence, try mapID(map, database)])
    }

    /// In the order of the table, so that each of its pages is visited once; of one key in the order given.
    private func write(_ entries: [StoredEntry], _ sequence: Int64, _ database: Database) throws {
        let order = entries.indices.sorted { left, right in
            let (first, second) = (entries[left], entries[right])
            if first.map != second.map { return first.map < second.map }
            return first.key == second.key ? left < right : first.key < second.key
        }
        for index in order { try write(entries[index], sequence, database) }
    }

    private func write(_ entry: StoredEntry, _ sequence: Int64, _ database: Database) throws {
        let newer = "(excluded.millis, excluded.counter, excluded.node) > (millis, counter, node)"
        let condition =
            switch entry.rule {
            case .replace: ""
            case .merge where entry.record == nil: ""
            case .merge: "WHERE millis IS NULL OR \(newer)"
            case .unlessNewer: "WHERE millis IS NULL OR (millis, counter, node) <= (?, ?, ?)"
            }
        let statement = try database.cachedStatement(
            sql: """
                INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                millis = excluded.millis, counter = excluded.counter, node = excluded.node, ttl = excluded.ttl,
                value = excluded.value, own = excluded.own, change = excluded.change \(condition)
                """)
        let record = entry.record
        var arguments: StatementArguments = [
            try mapID(entry.map, database), entry.key.blob, record?.timestamp.millis,
            (record?.timestamp.counter).map { Int64($0) }, record?.timestamp.node.blob, record?.ttlMillis,
            record?.value.blob, entry.isOwn, sequence,
        ]
        if case .unlessNewer(let stamp) = entry.rule {
            arguments += [stamp.millis, Int64(stamp.counter), stamp.node.blob]
        }
        try statement.execute(arguments: arguments)
    }

    /// Returns the id of the first one.
    private func append(_ operations: [NewOperation], _ database: Database) throws -> UInt64 {
        let last = try count("operation", operations.count, database)
        let first = last - Int64(operations.count) + 1
        let statement = try database.cachedStatement(sql: "INSERT INTO operation VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
        for (index, operation) in operations.enumerated() {
            try statement.execute(
                arguments: [
                    first + Int64(index), try mapID(operation.map, database), operation.key.blob,
                    operation.record.timestamp.millis, Int64(operation.record.timestamp.counter),
                    operation.record.timestamp.node.blob, operation.record.ttlMillis, operation.record.value.blob,
                ])
        }
        return UInt64(first)
    }

    private func restamp(_ operation: StoredOperation, _ database: Database) throws {
        try database.cachedStatement(
            sql: "UPDATE operation SET millis = ?, counter = ?, node = ?, ttl = ?, value = ? WHERE id = ?"
        ).execute(
            arguments: [
                operation.record.timestamp.millis, Int64(operation.record.timestamp.counter),
                operation.record.timestamp.node.blob, operation.record.ttlMillis, operation.record.value.blob,
                Int64(clamping: operation.id),
            ])
    }

    private func setAside(_ refusal: SetAsideOperation, _ database: Database) throws {
        let operation = refusal.operation
        try database.cachedStatement(sql: "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").execute(
            arguments: [
                Int64(clamping: operation.id), try mapID(operation.map, database), operation.key.blob,
                operation.record.timestamp.millis, Int64(operation.record.timestamp.counter),
                operation.record.timestamp.node.blob, operation.record.ttlMillis, operation.record.value.blob,
                refusal.code.blob,
            ])
    }
}

// MARK: - Values of columns

extension Row {
    fileprivate func bytes(_ index: Int) throws -> ByteString {
        guard let bytes = try withUnsafeData(atIndex: index, { $0.map { ByteString([UInt8]($0)) } }) else {
            throw StoreError(code: .unreadable, message: "the store holds a row without a value")
        }
        return bytes
    }

    /// The record in six columns.
    fileprivate func record(from index: Int) throws -> LWWRecord {
        LWWRecord(
            value: Payload(try bytes(index + 4).bytes),
            timestamp: Timestamp(
                millis: self[index], counter: UInt32(clamping: self[index + 1] as Int64), node: try bytes(index + 2)),
            ttlMillis: self[index + 3])
    }

    fileprivate func operation() throws -> StoredOperation {
        StoredOperation(
            id: UInt64(clamping: self[0] as Int64), map: try bytes(1), key: try bytes(2), record: try record(from: 3))
    }
}

extension ByteString {
    fileprivate init(blob: Data) {
        self.init([UInt8](blob))
    }

    fileprivate var blob: Data { Data(bytes) }
}

extension Payload {
    fileprivate var blob: Data { Data(bytes) }
}

// MARK: - Errors

extension StoreError {
    /// What SQLite said, without the statement and its values.
    init(_ error: any Error) {
        if let error = error as? StoreError {
            self = error
            return
        }
        guard let error = error as? DatabaseError else {
            self.init(code: .io, message: "\(type(of: error))")
            return
        }
        let message = "SQLite \(error.extendedResultCode.rawValue): \(error.message ?? "")"
        switch error.resultCode {
        case .SQLITE_FULL: self.init(code: .full, message: message)
        case .SQLITE_BUSY, .SQLITE_LOCKED: self.init(code: .busy, message: message)
        case .SQLITE_CORRUPT, .SQLITE_NOTADB: self.init(code: .unreadable, message: message)
        default: self.init(code: .io, message: message)
        }
    }
}

// MARK: - For tests

extension SQLiteStore {
    /// Journal mode, synchronous setting and whether syncs reach the disk itself, as SQLite has them.
    package func settings() throws -> [String] {
        try queue.read { database in
            try ["journal_mode", "synchronous", "fullfsync", "checkpoint_fullfsync"].map { name in
                try String.fetchOne(database, sql: "PRAGMA \(name)") ?? ""
            }
        }
    }

    /// Makes the file full at so many pages of 4 KiB.
    package func limitPages(to count: Int) throws {
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA max_page_count = \(count)") }
    }
}
