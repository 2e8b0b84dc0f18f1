import GoldenVectors
import TopGunModel
import TopGunWire

/// A frame of the vector files.
struct GoldenFrame: Sendable, CustomStringConvertible {
    var name: String
    var bytes: [UInt8]
    var decoded: JSON

    var description: String { name }

    static let fromClient = read("frames-client")
    static let fromServer = read("frames-server")

    private static func read(_ file: String) -> [GoldenFrame] {
        guard let vectors = try? JSON.vectors(file) else { preconditionFailure("no vectors \(file)") }
        return vectors["frames"].elements.map {
            GoldenFrame(
                name: $0["name"].text, bytes: TopGunWireTests.bytes(hex: $0["hex"].text), decoded: $0["decoded"])
        }
    }
}

extension ClientMessage {
    init(_ bytes: [UInt8]) throws(WireError) {
        self = try decoded(bytes) { (frame) throws(WireError) in try ClientMessage.decode(frame) }
    }

    var encoded: [UInt8] {
        let sink = ByteSink()
        encode(into: sink)
        return Array(sink.bytes)
    }
}

extension ServerMessage {
    init(_ bytes: [UInt8]) throws(WireError) {
        self = try decoded(bytes) { (frame) throws(WireError) in try ServerMessage.decode(frame) }
    }

    var encoded: [UInt8] {
        let sink = ByteSink()
        encode(into: sink)
        return Array(sink.bytes)
    }
}

/// Runs a decoder over memory that ends exactly where the frame does, so that a sanitizer sees a read behind it.
func decoded<Value>(
    _ bytes: [UInt8], _ decode: (UnsafeRawBufferPointer) throws(WireError) -> Value
) throws(WireError) -> Value {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
    defer { memory.deallocate() }
    memory.copyBytes(from: bytes)
    return try decode(UnsafeRawBufferPointer(memory))
}

/// An operation view with its bytes copied, for after the frame is gone.
struct CopiedOperation: Equatable {
    var kind: OperationView.Kind
    var id: UInt64?
    var map: ByteString
    var key: ByteString
    var value: Payload
    var timestamp: Timestamp
    var ttlMillis: Int64
    var tag: ByteString
    var concern: WriteConcern?
    var timeoutMillis: Int64?
    var fencingToken: Int64?
    var refusal: Refusal?

    init(_ view: OperationView) {
        kind = view.kind
        id = view.id
        map = ByteString(copying: view.map)
        key = ByteString(copying: view.key)
        value = Payload(copying: view.value)
        timestamp = Timestamp(millis: view.millis, counter: view.counter, node: ByteString(copying: view.node))
        ttlMillis = view.ttlMillis
        tag = ByteString(copying: view.tag)
        concern = view.concern
        timeoutMillis = view.timeoutMillis
        fencingToken = view.fencingToken
        refusal = view.refusal
    }
}

/// What the hot path makes of a frame; `nil` if it is none of its frames.
func operations(_ bytes: [UInt8]) throws(WireError) -> [CopiedOperation]? {
    try decoded(bytes) { (frame) throws(WireError) in
        var views: [OperationView] = []
        guard try OperationDecoder.decode(frame, into: &views) == .operations else { return nil }
        return views.map { CopiedOperation($0) }
    }
}
