import GoldenVectors
import Testing
import TopGunModel
import TopGunWire

/// The golden frames of protocol.md 15 (V06).
struct FrameVectorTests {
    @Test(arguments: GoldenFrame.fromClient)
    func `every frame of the official client decodes to its value`(_ frame: GoldenFrame) throws {
        let message = try ClientMessage(frame.bytes)
        #expect(Tree(message.encoded) == expected(frame.decoded))
        #expect(try ClientMessage(message.encoded) == message)
    }

    @Test(arguments: GoldenFrame.fromServer)
    func `every frame of the server decodes, and encodes to the same bytes`(_ frame: GoldenFrame) throws {
        let message = try ServerMessage(frame.bytes)
        #expect(hex(message.encoded) == hex(frame.bytes))
        #expect(Tree(message.encoded) == Tree(frame.decoded))
    }

    @Test func `all frames are there`() {
        #expect(GoldenFrame.fromClient.count == 50)
        #expect(GoldenFrame.fromServer.count > 50)
    }

    @Test(arguments: JSON.Form.allCases)
    func `every message of the recorded conversations decodes in every form`(_ form: JSON.Form) throws {
        for scenario in try JSON.vectors("transcripts")["scenarios"].elements {
            for message in scenario["messages"].elements where message.member("msg") != nil {
                let frame = message["msg"].messagePack(form)
                if message["from"].text == "client" {
                    #expect(Tree(try ClientMessage(frame).encoded) == expected(message["msg"]))
                } else {
                    #expect(Tree(try ServerMessage(frame).encoded) == Tree(message["msg"]))
                }
            }
        }
    }

    @Test func `a batch decodes in either direction and a broken one does not`() throws {
        let vectors = try JSON.vectors("batch")
        for (direction, isFromClient) in [("toServer", true), ("toClient", false)] {
            let vector = vectors[direction]
            let frame = bytes(hex: vector["frame"].text)
            let data = try batchData(frame, isFromClient: isFromClient)
            #expect(hex(data) == vector["data"].text)
            let inner = try messages(data, isFromClient: isFromClient)
            #expect(inner.map { hex($0) } == vector["inner"].elements.map { $0.text })
            let sink = ByteSink()
            withViews(inner) { views in
                if isFromClient {
                    BatchContent.append(forServer: views, to: sink)
                } else {
                    BatchContent.append(forClient: views, to: sink)
                }
            }
            #expect(hex(Array(sink.bytes)) == vector["data"].text)
        }
        for broken in vectors["reject"].elements {
            #expect(throws: WireError.self) { try messages(bytes(hex: broken["data"].text), isFromClient: true) }
        }
    }

    @Test func `a batch in a batch, one that lies and one that holds too much are refused`() throws {
        let inner = bytes(hex: try JSON.vectors("batch")["toServer"]["frame"].text)
        #expect(throws: WireError.self) {
            try messages([0, 0, 0, UInt8(inner.count)] + inner, isFromClient: true)
        }
        #expect(throws: WireError.self) { try messages([0xff, 0xff, 0xff, 0xff], isFromClient: true) }
        #expect(throws: WireError.self) { try messages([0xff, 0xff, 0xff, 0xff], isFromClient: false) }
        let tiny = [UInt8](repeating: 0, count: 4 * 8193)
        #expect(throws: WireError(.tooLarge, field: "data")) { try messages(tiny, isFromClient: true) }
    }

    private func batchData(_ frame: [UInt8], isFromClient: Bool) throws -> [UInt8] {
        if isFromClient {
            guard case .batch(let batch) = try ClientMessage(frame) else { return [] }
            return batch.data
        }
        guard case .batch(let batch) = try ServerMessage(frame) else { return [] }
        return batch.data
    }

    private func messages(_ data: [UInt8], isFromClient: Bool) throws -> [[UInt8]] {
        try decoded(data) { (data) throws(WireError) in
            let views =
                isFromClient ? try BatchContent.messages(fromClient: data) : try BatchContent.messages(fromServer: data)
            return views.map { Array($0) }
        }
    }

    private func withViews(_ messages: [[UInt8]], _ body: ([UnsafeRawBufferPointer]) -> Void) {
        let copies = messages.map { message in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: message.count, alignment: 1)
            memory.copyBytes(from: message)
            return memory
        }
        body(copies.map { UnsafeRawBufferPointer($0) })
        for copy in copies { copy.deallocate() }
    }
}

/// What a client's message says, without what the protocol tells us to ignore and in the one form that we write.
private func expected(_ json: JSON) -> Tree {
    var tree = Tree(json)
    guard var payload = tree["payload"] else { return tree }
    switch json["type"].text {
    case "OP_BATCH":
        let operations = payload["ops"]?.elements ?? []
        payload["ops"] = .list(
            operations.map { operation in
                var operation = operation
                operation["timestamp"] = nil
                operation["synced"] = nil
                return operation
            })
    case "QUERY_SUB":
        if var query = payload["query"] {
            query["fields"] = nil
            query["sort"] = orders(query["sort"])
            payload["query"] = query
        }
    case "HYBRID_QUERY_SUBSCRIBE": payload["sort"] = orders(payload["sort"])
    case "VECTOR_SEARCH", "HYBRID_SEARCH": payload["queryVector"] = vector(payload["queryVector"])
    default: break
    }
    tree["payload"] = payload
    return tree
}

/// A list of pairs, of whatever was there.
private func orders(_ tree: Tree?) -> Tree? {
    switch tree {
    case .map(let map):
        return .list(map.map { .map([Array("field".utf8): .text($0.key), Array("direction".utf8): $0.value]) })
    case .list(let elements):
        return .list(
            elements.map { element in
                if case .map? = element["direction"] { return element["direction"] ?? element }
                return element
            })
    default: return tree
    }
}

/// The bytes of an index-keyed map.
private func vector(_ tree: Tree?) -> Tree? {
    guard case .map(let map)? = tree else { return tree }
    var bytes: [UInt8] = []
    for index in 0..<map.count {
        guard case .number(let byte)? = map[Array("\(index)".utf8)] else { return tree }
        bytes.append(UInt8(byte))
    }
    return .binary(bytes)
}
