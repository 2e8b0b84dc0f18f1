import GoldenVectors
import TopGunModel
import TopGunQuery

extension FuzzTarget {
    /// A query and records, all of them from strangers.
    ///
    /// Nothing traps and nothing takes long. A predicate and its negation are opposites, alone in `and` or `or` it is
    /// itself. The window of a query shows what sorting all rows and cutting them shows, whatever the order in which they
    /// came. Every row is in exactly one group.
    ///
    /// ```
    /// piece query      piece value, again and again
    /// ```
    static let query = FuzzTarget(
        name: "query",
        seeds: {
            let predicates = try document("predicates")
            let order = try document("query-order")
            let group = try document("query-group")
            let record = FuzzInput.piece(predicates["record"].messagePack())
            let rows = order["records"].members.flatMap { FuzzInput.piece($0.value.messagePack()) }
            func query(_ name: String, _ value: JSON) -> [UInt8] {
                FuzzInput.piece(JSON.object([JSON.Member(name: name, value: value)]).messagePack())
            }
            return predicates["predicates"].elements.map { query("predicate", $0["predicate"]) + record }
                + predicates["where"].elements.map { query("where", $0["where"]) + record }
                + order["queries"].elements.map { FuzzInput.piece($0["query"].messagePack()) + rows }
                + [
                    FuzzInput.piece(group["query"].messagePack())
                        + group["records"].members.flatMap { FuzzInput.piece($0.value.messagePack(.widest)) }
                ]
        },
        words: words(
            "where", "predicate", "sort", "limit", "cursor", "groupBy", "aggregations", "func", "field", "direction",
            "asc", "desc", "op", "attribute", "value", "valueRef", "children", "query", "prefix", "_key", "data.",
            "auth.",
            "and", "or", "not", "eq", "neq", "gt", "gte", "lt", "lte", "between", "in", "isNull", "isNotNull",
            "contains",
            "containsAll", "containsAny", "startsWith", "endsWith", "like", "regex", "match", "matchPhrase",
            "matchPrefix", "sum", "min", "max", "avg", "count"),
        body: { bytes in
            var input = FuzzInput(bytes)
            let queryBytes = Array(input.piece())
            let decoded = Memory.bounded(queryBytes.count, "query") {
                queryBytes.withUnsafeBytes { QueryReading.decode($0) }
            }
            guard let query = decoded else { return }
            var records: [[UInt8]] = []
            while !input.isAtEnd, records.count < 12 { records.append(Array(input.piece())) }
            QueryReading.checkPredicate(queryBytes, query, records)
            QueryReading.checkWindow(query, records)
            QueryReading.checkGroups(query, records)
        })
}

