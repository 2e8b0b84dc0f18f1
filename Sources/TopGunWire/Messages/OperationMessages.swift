package import TopGunModel

// Writes, what comes of them, and events (protocol.md 3).

/// One write of a client, as its operation log holds it; CLIENT_OP and the elements of OP_BATCH.
package struct ClientOperation: Hashable, Sendable {
    /// What is written. A removal is a `put` of a tombstone.
    package enum Change: Hashable, Sendable {
        case put(LWWRecord)
        case orAdd(ORMapRecord)
        case orRemove(tag: ByteString)
    }

    package var id: UInt64?
    package var mapName: ByteString
    package var key: ByteString
    package var change: Change
    package var concern: WriteConcern?
    package var timeoutMillis: Int64?
    package var fencingToken: Int64?

    package init(
        id: UInt64?, mapName: ByteString, key: ByteString, change: Change, concern: WriteConcern? = nil,
        timeoutMillis: Int64? = nil, fencingToken: Int64? = nil
    ) {
        self.id = id
        self.mapName = mapName
        self.key = key
        self.change = change
        self.concern = concern
        self.timeoutMillis = timeoutMillis
        self.fencingToken = fencingToken
    }

    package var kind: OperationView.Kind {
        switch change {
        case .put(let record): record.isTombstone ? .remove : .put
        case .orAdd: .orAdd
        case .orRemove: .orRemove
        }
    }

    init(_ fields: Fields) throws(WireError) {
        id = try fields.optionalDecimal("id")
        mapName = try fields.text("mapName")
        key = try fields.text("key")
        change = try Self.change(fields)
        concern = try fields.optionalWord("writeConcern") { WriteConcern($0) }
        timeoutMillis = try fields.optionalInteger("timeout")
        fencingToken = try fields.optionalInteger("fencingToken")
    }

    private static func change(_ fields: Fields) throws(WireError) -> Change {
        switch try kind(fields) {
        case .put: return .put(try fields.fields("record").lwwRecord())
        case .remove:
            var record = try fields.fields("record").lwwRecord()
            record.value = .tombstone
            return .put(record)
        case .orAdd: return .orAdd(try fields.fields("orRecord").orMapRecord())
        case .orRemove: return .orRemove(tag: try fields.text("orTag"))
        }
    }

    /// The kind by its word or, where that is missing or unknown, by what is there (protocol.md 3.1).
    private static func kind(_ fields: Fields) throws(WireError) -> OperationView.Kind {
        if let word = try fields.optionalView("opType"), let kind = OperationView.Kind(FieldName(word)) {
            return kind
        }
        if fields.raw("record") != nil, !fields.has("record") { return .remove }
        if fields.has("orRecord") { return .orAdd }
        return fields.has("orTag") ? .orRemove : .put
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.word("opType", kind.wireName)
        map.text("key", key)
        switch change {
        case .put(let record): map.record("record", record)
        case .orAdd(let record): map.record("orRecord", record)
        case .orRemove(let tag): map.text("orTag", tag)
        }
        map.word("writeConcern", concern?.wireName)
        map.integer("timeout", timeoutMillis)
        map.integer("fencingToken", fencingToken)
        map.decimal("id", id)
    }
}

/// OP_BATCH.
package struct OperationBatch: Hashable, Sendable {
    package var operations: [ClientOperation]
    /// What holds for operations that say nothing themselves.
    package var concern: WriteConcern?
    package var timeoutMillis: Int64?

    package init(operations: [ClientOperation], concern: WriteConcern? = nil, timeoutMillis: Int64? = nil) {
        self.operations = operations
        self.concern = concern
        self.timeoutMillis = timeoutMillis
    }

    init(_ fields: Fields) throws(WireError) {
        operations = try fields.list("ops") { (operation) throws(WireError) in try ClientOperation(operation) }
        concern = try fields.optionalWord("writeConcern") { WriteConcern($0) }
        timeoutMillis = try fields.optionalInteger("timeout")
    }

    func write(into map: inout FieldWriter) {
        map.list("ops", operations) { operation, map in operation.write(into: &map) }
        map.word("writeConcern", concern?.wireName)
        map.integer("timeout", timeoutMillis)
    }
}

