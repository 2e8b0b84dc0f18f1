package import TopGunModel

// The event journal (protocol.md 7.6). Sequences travel as text: they may exceed what JavaScript's numbers hold.

/// One entry of the journal.
package struct JournalEvent: Hashable, Sendable {
    package enum Kind: UInt8, Sendable {
        case put
        case update
        case delete

        package var wireName: StaticString {
            switch self {
            case .put: "PUT"
            case .update: "UPDATE"
            case .delete: "DELETE"
            }
        }

        init?(_ word: FieldName) {
            switch word {
            case "PUT": self = .put
            case "UPDATE": self = .update
            case "DELETE": self = .delete
            default: return nil
            }
        }
    }

    package var sequence: UInt64
    package var kind: Kind
    package var mapName: ByteString
    package var key: ByteString
    package var value: Payload?
    package var previousValue: Payload?
    package var timestamp: Timestamp
    package var node: ByteString
    package var metadata: Payload?

    package init(
        sequence: UInt64, kind: Kind, mapName: ByteString, key: ByteString, value: Payload? = nil,
        previousValue: Payload? = nil, timestamp: Timestamp, node: ByteString, metadata: Payload? = nil
    ) {
        self.sequence = sequence
        self.kind = kind
        self.mapName = mapName
        self.key = key
        self.value = value
        self.previousValue = previousValue
        self.timestamp = timestamp
        self.node = node
        self.metadata = metadata
    }

    init(_ fields: Fields) throws(WireError) {
        sequence = try fields.decimal("sequence")
        kind = try fields.word("type") { Kind($0) }
        mapName = try fields.text("mapName")
        key = try fields.text("key")
        value = try fields.optionalPayload("value")
        previousValue = try fields.optionalPayload("previousValue")
        timestamp = try fields.timestamp("timestamp")
        node = try fields.text("nodeId")
        metadata = try fields.optionalPayload("metadata")
    }

    func write(into map: inout FieldWriter) {
        map.decimal("sequence", sequence)
        map.word("type", kind.wireName)
        map.text("mapName", mapName)
        map.text("key", key)
        map.payload("value", value)
        map.payload("previousValue", previousValue)
        map.timestamp("timestamp", timestamp)
        map.text("nodeId", node)
        map.payload("metadata", metadata)
    }
}

/// JOURNAL_SUBSCRIBE.
package struct JournalSubscription: Hashable, Sendable {
    package var requestID: ByteString
    /// Inclusive.
    package var fromSequence: UInt64?
    package var mapName: ByteString?
    package var types: [ByteString]?

    package init(
        requestID: ByteString, fromSequence: UInt64? = nil, mapName: ByteString? = nil, types: [ByteString]? = nil
    ) {
        self.requestID = requestID
        self.fromSequence = fromSequence
        self.mapName = mapName
        self.types = types
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        fromSequence = try fields.optionalDecimal("fromSequence")
        mapName = try fields.optionalText("mapName")
        types = try fields.optionalTexts("types")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.decimal("fromSequence", fromSequence)
        map.text("mapName", mapName)
        map.texts("types", types)
    }
}

/// JOURNAL_READ.
package struct JournalRead: Hashable, Sendable {
    package var requestID: ByteString
    package var fromSequence: UInt64
    package var limit: Int64?
    package var mapName: ByteString?

    package init(requestID: ByteString, fromSequence: UInt64, limit: Int64? = nil, mapName: ByteString? = nil) {
        self.requestID = requestID
        self.fromSequence = fromSequence
        self.limit = limit
        self.mapName = mapName
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        fromSequence = try fields.decimal("fromSequence")
        limit = try fields.optionalInteger("limit")
        mapName = try fields.optionalText("mapName")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.decimal("fromSequence", fromSequence)
        map.integer("limit", limit)
        map.text("mapName", mapName)
    }
}

/// JOURNAL_READ_RESPONSE.
package struct JournalPage: Hashable, Sendable {
    package var requestID: ByteString
    package var events: [JournalEvent]
    package var hasMore: Bool

    package init(requestID: ByteString, events: [JournalEvent], hasMore: Bool) {
        self.requestID = requestID
        self.events = events
        self.hasMore = hasMore
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        events = try fields.list("events") { (event) throws(WireError) in try JournalEvent(event) }
        hasMore = try fields.bool("hasMore")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.list("events", events) { event, map in event.write(into: &map) }
        map.bool("hasMore", hasMore)
    }
}
