import GoldenVectors
import TopGunModel
import TopGunWire

extension FuzzTarget {
    /// One frame, to everything that reads frames.
    ///
    /// What was decoded comes back from its own encoding, hot path and messages agree on what an operation frame is, and
    /// an accepted operation is what those who merge it rely on.
    static let frames = FuzzTarget(
        name: "frames",
        seeds: {
            let batch = try document("batch")
            return try vectors("frames-client") + vectors("frames-server")
                + ["toClient", "toServer"].map { bytes(hex: batch[$0]["frame"].text) }
        },
        words: words(
            "type", "payload", "OP_BATCH", "CLIENT_OP", "ops", "mapName", "opType", "key", "record", "value",
            "timestamp",
            "millis", "counter", "nodeId", "ttlMs", "orRecord", "orTag", "writeConcern", "id", "BATCH", "data", "count"),
        body: { FrameReading.check($0) })
}

private enum FrameReading {
    static func check(_ frame: UnsafeRawBufferPointer) {
        let (isOperations, operations) = Memory.bounded(frame.count, "operations") { decodeOperations(frame) }
        for operation in operations where operation.refusal == nil { checkAccepted(operation) }
        if let message = Memory.bounded(frame.count, "client message", { decodeClient(frame) }) {
            let sink = ByteSink()
            message.encode(into: sink)
            let again = ByteSink()
            decodeClient(sink.bytes)?.encode(into: again)
            expect(again.bytes.elementsEqual(sink.bytes), "a client message does not come back")
            if case .batch(let batch) = message { checkBatch(batch) }
            if !isOperations, isOperationMessage(message) { checkDuplicateType(frame) }
        }
        if let message = Memory.bounded(frame.count, "server message", { decodeServer(frame) }) {
            let sink = ByteSink()
            message.encode(into: sink)
            let again = ByteSink()
            decodeServer(sink.bytes)?.encode(into: again)
            expect(again.bytes.elementsEqual(sink.bytes), "a server message does not come back")
            if case .batch(let batch) = message { checkBatch(batch) }
        }
    }

    private static func decodeOperations(_ frame: UnsafeRawBufferPointer) -> (Bool, [OperationView]) {
        var operations: [OperationView] = []
        do throws(WireError) {
            return (try OperationDecoder.decode(frame, into: &operations) == .operations, operations)
        } catch {
            expect(operations.isEmpty, "operations of a refused frame")
            return (false, [])
        }
    }

    private static func decodeClient(_ frame: UnsafeRawBufferPointer) -> ClientMessage? {
        do throws(WireError) { return try ClientMessage.decode(frame) } catch { return nil }
    }

    private static func decodeServer(_ frame: UnsafeRawBufferPointer) -> ServerMessage? {
        do throws(WireError) { return try ServerMessage.decode(frame) } catch { return nil }
    }

    /// No batch lies in a batch, however it is read: whoever unpacks one never unpacks without end.
    private static func checkBatch(_ batch: Batch) {
        batch.data.withUnsafeBytes { data in
            do throws(WireError) {
                for message in try BatchContent.messages(fromClient: data) {
                    if case .batch? = decodeClient(message) { fatalError("a batch in a batch") }
                }
            } catch {}
            do throws(WireError) {
                for message in try BatchContent.messages(fromServer: data) {
                    if case .batch? = decodeServer(message) { fatalError("a batch in a batch") }
                }
            } catch {}
        }
    }

    /// What an accepted operation promises to those who merge it.
    private static func checkAccepted(_ operation: OperationView) {
        expect(
            operation.map.count > 0 && operation.map.count <= WireLimits.mapNameBytesMax
                && operation.key.count <= WireLimits.keyBytesMax && operation.millis >= 0
                && operation.millis <= ModelLimits.millisMax && operation.ttlMillis >= 0 && operation.value.count > 0
                && isUTF8(operation.map) && isUTF8(operation.key) && isUTF8(operation.node) && isUTF8(operation.tag),
            "an operation was accepted that must not be")
        var reader = MessagePackReader(operation.value)
        do throws(MessagePackError) {
            try reader.skipValue()
        } catch {
            fatalError("a value was accepted that cannot be read")
        }
        expect(reader.isAtEnd, "a value with bytes behind it")
        if operation.kind == .remove || operation.kind == .orRemove {
            expect(operation.value.count == 1 && operation.value[0] == 0xc0, "a removal with a value")
        }
    }

    private static func isOperationMessage(_ message: ClientMessage) -> Bool {
        switch message {
        case .operation, .operations: true
        default: false
        }
    }

    /// The hot path may only miss an operation frame whose first `type` names something else.
    private static func checkDuplicateType(_ frame: UnsafeRawBufferPointer) {
        var types = 0
        var reader = MessagePackReader(frame)
        do throws(MessagePackError) {
            for _ in 0..<(try reader.readMapCount()) {
                if try reader.peekKind() == .string {
                    let name = try reader.readString()
                    if name.elementsEqual("type".utf8) { types += 1 }
                } else {
                    try reader.skipValueOfAnyDepth()
                }
                try reader.skipValueOfAnyDepth()
            }
        } catch {
            fatalError("a decoded frame cannot be walked")
        }
        expect(types > 1, "the hot path missed an operation frame")
    }
}
