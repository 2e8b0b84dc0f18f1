// libFuzzer target: any bytes, to everything that reads frames. Built by run.sh, together with the sources, as one module.
//
// Beyond not crashing under ASan it checks three things: what was decoded comes back from its own encoding, hot path and
// messages agree on what an operation frame is, and what is kept is never more than eight times the input.

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzFrame(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let frame = UnsafeRawBufferPointer(start: start, count: count)
    var operations: [OperationView] = []
    // The first frame of a process sets up what stays.
    let before = allocatedBytes()
    let isOperations = decodeOperations(frame, into: &operations)
    checkGrowth(since: before, count, "operations")
    for operation in operations where operation.refusal == nil { checkAccepted(operation) }

    let beforeClient = allocatedBytes()
    if let message = decodeClient(frame) {
        checkGrowth(since: beforeClient, count, "client message")
        let sink = ByteSink()
        message.encode(into: sink)
        let again = ByteSink()
        decodeClient(sink.bytes)?.encode(into: again)
        guard again.bytes.elementsEqual(sink.bytes) else { fatalError("a client message does not come back") }
        if case .batch(let batch) = message { decodeBatch(batch) }
        if !isOperations, isOperationMessage(message) {
            checkDuplicateType(frame)
        }
    }
    let beforeServer = allocatedBytes()
    if let message = decodeServer(frame) {
        checkGrowth(since: beforeServer, count, "server message")
        let sink = ByteSink()
        message.encode(into: sink)
        let again = ByteSink()
        decodeServer(sink.bytes)?.encode(into: again)
        guard again.bytes.elementsEqual(sink.bytes) else { fatalError("a server message does not come back") }
    }
    return 0
}

// MARK: - Decoding

private func decodeOperations(_ frame: UnsafeRawBufferPointer, into operations: inout [OperationView]) -> Bool {
    do throws(WireError) {
        return try OperationDecoder.decode(frame, into: &operations) == .operations
    } catch {
        guard operations.isEmpty else { fatalError("operations of a refused frame") }
        return false
    }
}

private func decodeClient(_ frame: UnsafeRawBufferPointer) -> ClientMessage? {
    do throws(WireError) { return try ClientMessage.decode(frame) } catch { return nil }
}

private func decodeServer(_ frame: UnsafeRawBufferPointer) -> ServerMessage? {
    do throws(WireError) { return try ServerMessage.decode(frame) } catch { return nil }
}

private func decodeBatch(_ batch: Batch) {
    batch.data.withUnsafeBytes { data in
        do throws(WireError) { _ = try BatchContent.messages(fromClient: data) } catch {}
        do throws(WireError) { _ = try BatchContent.messages(fromServer: data) } catch {}
    }
}

// MARK: - Checks

/// What an accepted operation promises to those who merge it.
private func checkAccepted(_ operation: OperationView) {
    guard operation.map.count > 0, operation.map.count <= WireLimits.mapNameBytesMax,
        operation.key.count <= WireLimits.keyBytesMax, operation.millis >= 0,
        operation.millis <= ModelLimits.millisMax, operation.ttlMillis >= 0, operation.value.count > 0,
        isUTF8(operation.map), isUTF8(operation.key), isUTF8(operation.node), isUTF8(operation.tag)
    else { fatalError("an operation was accepted that must not be") }
    var reader = MessagePackReader(operation.value)
    do throws(MessagePackError) {
        try reader.skipValue()
    } catch {
        fatalError("a value was accepted that cannot be read")
    }
    guard reader.isAtEnd else { fatalError("a value with bytes behind it") }
    if operation.kind == .remove || operation.kind == .orRemove {
        guard operation.value.count == 1, operation.value[0] == 0xc0 else { fatalError("a removal with a value") }
    }
}

private func isOperationMessage(_ message: ClientMessage) -> Bool {
    switch message {
    case .operation, .operations: true
    default: false
    }
}

/// The hot path may only miss an operation frame whose first `type` names something else.
private func checkDuplicateType(_ frame: UnsafeRawBufferPointer) {
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
    guard types > 1 else { fatalError("the hot path missed an operation frame") }
}

@_silgen_name("__sanitizer_get_current_allocated_bytes")
private func allocatedBytes() -> Int

private func checkGrowth(since before: Int, _ count: Int, _ what: StaticString) {
    // What a frame of any size may cost: a list's first capacity, a type's metadata.
    let allowance = 128 * 1024
    guard allocatedBytes() - before <= 8 * count + allowance else {
        fatalError("\(what): more than eight times the input")
    }
}
