package import TopGunModel

// The data model on the wire (protocol.md 9.1, 9.2).

extension Fields {
    /// The fields of a stamp that stands in this map.
    func timestamp() throws(WireError) -> Timestamp {
        let millis = try integer("millis")
        let counter = try integer("counter")
        let node = try text("nodeId")
        guard millis >= 0, millis <= ModelLimits.millisMax else { throw WireError(.badField, field: "millis") }
        guard let counter = UInt32(exactly: counter) else { throw WireError(.badField, field: "counter") }
        guard node.count <= WireLimits.nodeBytesMax, !node.bytes.contains(UInt8(ascii: ":")) else {
            throw WireError(.badField, field: "nodeId")
        }
        return Timestamp(millis: millis, counter: counter, node: node)
    }

    func timestamp(_ name: StaticString) throws(WireError) -> Timestamp {
        try fields(name).timestamp()
    }

    func ttlMillis() throws(WireError) -> Int64 {
        let ttl = try optionalInteger("ttlMs") ?? 0
        guard ttl >= 0, ttl <= ModelLimits.millisMax else { throw WireError(.badField, field: "ttlMs") }
        return ttl
    }

    func lwwRecord() throws(WireError) -> LWWRecord {
        LWWRecord(
            value: try optionalPayload("value") ?? .tombstone, timestamp: try timestamp("timestamp"),
            ttlMillis: try ttlMillis())
    }

    func orMapRecord() throws(WireError) -> ORMapRecord {
        ORMapRecord(
            value: try optionalPayload("value") ?? .tombstone, timestamp: try timestamp("timestamp"),
            tag: try text("tag"), ttlMillis: try ttlMillis())
    }

    func optionalLWWRecord(_ name: StaticString) throws(WireError) -> LWWRecord? {
        try optionalFields(name)?.lwwRecord()
    }

    func optionalORMapRecord(_ name: StaticString) throws(WireError) -> ORMapRecord? {
        try optionalFields(name)?.orMapRecord()
    }

    func path() throws(WireError) -> MerklePath {
        guard let path = MerklePath(text: try text("path")) else { throw WireError(.badField, field: "path") }
        return path
    }
}

extension FieldWriter {
    mutating func timestamp(_ name: StaticString, _ timestamp: Timestamp?) {
        guard let timestamp else { return }
        fields(name) { map in
            map.integer("millis", timestamp.millis)
            map.integer("counter", Int64(timestamp.counter))
            map.text("nodeId", timestamp.node)
        }
    }

    mutating func record(_ name: StaticString, _ record: LWWRecord?) {
        guard let record else { return }
        fields(name) { map in
            map.payload("value", record.value)
            map.timestamp("timestamp", record.timestamp)
            if record.ttlMillis > 0 { map.integer("ttlMs", record.ttlMillis) }
        }
    }

    mutating func record(_ name: StaticString, _ record: ORMapRecord?) {
        guard let record else { return }
        fields(name) { $0.record(record) }
    }

    mutating func record(_ record: ORMapRecord) {
        payload("value", record.value)
        timestamp("timestamp", record.timestamp)
        text("tag", record.tag)
        // An absent lifetime must stay absent: the official client would hash `null` (protocol.md 1.3).
        if record.ttlMillis > 0 { integer("ttlMs", record.ttlMillis) }
    }
}

// MARK: - Records with their keys

/// A record of an LWW map, as leaves of the tree carry it.
package struct KeyedRecord: Hashable, Sendable {
    package var key: ByteString
    package var record: LWWRecord

    package init(key: ByteString, record: LWWRecord) {
        self.key = key
        self.record = record
    }

    init(_ fields: Fields) throws(WireError) {
        key = try fields.text("key")
        record = try fields.fields("record").lwwRecord()
    }

    func write(into map: inout FieldWriter) {
        map.text("key", key)
        map.record("record", record)
    }
}

/// What an OR-Map holds for one key: its records and the tags that are gone.
package struct KeyedORMapRecords: Hashable, Sendable {
    package var key: ByteString
    package var records: [ORMapRecord]
    package var tombstones: [ByteString]

    package init(key: ByteString, records: [ORMapRecord], tombstones: [ByteString]) {
        self.key = key
        self.records = records
        self.tombstones = tombstones
    }

    init(_ fields: Fields) throws(WireError) {
        key = try fields.text("key")
        records = try fields.optionalList("records") { (record) throws(WireError) in try record.orMapRecord() } ?? []
        tombstones =
            try fields.optionalTexts("tombstones", shortListMax: WireLimits.shortInnerListMax) ?? []
    }

    func write(into map: inout FieldWriter) {
        map.text("key", key)
        map.list("records", records) { record, map in map.record(record) }
        map.texts("tombstones", tombstones)
    }
}

// MARK: - Words

extension OperationView.Kind {
    /// The protocol's word for the kind of a write.
    package var wireName: StaticString {
        switch self {
        case .put: "PUT"
        case .remove: "REMOVE"
        case .orAdd: "OR_ADD"
        case .orRemove: "OR_REMOVE"
        }
    }

    init?(_ word: FieldName) {
        switch word {
        case "PUT": self = .put
        case "REMOVE": self = .remove
        case "OR_ADD": self = .orAdd
        case "OR_REMOVE": self = .orRemove
        default: return nil
        }
    }
}

extension WriteConcern {
    init?(_ word: FieldName) {
        switch word {
        case "FIRE_AND_FORGET": self = .fireAndForget
        case "MEMORY": self = .memory
        case "APPLIED": self = .applied
        case "REPLICATED": self = .replicated
        case "PERSISTED": self = .persisted
        default: return nil
        }
    }
}

extension Refusal {
    /// The refusal that a code of the protocol names; `nil` for one that is not known here.
    package init?(code: ByteString) {
        for refusal in Self.all where code.equals(refusal.wireName) {
            self = refusal
            return
        }
        return nil
    }

    private static var all: [Refusal] {
        [
            .badRequest, .badStamp, .clockAhead, .unauthenticated, .forbidden, .tooLarge, .tooOld, .fenced,
            .replicaIDConflict, .concernUnavailable, .busy, .nodeFull, .notReady, .upgradeRequired,
        ]
    }
}

/// How a row of a live result changed.
package enum ChangeType: UInt8, Sendable {
    case enter
    case update
    case leave

    package var wireName: StaticString {
        switch self {
        case .enter: "ENTER"
        case .update: "UPDATE"
        case .leave: "LEAVE"
        }
    }

    init?(_ word: FieldName) {
        switch word {
        case "ENTER": self = .enter
        case "UPDATE": self = .update
        case "LEAVE": self = .leave
        default: return nil
        }
    }
}
