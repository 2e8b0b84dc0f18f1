import NIOCore
import TopGunEnvironment

/// The server's end of one client's WebSocket: bytes of the socket in, calls on the owner out, and back.
///
/// ```
///   socket ─► channelRead ─► WebSocketFrameParser ─► owner.received(messages)      once per read
///   socket ◄─ flushNow ◄─ one out buffer ◄─ send(_:) ◄─ owner                      once per tick
///
///   fresh ─► opening ─► open ─► closing ─► gone
///                         └──────────────►  (the socket went first)
/// ```
///
/// It never calls its owner from inside a call of the owner: what the owner asks for reaches the socket after everything
/// that runs on the loop now. Nothing is allocated for a message that came whole.
///
/// Unchecked because everything in it is confined to the loop of its channel, where `MessageConnection` may only be used.
final class ClientChannelHandler: ChannelDuplexHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    fileprivate enum State {
        /// In the pipeline; the owner does not know it yet.
        case fresh
        /// The owner is being told, and may already send.
        case opening
        case open(any ClientConnectionOwner, SessionID)
        /// Goodbye is said; what comes is read over until the client says it too, or the time is over.
        case closing(any ClientConnectionOwner, SessionID)
        case gone
    }

    /// What follows the last flush of a connection that is closing.
    private enum Ending {
        case none
        /// The client broke the rules. It may still be sending, and closing now would make the kernel throw away what it
        /// has not read yet, the reason among it: only the way out is shut, and what comes in is not looked at.
        case shutOutput
        /// Both sides have said goodbye.
        case close
    }

    private let sockets: LoopSockets
    private let clock: any Clock
    private let log: ServerLog
    private var state = State.fresh
    private var ending = Ending.none
    /// A close that the owner asked for while it was being told of the connection.
    private var closeAfterOpening: (code: UInt16, reason: String)?
    private var context: ChannelHandlerContext?

    private let messageBytesMax: Int
    private var parser: WebSocketFrameParser
    /// What the loop's account has for the message that is under way.
    private var heldBytes = 0
    private var controlFrames = ControlFrameBudget()
    private var isReading = true
    /// The channel wanted to read while the owner did not.
    private var holdsRead = false

    private var out = ByteBuffer()
    private var wantsFlush = false
    /// The socket did not take everything of an earlier flush, as far as known.
    private var mayBeQueued = false
    /// TLS below keeps what it is given until it is flushed, and then gives the socket memory of its own: that ours is free
    /// again says nothing about what is queued.
    private let isSecure: Bool
    /// What TLS was given since the last flush.
    private var unflushedBytes = 0

    init(
        sockets: LoopSockets, messageBytesMax: Int, clock: any Clock, log: ServerLog, isSecure: Bool
    ) {
        self.isSecure = isSecure
        self.sockets = sockets
        self.clock = clock
        self.log = log
        self.messageBytesMax = messageBytesMax
        self.parser = WebSocketFrameParser(messageBytesMax: min(messageBytesMax, Limits.strangerMessageBytesMax))
    }

    /// The handshake is done: messages may go both ways.
    func begin(_ owner: any ClientConnectionOwner, peer: PeerInfo) {
        guard case .fresh = state, context != nil else { return }
        state = .opening
        sockets.add(self)
        sockets.metrics.counts.connectionsOpened += 1
        let session = owner.assumeIsolated { $0.opened(self, peer: peer) }
        state = .open(owner, session)
        if let close = closeAfterOpening { self.close(code: close.code, reason: close.reason) }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        end()
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    /// Ends the connection without a word.
    func cut() {
        context?.close(promise: nil)
    }

    private func end() {
        switch state {
        case .open(let owner, let session), .closing(let owner, let session):
            state = .gone
            sockets.remove(self)
            sockets.metrics.counts.connectionsClosed += 1
            parser.abandon(to: sockets.scratch)
            account()
            out = ByteBuffer()
            owner.assumeIsolated { $0.closed(session) }
        case .fresh, .opening:
            state = .gone
        case .gone:
            break
        }
    }
}

// MARK: - Reading

