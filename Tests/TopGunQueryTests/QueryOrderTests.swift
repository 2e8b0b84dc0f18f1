import GoldenVectors
import Testing
import TopGunModel
import TopGunQuery

@Suite struct QueryOrderTests {
    private static func query(_ json: JSON, _ form: JSON.Form = .shortest) throws -> Query {
        try json.messagePack(form).withUnsafeBytes { try Query(decoding: $0) }
    }

    private static func query(_ text: String) throws -> Query { try query(JSON(text)) }

    private static func sortKey(_ order: SortOrder, _ key: ByteString, _ value: [UInt8]) -> ByteString {
        key.bytes.withUnsafeBytes { key in
            value.withUnsafeBytes { order.sortKey(of: RecordView(key: key, value: $0)) }
        }
    }

    // MARK: Vectors

    @Test(arguments: JSON.Form.allCases)
    func `every query of the vectors gives its rows in order, and knows of more`(form: JSON.Form) throws {
        let vectors = try JSON.vectors("query-order")
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for row in vectors["queries"].elements {
            let query = try Self.query(row["query"], form)
            var window = ResultWindow(order: query.order, limit: query.limit)
            for record in vectors["records"].members.shuffled(using: &generator) {
                let value = record.value.messagePack(JSON.Form.allCases.randomElement(using: &generator)!)
                window.update(ByteString(record.name), value, if: query.filter)
            }
            #expect(window.shownKeys.map(\.string) == row["keys"].elements.map(\.text), "\(row) seed \(seed)")
            #expect(window.hasMore == row["hasMore"].bool, "\(row)")
        }
    }

    // MARK: Decoding

