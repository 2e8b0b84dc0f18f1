package import TopGunModel

/// A query as a client asks it, decoded and compiled (protocol.md 6.1).
package struct Query: Sendable {
    package var filter: QueryFilter
    package var order: SortOrder
    /// How many rows at most; `nil` for as many as there may be.
    package var limit: Int?
    /// What the client returned of an earlier answer; opaque here.
    package var cursor: ByteString?
    /// Set when the rows are groups.
    package var grouping: Grouping?

    package init(
        filter: QueryFilter = .everything, order: SortOrder = .byKey, limit: Int? = nil, cursor: ByteString? = nil,
        grouping: Grouping? = nil
    ) {
        self.filter = filter
        self.order = order
        self.limit = limit
        self.cursor = cursor
        self.grouping = grouping
    }

    /// The rows shown at most, with the maximum of a query without a limit.
    package var rowsMax: Int { limit ?? QueryLimits.rowsMax }

    /// Reads the `query` map of a `QUERY_SUB`; unknown fields are ignored.
    package init(decoding bytes: UnsafeRawBufferPointer, context: QueryContext = .anonymous) throws(QueryError) {
        self.init()
        var reader = PayloadReader(bytes)
        if case .null? = PayloadValue(bytes) { return }
        guard let count = reader.enterMap() else {
            throw QueryError(code: .malformed, message: "the query is no map")
        }
        var (whereMap, predicate): (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?) = (nil, nil)
        var (groupFields, aggregations): ([FieldPath], [Grouping.Aggregation]?) = ([], nil)
        for _ in 0..<count {
            let name = reader.readString()
            guard let part = reader.skipValue() else {
                throw QueryError(code: .malformed, message: "the query is cut off")
            }
            guard let name else { continue }
            if name.isText("where") {
                whereMap = part
            } else if name.isText("predicate") {
                predicate = part
            } else if name.isText("sort") {
                order = try SortOrder(decoding: part)
            } else if name.isText("limit") {
                limit = try Self.limit(part)
            } else if name.isText("cursor") {
                cursor = try Self.cursor(part)
            } else if name.isText("groupBy") {
                groupFields = try Self.groupFields(part)
            } else if name.isText("aggregations") {
                aggregations = try Self.aggregations(part)
            }
        }
        filter = try QueryFilter(whereMap: whereMap, predicate: predicate, context: context)
        if !groupFields.isEmpty || aggregations != nil {
            grouping = Grouping(fields: groupFields, aggregations: aggregations ?? [])
        }
    }

    private static func limit(_ bytes: UnsafeRawBufferPointer) throws(QueryError) -> Int? {
        switch PayloadValue(bytes) {
        case .null: return nil
        case .number(let number):
            guard let whole = number.wholeNumber, whole >= 0 else { break }
            return Int(clamping: whole)
        default: break
        }
        throw QueryError(code: .malformed, message: "limit is no number of rows")
    }

    private static func cursor(_ bytes: UnsafeRawBufferPointer) throws(QueryError) -> ByteString? {
        switch PayloadValue(bytes) {
        case .null: return nil
        case .string(let text): return ByteString(copying: text)
        default: throw QueryError(code: .malformed, message: "cursor is no text")
        }
    }

    private static func groupFields(_ bytes: UnsafeRawBufferPointer) throws(QueryError) -> [FieldPath] {
        var fields: [FieldPath] = []
        try forEachElement(of: bytes, "groupBy is no list of fields") { element throws(QueryError) in
            guard case .string(let name) = element else {
                throw QueryError(code: .malformed, message: "groupBy is no list of fields")
            }
            let field = FieldPath(ByteString(copying: name))
            if !fields.contains(field) { fields.append(field) }
        }
        return fields
    }

    /// `nil` if none are asked for; `count` asks for rows of groups, but adds nothing as every row has its count.
    private static func aggregations(
        _ bytes: UnsafeRawBufferPointer
    ) throws(QueryError) -> [Grouping.Aggregation]? {
        var aggregations: [Grouping.Aggregation] = []
        var isEmpty = true
        try forEachElement(of: bytes, "aggregations are no list") { element throws(QueryError) in
            guard case .map(let parts) = element else {
                throw QueryError(code: .malformed, message: "an aggregation is no map")
            }
            isEmpty = false
            guard let aggregation = try aggregation(parts), !aggregations.contains(aggregation) else { return }
            aggregations.append(aggregation)
        }
        return isEmpty ? nil : aggregations
    }

    private static func aggregation(_ parts: PayloadElements) throws(QueryError) -> Grouping.Aggregation? {
        var (function, field): (UnsafeRawBufferPointer?, UnsafeRawBufferPointer?) = (nil, nil)
        var reader = PayloadReader(parts.bytes)
        for _ in 0..<parts.count {
            guard let name = reader.readString(), let value = reader.read() else {
                throw QueryError(code: .malformed, message: "an aggregation is malformed")
            }
            guard case .string(let text) = value else { continue }
            if name.isText("func") { function = text } else if name.isText("field") { field = text }
        }
        guard let function else { throw QueryError(code: .malformed, message: "an aggregation has no function") }
        if function.isText("count") { return nil }
        guard let field else { throw QueryError(code: .malformed, message: "an aggregation has no field") }
        let path = FieldPath(ByteString(copying: field))
        if function.isText("sum") { return Grouping.Aggregation(function: .sum, field: path) }
        if function.isText("min") { return Grouping.Aggregation(function: .min, field: path) }
        if function.isText("max") { return Grouping.Aggregation(function: .max, field: path) }
        if function.isText("avg") { return Grouping.Aggregation(function: .average, field: path) }
        throw QueryError(code: .unsupported, message: "unknown aggregation")
    }

    private static func forEachElement(
        of bytes: UnsafeRawBufferPointer, _ message: StaticString,
        _ body: (PayloadValue) throws(QueryError) -> Void
    ) throws(QueryError) {
        switch PayloadValue(bytes) {
        case .null: return
        case .array(let elements):
            guard elements.count <= QueryLimits.sortFieldsMax else {
                throw QueryError(code: .tooLarge, message: "the query groups by too many fields")
            }
            var reader = PayloadReader(elements.bytes)
            for _ in 0..<elements.count {
                guard let element = reader.read() else { break }
                try body(element)
            }
        default: throw QueryError(code: .malformed, message: message)
        }
    }
}
