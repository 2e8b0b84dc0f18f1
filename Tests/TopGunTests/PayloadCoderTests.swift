import Foundation
import Testing
import TopGun
import TopGunModel

@Suite struct PayloadCoderTests {
    struct Todo: Codable, Equatable {
        var title: String
        var done = false
        var priority: Int?
        var tags: [String] = []
    }

    struct Everything: Codable, Equatable {
        var int8 = Int8.min
        var uint64 = UInt64.max
        var int64 = Int64.min
        var double = 0.1
        var float: Float = 0.5
        var whole = 3.0
        var text = "h\u{e9}llo \u{1F600}\0"
        var data = Data([0, 1, 255])
        var date = Date(timeIntervalSince1970: 1_700_000_000.125)
        var url = URL(string: "https://example.org/a?b=c")
        var uuid = UUID(uuidString: "E621E1F8-C36C-495A-93FC-0C247A3E6E5F")
        var nothing: Int?
        var nested: [String: [Int?]] = ["a": [1, nil, 3]]
        var byNumber: [Int: String] = [7: "seven"]
        var set: Set<Int> = [5]
        var choice = Choice.second(count: 2)
        var long = Array(0..<70000)
    }

    enum Choice: Codable, Equatable {
        case first
        case second(count: Int)
    }

    private func bytes(_ value: some Encodable) throws -> [UInt8] { try PayloadEncoder.encode(value).bytes }

