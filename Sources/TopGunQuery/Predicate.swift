import TopGunModel

/// A condition on one record, compiled from its wire form (protocol.md 6.2).
///
/// ```
/// and ─┬─ leaf(field, operator, operand)       nodes in a flat array, parents before their children
///      └─ not ── leaf
/// ```
///
/// Everything that depends on the predicate alone is prepared once: names, folded texts, patterns, references to the
/// principal. Evaluation reads the record in place.
package struct Predicate: Sendable {
    var nodes: [Node] = []

    struct Node: Sendable {
        var content: Content
        /// The index behind the last node below this one.
        var end = 0
    }

    enum Content: Sendable {
        case and
        case or
        case not
        /// A leaf that lacks a part it needs, and so is false.
        case never
        case leaf(Leaf)
    }

    struct Leaf: Sendable {
        var field: FieldPath
        var test: Test
    }

    /// What a leaf asks of its field; all but the first two are false for a field that is missing or nil.
    enum Test: Sendable {
        case isNull
        case isNotNull
        case equal(Operand)
        case notEqual(Operand)
        case compare(Comparison, Operand)
        case between(Operand)
        case isIn(Operand)
        case contains(Operand, Needles?)
        case containsAll(Operand, Needles?)
        case containsAny(Operand, Needles?)
        case startsWith(Operand)
        case endsWith(Operand)
        case like(Operand, LikePattern?)
        case regex(Operand, QueryContext.RegexCompiler, prepared: PreparedRegex?)
        case match(words: [[UInt8]])
        case matchPhrase(words: [[UInt8]])
        case matchPrefix([UInt8])
    }

    enum Comparison: Sendable {
        case less
        case lessOrEqual
        case greater
        case greaterOrEqual

        func holds(for order: VersionOrder.Result) -> Bool {
            switch self {
            case .less: order == .older
            case .lessOrEqual: order != .newer
            case .greater: order == .newer
            case .greaterOrEqual: order != .older
            }
        }
    }

    /// What a field is compared with.
    enum Operand: Sendable {
        case constant(Payload)
        /// Another field of the same record.
        case field(FieldPath)
    }

    /// A pattern that is the same for every record; an invalid one has no matcher.
    struct PreparedRegex: Sendable {
        var matcher: (@Sendable (UnsafeRawBufferPointer) -> Bool)?
    }
}

// MARK: - Compiling

extension Predicate {
    /// Compiles the MessagePack form of a predicate.
    package init(decoding bytes: UnsafeRawBufferPointer, context: QueryContext) throws(QueryError) {
        guard let value = PayloadValue(bytes) else {
            throw QueryError(code: .malformed, message: "the predicate is no value")
        }
        try append(value, context: context, depth: 0)
    }

    /// The parts of one predicate on the wire.
    private struct Parts {
        var operation: UnsafeRawBufferPointer?
        var attribute: UnsafeRawBufferPointer?
        var value: UnsafeRawBufferPointer?
        var valueReference: UnsafeRawBufferPointer?
        var children: PayloadElements?
        var query: UnsafeRawBufferPointer?
        var prefix: UnsafeRawBufferPointer?

        init(_ predicate: PayloadValue) throws(QueryError) {
            guard case .map(let elements) = predicate else {
                throw QueryError(code: .malformed, message: "a predicate is no map")
            }
            var reader = PayloadReader(elements.bytes)
            for _ in 0..<elements.count {
                let name = reader.readString()
                guard let bytes = reader.skipValue() else {
                    throw QueryError(code: .malformed, message: "a predicate is cut off")
                }
                guard let name else { continue }
                switch name.count {
                case 2 where name.isText("op"): operation = try Self.text(bytes)
                case 5 where name.isText("value"): value = bytes
                case 5 where name.isText("query"): query = try Self.text(bytes)
                case 6 where name.isText("prefix"): prefix = try Self.text(bytes)
                case 8 where name.isText("valueRef"): valueReference = try Self.text(bytes)
                case 8 where name.isText("children"): children = try Self.array(bytes)
                case 9 where name.isText("attribute"): attribute = try Self.text(bytes)
                default: break
                }
            }
        }

        private static func text(_ bytes: UnsafeRawBufferPointer) throws(QueryError) -> UnsafeRawBufferPointer? {
            switch PayloadValue(bytes) {
            case .string(let text): text
            case .null: nil
            default: throw QueryError(code: .malformed, message: "a text of a predicate is none")
            }
        }

        private static func array(_ bytes: UnsafeRawBufferPointer) throws(QueryError) -> PayloadElements? {
            switch PayloadValue(bytes) {
            case .array(let elements): elements
            case .null: nil
            default: throw QueryError(code: .malformed, message: "the children of a predicate are no array")
            }
        }
    }

    private mutating func append(
        _ predicate: PayloadValue, context: QueryContext, depth: Int
    ) throws(QueryError) {
        guard depth < QueryLimits.predicateDepthMax, nodes.count < QueryLimits.predicatesMax else {
            throw QueryError(code: .tooLarge, message: "the predicate is too deep or too long")
        }
        let parts = try Parts(predicate)
        guard let operation = parts.operation else {
            throw QueryError(code: .malformed, message: "a predicate has no operator")
        }
        let index = nodes.count
        nodes.append(Node(content: .never))
        if operation.isText("and") {
            nodes[index].content = .and
        } else if operation.isText("or") {
            nodes[index].content = .or
        } else if operation.isText("not") {
            nodes[index].content = .not
        } else {
            nodes[index].content = try Self.leaf(operation, parts, context)
            nodes[index].end = nodes.count
            return
        }
        if let children = parts.children {
            var reader = PayloadReader(children.bytes)
            for _ in 0..<children.count {
                guard let child = reader.read() else {
                    throw QueryError(code: .malformed, message: "a child of a predicate is cut off")
                }
                try append(child, context: context, depth: depth + 1)
            }
        }
        nodes[index].end = nodes.count
    }