/// What became of one operation.
package struct OperationResult: Hashable, Sendable {
    package var id: UInt64
    package var level: WriteConcern
    /// The code of a refusal; `nil` for success.
    package var code: ByteString?
    /// Whether the operation failed, with or without a code.
    package var isSuccess: Bool
    /// Whether a refused operation is to be given up; `nil` from servers that do not say.
    package var isFinal: Bool?
    /// Merged, and something newer stands.
    package var isSuperseded: Bool
    /// The server's clock, with ``Refusal/clockAhead``.
    package var serverTime: Int64?
    package var error: String?

    /// A success until ``refusal`` is set.
    package init(id: UInt64, level: WriteConcern = .applied) {
        self.id = id
        self.level = level
        self.isSuccess = true
        self.isSuperseded = false
    }

    package var refusal: Refusal? {
        get { code.flatMap { Refusal(code: $0) } }
        set {
            code = newValue.map { ByteString($0.wireName) }
            isFinal = newValue?.isFinal
            isSuccess = newValue == nil
        }
    }

    /// Whether it only says that the level asked for was not reached in time: the operation stands, and another result
    /// follows (protocol.md 3.5).
    package var isNotYet: Bool { !isSuccess && isFinal == false && code == nil }

    init(_ fields: Fields) throws(WireError) {
        id = try fields.decimal("opId")
        isSuccess = try fields.bool("success")
        level = try fields.optionalWord("achievedLevel") { WriteConcern($0) } ?? .fireAndForget
        error = try fields.optionalString("error")
        code = try fields.optionalText("code")
        isFinal = try fields.optionalBool("final")
        isSuperseded = try fields.optionalBool("superseded") ?? false
        serverTime = try fields.optionalInteger("serverTime")
    }

    func write(into map: inout FieldWriter) {
        map.decimal("opId", id)
        map.bool("success", isSuccess)
        map.word("achievedLevel", level.wireName)
        map.string("error", error)
        map.text("code", code)
        map.bool("final", isFinal)
        if isSuperseded { map.bool("superseded", true) }
        map.integer("serverTime", serverTime)
    }
}

/// OP_ACK.
package struct Acknowledgement: Hashable, Sendable {
    /// Every operation with a smaller or equal id is decided; `nil` if the server sent something else than a number,
    /// which must never be read as "all" (protocol.md 3.4).
    package var lastID: UInt64?
    package var level: WriteConcern?
    package var results: [OperationResult]?

    package init(lastID: UInt64?, level: WriteConcern? = nil, results: [OperationResult]? = nil) {
        self.lastID = lastID
        self.level = level
        self.results = results
    }

    init(_ fields: Fields) throws(WireError) {
        guard let text = try fields.optionalView("lastId") else { throw WireError(.missingField, field: "lastId") }
        lastID = decimalNumber(text)
        level = try fields.optionalWord("achievedLevel") { WriteConcern($0) }
        results = try fields.optionalList("results") { (result) throws(WireError) in try OperationResult(result) }
    }

    func write(into map: inout FieldWriter) {
        map.decimal("lastId", lastID ?? 0)
        map.word("achievedLevel", level?.wireName)
        map.list("results", results) { result, map in result.write(into: &map) }
    }
}

/// An operation that reached a higher level; LEVEL_UP carries several.
package struct LevelUp: Hashable, Sendable {
    package var id: UInt64
    package var level: WriteConcern

    package init(id: UInt64, level: WriteConcern) {
        self.id = id
        self.level = level
    }

    init(_ fields: Fields) throws(WireError) {
        id = try fields.decimal("opId")
        level = try fields.word("achievedLevel") { WriteConcern($0) }
    }

    func write(into map: inout FieldWriter) {
        map.decimal("opId", id)
        map.word("achievedLevel", level.wireName)
    }
}

/// SERVER_EVENT and the elements of SERVER_BATCH_EVENT.
package struct ServerEvent: Hashable, Sendable {
    package var mapName: ByteString
    package var kind: OperationView.Kind
    package var key: ByteString
    /// For PUT and REMOVE; a REMOVE without it says nothing to the official client.
    package var record: LWWRecord?
    package var orRecord: ORMapRecord?
    package var orTag: ByteString?
    package var epoch: Int64?
    package var sequence: Int64?

    package init(
        mapName: ByteString, kind: OperationView.Kind, key: ByteString, record: LWWRecord? = nil,
        orRecord: ORMapRecord? = nil, orTag: ByteString? = nil, epoch: Int64? = nil, sequence: Int64? = nil
    ) {
        self.mapName = mapName
        self.kind = kind
        self.key = key
        self.record = record
        self.orRecord = orRecord
        self.orTag = orTag
        self.epoch = epoch
        self.sequence = sequence
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        kind = try fields.word("eventType") { OperationView.Kind($0) }
        key = try fields.text("key")
        record = try fields.optionalLWWRecord("record")
        orRecord = try fields.optionalORMapRecord("orRecord")
        orTag = try fields.optionalText("orTag")
        epoch = try fields.optionalInteger("epoch")
        sequence = try fields.optionalInteger("seq")
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.word("eventType", kind.wireName)
        map.text("key", key)
        map.record("record", record)
        map.record("orRecord", orRecord)
        map.text("orTag", orTag)
        map.integer("epoch", epoch)
        map.integer("seq", sequence)
    }
}
