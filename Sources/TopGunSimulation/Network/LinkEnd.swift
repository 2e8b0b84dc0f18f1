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
    private var isReading = true
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
    var travelling = 0
    var held: [ByteBuffer] = []
    var inbox: [ByteBuffer] = []
    var lastArrivalNanos: Int64 = 0
    /// The most that was queued here at once.
    package private(set) var queuedBytesPeak = 0

    init(side: SimulatedLink.Side, loop: SimulatedLoop) {
        self.side = side
        self.loop = loop
    }

    package func send(_ message: ByteBuffer) {
        queue.append(message)
    }

    package func send(copying message: UnsafeRawBufferPointer) {
        queue.append(ByteBuffer(bytes: message))
    }

    package func flush() {
        guard let link, !isGone, !isFinished, !isFinishing, !queue.isEmpty else { return }
        let messages = queue
        queue = []
        guard !link.isSilenced(side) else { return }
        if side == .node, let sniffer = link.host.network.sniffer {
            for message in messages { sniffer(self, Array(message.readableBytesView)) }
        }
        link.transmit(messages, from: side)
        queuedBytesPeak = max(queuedBytesPeak, queuedBytes)
        if queuedBytes > Limits.queueBytesHigh { wasHigh = true }
    }

    package var queuedBytes: Int {
        guard let link else { return 0 }
        return max(link.end(side.other).travelling - Limits.socketBytes, 0)
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

    /// Hands on what has arrived, in one read or several.
    func takeInbox() {
        while isReading, !inbox.isEmpty, !isGone, !isFinished, let receiver {
            var count = inbox.count
            if count > 1, let network = link?.host.network, network.below(4) == 0 {
                count = 1 + network.below(count - 1)
                network.onEvent?(.readSplit)
            }
            let read = Array(inbox.prefix(count))
            inbox.removeFirst(count)
            for message in read { travelling -= message.readableBytes }
            receiver.linkReceived(read)
        }
    }
}

/// Who hears what comes to an end of a link, on the loop of that end.
package protocol LinkReceiver: AnyObject, Sendable {
    /// What one read of the socket brought.
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
