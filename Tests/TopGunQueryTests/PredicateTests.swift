import GoldenVectors
import Testing
import TopGunModel
import TopGunQuery

@Suite struct PredicateTests {
    /// A matcher for tests: as far as the rows of the vectors go, by the standard library.
    private static let regex: QueryContext.RegexCompiler = { pattern in
        let pattern = String(decoding: pattern, as: UTF8.self)
        guard (try? Regex(pattern)) != nil else { return nil }
        return { text in
            // `Regex` cannot be shared between threads, so it is made anew for every text.
            guard let regex = try? Regex(pattern) else { return false }
            return String(decoding: text, as: UTF8.self).firstMatch(of: regex) != nil
        }
    }

    private static func filter(
        _ predicate: JSON, _ form: JSON.Form = .shortest, principal: JSON? = nil
    ) throws -> QueryFilter {
        let bytes = predicate.messagePack(form)
        let context = QueryContext(principal: principal.map { Payload($0.messagePack()) }, regex: regex)
        return try bytes.withUnsafeBytes { try QueryFilter(whereMap: nil, predicate: $0, context: context) }
    }

    private static func holds(_ predicate: String, _ record: String, principal: String? = nil) throws -> Bool {
        let filter = try filter(JSON(predicate), principal: principal.map { JSON($0) })
        return filter.matches("the-key", JSON(record).messagePack())
    }

    // MARK: Vectors

    @Test(arguments: JSON.Form.allCases)
    func `every predicate of the vectors gives the answer we promise`(form: JSON.Form) throws {
        let vectors = try JSON.vectors("predicates")
        let rows = vectors["predicates"].elements
        #expect(rows.count > 120)
        let value = vectors["record"].messagePack(form)
        for row in rows {
            for predicateForm in JSON.Form.allCases {
                let filter = try Self.filter(row["predicate"], predicateForm)
                #expect(filter.matches("k", value) == row["expect"].bool, "\(row)")
            }
        }
    }

    // MARK: Operators

    @Test func `a reference to the principal is resolved for that principal alone (M15)`() throws {
        let owner = #"{"op":"eq","attribute":"owner","valueRef":"auth.id"}"#
        #expect(try Self.holds(owner, #"{"owner":"ann"}"#, principal: #"{"id":"ann"}"#))
        #expect(try !Self.holds(owner, #"{"owner":"ann"}"#, principal: #"{"id":"bob"}"#))
        #expect(try !Self.holds(owner, #"{"owner":"ann"}"#))
        #expect(try !Self.holds(owner, #"{"owner":null}"#, principal: #"{"id":null}"#))
        let role = #"{"op":"in","attribute":"role","valueRef":"auth.roles"}"#
        #expect(try Self.holds(role, #"{"role":"b"}"#, principal: #"{"roles":["a","b"]}"#))
        let other = #"{"op":"neq","attribute":"owner","valueRef":"session.id"}"#
        #expect(try !Self.holds(other, #"{"owner":"ann"}"#, principal: #"{"id":"ann"}"#), "an unknown reference")
    }

    @Test func `_key is the record's key unless the value has such a field`() throws {
        let key = #"{"op":"eq","attribute":"_key","value":"the-key"}"#
        #expect(try Self.holds(key, #"{"a":1}"#))
        #expect(try Self.holds(key, "7"), "a value that is no map has no fields, but a key")
        #expect(try !Self.holds(key, #"{"_key":"other"}"#))
    }

    @Test func `an unknown operator is unsupported, in any place (protocol 6.2)`() {
        for predicate in [
            #"{"op":"near","attribute":"a","value":1}"#, #"{"op":"near"}"#,
            #"{"op":"and","children":[{"op":"not","children":[{"op":"near"}]}]}"#,
        ] {
            #expect(throws: QueryError(code: .unsupported, message: "")) { try Self.filter(JSON(predicate)) }
        }
        let bytes = JSON(#"{"op":"regex","attribute":"a","value":"b"}"#).messagePack()
        #expect(throws: QueryError(code: .unsupported, message: "")) {
            try bytes.withUnsafeBytes { try QueryFilter(whereMap: nil, predicate: $0) }
        }
    }

    @Test(arguments: [
        "5", "[]", #"{"attribute":"a"}"#, #"{"op":5}"#, #"{"op":"eq","attribute":5,"value":1}"#,
        #"{"op":"and","children":{}}"#, #"{"op":"and","children":[5]}"#,
    ])
    func `a malformed predicate is an error`(predicate: String) {
        #expect(throws: QueryError(code: .malformed, message: "")) { try Self.filter(JSON(predicate)) }
    }