    private func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) throws -> Value {
        try PayloadDecoder.decode(type, from: Payload(bytes))
    }

    // MARK: Bytes

    @Test func `a struct becomes a map with its fields in order, and nil is left out`() throws {
        let todo = Todo(title: "milk", done: true)
        let expected: [UInt8] =
            [0x83, 0xa5] + Array("title".utf8) + [0xa4] + Array("milk".utf8) + [0xa4] + Array("done".utf8)
            + [0xc3, 0xa4] + Array("tags".utf8) + [0x90]
        #expect(try bytes(todo) == expected)
    }

    @Test func `numbers take the shortest form and keep their kind`() throws {
        #expect(try bytes(0) == [0])
        #expect(try bytes(-1) == [0xff])
        #expect(try bytes(128) == [0xcc, 128])
        #expect(try bytes(UInt64.max) == [0xcf] + [UInt8](repeating: 255, count: 8))
        #expect(try bytes(1.0) == [0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0])
        #expect(try bytes(Date(timeIntervalSince1970: 1.0004)) == [0xcd, 0x03, 0xe8])
        #expect(try bytes(Data([1, 2])) == [0xc4, 2, 1, 2])
        #expect(try bytes("\u{e9}") == [0xa2, 0xc3, 0xa9])
        #expect(try bytes([String]()) == [0x90])
    }

    @Test(arguments: [15, 16, 17, 65535, 65536]) func `headers are as short as the count allows`(_ count: Int) throws {
        let header = count < 16 ? 1 : count < 65536 ? 3 : 5
        let array = try bytes([Bool](repeating: true, count: count))
        #expect(array.count == header + count)
        #expect(array.dropFirst(header).allSatisfy { $0 == 0xc3 })
        let map = Dictionary(uniqueKeysWithValues: (0..<count).map { ("\($0)", $0) })
        #expect(try decode([String: Int].self, bytes(map)) == map)
    }

    // MARK: Round trips

    @Test func `every type that Codable knows comes back`() throws {
        let value = Everything()
        #expect(try decode(Everything.self, bytes(value)) == value)
        #expect(try decode(Int128.self, bytes(Int128(UInt64.max))) == Int128(UInt64.max))
        #expect(try decode([Todo?].self, bytes([Todo(title: "x"), nil])) == [Todo(title: "x"), nil])
    }

    @Test func `containers that are kept while others are written end up in their place`() throws {
        struct Interleaved: Codable, Equatable {
            var a = [1, 2]
            var b = 3
            var c = ["x": 4]

            init() {}

            enum Keys: String, CodingKey { case a, b, c, deep }

            func encode(to encoder: any Encoder) throws {
                var map = encoder.container(keyedBy: Keys.self)
                var first = map.nestedUnkeyedContainer(forKey: .a)
                try map.encode(b, forKey: .b)
                var deep = map.nestedUnkeyedContainer(forKey: .deep)
                var deeper = deep.nestedUnkeyedContainer()
                try deep.encode("end")
                try first.encode(a[0])
                try c.encode(to: map.superEncoder(forKey: .c))
                try deeper.encode(contentsOf: Array(0..<20))
                try first.encode(a[1])
            }

            init(from decoder: any Decoder) throws {
                let map = try decoder.container(keyedBy: Keys.self)
                a = try map.decode([Int].self, forKey: .a)
                b = try map.decode(Int.self, forKey: .b)
                c = try [String: Int](from: map.superDecoder(forKey: .c))
                var deep = try map.nestedUnkeyedContainer(forKey: .deep)
                var deeper = try deep.nestedUnkeyedContainer()
                for number in 0..<20 { #expect(try deeper.decode(Int.self) == number) }
                #expect(deeper.isAtEnd)
                #expect(try deep.decode(String.self) == "end")
            }
        }
        #expect(try decode(Interleaved.self, bytes([Interleaved()]).dropFirst().map { $0 }) == Interleaved())
    }

    @Test func `what an encode throws half-way is taken back, however it is caught`() throws {
        /// Writes the head of an array, an element, and throws.
        struct Half: Encodable {
            func encode(to encoder: any Encoder) throws {
                var array = encoder.unkeyedContainer()
                try array.encode("first")
                var nested = array.nestedUnkeyedContainer()
                try nested.encode(1)
                throw CancellationError()
            }
        }
        struct Tolerant: Encodable {
            enum Keys: String, CodingKey { case half, int, date, last, list, either, kept, under }

            func encode(to encoder: any Encoder) throws {
                var map = encoder.container(keyedBy: Keys.self)
                try? map.encode(Half(), forKey: .half)
                try? map.encode(Int128.max, forKey: .int)
                try? map.encode(Date(timeIntervalSince1970: 1e300), forKey: .date)
                var list = map.nestedUnkeyedContainer(forKey: .list)
                try? list.encode(Half())
                try? list.encode(Int128.max)
                #expect(list.count == 0)
                try list.encode(true)
                try map.encode(Either(), forKey: .either)
                try? Half().encode(to: map.superEncoder(forKey: .under))
                try map.encode(2, forKey: .last)
            }
        }
        struct Either: Encodable {
            func encode(to encoder: any Encoder) throws {
                var scalar = encoder.singleValueContainer()
                do { try scalar.encode(Int128.max) } catch {
                    do { try scalar.encode(Half()) } catch { try scalar.encode("else") }
                }
            }
        }
        let payload = try PayloadEncoder.encode(Tolerant())
        #expect(payload.isOneValue, "\(payload.bytes)")
        let value = try decode([String: OrderedValue].self, payload.bytes)
        #expect(Set(value.keys) == ["list", "either", "under", "last"])
        #expect(try value["list"] == decode(OrderedValue.self, [0x91, 0xc3]))
        #expect(try value["either"] == decode(OrderedValue.self, [0xa4] + Array("else".utf8)))
        struct Nothing: Encodable {
            func encode(to encoder: any Encoder) throws {
                var scalar = encoder.singleValueContainer()
                try? scalar.encode(Half())
            }
        }
        #expect(try bytes([Nothing()]) == [0x91, 0x80])
    }

    @Test func `a container that is asked for twice is the same one`() throws {
        struct Twice: Codable, Equatable {
            enum Keys: String, CodingKey { case inner, list, between }
            enum Inner: String, CodingKey { case a, b }
            var a = 1, b = 2, list = [3, 4]

            init() {}

            func encode(to encoder: any Encoder) throws {
                var map = encoder.container(keyedBy: Keys.self)
                var first = map.nestedContainer(keyedBy: Inner.self, forKey: .inner)
                try first.encode(a, forKey: .a)
                var numbers = map.nestedUnkeyedContainer(forKey: .list)
                try numbers.encode(list[0])
                try map.encode("between", forKey: .between)
                var second = map.nestedContainer(keyedBy: Inner.self, forKey: .inner)
                try second.encode(b, forKey: .b)
                var more = map.nestedUnkeyedContainer(forKey: .list)
                #expect(more.count == 1)
                try more.encode(list[1])
            }

            init(from decoder: any Decoder) throws {
                let map = try decoder.container(keyedBy: Keys.self)
                let inner = try map.nestedContainer(keyedBy: Inner.self, forKey: .inner)
                a = try inner.decode(Int.self, forKey: .a)
                b = try inner.decode(Int.self, forKey: .b)
                list = try map.decode([Int].self, forKey: .list)
            }
        }
        #expect(try bytes(Twice()).first == 0x83)
        #expect(try decode(Twice.self, bytes(Twice())) == Twice())
    }

    @Test func `every frame of the vectors decodes, and encodes to the same bytes`() throws {
        for file in ["frames-server", "frames-client"] {
            let frames = try Vectors.frames(file)
            #expect(frames.count > 30)
            for frame in frames {
                let value = try decode(OrderedValue.self, frame.bytes)
                let again = try bytes(value)
                if file == "frames-server" { #expect(again == frame.bytes, "\(frame.name)") }
                #expect(try decode(OrderedValue.self, again) == value, "\(frame.name)")
            }
        }
    }

    // MARK: What others write

    @Test func `numbers are taken in any form that holds them exactly`() throws {
        #expect(try decode(Int.self, [0xcb, 0x40, 0x14, 0, 0, 0, 0, 0, 0]) == 5)
        #expect(try decode(Int.self, [0xd3, 0, 0, 0, 0, 0, 0, 0, 5]) == 5)
        #expect(try decode(Double.self, [5]) == 5)
        #expect(try decode(Double.self, [0xca, 0x3f, 0x80, 0, 0]) == 1)
        #expect(throws: TopGunError.self) { try decode(Int.self, [0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]) }
        #expect(throws: TopGunError.self) { try decode(Int8.self, [0xcc, 200]) }
        #expect(throws: TopGunError.self) { try decode(UInt.self, [0xff]) }
        #expect(throws: TopGunError.self) { try decode(Int.self, [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]) }
        #expect(throws: TopGunError.self) { try decode(Int.self, [0xcb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0, 0x75, 0x9c]) }
    }

    @Test func `bytes are also taken as the forms that TypeScript makes of them`() throws {
        #expect(try decode(Data.self, [0x92, 1, 0xcc, 255]) == Data([1, 255]))
        #expect(try decode(Data.self, [0xde, 0, 2, 0xa1, 0x31, 9, 0xa1, 0x30, 8]) == Data([8, 9]))
        #expect(throws: TopGunError.self) { try decode(Data.self, [0x81, 0xa1, 0x37, 9]) }
        #expect(throws: TopGunError.self) { try decode(Data.self, [0x82, 0xa1, 0x30, 9, 0xa1, 0x30, 8]) }
    }

    @Test func `unknown fields are ignored, keys compared by bytes, and the last of two counts`() throws {
        struct Accent: Codable { var é: Int }
        let composed: [UInt8] = [0x81, 0xa2, 0xc3, 0xa9, 1]
        let decomposed: [UInt8] = [0x81, 0xa3, 0x65, 0xcc, 0x81, 1]
        let name = Array("\(#"é"#)".utf8)
        #expect(try decode(Accent.self, name.count == 2 ? composed : decomposed).é == 1)
        #expect(throws: TopGunError.self) { try decode(Accent.self, name.count == 2 ? decomposed : composed) }
        let twice: [UInt8] = [0x83, 0xa1, 0x78, 0x90, 0xa1, 0x61, 1, 0xa1, 0x61, 2]
        #expect(try decode([String: Int]?.self, [0xc0]) == nil)
        struct A: Codable { var a: Int }
        #expect(try decode(A.self, twice).a == 2)
    }

    @Test func `what is malformed throws and never traps`() throws {
        var generator = SystemRandomNumberGenerator()
        let good = try bytes(Everything())
        let seed = UInt64.random(in: .min ... .max, using: &generator)
        var random = SplitMix(state: seed)
        for _ in 0..<200 {
            var bad = Array(good.prefix(200))
            for _ in 0..<3 { bad[Int(random.next() % UInt64(bad.count))] = UInt8(truncatingIfNeeded: random.next()) }
            bad.removeLast(Int(random.next() % 100))
            _ = try? decode(Everything.self, bad)
            _ = try? decode(OrderedValue.self, bad)
            _ = try? decode([[String]].self, bad)
            _ = try? decode(Data.self, bad)
        }
        for bad in [
            [], [0xc1], [0xdf, 0xff, 0xff, 0xff, 0xff], [0xdd, 0xff, 0xff, 0xff, 0xff], [0xdb, 0xff], [0xcf, 1],
        ] {
            #expect(throws: TopGunError.self, "seed \(seed)") { try decode(OrderedValue.self, bad.map { UInt8($0) }) }
        }
    }

    // MARK: Limits

    @Test func `nil, too much and too deep are refused`() throws {
        #expect(code { _ = try bytes(Int?.none) } == .invalidValue)
        #expect(code { _ = try bytes(Data(count: 2 << 20)) } == .tooLarge)
        #expect(code { _ = try bytes(Date.distantFuture.addingTimeInterval(1e300)) } == .invalidValue)
        #expect(code { _ = try bytes(Nest(depth: 60)) } == nil)
        #expect(code { _ = try bytes(Nest(depth: 100)) } == .invalidValue)
        for depth in 62...66 {
            for value in [Deep(depth: depth, isDeferred: false), Deep(depth: depth, isDeferred: true)] {
                var isOneValue = false
                let code = code { isOneValue = try PayloadEncoder.encode(value).isOneValue }
                #expect(code == (depth > 64 ? .invalidValue : nil), "\(depth)")
                #expect(isOneValue == (depth <= 64), "\(depth)")
            }
        }
    }

    /// Arrays around a number, as deep as it says.
    final class Deep: Encodable {
        let depth: Int
        let isDeferred: Bool

        init(depth: Int, isDeferred: Bool) {
            self.depth = depth
            self.isDeferred = isDeferred
        }

        func encode(to encoder: any Encoder) throws {
            var array = encoder.unkeyedContainer()
            if depth == 1 { return try array.encode(1) }
            if !isDeferred { return try array.encode(Deep(depth: depth - 1, isDeferred: false)) }
            for _ in 1..<depth { array = array.nestedUnkeyedContainer() }
            try array.encode(1)
        }
    }

    private func code(_ body: () throws -> Void) -> TopGunError.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? TopGunError)?.code
        }
    }

    final class Nest: Encodable {
        let inner: Nest?
        init(depth: Int) { inner = depth > 1 ? Nest(depth: depth - 1) : nil }
    }
}

/// A generator whose seed a failure can print.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
