package import TopGunModel

// Queries (protocol.md 6).

/// What a query asks for. Filters stay MessagePack bytes: only the evaluator reads them.
package struct QueryRequest: Hashable, Sendable {
    /// One field to sort by.
    package struct Order: Hashable, Sendable {
        package var field: ByteString
        package var isDescending: Bool

        package init(field: ByteString, isDescending: Bool = false) {
            self.field = field
            self.isDescending = isDescending
        }
    }

    package struct Aggregation: Hashable, Sendable {
        package enum Function: UInt8, Sendable {
            case count
            case sum
            case min
            case max
            case average
        }

        package var function: Function
        package var field: ByteString?

        package init(function: Function, field: ByteString? = nil) {
            self.function = function
            self.field = field
        }
    }

    /// A map of field to value, all of which must be equal.
    package var equals: Payload?
    package var predicate: Payload?
    package var sort: [Order]
    package var limit: Int64?
    package var cursor: ByteString?
    package var groupBy: [ByteString]
    package var aggregations: [Aggregation]

    package init(
        equals: Payload? = nil, predicate: Payload? = nil, sort: [Order] = [], limit: Int64? = nil,
        cursor: ByteString? = nil, groupBy: [ByteString] = [], aggregations: [Aggregation] = []
    ) {
        self.equals = equals
        self.predicate = predicate
        self.sort = sort
        self.limit = limit
        self.cursor = cursor
        self.groupBy = groupBy
        self.aggregations = aggregations
    }

    init(_ fields: Fields) throws(WireError) {
        equals = fields.has("where") ? try fields.payload("where") : nil
        predicate = fields.has("predicate") ? try fields.payload("predicate") : nil
        sort = try fields.sort()
        limit = try fields.optionalInteger("limit")
        cursor = try fields.optionalText("cursor")
        groupBy = try fields.optionalTexts("groupBy") ?? []
        aggregations =
            try fields.optionalList("aggregations") { (aggregation) throws(WireError) in
                Aggregation(
                    function: try aggregation.word("func") { Aggregation.Function($0) },
                    field: try aggregation.optionalText("field"))
            } ?? []
    }

    func write(into map: inout FieldWriter) {
        map.payload("where", equals)
        map.payload("predicate", predicate)
        map.text("cursor", cursor)
        map.integer("limit", limit)
        if !sort.isEmpty {
            map.list("sort", sort) { order, map in
                map.text("field", order.field)
                map.word("direction", order.isDescending ? "desc" : "asc")
            }
        }
        if !groupBy.isEmpty { map.texts("groupBy", groupBy) }
        if !aggregations.isEmpty {
            map.list("aggregations", aggregations) { aggregation, map in
                map.word("func", aggregation.function.wireName)
                map.text("field", aggregation.field)
            }
        }
    }
}

extension QueryRequest.Aggregation.Function {
    package var wireName: StaticString {
        switch self {
        case .count: "count"
        case .sum: "sum"
        case .min: "min"
        case .max: "max"
        case .average: "avg"
        }
    }

    init?(_ word: FieldName) {
        switch word {
        case "count": self = .count
        case "sum": self = .sum
        case "min": self = .min
        case "max": self = .max
        case "avg": self = .average
        default: return nil
        }
    }
}

extension Fields {
    /// The order in any of its three forms: a list of pairs, a map of field to direction, and the list that comes out
    /// when an application hands the official client a list: `[{field: "0", direction: {field, direction}}]`.
    func sort() throws(WireError) -> [QueryRequest.Order] {
        guard has("sort"), let raw = raw("sort") else { return [] }
        if raw[0] & 0xf0 == 0x80 || raw[0] == 0xde || raw[0] == 0xdf {
            return try optionalPairs("sort") { (field, reader) throws(WireError) in
                let direction: UnsafeRawBufferPointer
                do throws(MessagePackError) {
                    direction = try reader.readString()
                } catch {
                    throw WireError(error, field: "sort")
                }
                return QueryRequest.Order(
                    field: ByteString(copying: field), isDescending: try isDescending(FieldName(direction)))
            } ?? []
        }
        return try list("sort") { (order) throws(WireError) in
            if let raw = order.raw("direction"), raw[0] & 0xe0 != 0xa0, raw[0] != 0xd9 {
                return try QueryRequest.Order(pair: try order.fields("direction"))
            }
            return try QueryRequest.Order(pair: order)
        }
    }
}

extension QueryRequest.Order {
    fileprivate init(pair fields: Fields) throws(WireError) {
        field = try fields.text("field")
        isDescending =
            try fields.optionalWord("direction") { direction in
                switch direction {
                case "asc": false
                case "desc": true
                default: nil
                }
            } ?? false
    }
}

private func isDescending(_ direction: FieldName) throws(WireError) -> Bool {
    switch direction {
    case "asc": return false
    case "desc": return true
    default: throw WireError(.badField, field: "sort")
    }
}

/// QUERY_SUB.
package struct QuerySubscription: Hashable, Sendable {
    package var queryID: ByteString
    package var mapName: ByteString
    package var query: QueryRequest
    /// The top-level fields that every value is cut to.
    package var fields: [ByteString]?

    package init(queryID: ByteString, mapName: ByteString, query: QueryRequest, fields: [ByteString]? = nil) {
        self.queryID = queryID
        self.mapName = mapName
        self.query = query
        self.fields = fields
    }

    init(_ fields: Fields) throws(WireError) {
        queryID = try fields.text("queryId")
        mapName = try fields.text("mapName")
        query = try QueryRequest(try fields.fields("query"))
        self.fields = try fields.optionalTexts("fields")
    }

    func write(into map: inout FieldWriter) {
        map.text("queryId", queryID)
        map.text("mapName", mapName)
        map.fields("query") { query.write(into: &$0) }
        map.texts("fields", fields)
    }
}

