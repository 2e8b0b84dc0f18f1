import NIOCore
import Synchronization
import TopGunEnvironment
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// The client's end of a connection that exists in memory only: everything the gateway sent and flushed, in order.
final class TestClient: Sendable {
    let connection = TestConnection()
    private let gateway: Gateway
    private let loop: any Loop
    private let session = Shared<SessionID?>(nil)

    init(gateway: Gateway, loop: any Loop) {
        self.gateway = gateway
        self.loop = loop
    }

    func open() {
        loop.execute { [self] in
            let id = gateway.assumeIsolated { $0.opened(connection, peer: PeerInfo(address: "test")) }
            session.with { $0 = id }
        }
    }

    /// One read of the socket with these messages in it; handled once the world runs on.
    func send(_ messages: ClientMessage...) {
        send(
            frames: messages.map { message in
                let sink = ByteSink()
                message.encode(into: sink)
                return Array(sink.bytes)
            })
    }

    func send(frames: [[UInt8]]) {
        loop.execute { [self] in
            guard let id = session.with({ $0 }), connection.closeCode == nil else { return }
            let sinks = frames.map { frame in
                let sink = ByteSink(capacity: frame.count)
                sink.append(frame)
                return sink
            }
            let views = sinks.map(\.bytes)
            views.withUnsafeBufferPointer { buffer in
                // The gateway is on this very loop, and the views outlive the call.
                nonisolated(unsafe) let views = buffer
                gateway.assumeIsolated { $0.received(id, messages: views) }
            }
            withExtendedLifetime(sinks) {}
        }
    }

    /// The connection goes, as when the network does.
    func cut() {
        loop.execute { [self] in
            guard let id = session.with({ $0 }) else { return }
            gateway.assumeIsolated { $0.closed(id) }
        }
    }

    /// The socket took what was queued.
    func drain() {
        loop.execute { [self] in
            guard let id = session.with({ $0 }) else { return }
            connection.take()
            gateway.assumeIsolated { $0.drained(id) }
        }
    }

    /// Takes what has arrived since the last call.
    func received() -> [ServerMessage] {
        connection.takeFlushed().map { frame in
            frame.withUnsafeBytes { bytes in
                do {
                    return try ServerMessage.decode(bytes)
                } catch {
                    preconditionFailure("the server sent what nobody can read: \(error)")
                }
            }
        }
    }

    var isReading: Bool { connection.isReading }
}

/// What the gateway believes to be a socket.
final class TestConnection: ClientConnection {
    private struct State {
        var queued: [[UInt8]] = []
        var flushed: [[UInt8]] = []
        var isReading = true
        var isAdmitted = false
        var closeCode: UInt16?
        /// A client that takes nothing: what is flushed stays queued.
        var isStuck = false
        var stuckBytes = 0
        var peakBytes = 0
    }

    private let state = Mutex(State())

    func send(_ message: ByteBuffer) {
        state.withLock { $0.queued.append(Array(message.readableBytesView)) }
    }

    func send(copying message: UnsafeRawBufferPointer) {
        let bytes = Array(message)
        state.withLock { state in
            if state.isStuck {
                state.stuckBytes += bytes.count
                state.peakBytes = max(state.peakBytes, state.stuckBytes)
            }
            state.queued.append(bytes)
        }
    }

    func flush() {
        state.withLock { state in
            guard !state.isStuck else { return }
            state.flushed += state.queued
            state.queued = []
        }
    }

    var queuedBytes: Int { state.withLock { $0.stuckBytes } }
    var peakBytes: Int { state.withLock { $0.peakBytes } }

    func admit() {
        state.withLock { $0.isAdmitted = true }
    }

    var isAdmitted: Bool { state.withLock { $0.isAdmitted } }

    func setReading(_ reading: Bool) {
        state.withLock { $0.isReading = reading }
    }

    var isReading: Bool { state.withLock { $0.isReading } }

    func close(code: UInt16, reason: String) {
        state.withLock { state in
            guard state.closeCode == nil else { return }
            state.closeCode = code
            if !state.isStuck {
                state.flushed += state.queued
                state.queued = []
            }
        }
    }

    var closeCode: UInt16? { state.withLock { $0.closeCode } }

    var isStuck: Bool {
        get { state.withLock { $0.isStuck } }
        set { state.withLock { $0.isStuck = newValue } }
    }

    /// The client reads again, everything at once.
    func take() {
        state.withLock { state in
            state.isStuck = false
            state.stuckBytes = 0
            state.flushed += state.queued
            state.queued = []
        }
    }

    func takeFlushed() -> [[UInt8]] {
        state.withLock { state in
            defer { state.flushed = [] }
            return state.flushed
        }
    }
}

/// Operations as a client makes them.
enum Make {
    static func put(
        _ id: UInt64?, _ key: String, _ value: Int64, map: String = "todos", millis: Int64 = 1_000_000,
        counter: UInt32 = 0, node: String = "n1", concern: WriteConcern? = nil
    ) -> ClientOperation {
        let sink = ByteSink()
        MessagePackWriter(sink).write(value)
        return ClientOperation(
            id: id, mapName: ByteString(map), key: ByteString(key),
            change: .put(
                LWWRecord(
                    value: Payload(Array(sink.bytes)),
                    timestamp: Timestamp(millis: millis, counter: counter, node: ByteString(node)))),
            concern: concern)
    }

    /// A value of that many bytes.
    static func blob(_ id: UInt64, _ key: String, bytes: Int, millis: Int64) -> ClientOperation {
        let sink = ByteSink()
        MessagePackWriter(sink).write(String(repeating: "x", count: bytes))
        return change(id, key, Payload(Array(sink.bytes)), millis: millis)
    }

    static func remove(_ id: UInt64, _ key: String, millis: Int64 = 2_000_000) -> ClientOperation {
        change(id, key, .tombstone, millis: millis)
    }

    /// An operation that no server takes before it has OR-Maps.
    static func orRemove(_ id: UInt64, _ key: String) -> ClientOperation {
        ClientOperation(id: id, mapName: "todos", key: ByteString(key), change: .orRemove(tag: "tag"))
    }

    private static func change(_ id: UInt64, _ key: String, _ value: Payload, millis: Int64) -> ClientOperation {
        ClientOperation(
            id: id, mapName: "todos", key: ByteString(key),
            change: .put(
                LWWRecord(value: value, timestamp: Timestamp(millis: millis, counter: 0, node: "n1"))))
    }

    static func batch(_ operations: ClientOperation..., concern: WriteConcern? = nil) -> ClientMessage {
        .operations(OperationBatch(operations: operations, concern: concern))
    }

    static func number(_ payload: Payload) -> Int64? {
        payload.bytes.withUnsafeBytes { bytes in
            var reader = MessagePackReader(bytes)
            do { return try reader.readInteger() } catch { return nil }
        }
    }
}