extension ClientChannelHandler {
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        sockets.metrics.counts.bytesReceived += buffer.readableBytes
        defer { sockets.receiveBuffer.giveBack(buffer) }
        if case .shutOutput = ending { return }
        let verdict = buffer.withUnsafeReadableBytes { parser.parse($0, into: sockets.scratch) }
        if case .open(let owner, let session) = state, !sockets.scratch.messages.isEmpty {
            sockets.metrics.counts.messagesReceived += sockets.scratch.messages.count
            sockets.scratch.messages.withUnsafeBufferPointer { messages in
                let lent = LentMessages(messages: messages)
                owner.assumeIsolated { $0.received(session, messages: lent.messages) }
            }
        }
        sockets.scratch.end()
        let isHoldingMore = account()
        if parser.controlFrames > 0 { answerControlFrames() }
        switch verdict {
        case .goOn: if isHoldingMore, sockets.heldBytes > sockets.heldBytesMax { giveUpMessage() }
        case .goodbye(let code): answerGoodbye(code)
        case .violation(let code, let reason):
            if code == WebSocketCloseCode.tooLarge, case .open = state { tellTooLarge() }
            refuse(code, reason)
        }
    }

    /// Brings the loop's account of unfinished messages up to date; returns whether this one takes more than before.
    @discardableResult
    private func account() -> Bool {
        let held = parser.heldBytes
        guard held != heldBytes else { return false }
        defer { heldBytes = held }
        sockets.heldBytes += held - heldBytes
        return held > heldBytes
    }

    /// All connections of the loop together hold too much of messages that have not come to their end: the one that
    /// brought the last of it comes back later.
    private func giveUpMessage() {
        parser.abandon(to: sockets.scratch)
        account()
        log.warning(
            "messages that are still arriving fill their memory; a client is sent away",
            [.limit: sockets.heldBytesMax])
        refuse(WebSocketCloseCode.tryAgainLater, "too many messages at once")
    }

    private func tellTooLarge() {
        if parser.messageBytesMax < messageBytesMax {
            log.info(
                "a client that has not said who it is sent more than a greeting", [.limit: parser.messageBytesMax])
        } else {
            log.warning(
                "a message is longer than --max-message-bytes: a client may be unable to sync what it wrote offline",
                [.limit: messageBytesMax])
        }
    }

    func read(context: ChannelHandlerContext) {
        guard isReading else {
            holdsRead = true
            return
        }
        context.read()
    }

    private func answerControlFrames() {
        guard case .open = state else { return }
        guard controlFrames.take(parser.controlFrames, nowNanos: clock.monotonicNanos()) else {
            refuse(WebSocketCloseCode.policy, "too many control frames")
            return
        }
        guard let ping = parser.ping, queuedBytes <= Limits.pongQueueBytesMax else { return }
        reserveOut()
        out.writeFrameHeader(.pong, payloadBytes: ping.count)
        out.writeBytes(ping)
        flush()
    }

    /// The client said goodbye first, or answers ours.
    private func answerGoodbye(_ code: UInt16?) {
        ending = .close
        close(code: code ?? WebSocketCloseCode.normal, reason: "")
        flush()
    }

    private func refuse(_ code: UInt16, _ reason: String) {
        guard case .none = ending else { return }
        ending = .shutOutput
        sockets.metrics.counts.protocolErrors += 1
        close(code: code, reason: reason)
        flush()
    }
}

// MARK: - Writing

extension ClientChannelHandler: ClientConnection {
    func send(_ message: ByteBuffer) {
        let count = message.readableBytes
        guard let context, beginMessage(count) else { return }
        if count <= Limits.copiedMessageBytesMax {
            out.writeImmutableBuffer(message)
        } else {
            let bytes = out.readableBytes + count
            sockets.metrics.counts.bytesSent += bytes
            if isSecure { unflushedBytes += bytes }
            context.write(wrapOutboundOut(out), promise: nil)
            out = ByteBuffer()
            context.write(wrapOutboundOut(message), promise: nil)
            mayBeQueued = true
        }
    }

