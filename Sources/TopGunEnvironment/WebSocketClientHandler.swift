import NIOCore

/// The client's end of a WebSocket: bytes in, whole messages out, and back.
///
/// Reads frames straight from the socket's buffer. A message that came in one frame is a slice of it; only a message in
/// fragments is put together by copying. Writes are masked into one buffer per tick, which ``flush()`` hands to the
/// socket in one piece.
///
/// Everything the server may not do (a masked frame, a reserved bit, a fragmented or long control frame, a message above
/// ``Limits/clientMessageBytesMax``) ends the connection with the close code that RFC 6455 names for it. Text messages are
/// ignored: the protocol has none.
final class WebSocketClientHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        /// The upgrade is still under way.
        case opening
        case open(any MessageReceiver)
        /// We said goodbye, for the reason given, and wait for the socket to close.
        case closing(any MessageReceiver, reason: String)
        case closed
    }

    private let attempt: WebSocketClientAttempt
    private let entropy: any Entropy
    private var state = State.opening
    private var context: ChannelHandlerContext?

    private var input = ByteBuffer()
    private var reassembly = WebSocketClientReassembly()
    private var output = ByteBuffer()
    /// Bytes handed to the socket that it has not taken yet.
    private var unwritten = 0
    private var isReading = true
    private var holdsRead = false
    private var parses = false

    init(attempt: WebSocketClientAttempt, entropy: any Entropy) {
        self.attempt = attempt
        self.entropy = entropy
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end("the connection was taken down")
        self.context = nil
    }

    /// The upgrade is done: messages may go both ways.
    func begin() {
        guard case .opening = state, let receiver = attempt.succeed() else {
            context?.close(promise: nil)
            return
        }
        state = .open(receiver)
        receiver.connected(self)
        // What came in the packet of the upgrade's answer.
        parse()
        flush()
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if input.readableBytes == 0 {
            input = bytes
        } else {
            input.writeBuffer(&bytes)
        }
        parse()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flush()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end("the server closed the connection")
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(describe(connecting: error))
        context.close(promise: nil)
    }

    private func parse() {
        // A receiver may stop and start reading while it is being called; only the outermost call may take frames.
        guard !parses else { return }
        parses = true
        defer { parses = false }
        while isReading {
            switch state {
            case .open, .closing: break
            case .opening, .closed: return
            }
            switch reassembly.next(from: &input) {
            case .needsMore:
                // A server whose reads never end with a frame must not make the buffer grow with all that was ever read.
                if input.readableBytes == 0 { input = ByteBuffer() } else { input.discardReadBytes() }
                return
            case .message(let message):
                if case .open(let receiver) = state { receiver.received(message) }
            case .ignored:
                continue
            case .ping(let content):
                content.withUnsafeReadableBytes { writeFrame(.pong, $0) }
            case .pong:
                continue
            case .close(let code, let reason):
                return answerClose(code, reason)
            case .violation(let code, let reason):
                return close(code: code, reason: reason)
            }
        }
    }

    private func answerClose(_ code: UInt16?, _ reason: String) {
        switch state {
        case .open:
            writeClose(code ?? 1000, "")
            flush()
            end("the server closed with \(code.map { String($0) } ?? "no code")\(reason.isEmpty ? "" : ": " + reason)")
            context?.close(promise: nil)
        case .closing(_, let reason):
            end(reason)
            context?.close(promise: nil)
        case .opening, .closed:
            return
        }
    }

    private func end(_ reason: String) {
        switch state {
        case .open(let receiver):
            state = .closed
            receiver.closed(reason: reason)
        case .closing(let receiver, let ourReason):
            state = .closed
            receiver.closed(reason: ourReason)
        case .opening:
            state = .closed
            attempt.fail(reason)
        case .closed:
            return
        }
        input = ByteBuffer()
        output = ByteBuffer()
        reassembly = WebSocketClientReassembly()
    }

    // MARK: Out

    private func writeFrame(_ opcode: WebSocketClientOpcode, _ payload: UnsafeRawBufferPointer) {
        let mask = UInt32(truncatingIfNeeded: entropy.next())
        if payload.count > Limits.sharedFrameBytes {
            output.reserveCapacity(minimumWritableBytes: payload.count + Limits.frameHeaderBytesMax)
        }
        opcode.writeFrame(payload, mask: mask, into: &output)
    }

    private func writeClose(_ code: UInt16, _ reason: String) {
        var payload = ByteBuffer()
        payload.writeInteger(code)
        // A control frame holds 125 bytes; a cut inside a character is mended by cutting the whole character.
        var text = reason
        while text.utf8.count > 123 { text.removeLast() }
        payload.writeString(text)
        payload.withUnsafeReadableBytes { writeFrame(.close, $0) }
    }
}

// MARK: - What the receiver may call

extension WebSocketClientHandler: MessageConnection {
    var queuedBytes: Int { output.readableBytes + unwritten }

    /// Memory of what was read and is no whole frame yet.
    var inputCapacity: Int { input.capacity }

    func send(_ message: ByteBuffer) {
        message.withUnsafeReadableBytes { send(copying: $0) }
    }

    func send(copying message: UnsafeRawBufferPointer) {
        guard case .open = state else { return }
        writeFrame(.binary, message)
    }

    func flush() {
        guard output.readableBytes > 0, let context else { return }
        let bytes = output
        output = ByteBuffer()
        let count = bytes.readableBytes
        unwritten += count
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { _ in self.unwritten -= count }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: written)
    }

    func setReading(_ reading: Bool) {
        guard reading != isReading, let context else { return }
        isReading = reading
        if reading {
            // Frames that were read before go first, but never inside the receiver's own call.
            context.eventLoop.assumeIsolated().execute {
                self.parse()
                self.flush()
                guard self.isReading, self.holdsRead else { return }
                self.holdsRead = false
                context.read()
            }
        }
    }

    func close(code: UInt16, reason: String) {
        guard case .open(let receiver) = state, let context else { return }
        state = .closing(receiver, reason: "closed with \(code)\(reason.isEmpty ? "" : ": " + reason)")
        writeClose(code, reason)
        flush()
        let deadline = NIODeadline.now() + .milliseconds(Limits.closeAnswerMillisMax)
        context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            context.close(promise: nil)
        }
    }
}

// MARK: - Stopping to read

extension WebSocketClientHandler: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    func read(context: ChannelHandlerContext) {
        if isReading {
            context.read()
        } else {
            holdsRead = true
        }
    }
}

// Confined to the event loop of its channel, as the contract of `MessageConnection` says of every call.
extension WebSocketClientHandler: @unchecked Sendable {}
