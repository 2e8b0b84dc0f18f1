package import NIOCore
import TopGunEnvironment

/// One end of a ``SimulatedLink``: what a process believes to be its socket.
package final class LinkEnd: MessageConnection, @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    package let side: SimulatedLink.Side
    package let loop: SimulatedLoop
    /// Set once, by the link that has it.
    package internal(set) var link: SimulatedLink?
    package var receiver: (any LinkReceiver)?

    private var queue: [ByteBuffer] = []
    private var unflushedBytes = 0
    private(set) var isReading = true
    private var wasHigh = false
    var isOpen = false
    /// The process at this end is gone.
    var isGone = false
    var isFinishing = false
    var isFinished = false
    var wasCutInside = false
    /// Messages that have come here so far.
    var arrived = 0
    /// Bytes on their way here, those not read included.
    var travelling = 0 {
        didSet { if oldValue == 0 { travellingSinceNanos = link?.host.network.scheduler.nowNanos ?? 0 } }
    }
    /// Since when there always are some.
    private(set) var travellingSinceNanos: Int64 = 0
    var held: [ByteBuffer] = []
    /// Messages that wait until later ones have gone by; a connection that ends loses them.
    var overtaken: [ByteBuffer] = []
    var inbox: [ByteBuffer] = []
    var lastArrivalNanos: Int64 = 0

    init(side: SimulatedLink.Side, loop: SimulatedLoop) {
        self.side = side
        self.loop = loop
    }

    /// A node's message goes as it is; a client's as the frames of a WebSocket, for it may arrive in pieces.
    package func send(_ message: ByteBuffer) {
        switch side {
        case .node: enqueue(message)
        case .client: message.withUnsafeReadableBytes { send(copying: $0) }
        }
    }

    package func send(copying message: UnsafeRawBufferPointer) {
        switch side {
        case .node: enqueue(ByteBuffer(bytes: message))
        case .client:
            guard let link else { return }
            enqueue(FrameWriter().frames(of: message, link.host.network))
        }
    }

    private func enqueue(_ message: ByteBuffer) {
        queue.append(message)
        unflushedBytes += message.readableBytes
    }

    package func flush() {
        guard let link, !isGone, !isFinished, !isFinishing, !queue.isEmpty else { return }
        let messages = queue
        queue = []
        unflushedBytes = 0
        guard !link.isSilenced(side) else { return }
        if side == .node, let sniffer = link.host.network.sniffer {
            for message in messages { message.withUnsafeReadableBytes { sniffer(self, $0) } }
        }
        link.transmit(messages, from: side)
        if side == .node { link.host.noteQueue(queuedBytes) }
        if queuedBytes > Limits.queueBytesHigh { wasHigh = true }
    }

    package var queuedBytes: Int {
        guard let link else { return unflushedBytes }
        return max(link.end(side.other).travelling - Limits.socketBytes, 0) + unflushedBytes
    }

    func tellIfDrained() {
        guard wasHigh, queuedBytes <= Limits.queueBytesHigh / 2, let receiver else { return }
        wasHigh = false
        loop.execute { receiver.linkDrained() }
    }

    package func setReading(_ reading: Bool) {
        isReading = reading
        guard reading, !inbox.isEmpty, let link else { return }
        loop.execute { [self] in
            takeInbox()
            link.end(side.other).tellIfDrained()
        }
    }

    package func close(code: UInt16, reason: String) {
        guard let link, !isGone, !isFinished, !isFinishing else { return }
        flush()
        link.close(side, reason: reason)
    }

    /// Hands on what has arrived, in one read or several; what is left comes in a later turn of the loop.
    func takeInbox() {
        guard isReading, !inbox.isEmpty, !isGone, !isFinished, let receiver else { return }
        var read = inbox
        inbox = []
        if let network = link?.host.network, network.below(4) == 0 {
            switch side {
            case .client: splitBetweenMessages(&read, network)
            case .node: splitAnywhere(&read, network)
            }
        }
        for message in read { travelling -= message.readableBytes }
        receiver.linkReceived(read)
    }

    private func splitBetweenMessages(_ read: inout [ByteBuffer], _ network: SimulatedNetwork) {
        guard read.count > 1 else { return }
        let count = 1 + network.below(read.count - 1)
        keep(Array(read[count...]), network)
        read.removeLast(read.count - count)
    }

    private func splitAnywhere(_ read: inout [ByteBuffer], _ network: SimulatedNetwork) {
        let total = read.reduce(0) { $0 + $1.readableBytes }
        guard total > 1 else { return }
        var left = 1 + network.below(total - 1)
        var now: [ByteBuffer] = []
        var later: [ByteBuffer] = []
        for var message in read {
            let head = min(left, message.readableBytes)
            left -= head
            if let head = message.readSlice(length: head), head.readableBytes > 0 { now.append(head) }
            if message.readableBytes > 0 { later.append(message) }
        }
        read = now
        keep(later, network)
    }

    /// Puts back what this read did not bring.
    private func keep(_ rest: [ByteBuffer], _ network: SimulatedNetwork) {
        guard !rest.isEmpty else { return }
        network.onEvent?(.readSplit)
        inbox = rest
        loop.execute { [self] in takeInbox() }
    }
}

/// Who hears what comes to an end of a link, on the loop of that end.
package protocol LinkReceiver: AnyObject, Sendable {
    /// What one read of the socket brought: whole messages for a client, any stretch of its frames for a node.
    func linkReceived(_ messages: [ByteBuffer])
    func linkDrained()
    func linkClosed(_ reason: String)
}

/// The seam of the environment at the client's end.
final class ClientSide: LinkReceiver {
    private let receiver: any MessageReceiver

    init(_ receiver: any MessageReceiver) {
        self.receiver = receiver
    }

    func linkReceived(_ messages: [ByteBuffer]) {
        for message in messages { receiver.received(message) }
    }

    func linkDrained() {}

    func linkClosed(_ reason: String) {
        receiver.closed(reason: reason)
    }
}