    @Test(arguments: [
        #"[{"field":"a","direction":"desc"},{"field":"b","direction":"asc"}]"#, #"{"a":"desc","b":"asc"}"#,
        #"[{"field":"0","direction":{"field":"a","direction":"desc"}},{"field":"1","direction":{"field":"b"}}]"#,
        #"[{"direction":"desc","field":"a"},{"field":"b"}]"#,
    ])
    func `sort is read in all its forms`(sort: String) throws {
        let order = try Self.query(#"{"sort":\#(sort)}"#).order
        #expect(order.fields.map(\.path.name) == ["a", "b"])
        #expect(order.fields.map(\.isDescending) == [true, false])
    }

    @Test(arguments: [
        #"{"sort":5}"#, #"{"sort":["a"]}"#, #"{"sort":[{"direction":"asc"}]}"#, #"{"sort":{"a":"up"}}"#,
        #"{"sort":[{"field":"0","direction":{"field":"a","direction":{"field":"b"}}}]}"#, #"{"limit":-1}"#,
        #"{"limit":1.5}"#, #"{"limit":"1"}"#, #"{"cursor":1}"#, #"{"groupBy":"a"}"#, #"{"groupBy":[1]}"#, "[]",
        #"{"aggregations":[{}]}"#, #"{"aggregations":[{"func":"sum"}]}"#, #"{"where":[]}"#,
    ])
    func `a malformed query is an error`(query: String) {
        #expect(throws: QueryError(code: .malformed, message: "")) { try Self.query(query) }
    }

    @Test func `a query is read whole, and what it does not know is ignored`() throws {
        let query = try Self.query(
            #"""
            {"fields":["a"],"where":{"a":1},"predicate":{"op":"gt","attribute":"b","value":2},"limit":3.0,"cursor":"c",
             "sort":null,"novel":[{}]}
            """#)
        #expect(query.limit == 3 && query.rowsMax == 3 && query.cursor == "c" && query.grouping == nil)
        #expect(query.filter.matches("k", JSON(#"{"a":1,"b":3}"#).messagePack()))
        #expect(!query.filter.matches("k", JSON(#"{"a":1,"b":2}"#).messagePack()))
        #expect(try Self.query("{}").rowsMax == QueryLimits.rowsMax)
        #expect(try Self.query("null").filter.matchesEverything)
        #expect(throws: QueryError(code: .unsupported, message: "")) {
            try Self.query(#"{"aggregations":[{"func":"median","field":"a"}]}"#)
        }
    }

    // MARK: Fields

    @Test func `a path leads as deep as a value is, and its name is looked for in any case`() {
        func value(depth: Int) -> [UInt8] {
            Array(repeating: [0x81, 0xa1, 0x61], count: depth).joined() + [0x07]
        }
        func number(_ name: ByteString, _ value: [UInt8]) -> Bool {
            value.withUnsafeBytes { bytes in
                let key = UnsafeRawBufferPointer(start: nil, count: 0)
                if case .number? = FieldPath(name).value(in: RecordView(key: key, value: bytes)) { return true }
                return false
            }
        }
        func path(_ parts: Int) -> ByteString { ByteString(Array(repeating: "a", count: parts).joined(separator: ".")) }
        let deepest = ModelLimits.valueDepthMax
        #expect(number(path(deepest), value(depth: deepest)))
        #expect(!number(path(deepest + 1), value(depth: deepest + 1)))
        // A name of millions of dots costs what its bytes do.
        let name = ByteString(Array(repeating: UInt8(ascii: "."), count: 3_000_000))
        let head = withUnsafeBytes(of: UInt32(name.count).bigEndian) { Array($0) }
        #expect(number(name, [0x81, 0xdb] + head + name.bytes + [0x07]))
    }

    // MARK: Sort keys

    @Test func `sort keys order values as the protocol does, in both directions`() {
        // Ascending classes; the values of one inner list are equal.
        let max = "9223372036854775807"
        let ascending: [[String]] = [
            ["false"], ["true"], ["-1e300"], ["-9007199254740993"], ["-9007199254740992"], ["-1.5"],
            ["0", "-0.0", "0.0"],
            ["5e-324"], ["5", "5.0"], ["9007199254740992"], ["9007199254740993"], [max], ["9223372036854775808.0"],
            ["1e300"], [#""""#], [#""\u0000""#], [#""\u0000a""#], [#""A""#], [#""a""#], [#""a\u0000""#], [#""ab""#],
            [#""é""#], [#""日""#], [#""😀""#], ["[]", "{}", "[1]"],
        ]
        for descending in [false, true] {
            let order = SortOrder([SortOrder.Field(FieldPath("v"), isDescending: descending)])
            func key(_ value: String) -> ByteString {
                Self.sortKey(order, "", JSON(#"{"v":\#(value)}"#).messagePack())
            }
            for left in ascending.indices {
                for right in ascending.indices {
                    for (leftValue, rightValue) in zip(ascending[left], ascending[right].reversed()) {
                        let result = VersionOrder.Result(
                            rawValue: key(leftValue) < key(rightValue)
                                ? -1 : key(leftValue) == key(rightValue) ? 0 : 1)!
                        let expected: VersionOrder.Result = left < right ? .older : left == right ? .same : .newer
                        #expect(
                            result == (descending ? expected.reversed : expected), "\(leftValue) \(rightValue)")
                    }
                }
                #expect(key(ascending[left][0]) < key("null"), "missing is last in both directions")
            }
            #expect(key("null") == Self.sortKey(order, "", JSON("{}").messagePack()))
        }
    }

    @Test func `numbers of random bits sort like they compare`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        let order = SortOrder([SortOrder.Field(FieldPath("v"))])
        func random() -> (PayloadNumber, [UInt8]) {
            let bits = generator.next() >> UInt64.random(in: 0...63, using: &generator)
            let bytes = withUnsafeBytes(of: bits.bigEndian) { Array($0) }
            let kinds: [UInt8] = [0xcb, 0xcf, 0xd3]
            let value = [kinds.randomElement(using: &generator)!] + bytes
            guard case .number(let number)? = value.withUnsafeBytes({ PayloadValue($0) }) else {
                preconditionFailure("a number")
            }
            if value[0] != 0xcb, Bool.random(using: &generator) {
                // Its nearest double, or the one beside it, to meet the edges of rounding.
                let near = [number.double, number.double.nextUp, number.double.nextDown].randomElement(
                    using: &generator)!
                return (
                    .double(near), [0xcb] + withUnsafeBytes(of: near.bitPattern.bigEndian) { Array($0) }
                )
            }
            return (number, value)
        }
        var previous = random()
        for _ in 0..<20_000 {
            let (left, right) = (previous, random())
            previous = right
            guard let expected = PayloadNumber.compare(left.0, right.0) else { continue }
            let keys = [left, right].map { Self.sortKey(order, "", [0x81, 0xa1, 0x76] + $0.1) }
            let result: VersionOrder.Result = keys[0] < keys[1] ? .older : keys[0] == keys[1] ? .same : .newer
            #expect(result == expected, "\(left.0) \(right.0) seed \(seed)")
        }
    }
}

extension ResultWindow {
    /// Takes the state of a record as the owner of a live query does.
    @discardableResult
    mutating func update(
        _ key: ByteString, _ value: [UInt8]?, if filter: QueryFilter = .everything, valueChanged: Bool = true
    ) -> [Change] {
        key.bytes.withUnsafeBytes { keyBytes in
            (value ?? []).withUnsafeBytes { bytes in
                guard value != nil, filter.matches(key: keyBytes, value: bytes) else { return update(key, to: nil) }
                return update(key, to: RecordView(key: keyBytes, value: bytes), valueChanged: valueChanged)
            }
        }
    }
}