    func send(copying message: UnsafeRawBufferPointer) {
        guard beginMessage(message.count) else { return }
        out.writeBytes(message)
    }

    /// Everything queued leaves together at the end of this tick, however often this is called.
    func flush() {
        guard !wantsFlush else { return }
        wantsFlush = true
        sockets.flushSoon(self)
    }

    /// Called by the loop at the end of the tick.
    func flushNow() {
        wantsFlush = false
        guard state.isThere, let context else { return }
        switch (state, ending) {
        case (.closing, .shutOutput):
            writeLast { context.close(mode: .output, promise: nil) }
        case (.closing, .close):
            writeLast { context.close(promise: nil) }
        case (.closing, .none), (.open, _), (.fresh, _), (.opening, _), (.gone, _):
            unflushedBytes = 0
            if isSecure { mayBeQueued = true }
            guard out.readableBytes > 0 else {
                context.flush()
                return
            }
            // Not the property itself: a failed write ends the connection within the call.
            var buffer = out
            out = ByteBuffer()
            sockets.metrics.counts.bytesSent += buffer.readableBytes
            context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
            if !sockets.recycle(&buffer) { mayBeQueued = true }
        }
    }

    var queuedBytes: Int {
        guard mayBeQueued else { return out.readableBytes }
        // Fails only for a channel that is closed already: nothing waits there.
        let atSocket = (try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        mayBeQueued = atSocket + unflushedBytes > 0
        return out.readableBytes + unflushedBytes + atSocket
    }

    func admit() {
        parser.messageBytesMax = messageBytesMax
    }

    func setReading(_ reading: Bool) {
        isReading = reading
        if reading, holdsRead {
            holdsRead = false
            context?.read()
        }
    }

    func close(code: UInt16, reason: String) {
        switch state {
        case .opening:
            closeAfterOpening = (code, reason)
        case .open(let owner, let session):
            state = .closing(owner, session)
            reserveOut()
            out.writeCloseFrame(code: code, reason: reason)
            flush()
            // To hear the answer, and to notice when the socket goes.
            setReading(true)
            sockets.eventLoop.scheduleTask(in: .milliseconds(Limits.goodbyeMillisMax)) { self.cut() }
        case .fresh, .closing, .gone:
            break
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, case .open(let owner, let session) = state {
            owner.assumeIsolated { $0.drained(session) }
        }
        context.fireChannelWritabilityChanged()
    }

    private func beginMessage(_ count: Int) -> Bool {
        guard state.takesMessages else { return false }
        sockets.metrics.counts.messagesSent += 1
        reserveOut()
        out.writeFrameHeader(.binary, payloadBytes: count)
        return true
    }

    private func reserveOut() {
        if out.capacity == 0, let context { out = sockets.takeOutBuffer(context.channel.allocator) }
    }

    /// Writes what is queued and calls back once the socket has taken all of it.
    private func writeLast(_ then: @escaping () -> Void) {
        guard let context else { return }
        let buffer = out
        out = ByteBuffer()
        sockets.metrics.counts.bytesSent += buffer.readableBytes
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in then() }
        context.writeAndFlush(wrapOutboundOut(buffer), promise: promise)
    }
}

extension ClientChannelHandler.State {
    fileprivate var takesMessages: Bool {
        switch self {
        case .opening, .open: true
        case .fresh, .closing, .gone: false
        }
    }

    fileprivate var isThere: Bool {
        switch self {
        case .open, .closing: true
        case .fresh, .opening, .gone: false
        }
    }
}

/// Unchecked because it lives for one call that stays on its thread.
private struct LentMessages: @unchecked Sendable {
    let messages: UnsafeBufferPointer<UnsafeRawBufferPointer>
}

/// How many control frames a connection may send: the listener answers them, so nobody else counts them.
struct ControlFrameBudget {
    private var windowStart: Int64 = 0
    private var taken = 0

    mutating func take(_ count: Int, nowNanos: Int64) -> Bool {
        if nowNanos - windowStart >= 1_000_000_000 {
            windowStart = nowNanos
            taken = 0
        }
        taken += count
        return taken <= Limits.controlFramesPerSecondMax
    }
}
