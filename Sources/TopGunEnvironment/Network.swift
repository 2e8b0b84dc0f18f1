package import NIOCore

/// Ordered message connections. WebSocket and TLS stay below this seam; a connection that is cut loses the message it
/// was cut in, whole.
package protocol Network: Sendable {
    /// Opens a connection to a `ws://` or `wss://` address. The outcome and everything after it reaches `receiver` on
    /// `loop`: exactly one of `connected` or `closed` first, nothing after `closed`.
    func connect(to address: String, on loop: any Loop, receiver: any MessageReceiver)
}

/// One end of a connection. Callable only on the loop it belongs to.
package protocol MessageConnection: AnyObject, Sendable {
    /// Queues one message; it leaves with the next ``flush()``.
    func send(_ message: ByteBuffer)

    /// The same for a small message that the caller keeps; copied before the call returns.
    func send(copying message: UnsafeRawBufferPointer)

    /// Hands everything queued to the socket.
    func flush()

    /// Bytes accepted by ``send(_:)`` that the socket has not taken yet.
    var queuedBytes: Int { get }

    /// Stops reading from the socket, or goes on; the way to slow a sender down without dropping anything.
    func setReading(_ reading: Bool)

    /// Sends what is queued, says goodbye with a WebSocket close code and closes. Idempotent.
    func close(code: UInt16, reason: String)
}

/// Who hears what a connection brings. Called only on the loop of the connection.
package protocol MessageReceiver: AnyObject, Sendable {
    func connected(_ connection: any MessageConnection)

    /// One whole message; the buffer may be kept.
    func received(_ message: ByteBuffer)

    /// The connection is gone, for the reason given; called exactly once.
    func closed(reason: String)
}