    @Test func `depth and number of predicates are limited (M05, M19)`() {
        func nested(_ depth: Int) -> JSON {
            var predicate = JSON(#"{"op":"isNull","attribute":"a"}"#)
            for _ in 1..<depth {
                predicate = .object([
                    .init(name: "op", value: .string("not")), .init(name: "children", value: .array([predicate])),
                ])
            }
            return predicate
        }
        #expect(throws: Never.self) { try Self.filter(nested(QueryLimits.predicateDepthMax)) }
        #expect(throws: QueryError(code: .tooLarge, message: "")) {
            try Self.filter(nested(QueryLimits.predicateDepthMax + 1))
        }
        let many = JSON.object([
            .init(name: "op", value: .string("or")),
            .init(name: "children", value: .array(Array(repeating: nested(1), count: QueryLimits.predicatesMax))),
        ])
        #expect(throws: QueryError(code: .tooLarge, message: "")) { try Self.filter(many) }
    }

    @Test(arguments: [
        ("Hello", "h%", true), ("a.b", "a.b", true), ("axb", "a.b", false), ("", "%%", true), ("", "_", false),
        ("日本", "__", true), ("日本", "___", false), ("😀", "_", true), ("a\u{2028}b", "a_b", false),
        ("aaa", "%a%a%a%", true), ("aa", "%a%a%a%", false), ("abcabd", "%ab_", true), ("abXcd\nabYcd", "%ab_cd", false),
        ("a\nb", "a\nb", true), ("x\na\nb", "%a\nb", false), ("STRASSE", "straße", false), ("ÄÖÜ", "äöü", true),
        ("100%", "100%", true), ("mississippi", "m%iss%ip%i", true), ("mississippi", "m%issip%s%", false),
    ])
    func `like takes runs and characters but no line break`(text: String, pattern: String, expected: Bool) throws {
        let predicate = JSON.object([
            .init(name: "op", value: .string("like")), .init(name: "attribute", value: .string("a")),
            .init(name: "value", value: .string(pattern)),
        ])
        let record = JSON.object([.init(name: "a", value: .string(text))])
        #expect(try Self.filter(predicate).matches("k", record.messagePack()) == expected)
    }