/// One row of a result.
package struct QueryRow: Hashable, Sendable {
    package var key: ByteString
    package var value: Payload

    package init(key: ByteString, value: Payload) {
        self.key = key
        self.value = value
    }

    init(_ fields: Fields) throws(WireError) {
        key = try fields.text("key")
        value = try fields.payload("value")
    }

    func write(into map: inout FieldWriter) {
        map.text("key", key)
        map.payload("value", value)
    }
}

/// QUERY_RESP.
package struct QueryResponse: Hashable, Sendable {
    package enum CursorStatus: UInt8, Sendable {
        case valid
        case expired
        case invalid
        case none

        var wireName: StaticString {
            switch self {
            case .valid: "valid"
            case .expired: "expired"
            case .invalid: "invalid"
            case .none: "none"
            }
        }

        init?(_ word: FieldName) {
            switch word {
            case "valid": self = .valid
            case "expired": self = .expired
            case "invalid": self = .invalid
            case "none": self = .none
            default: return nil
            }
        }
    }

    package var queryID: ByteString
    package var results: [QueryRow]
    package var nextCursor: ByteString?
    package var hasMore: Bool?
    package var cursorStatus: CursorStatus?
    package var merkleRootHash: Int64?
    package var error: String?
    package var code: ByteString?

    package init(
        queryID: ByteString, results: [QueryRow], nextCursor: ByteString? = nil, hasMore: Bool? = nil,
        cursorStatus: CursorStatus? = nil, merkleRootHash: Int64? = nil, error: String? = nil, code: ByteString? = nil
    ) {
        self.queryID = queryID
        self.results = results
        self.nextCursor = nextCursor
        self.hasMore = hasMore
        self.cursorStatus = cursorStatus
        self.merkleRootHash = merkleRootHash
        self.error = error
        self.code = code
    }

    init(_ fields: Fields) throws(WireError) {
        queryID = try fields.text("queryId")
        results = try fields.optionalList("results") { (row) throws(WireError) in try QueryRow(row) } ?? []
        nextCursor = try fields.optionalText("nextCursor")
        hasMore = try fields.optionalBool("hasMore")
        cursorStatus = try fields.optionalWord("cursorStatus") { CursorStatus($0) }
        merkleRootHash = try fields.optionalInteger("merkleRootHash")
        error = try fields.optionalString("error")
        code = try fields.optionalText("code")
    }

    func write(into map: inout FieldWriter) {
        map.text("queryId", queryID)
        map.list("results", results) { row, map in row.write(into: &map) }
        map.text("nextCursor", nextCursor)
        map.bool("hasMore", hasMore)
        map.word("cursorStatus", cursorStatus?.wireName)
        map.integer("merkleRootHash", merkleRootHash)
        map.string("error", error)
        map.text("code", code)
    }
}

/// QUERY_UPDATE.
package struct QueryUpdate: Hashable, Sendable {
    package var queryID: ByteString
    package var key: ByteString
    /// Nil for a row that left.
    package var value: Payload
    package var change: ChangeType
    package var sequence: Int64?

    package init(
        queryID: ByteString, key: ByteString, value: Payload, change: ChangeType, sequence: Int64? = nil
    ) {
        self.queryID = queryID
        self.key = key
        self.value = value
        self.change = change
        self.sequence = sequence
    }

    init(_ fields: Fields) throws(WireError) {
        queryID = try fields.text("queryId")
        key = try fields.text("key")
        value = try fields.optionalPayload("value") ?? .tombstone
        change = try fields.word("changeType") { ChangeType($0) }
        sequence = try fields.optionalInteger("seq")
    }

    func write(into map: inout FieldWriter) {
        map.text("queryId", queryID)
        map.text("key", key)
        map.payload("value", value)
        map.word("changeType", change.wireName)
        map.integer("seq", sequence)
    }
}

/// HYBRID_QUERY_SUBSCRIBE, which nobody answers (protocol.md 7.10).
package struct HybridQuerySubscription: Hashable, Sendable {
    package var subscriptionID: ByteString
    package var mapName: ByteString
    package var query: QueryRequest

    package init(subscriptionID: ByteString, mapName: ByteString, query: QueryRequest) {
        self.subscriptionID = subscriptionID
        self.mapName = mapName
        self.query = query
    }

    init(_ fields: Fields) throws(WireError) {
        subscriptionID = try fields.text("subscriptionId")
        mapName = try fields.text("mapName")
        query = try QueryRequest(fields)
    }

    func write(into map: inout FieldWriter) {
        map.text("subscriptionId", subscriptionID)
        map.text("mapName", mapName)
        query.write(into: &map)
    }
}

/// SQL_QUERY_RESP.
package struct SQLResponse: Hashable, Sendable {
    package var queryID: ByteString
    package var columns: [ByteString]
    /// Each row is one MessagePack array.
    package var rows: [Payload]
    package var error: String?
    package var code: ByteString?

    package init(
        queryID: ByteString, columns: [ByteString], rows: [Payload], error: String? = nil, code: ByteString? = nil
    ) {
        self.queryID = queryID
        self.columns = columns
        self.rows = rows
        self.error = error
        self.code = code
    }

    init(_ fields: Fields) throws(WireError) {
        queryID = try fields.text("queryId")
        columns = try fields.texts("columns")
        rows = try fields.values("rows")
        error = try fields.optionalString("error")
        code = try fields.optionalText("code")
    }

    func write(into map: inout FieldWriter) {
        map.text("queryId", queryID)
        map.texts("columns", columns)
        map.values("rows", rows)
        map.string("error", error)
        map.text("code", code)
    }
}