    private static func leaf(
        _ operation: UnsafeRawBufferPointer, _ parts: Parts, _ context: QueryContext
    ) throws(QueryError) -> Content {
        // The operator is looked at first: an unknown one is an error even where the leaf would be false anyhow.
        let test = try test(operation, parts, context)
        guard let attribute = parts.attribute, let test else { return .never }
        return .leaf(Leaf(field: FieldPath(ByteString(copying: attribute)), test: test))
    }

    /// The test of an operator; `nil` if its operand is missing, nil or cannot be resolved.
    private static func test(
        _ name: UnsafeRawBufferPointer, _ parts: Parts, _ context: QueryContext
    ) throws(QueryError) -> Test? {
        let operand = operand(of: parts, context)
        if name.isText("eq") { return operand.map { .equal($0) } }
        if name.isText("neq") { return operand.map { .notEqual($0) } }
        if name.isText("gt") { return operand.map { .compare(.greater, $0) } }
        if name.isText("gte") { return operand.map { .compare(.greaterOrEqual, $0) } }
        if name.isText("lt") { return operand.map { .compare(.less, $0) } }
        if name.isText("lte") { return operand.map { .compare(.lessOrEqual, $0) } }
        if name.isText("between") { return operand.map { .between($0) } }
        if name.isText("in") { return operand.map { .isIn($0) } }
        if name.isText("isNull") { return .isNull }
        if name.isText("isNotNull") { return .isNotNull }
        if name.isText("startsWith") { return operand.map { .startsWith($0) } }
        if name.isText("endsWith") { return operand.map { .endsWith($0) } }
        if name.isText("like") { return operand.map { .like($0, prepared($0) { LikePattern($0) }) } }
        if name.isText("contains") { return operand.map { .contains($0, prepared($0) { Needles($0) }) } }
        if name.isText("containsAll") { return operand.map { .containsAll($0, prepared($0) { Needles($0) }) } }
        if name.isText("containsAny") { return operand.map { .containsAny($0, prepared($0) { Needles($0) }) } }
        if name.isText("match") { return parts.query.map { .match(words: FoldedText.words(of: $0)) } }
        if name.isText("matchPhrase") { return parts.query.map { .matchPhrase(words: FoldedText.words(of: $0)) } }
        if name.isText("matchPrefix") { return parts.prefix.map { .matchPrefix(FoldedText.fold($0)) } }
        guard name.isText("regex") else { throw QueryError(code: .unsupported, message: "unknown operator") }
        guard let regex = context.regex else {
            throw QueryError(code: .unsupported, message: "regular expressions are not available")
        }
        return operand.map { operand in
            let matcher: PreparedRegex? = prepared(operand) { pattern in
                guard case .string(let pattern) = pattern else { return PreparedRegex(matcher: nil) }
                return PreparedRegex(matcher: regex(pattern))
            }
            return .regex(operand, regex, prepared: matcher)
        }
    }

    /// Makes of a constant what it is needed as; of another field's value it is made for every record anew.
    private static func prepared<Result>(_ operand: Operand, _ prepare: (PayloadValue) -> Result?) -> Result? {
        guard case .constant(let payload) = operand else { return nil }
        return payload.bytes.withUnsafeBytes { PayloadValue($0).flatMap(prepare) }
    }

    private static func operand(of parts: Parts, _ context: QueryContext) -> Operand? {
        guard let reference = parts.valueReference else {
            guard let value = parts.value, value.count != 1 || value[0] != Payload.tombstone.bytes[0] else {
                return nil
            }
            return .constant(Payload(copying: value))
        }
        if let path = reference.path(after: "data.") { return .field(FieldPath(path)) }
        guard let path = reference.path(after: "auth."), let principal = context.principal else { return nil }
        return principal.bytes.withUnsafeBytes { bytes in
            let record = RecordView(key: UnsafeRawBufferPointer(start: nil, count: 0), value: bytes)
            // A principal has no key of its own, so that `auth._key` stands for nothing.
            guard path != FieldPath.keyName, let bytes = FieldPath(path).bytes(in: record) else { return nil }
            return bytes.count == 1 && bytes[0] == Payload.tombstone.bytes[0]
                ? nil : .constant(Payload(copying: bytes))
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the bytes are this ASCII text.
    func isText(_ text: StaticString) -> Bool {
        VersionOrder.equal(self, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// What follows an ASCII prefix, if the bytes start with it.
    fileprivate func path(after prefix: StaticString) -> ByteString? {
        guard count > prefix.utf8CodeUnitCount,
            UnsafeRawBufferPointer(rebasing: self[..<prefix.utf8CodeUnitCount]).isText(prefix)
        else { return nil }
        return ByteString(copying: UnsafeRawBufferPointer(rebasing: self[prefix.utf8CodeUnitCount...]))
    }
}
