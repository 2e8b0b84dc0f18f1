import GoldenVectors
import Testing
import TopGunModel
import TopGunWire

/// The hot path: frames of operations as views.
struct OperationDecoderTests {
    @Test(arguments: GoldenFrame.fromClient)
    func `views say what the message says`(_ frame: GoldenFrame) throws {
        switch try ClientMessage(frame.bytes) {
        case .operations(let batch): #expect(try operations(frame.bytes) == batch.operations.map { copied($0) })
        case .operation(let operation): #expect(try operations(frame.bytes) == [copied(operation)])
        default: #expect(try operations(frame.bytes) == nil)
        }
    }

    @Test(arguments: JSON.Form.allCases)
    func `every form and order of a write gives the same view`(_ form: JSON.Form) throws {
        let plain =
            #"{"mapName": "m", "key": "k", "opType": "PUT", "id": "7", "record": {"value": 1, "timestamp": {"millis": 5, "counter": 2, "nodeId": "n"}, "ttlMs": 9}}"#
        let turned =
            #"{"record": {"ttlMs": 9, "timestamp": {"nodeId": "n", "counter": 2, "millis": 5}, "value": 1}, "id": "7", "unknown": [[]], "key": "k", "opType": "PUT", "mapName": "m"}"#
        for text in [plain, turned] {
            let operation = try #require(try single(text, form).first)
            #expect(operation.refusal == nil)
            #expect(operation.id == 7)
            #expect(operation.timestamp == Timestamp(millis: 5, counter: 2, node: "n"))
            #expect(operation.ttlMillis == 9)
            #expect(operation.kind == .put)
        }
    }

