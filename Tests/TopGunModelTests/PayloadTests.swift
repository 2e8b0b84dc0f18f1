import GoldenVectors
import Testing
import TopGunModel

@Suite struct PayloadTests {
    private static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.withUnsafeBytes { leftBytes in
            right.withUnsafeBytes { rightBytes in
                guard let left = PayloadValue(leftBytes), let right = PayloadValue(rightBytes) else { return false }
                return PayloadEquality.equal(left, right)
            }
        }
    }

    private static func text(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        bytes.withUnsafeBytes { ECMAScriptText.append(value: $0, to: &text) }
        return String(decoding: text, as: UTF8.self)
    }

    private static func double(_ number: Double) -> [UInt8] {
        [0xcb] + withUnsafeBytes(of: number.bitPattern.bigEndian) { Array($0) }
    }

    // MARK: Equality

    @Test(arguments: [
        ("5", "5.0", true), ("5", "5.5", false), ("5", "\"5\"", false), ("0", "false", false), ("null", "false", false),
        ("-0.0", "0", true), ("9007199254740993", "9007199254740992.0", false),
        ("{\"a\":1,\"b\":[1,2]}", "{\"b\":[1,2],\"a\":1.0}", true), ("[1,2]", "[2,1]", false), ("[]", "{}", false),
        ("{\"a\":1}", "{\"a\":1,\"b\":null}", false), ("{\"a\":1,\"a\":2}", "{\"a\":2}", true),
        ("{\"a\":1,\"a\":2}", "{\"a\":1}", false), ("{\"é\":1}", "{\"e\u{301}\":1}", false), ("\"\"", "null", false),
        ("{\"a\":{\"x\":[{\"y\":1}]}}", "{\"a\":{\"x\":[{\"y\":1.0}]}}", true),
    ])
    func `values are equal by content whatever their encoding`(left: String, right: String, expected: Bool) {
        for leftForm in JSON.Form.allCases where left != "9007199254740993" || leftForm == .shortest {
            for rightForm in JSON.Form.allCases {
                let (leftBytes, rightBytes) = (JSON(left).messagePack(leftForm), JSON(right).messagePack(rightForm))
                #expect(Self.equal(leftBytes, rightBytes) == expected, "\(left) \(right)")
                #expect(Self.equal(rightBytes, leftBytes) == expected, "\(right) \(left)")
            }
        }
    }

    @Test func `bytes are equal to bytes only, and NaN to nothing but its own echo`() {
        #expect(Self.equal([0xc4, 2, 1, 2], [0xc5, 0, 2, 1, 2]))
        #expect(!Self.equal([0xc4, 1, 0x61], [0xa1, 0x61]))
        #expect(Self.equal([0xd4, 7, 1], [0xc7, 1, 7, 1]), "the same extension in two widths")
        #expect(!Self.equal([0xd4, 7, 1], [0xd4, 8, 1]))
        let nan = Self.double(.nan)
        #expect(!Self.equal(nan, nan))
        #expect(PayloadEquality.sameContent(Payload([0x91] + nan), Payload([0x91] + nan)))
    }

    @Test func `numbers compare exactly across their kinds`() {
        let ordered: [PayloadNumber] = [
            .double(-.infinity), .double(-1e300), .integer(.min), .integer(-9_007_199_254_740_993),
            .double(-9_007_199_254_740_992), .double(-0.5), .integer(0), .double(0.5), .integer(1),
            .double(9_007_199_254_740_992), .integer(9_007_199_254_740_993), .integer(.max),
            .double(9_223_372_036_854_775_808), .unsigned(UInt64(1) << 63 + 1), .unsigned(.max),
            .double(18_446_744_073_709_551_616), .double(.infinity),
        ]
        for left in ordered.indices {
            for right in ordered.indices {
                let expected: VersionOrder.Result = left < right ? .older : left == right ? .same : .newer
                #expect(PayloadNumber.compare(ordered[left], ordered[right]) == expected, "\(left) \(right)")
            }
            #expect(PayloadNumber.compare(ordered[left], .double(.nan)) == nil)
        }
        #expect(PayloadNumber.integer(.min) == .double(-9_223_372_036_854_775_808))
        #expect(PayloadNumber(UInt64(5)) == .integer(5))
    }

    @Test func `whole numbers are taken from doubles exactly as the standard library does`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        let edges: [Double] = [
            0, -0.0, 0.5, -0.5, 0x1p53, 0x1p63, -0x1p63, 0x1p64, -0x1.0000000000001p63, 0x1.fffffffffffffp62,
            0x1.fffffffffffffp63, .nan, .infinity, -.infinity, 5e-308, -1,
        ]
        let random = (0..<10_000).map { _ in
            Double(bitPattern: generator.next()) * [1, 1e10, 1e-10].randomElement(using: &generator)!
        }
        for number in edges + random + random.map({ $0.rounded() }) {
            #expect(Int64(whole: number) == Int64(exactly: number), "\(number) seed \(seed)")
            #expect(UInt64(whole: number) == UInt64(exactly: number), "\(number) seed \(seed)")
        }
    }

    @Test func `equality of shuffled maps holds and of changed ones does not`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        func random(_ depth: Int) -> JSON {
            switch Int.random(in: 0..<(depth > 0 ? 6 : 4), using: &generator) {
            case 0: return .null
            case 1: return .bool(Bool.random(using: &generator))
            case 2: return .number("\(Int.random(in: -3...3, using: &generator))")
            case 3: return .string(["", "a", "日"].randomElement(using: &generator)!)
            case 4: return .array((0..<3).map { _ in random(depth - 1) })
            default:
                let names = ["a", "b", "c", "d"].shuffled(using: &generator).prefix(3)
                return .object(names.map { JSON.Member(name: $0, value: random(depth - 1)) })
            }
        }
        func shuffled(_ json: JSON) -> JSON {
            switch json {
            case .array(let elements): .array(elements.map(shuffled))
            case .object(let members):
                .object(
                    members.map { JSON.Member(name: $0.name, value: shuffled($0.value)) }.shuffled(using: &generator))
            case .null, .bool, .number, .string: json
            }
        }
        /// One text per content.
        func canonical(_ json: JSON) -> String {
            switch json {
            case .null: "null"
            case .bool(let bool): "\(bool)"
            case .number(let digits): digits
            case .string(let text): "'\(text)'"
            case .array(let elements): "[\(elements.map(canonical).joined(separator: ","))]"
            case .object(let members):
                "{\(members.map { "\($0.name):\(canonical($0.value))" }.sorted().joined(separator: ","))}"
            }
        }
        for _ in 0..<2_000 {
            let (left, right) = (random(3), random(3))
            #expect(
                Self.equal(left.messagePack(), shuffled(left).messagePack(.officialClient)), "seed \(seed)")
            #expect(
                Self.equal(left.messagePack(), right.messagePack(.widest)) == (canonical(left) == canonical(right)),
                "seed \(seed)")
        }
    }

    // MARK: Reading

    @Test(arguments: [
        [0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0], [0xdf, 0xff, 0xff, 0xff, 0xff, 0xc0],
        [0xdb, 0xff, 0xff, 0xff, 0xff, 0x61],
        [0xc6, 0xff, 0xff, 0xff, 0xff, 0], [0xc9, 0xff, 0xff, 0xff, 0xff, 1], [0xc1], [], [0xa2, 0x61], [0x81, 0xa1],
        [0xcb, 0, 0], [0xd8, 1, 2],
    ])
    func `declared lengths that lie end the reading (M06)`(bytes: [UInt8]) {
        bytes.withUnsafeBytes { #expect(PayloadValue($0) == nil) }
    }

    @Test func `nesting without end is walked without a stack, and looks equal to nothing (M05)`() {
        let deep = [UInt8](repeating: 0x91, count: 500_000) + [0xc0]
        deep.withUnsafeBytes { bytes in
            var reader = PayloadReader(bytes)
            #expect(reader.skipValue()?.count == deep.count && reader.isAtEnd)
        }
        let tooDeep = [UInt8](repeating: 0x91, count: ModelLimits.valueDepthMax + 1) + [0xc0]
        #expect(!Self.equal(tooDeep, tooDeep))
        let deepest = [UInt8](repeating: 0x91, count: ModelLimits.valueDepthMax) + [0xc0]
        #expect(Self.equal(deepest, deepest))
    }

    @Test func `random bytes never trap a reader, a comparison or a text (M07)`() {
        let seed = UInt64.random(in: 0...(.max))
        var generator = SeededGenerator(state: seed)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...24, using: &generator)).map { _ in
                // Container headers often, so that the walks go somewhere.
                Bool.random(using: &generator)
                    ? UInt8.random(in: 0x80...0x94, using: &generator) : UInt8.random(in: 0...255, using: &generator)
            }
            #expect(Self.equal(bytes, bytes) || true)
            _ = Self.text(bytes)
        }
    }

    // MARK: ECMAScript

    @Test(
        arguments: [
            ("1e21", "1e+21"), ("1e20", "100000000000000000000"), ("123456789012345680000", "123456789012345680000"),
            ("1e-6", "0.000001"), ("1e-7", "1e-7"), ("1.5e-7", "1.5e-7"), ("0.1", "0.1"), ("-0.0", "0"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"), ("1e23", "1e+23"),
            ("9007199254740993", "9007199254740992"),
            ("0.30000000000000004", "0.30000000000000004"), ("100", "100"), ("-1.5", "-1.5"), ("4.35", "4.35"),
            ("1e300", "1e+300"),
            ("nan", "NaN"), ("inf", "Infinity"), ("-inf", "-Infinity"), ("18014398509481982", "18014398509481982"),
            ("2.2250738585072014e-308", "2.2250738585072014e-308"), ("0.00001234", "0.00001234"),
            ("12345.678", "12345.678"),
        ])
    func `doubles print as ECMAScript prints them`(number: String, text: String) throws {
        #expect(Self.text(Self.double(try #require(Double(number)))) == text)
    }

    @Test func `integers beyond 2^53 print as the double that a JavaScript client holds`() {
        #expect(Self.text([0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) == "18446744073709552000")
        #expect(Self.text([0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0]) == "-9223372036854776000")
        #expect(Self.text([0xcf, 0, 0x20, 0, 0, 0, 0, 0, 1]) == "9007199254740992")
        #expect(
            Self.text([0xca, 0x3d, 0xcc, 0xcc, 0xcd]) == "0.10000000149011612", "a float32 is the double it equals")
    }

    @Test func `bytes print as a map of their indices in text order`() {
        let bytes: [UInt8] = [0xc4, 11] + (0..<11).map { $0 + 100 }
        #expect(
            Self.text(bytes)
                == #"{"0":100,"1":101,"10":110,"2":102,"3":103,"4":104,"5":105,"6":106,"7":107,"8":108,"9":109}"#)
        #expect(
            Self.text([0x82, 0xa1, 0x31, 0xc4, 2, 7, 8, 0xa1, 0x62, 0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0])
                == #"{"1":{"1":8},"b":null}"#)
    }
}