    @Test(
        .timeLimit(.minutes(1)), arguments: ["containsAll", "containsAny"],
        [(#""x""#, #""y""#), (#"{"a":1}"#, #"{"a":2}"#)])
    func `M19 two long lists are not held against each other without end`(
        operation: String, values: (wanted: String, other: String)
    ) throws {
        func holds(_ count: Int) throws -> Bool {
            let (wanted, other) = (JSON(values.wanted), JSON(values.other))
            let many = JSON.array(Array(repeating: wanted, count: count))
            let mixed = JSON.array(Array(repeating: other, count: count) + [wanted])
            // Whichever way each element of one has to pass all of the other.
            let isAll = operation == "containsAll"
            let predicate = JSON.object([
                .init(name: "op", value: .string(operation)), .init(name: "attribute", value: .string("a")),
                .init(name: "value", value: isAll ? many : mixed),
            ])
            let record = JSON.object([.init(name: "a", value: isAll ? mixed : many)])
            return try Self.filter(predicate).matches("k", record.messagePack())
        }
        #expect(try holds(10))
        #expect(try !holds(100_000), "more than may be compared is false, as for a pattern that takes too many steps")
    }

    @Test(.timeLimit(.minutes(1)), arguments: ["contains", "containsAll", "containsAny", "match", "matchPhrase"])
    func `M19 a long text is not searched for many others without end`(operation: String) throws {
        func holds(_ count: Int) throws -> Bool {
            let words = JSON.string(String(repeating: "b a ", count: count) + "c")
            let value: JSON = .array(Array(repeating: .string("a"), count: count))
            let predicate = JSON.object([
                .init(name: "op", value: .string(operation)), .init(name: "attribute", value: .string("a")),
                .init(name: "value", value: operation == "contains" ? .string("a") : value),
                .init(name: "query", value: words),
            ])
            let record = JSON.object([.init(name: "a", value: .string(String(repeating: "b a ", count: count) + "c"))])
            return try Self.filter(predicate).matches("k", record.messagePack())
        }
        #expect(try holds(10))
        // One text in another is linear, so it is looked for however long they are.
        #expect(try holds(100_000) == (operation == "contains"))
    }

    @Test func `like agrees with trying every way to fit`() throws {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        func fits(_ pattern: [Character], _ text: [Character]) -> Bool {
            guard let first = pattern.first else { return text.isEmpty }
            if first == "%" {
                if fits(Array(pattern.dropFirst()), text) { return true }
                return text.first.map { $0 != "\n" && fits(pattern, Array(text.dropFirst())) } ?? false
            }
            guard let head = text.first else { return false }
            return (first == "_" ? head != "\n" : first == head)
                && fits(Array(pattern.dropFirst()), Array(text.dropFirst()))
        }
        for _ in 0..<3_000 {
            let pattern = String(
                (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                    "ab%%_\n".randomElement(using: &generator)!
                })
            let text = String(
                (0..<Int.random(in: 0...7, using: &generator)).map { _ in
                    "aab\n".randomElement(using: &generator)!
                })
            let predicate = JSON.object([
                .init(name: "op", value: .string("like")), .init(name: "attribute", value: .string("a")),
                .init(name: "value", value: .string(pattern)),
            ])
            let record = JSON.object([.init(name: "a", value: .string(text))])
            #expect(
                try Self.filter(predicate).matches("k", record.messagePack()) == fits(Array(pattern), Array(text)),
                "\(pattern.debugDescription) \(text.debugDescription) seed \(seed)")
        }
    }

    @Test func `a pattern made to be slow gives up in time (M19)`() throws {
        let predicate = JSON.object([
            .init(name: "op", value: .string("like")), .init(name: "attribute", value: .string("a")),
            .init(name: "value", value: .string("%" + String(repeating: "a", count: 20_000) + "b")),
        ])
        let record = JSON.object([.init(name: "a", value: .string(String(repeating: "a", count: 100_000)))])
        #expect(try !Self.filter(predicate).matches("k", record.messagePack()))
    }

    @Test(arguments: [
        (#"{"op":"match","attribute":"t","query":"fox QUICK"}"#, true),
        (#"{"op":"match","attribute":"t","query":"fox cat"}"#, false),
        (#"{"op":"match","attribute":"t","query":"qui"}"#, false), (#"{"op":"match","attribute":"t"}"#, false),
        (#"{"op":"match","attribute":"t","query":" ,"}"#, false),
        (#"{"op":"matchPhrase","attribute":"t","query":"quick brown"}"#, true),
        (#"{"op":"matchPhrase","attribute":"t","query":"brown quick"}"#, false),
        (#"{"op":"matchPhrase","attribute":"t","query":"the quick brown fox jumps"}"#, false),
        (#"{"op":"matchPrefix","attribute":"t","prefix":"BRO"}"#, true),
        (#"{"op":"matchPrefix","attribute":"t","prefix":"rown"}"#, false),
        (#"{"op":"match","attribute":"n","query":"5"}"#, false),
    ])
    func `the word operators look at words`(predicate: String, expected: Bool) throws {
        #expect(try Self.holds(predicate, #"{"t":"The quick-brown fox.","n":5}"#) == expected)
    }

    @Test(arguments: [
        (#"{"op":"contains","attribute":"s","value":"LÄND"}"#, true),
        (#"{"op":"contains","attribute":"s","value":"aab"}"#, true),
        (#"{"op":"contains","attribute":"s","value":["aab"]}"#, false),
        (#"{"op":"containsAll","attribute":"s","value":["aab",5]}"#, false),
        (#"{"op":"containsAny","attribute":"s","value":["zz",5,"AAB"]}"#, true),
        (#"{"op":"contains","attribute":"s","valueRef":"data.n"}"#, true),
        (#"{"op":"like","attribute":"s","valueRef":"data.p"}"#, true),
        (#"{"op":"startsWith","attribute":"s","valueRef":"data.n"}"#, false),
        (#"{"op":"regex","attribute":"s","valueRef":"data.n"}"#, false),
    ])
    func `texts are searched without regard to case`(predicate: String, expected: Bool) throws {
        #expect(
            try Self.holds(predicate, #"{"s":"Österländer aaaab","n":"Länder","p":"%AB"}"#)
                == (predicate.contains("regex") ? false : expected))
    }

    @Test func `where and predicate must both hold`() throws {
        let value = JSON(#"{"a":1,"b":2}"#).messagePack()
        func filter(_ whereMap: String, _ predicate: String) throws -> QueryFilter {
            try JSON(whereMap).messagePack().withUnsafeBytes { whereMap in
                try JSON(predicate).messagePack().withUnsafeBytes { predicate in
                    try QueryFilter(whereMap: whereMap, predicate: predicate)
                }
            }
        }
        let isTwo = #"{"op":"eq","attribute":"b","value":2}"#
        #expect(try filter(#"{"a":1}"#, isTwo).matches("k", value))
        #expect(try !filter(#"{"a":2}"#, isTwo).matches("k", value))
        #expect(try !filter(#"{"a":1}"#, #"{"op":"gt","attribute":"b","value":2}"#).matches("k", value))
        #expect(try filter("null", "null").matchesEverything)
        #expect(throws: QueryError.self) { try filter("[]", "null") }
    }

    @Test func `records and predicates of random bytes never trap (M07)`() throws {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        let vectors = try JSON.vectors("predicates")
        let rows = vectors["predicates"].elements
        let record = vectors["record"].messagePack()
        let filters = try rows.map { try Self.filter($0["predicate"]) }
        for _ in 0..<2_000 {
            var value = record
            for _ in 0..<3 {
                value[Int.random(in: 0..<value.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            value.removeLast(Int.random(in: 0..<20, using: &generator))
            _ = filters.randomElement(using: &generator)!.matches("k", value)

            var predicate = rows.randomElement(using: &generator)!["predicate"].messagePack()
            predicate[Int.random(in: 0..<predicate.count, using: &generator)] = UInt8.random(
                in: 0...255, using: &generator)
            _ = try? predicate.withUnsafeBytes { try QueryFilter(whereMap: nil, predicate: $0) }
        }
    }
}