    @Test(
        arguments: [
            ("NaN", [0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]), ("infinity", [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]),
            ("1e300", [0xcb, 0x7e, 0x37, 0xe4, 0x3c, 0x88, 0x00, 0x75, 0x9c]),
            ("1.5", [0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]),
            ("a negative", [0xff]), ("2^53", [0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0]), ("a text", [0xa1, 0x31]),
            ("nil", [0xc0]),
            ("2^64 - 1", [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), ("a list", [0x91, 0x01]),
        ] as [(String, [UInt8])])
    func `a stamp that is no whole number in range refuses that operation alone, M07`(
        _ name: String, _ millis: [UInt8]
    ) throws {
        let views = try #require(try operations(batch([write(millis: millis), write(millis: [5])])))
        #expect(views.map { $0.refusal } == [.badStamp, nil])
        #expect(views.map { $0.id } == [1, 1])
        #expect(views[1].timestamp.millis == 5)
    }

    @Test func `a batch-level concern holds where an operation names none`() throws {
        let text =
            #"{"type": "OP_BATCH", "payload": {"ops": [\#(put("a")), \#(put("b", #", "writeConcern": "MEMORY""#))], "writeConcern": "PERSISTED", "timeout": 70}}"#
        let views = try #require(try operations(JSON(text).messagePack()))
        #expect(views.map { $0.concern } == [.persisted, .memory])
        #expect(views.map { $0.timeoutMillis } == [70, 70])
    }

    @Test(arguments: [
        #""writeConcern": "SOON""#, #""writeConcern": 7"#, #""writeConcern": {"a": []}"#, #""timeout": -1"#,
        #""timeout": "x""#, #""timeout": 0.5"#, #""writeConcern": "SOON", "timeout": -1"#,
    ])
    func `a batch-level term that nobody knows refuses the operations that it holds for, and no others`(
        _ terms: String
    ) throws {
        let own = #", "writeConcern": "MEMORY", "timeout": 5"#
        for order in [
            #""ops": [\#(put("a")), \#(put("b", own))], \#(terms)"#,
            #"\#(terms), "ops": [\#(put("a")), \#(put("b", own))]"#,
        ] {
            let views = try #require(
                try operations(JSON(#"{"type": "OP_BATCH", "payload": {\#(order)}}"#).messagePack()))
            #expect(views.map { $0.refusal } == [.badRequest, nil], "\(order)")
            #expect(views.map { $0.concern } == [nil, .memory])
        }
        let mended = #"\#(terms), "writeConcern": null, "timeout": null, "ops": [\#(put("a"))]"#
        let views = try #require(
            try operations(JSON(#"{"type": "OP_BATCH", "payload": {\#(mended)}}"#).messagePack()))
        #expect(views.map { $0.refusal } == [nil], "of duplicate fields the last one counts")
    }

    @Test func `an operation names its own terms`() throws {
        let more =
            #", "writeConcern": "MEMORY", "timeout": 9, "fencingToken": 12, "id": null, "timeouts": 1, "timestamq": 2"#
        let operation = try #require(try single(put("k", more)).first)
        #expect(operation.concern == .memory)
        #expect(operation.timeoutMillis == 9)
        #expect(operation.fencingToken == 12)
        #expect(operation.refusal == nil)
        for bad in [
            #""writeConcern": "ALWAYS""#, #""timeout": -1"#, #""fencingToken": 0.5"#, #""mapName": 7"#, #""key": []"#,
        ] {
            #expect(try single(put("k", ", " + bad)).first?.refusal == .badRequest, "\(bad)")
        }
    }

    @Test func `the kind follows from the content where the word is missing or unknown`() throws {
        let stamp = #"{"millis": 1, "counter": 0, "nodeId": "n"}"#
        let cases: [(String, OperationView.Kind, Refusal?)] = [
            (#""record": {"value": 1, "timestamp": \#(stamp)}"#, .put, nil),
            (#""opType": "SOMETHING", "record": {"value": 1, "timestamp": \#(stamp)}"#, .put, nil),
            (#""record": {"value": null, "timestamp": \#(stamp)}"#, .remove, nil),
            (#""opType": "PUT", "record": {"timestamp": \#(stamp)}"#, .remove, nil),
            (#""opType": "REMOVE", "record": {"value": 5, "timestamp": \#(stamp)}"#, .remove, nil),
            (#""record": null, "timestamp": \#(stamp)"#, .remove, nil),
            (#""orRecord": {"value": 1, "timestamp": \#(stamp), "tag": "t"}"#, .orAdd, nil),
            (#""orRecord": {"value": 1, "timestamp": \#(stamp)}"#, .orAdd, .badRequest),
            (#""orTag": "t", "timestamp": \#(stamp)"#, .orRemove, nil),
            (#""opType": "OR_REMOVE""#, .orRemove, .badRequest),
            (#""opType": "PUT""#, .put, .badRequest),
            (
                #""opType": "OR_ADD", "orRecord": {"value": 1, "timestamp": \#(stamp), "tag": "t"}, "record": {"value": 2, "timestamp": {}}"#,
                .orAdd, nil
            ),
        ]
        for (fields, kind, refusal) in cases {
            let operation = try #require(try single(#"{"mapName": "m", "key": "k", \#(fields)}"#).first)
            #expect(operation.kind == kind, "\(fields)")
            #expect(operation.refusal == refusal, "\(fields)")
            if kind != .put, kind != .orAdd { #expect(operation.value == .tombstone) }
            if refusal == nil {
                #expect(operation.timestamp == Timestamp(millis: 1, counter: 0, node: "n"), "\(fields)")
            }
        }
    }

    @Test func `names that nobody may use are refused`() throws {
        let cases: [(String, Refusal?)] = [
            ("", .badRequest), ("_topgun_users", .forbidden), ("__TopGun_x", .forbidden), ("_topgun", nil), ("_x", nil),
            (String(repeating: "m", count: 257), .tooLarge), ("a\u{0}b", .badRequest), ("ä", nil),
        ]
        for (name, refusal) in cases {
            var operation = write(millis: [1], map: Array(name.utf8))
            #expect(try operations(batch([operation]))?.first?.refusal == refusal, "\(name)")
            operation = write(millis: [1], key: Array(name.utf8))
            let isKeyFine = !name.utf8.contains(0)
            #expect((try operations(batch([operation]))?.first?.refusal == nil) == isKeyFine, "\(name)")
        }
        let long = write(millis: [1], key: [UInt8](repeating: 0x61, count: 4097))
        #expect(try operations(batch([long]))?.first?.refusal == .tooLarge)
    }

    @Test(
        arguments: [
            [0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe0, 0x80, 0x80], [0xc3], [0x80],
            [0xf8],
            Array("eight or more".utf8) + [0xc1, 0xbf],
        ] as [[UInt8]])
    func `keys and names that are no UTF-8 are refused, M08`(_ text: [UInt8]) throws {
        for operation in [write(millis: [1], key: text), write(millis: [1], map: text), write(millis: [1], node: text)]
        {
            let views = try #require(try operations(batch([operation, write(millis: [1])])))
            #expect(views[0].refusal == .badRequest || views[0].refusal == .badStamp)
            #expect(views[1].refusal == nil)
        }
    }

    @Test func `a value that nests too deep refuses its operation and no other, M05`() throws {
        for (depth, refusal) in [(64, nil), (65, .tooLarge), (500_000, .tooLarge)] as [(Int, Refusal?)] {
            let value = [UInt8](repeating: 0x91, count: depth) + [0x01]
            let views = try #require(try operations(batch([write(millis: [1], value: value), write(millis: [1])])))
            #expect(views.map { $0.refusal } == [refusal, nil], "\(depth)")
        }
    }

    @Test func `of duplicate fields the last one counts`() throws {
        let stamp = #"{"millis": 1, "millis": 2, "counter": 0, "nodeId": "n"}"#
        let text =
            #"{"mapName": "a", "mapName": "m", "key": "k", "id": "1", "id": "2", "record": {"value": 1, "value": 2, "timestamp": \#(stamp)}}"#
        let operation = try #require(try single(text).first)
        #expect(operation.map == "m")
        #expect(operation.id == 2)
        #expect(operation.value == Payload([2]))
        #expect(operation.timestamp.millis == 2)
        let twice =
            #"{"payload": 3, "type": "OP_BATCH", "payload": {"ops": [\#(put("a"))]}, "payload": {"ops": [\#(put("b"))]}}"#
        #expect(try operations(JSON(twice).messagePack())?.map { $0.key } == ["b"])
    }

    @Test func `ids are decimal numbers of 64 bits`() throws {
        let cases: [(String, UInt64?)] = [
            (#""0""#, 0), (#""18446744073709551615""#, UInt64.max), (#""18446744073709551616""#, nil), (#""""#, nil),
            (#""-1""#, nil),
            (#""1a""#, nil), (#""unknown""#, nil), ("7", nil),
        ]
        for (id, number) in cases {
            let operation = try #require(try single(put("k", #", "id": \#(id)"#)).first)
            #expect(operation.id == number, "\(id)")
            #expect((operation.refusal == nil) == (number != nil), "\(id)")
        }
        #expect(try single(put("k")).first?.refusal == nil)
    }

    @Test func `elements that are no operations are refused one by one`() throws {
        let text =
            #"{"type": "OP_BATCH", "payload": {"ops": [\#(put("a")), 5, null, \#(put("c")), "x", {}, \#(put("b"))]}}"#
        let views = try #require(try operations(JSON(text).messagePack()))
        #expect(views.map { $0.refusal } == [nil, .badRequest, .badRequest, nil, .badRequest, .badRequest, nil])
    }

    @Test func `a frame that cannot be walked adds nothing to the list`() throws {
        let frame = batch([write(millis: [1]), write(millis: [1])])
        try decoded(frame) { (bytes) throws(WireError) in
            var views = [OperationView(), OperationView()]
            #expect(throws: WireError.self) {
                try OperationDecoder.decode(UnsafeRawBufferPointer(rebasing: bytes.dropLast()), into: &views)
            }
            #expect(views.count == 2)
            #expect(try OperationDecoder.decode(bytes, into: &views) == .operations)
            #expect(views.count == 4)
        }
    }

    // MARK: Making frames

    private func put(_ key: String, _ more: String = "") -> String {
        #"{"mapName": "m", "key": "\#(key)", "record": {"value": 1, "timestamp": {"millis": 1, "counter": 0, "nodeId": "n"}}\#(more)}"#
    }

    private func single(_ operation: String, _ form: JSON.Form = .shortest) throws -> [CopiedOperation] {
        let frame = JSON(#"{"type": "CLIENT_OP", "payload": \#(operation)}"#).messagePack(form)
        return try #require(try operations(frame))
    }

    private func copied(_ operation: ClientOperation) -> CopiedOperation {
        var view = CopiedOperation(OperationView())
        view.kind = operation.kind
        view.id = operation.id
        view.map = operation.mapName
        view.key = operation.key
        view.concern = operation.concern
        switch operation.change {
        case .put(let record):
            view.value = record.value
            view.timestamp = record.timestamp
            view.ttlMillis = record.ttlMillis
        case .orAdd(let record):
            view.value = record.value
            view.timestamp = record.timestamp
            view.ttlMillis = record.ttlMillis
            view.tag = record.tag
        case .orRemove(let tag):
            view.value = .tombstone
            view.tag = tag
            // The official client's tag is the stamp of the add, and its own stamp stands beside it.
            view.timestamp =
                Timestamp(text: tag).map { Timestamp(millis: $0.millis + 10, counter: 0, node: $0.node) }
                ?? view.timestamp
        }
        return view
    }
}

/// The bytes of a text.
func text(_ utf8: [UInt8]) -> [UInt8] {
    [0xda, UInt8(utf8.count >> 8), UInt8(utf8.count & 0xff)] + utf8
}

private func name(_ word: String) -> [UInt8] { text(Array(word.utf8)) }

/// One write with id 1, its parts as raw bytes.
func write(
    millis: [UInt8], map: [UInt8] = [0x6d], key: [UInt8] = [0x6b], node: [UInt8] = [0x6e], value: [UInt8] = [0x01]
) -> [UInt8] {
    let stamp = [0x83] + name("millis") + millis + name("counter") + [0x00] + name("nodeId") + text(node)
    let record = [0x82] + name("value") + value + name("timestamp") + stamp
    return [0x84] + name("mapName") + text(map) + name("key") + text(key) + name("record") + record + name("id")
        + name("1")
}

func batch(_ operations: [[UInt8]]) -> [UInt8] {
    [0x82] + name("type") + name("OP_BATCH") + name("payload") + [0x81] + name("ops") + [0x90 | UInt8(operations.count)]
        + operations.flatMap { $0 }
}
