import TopGunModel

/// Which records a query is about: everything, or those that a `where` and a predicate both let through.
///
/// A plain value to be held per subscription. It owns its operands; matching reads the record in place, allocates
/// nothing for scalars and costs one comparison when the filter lets everything through.
package struct QueryFilter: Sendable {
    private var conditions: [WhereCondition] = []
    private var predicate: Predicate?

    /// A field that must equal a value; a nil matches a present nil only.
    private struct WhereCondition: Sendable {
        var field: FieldPath
        var value: Payload
    }

    /// Lets every record through.
    package static let everything = QueryFilter()

    private init() {}

    /// Whether every record matches, so that nobody needs to look.
    package var matchesEverything: Bool { conditions.isEmpty && predicate == nil }

    /// Whether a live record matches; tombstones and expired records never do, which the caller sees to.
    @inlinable
    package func matches(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) -> Bool {
        matchesEverything || evaluate(key: key, value: value)
    }
}

extension QueryFilter {
    /// Builds the filter of a query from the MessagePack bytes of its parts; an absent part is `nil`.
    ///
    /// `whereMap` must be a map from field to value. Where both parts are given, both must hold.
    package init(
        whereMap: UnsafeRawBufferPointer?, predicate: UnsafeRawBufferPointer? = nil,
        context: QueryContext = .anonymous
    ) throws(QueryError) {
        self.init()
        if let whereMap { conditions = try Self.conditions(of: whereMap) }
        if let predicate, predicate.count != 1 || predicate[0] != Payload.tombstone.bytes[0] {
            self.predicate = try Predicate(decoding: predicate, context: context)
        }
    }

    private static func conditions(of whereMap: UnsafeRawBufferPointer) throws(QueryError) -> [WhereCondition] {
        guard let value = PayloadValue(whereMap) else {
            throw QueryError(code: .malformed, message: "where is no value")
        }
        if case .null = value { return [] }
        guard case .map(let elements) = value else { throw QueryError(code: .malformed, message: "where is no map") }
        guard elements.count <= QueryLimits.whereFieldsMax else {
            throw QueryError(code: .tooLarge, message: "where names too many fields")
        }
        var conditions: [WhereCondition] = []
        var reader = PayloadReader(elements.bytes)
        for _ in 0..<elements.count {
            guard let name = reader.readString(), let operand = reader.skipValue() else {
                throw QueryError(code: .malformed, message: "a field name of where is no text")
            }
            let field = FieldPath(ByteString(copying: name))
            conditions.removeAll { $0.field == field }
            conditions.append(WhereCondition(field: field, value: Payload(copying: operand)))
        }
        return conditions
    }

    @usableFromInline
    package func evaluate(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) -> Bool {
        let record = RecordView(key: key, value: value)
        for condition in conditions {
            guard let field = condition.field.value(in: record) else { return false }
            let isEqual = condition.value.bytes.withUnsafeBytes { operand in
                PayloadValue(operand).map { PayloadEquality.equal(field, $0) } ?? false
            }
            guard isEqual else { return false }
        }
        return predicate?.matches(record) ?? true
    }
}
