import GoldenVectors
import Testing
import TopGunModel
import TopGunQuery

@Suite struct GroupingTests {
    private static func rows(
        _ records: [(String, [UInt8])], _ query: JSON
    ) throws -> [(key: ByteString, value: Payload)] {
        let query = try query.messagePack().withUnsafeBytes { try Query(decoding: $0) }
        var groups = GroupedRows(try #require(query.grouping))
        for (key, value) in records {
            ByteString(key).bytes.withUnsafeBytes { key in
                value.withUnsafeBytes { groups.add(RecordView(key: key, value: $0)) }
            }
        }
        return groups.rows()
    }

    @Test(arguments: JSON.Form.allCases)
    func `the rows of the vectors come out with every field`(form: JSON.Form) throws {
        let vectors = try JSON.vectors("query-group")
        let records = vectors["records"].members.map { ($0.name, $0.value.messagePack(form)) }
        let rows = try Self.rows(records, vectors["query"])
        let expected = vectors["rows"].elements
        #expect(rows.count == expected.count)
        for row in expected {
            let found = try #require(rows.first { $0.key == ByteString(row["key"].text) }, "\(row)")
            #expect(
                PayloadEquality.sameContent(found.value, Payload(row["value"].messagePack())),
                "\(row) \(found.value.bytes)")
        }
    }

    @Test(
        arguments: [
            // Extensions of two types with the same bytes; names of maps in two forms of one number.
            ([0xd4, 1, 7], [0xd4, 2, 7]), ([0x81, 1, 0xc0], [0x81, 0xcc, 1, 0xc0]),
        ] as [([UInt8], [UInt8])])
    func `what is not equal is not one group`(left: [UInt8], right: [UInt8]) throws {
        let values = [left, right].map { [0x81, 0xa1, 0x67] + $0 }
        let rows = try Self.rows(values.map { ("k", $0) }, JSON(#"{"groupBy":["g"]}"#))
        #expect(rows.count == 2)
        #expect(!PayloadEquality.sameContent(Payload(left), Payload(right)))
    }

    @Test func `a whole sum is an integer and an average a float`() throws {
        let query = JSON(
            #"{"groupBy":[],"aggregations":[{"func":"sum","field":"n"},{"func":"avg","field":"n"},{"func":"min","field":"n"}]}"#
        )
        func total(_ numbers: String...) throws -> [UInt8] {
            try Self.rows(numbers.map { ("k", JSON(#"{"n":\#($0)}"#).messagePack()) }, query)[0].value.bytes
        }
        func has(_ bytes: [UInt8], _ name: String, _ value: [UInt8]) -> Bool {
            let field = JSON.string(name).messagePack() + value
            return bytes.indices.contains { bytes[$0...].starts(with: field) }
        }
        let whole = try total("1", "2.0")
        #expect(has(whole, "__sum_n", [3]))
        #expect(has(whole, "__avg_n", JSON("1.5").messagePack()))
        #expect(has(whole, "__min_n", [1]))
        #expect(has(try total("0.5", "2.5"), "__sum_n", [3]))
        #expect(has(try total("4", "4"), "__avg_n", [0xcb, 0x40, 0x10, 0, 0, 0, 0, 0, 0]), "an average is a float")
        #expect(
            has(try total("9223372036854775807", "1"), "__sum_n", [0xcb, 0x43, 0xe0, 0, 0, 0, 0, 0, 0]),
            "a sum beyond 64 bits is a float")
        #expect(has(try total(#""text""#), "__min_n", [0xc0]))
    }

    @Test func `aggregations without groupBy give one row with an empty key, also of nothing`() throws {
        let rows = try Self.rows([], JSON(#"{"aggregations":[{"func":"count"}]}"#))
        #expect(rows.count == 1 && rows[0].key == "")
        #expect(
            PayloadEquality.sameContent(rows[0].value, Payload(JSON(#"{"__key":"","__count":0}"#).messagePack())))
    }

    @Test func `equal values group together whatever their encoding, and others apart`() throws {
        // Every line is one group.
        let lines = [
            ["5", "5.0"], ["5.5"], [#""5""#], ["true"], ["1"], ["null"], ["-0.0", "0"], ["[1,2]"], ["[2,1]"], ["[12]"],
            [#"{"a":1,"b":2}"#, #"{"b":2.0,"a":1}"#], [#"{"a":1}"#], ["1e300"], ["9007199254740993"],
            ["9007199254740992"], [#""S1:x""#], [#"["a","b"]"#], [#"["aS1:b"]"#], ["{}"], ["[]"],
        ]
        var records: [(String, [UInt8])] = []
        for form in [JSON.Form.shortest, .officialClient] {
            for (index, line) in lines.enumerated() {
                // The official client cannot write every number; what it cannot is left to the other form.
                for value in line where form == .shortest || !value.hasPrefix("9007") {
                    records.append(("k\(index)", JSON(#"{"v":\#(value)}"#).messagePack(form)))
                }
            }
        }
        let rows = try Self.rows(records, JSON(#"{"groupBy":["v"]}"#))
        #expect(rows.count == lines.count)
        let byKey = try Self.rows(records, JSON(#"{"groupBy":["v","_key"]}"#))
        #expect(byKey.count == lines.count, "every line has one key and one group")
    }

    @Test func `groups of several fields name them in order`() throws {
        let rows = try Self.rows(
            [("a", JSON(#"{"x":true,"y":2.5}"#).messagePack()), ("b", JSON("7").messagePack())],
            JSON(#"{"groupBy":["x","y","_key"]}"#))
        #expect(rows.map(\.key) == ["B1F4612811918334230528;S1:a", "NNS1:b"])
    }
}