private enum QueryReading {
    static let context = QueryContext(
        principal: Payload(JSON(#"{"id":"ann","roles":["a","b"],"n":{"m":1}}"#).messagePack()),
        regex: { pattern in
            // A matcher that takes texts which begin like the pattern; a pattern with a bracket is invalid.
            let pattern = Array(pattern)
            guard !pattern.contains(0x5b) else { return nil }
            return { text in text.starts(with: pattern) }
        })

    static func decode(_ bytes: UnsafeRawBufferPointer) -> Query? {
        do throws(QueryError) { return try Query(decoding: bytes, context: context) } catch { return nil }
    }

    private static func key(_ index: Int) -> [UInt8] { Array("key-\(index)".utf8) }

    private static func matches(_ query: Query, _ index: Int, _ value: [UInt8]) -> Bool {
        key(index).withUnsafeBytes { key in value.withUnsafeBytes { query.filter.matches(key: key, value: $0) } }
    }

    // MARK: Predicates

    static func checkPredicate(_ bytes: [UInt8], _ query: Query, _ records: [[UInt8]]) {
        let predicate = bytes.withUnsafeBytes { bytes in
            "predicate".utf8CString.withUnsafeBytes { name in
                PayloadReader.member(UnsafeRawBufferPointer(rebasing: name.dropLast()), of: bytes).map { Array($0) }
            }
        }
        guard let predicate, predicate != [0xc0], let plain = wrapped(nil, predicate) else { return }
        // One level more may be one too many.
        guard let negated = wrapped("not", predicate), let all = wrapped("and", predicate),
            let any = wrapped("or", predicate)
        else { return }
        for (index, record) in records.enumerated() {
            let holds = matches(plain, index, record)
            expect(matches(negated, index, record) != holds, "a predicate and its negation agree")
            expect(matches(all, index, record) == holds, "alone in `and` a predicate is another")
            expect(matches(any, index, record) == holds, "alone in `or` a predicate is another")
            if matches(query, index, record) { expect(holds, "a query lets through what its predicate does not") }
        }
    }

    /// A query that has nothing but this predicate, inside an operator.
    private static func wrapped(_ operation: StaticString?, _ predicate: [UInt8]) -> Query? {
        let sink = ByteSink()
        let writer = MessagePackWriter(sink)
        writer.writeMapHead(1)
        writer.write("predicate" as StaticString)
        if let operation {
            writer.writeMapHead(2)
            writer.write("op" as StaticString)
            writer.write(operation)
            writer.write("children" as StaticString)
            writer.writeArrayHead(1)
        }
        predicate.withUnsafeBytes { writer.writeRaw($0) }
        return decode(sink.bytes)
    }

    // MARK: Order

    static func checkWindow(_ query: Query, _ records: [[UInt8]]) {
        var rows: [(sortKey: ByteString, key: ByteString)] = []
        var forwards = ResultWindow(order: query.order, limit: query.limit)
        var backwards = forwards
        func each(_ index: Int, _ body: (RecordView) -> Void) {
            key(index).withUnsafeBytes { key in
                records[index].withUnsafeBytes { body(RecordView(key: key, value: $0)) }
            }
        }
        for index in records.indices where matches(query, index, records[index]) {
            each(index) { record in
                rows.append((query.order.sortKey(of: record), ByteString(key(index))))
                _ = forwards.update(ByteString(key(index)), to: record)
            }
        }
        for index in records.indices.reversed() where matches(query, index, records[index]) {
            each(index) { _ = backwards.update(ByteString(key(index)), to: $0) }
        }
        rows.sort { $0.sortKey < $1.sortKey }
        let shown = Array(rows.map(\.key).prefix(query.limit ?? .max))
        expect(forwards.shownKeys == shown, "a window shows other rows than sorting does")
        expect(backwards.shownKeys == shown, "a window depends on the order in which rows come")
        expect(forwards.hasMore == (rows.count > shown.count), "a window is wrong about more")
    }

    // MARK: Groups

    static func checkGroups(_ query: Query, _ records: [[UInt8]]) {
        guard let grouping = query.grouping else { return }
        let matching = records.indices.filter { matches(query, $0, records[$0]) }
        let forwards = rows(grouping, matching, records)
        let backwards = rows(grouping, matching.reversed(), records)
        expect(forwards.map(\.key) == backwards.map(\.key), "groups depend on the order in which records come")
        expect(forwards.reduce(0) { $0 + count(of: $1.value) } == matching.count, "a record is in no group, or in two")
        checkSameness(grouping, matching, records)
        for row in forwards {
            row.value.bytes.withUnsafeBytes { bytes in
                expect(PayloadReader.isOneValue(bytes), "a row of groups is no value")
            }
        }
    }

    /// Two records are in one group exactly if the fields that group them are equal.
    private static func checkSameness(_ grouping: Grouping, _ indices: [Int], _ records: [[UInt8]]) {
        let ids = indices.map { rows(grouping, [$0], records).last?.key }
        for (left, leftID) in zip(indices, ids) {
            for (right, rightID) in zip(indices, ids) where left < right {
                let areEqual = grouping.fields.allSatisfy { isEqual($0, left, right, records) }
                if !areEqual, grouping.fields.contains(where: { hasNaN($0, left, records) }) { continue }
                expect((leftID == rightID) == areEqual, "records are grouped by more or by less than equality")
            }
        }
    }

    private static func isEqual(_ field: FieldPath, _ left: Int, _ right: Int, _ records: [[UInt8]]) -> Bool {
        with(left, records) { leftRecord in
            with(right, records) { rightRecord in
                PayloadEquality.equal(field.value(in: leftRecord) ?? .null, field.value(in: rightRecord) ?? .null)
            }
        }
    }

    private static func hasNaN(_ field: FieldPath, _ index: Int, _ records: [[UInt8]]) -> Bool {
        // A value that is not equal to itself.
        with(index, records) { record in
            let value = field.value(in: record) ?? .null
            return !PayloadEquality.equal(value, value)
        }
    }

    private static func with<Result>(_ index: Int, _ records: [[UInt8]], _ body: (RecordView) -> Result) -> Result {
        key(index).withUnsafeBytes { key in
            records[index].withUnsafeBytes { body(RecordView(key: key, value: $0)) }
        }
    }

    private static func rows(
        _ grouping: Grouping, _ indices: [Int], _ records: [[UInt8]]
    ) -> [(key: ByteString, value: Payload)] {
        var groups = GroupedRows(grouping)
        for index in indices {
            key(index).withUnsafeBytes { key in
                records[index].withUnsafeBytes { groups.add(RecordView(key: key, value: $0)) }
            }
        }
        return groups.rows()
    }

    /// What stands under `__count`: the first of that name, as a group field may have it too.
    private static func count(of row: Payload) -> Int {
        row.bytes.withUnsafeBytes { bytes in
            var reader = PayloadReader(bytes)
            for _ in 0..<(reader.enterMap() ?? 0) {
                let name = reader.readString()
                guard let value = reader.read() else { break }
                if let name, name.elementsEqual("__count".utf8), case .number(let number) = value {
                    return Int(number.wholeNumber ?? -1)
                }
            }
            return -1
        }
    }
}

extension PayloadReader {
    fileprivate static func isOneValue(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var reader = PayloadReader(bytes)
        return reader.skipValue() != nil && reader.isAtEnd
    }
}
