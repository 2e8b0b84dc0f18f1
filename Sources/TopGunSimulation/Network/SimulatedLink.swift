import NIOCore
import TopGunEnvironment

/// One connection: a stream of whole messages to the client, and of the bytes of a WebSocket to the node.
///
/// ```
///   flush ──> in flight, in order ──> arrives on the other loop ──> received, or kept while that end does not read
///                 │ blocked: waits here
///                 └ cut: what is before the cut arrives; a client hears nothing of the message that it falls into
/// ```
package final class SimulatedLink: @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    package enum Side: Sendable {
        case client
        case node

        var other: Side { self == .client ? .node : .client }
    }

    package let id: UInt64
    let host: SimulatedHost
    private let listener: any SimulatedListener
    package let client: LinkEnd
    package let node: LinkEnd
    private var isCut = false

    init(
        id: UInt64, host: SimulatedHost, listener: any SimulatedListener, clientLoop: SimulatedLoop,
        nodeLoop: SimulatedLoop
    ) {
        self.id = id
        self.host = host
        self.listener = listener
        client = LinkEnd(side: .client, loop: clientLoop)
        node = LinkEnd(side: .node, loop: nodeLoop)
        client.link = self
        node.link = self
    }

    private var network: SimulatedNetwork { host.network }

    package func end(_ side: Side) -> LinkEnd { side == .client ? client : node }

    func open(_ receiver: any MessageReceiver) {
        client.receiver = ClientSide(receiver)
        let loss = network.retransmission(host.weather, bytes: 0)
        if loss.breaks { return finish(client, "timed out", afterNanos: Limits.connectNanosMax) }
        node.loop.schedule(afterNanos: network.latency(host.weather) + loss.nanos) { [self] in
            guard !isCut, listener.isAccepting, !client.isGone else {
                if !client.isGone { finish(client, "refused", afterNanos: network.latency(host.weather)) }
                return
            }
            node.isOpen = true
            listener.accept(node)
            client.loop.schedule(afterNanos: network.latency(host.weather)) { [self] in
                guard !client.isGone, !client.isFinished else { return }
                client.isOpen = true
                receiver.connected(client)
            }
        }
    }

    /// Whether the client believes in a connection that nobody is at the other end of; an attempt that came to nothing is
    /// none.
    var isHalfOpen: Bool {
        client.isOpen && !client.isGone && !client.isFinished && (isCut || node.isGone || node.isFinished)
    }

    /// Whether something that was said has yet to be heard, however long a narrow path takes for it; a heartbeat that is just
    /// on its way is nothing to wait for.
    var isBusy: Bool {
        let latest = network.scheduler.nowNanos - Limits.heartbeatNanosMax
        return !isCut
            && [client, node].contains { end in
                end.isOpen && !end.isGone && !end.isFinished && end.travelling > 0 && end.travellingSinceNanos <= latest
            }
    }

    // MARK: - Sending

    /// Whether what this end says is said by nobody.
    func isSilenced(_ side: Side) -> Bool { side == .node && listener.isSilenced }

    func transmit(_ messages: [ByteBuffer], from side: Side) {
        guard !messages.isEmpty else { return }
        let target = end(side.other)
        if isCut || target.isGone {
            // Nobody is there any more. A machine that is back says so.
            if !target.isGone || !listener.isReachable || side == .node { return }
            network.onEvent?(.connectionReset)
            return finish(end(side), "reset", afterNanos: network.latency(host.weather))
        }
        let messages = host.weather.isChaotic && target.arrived > 2 ? shaken(messages, to: target) : messages
        guard !messages.isEmpty else { return }
        for message in messages { target.travelling += message.readableBytes }
        if isBlocked(to: side.other) || !target.held.isEmpty {
            target.held.append(contentsOf: messages)
        } else {
            send(messages, to: target)
        }
    }

    private func isBlocked(to side: Side) -> Bool {
        side == .node ? host.weather.isUpBlocked : host.weather.isDownBlocked
    }

    func weatherChanged() {
        for end in [client, node] where !end.held.isEmpty && !isBlocked(to: end.side) {
            let held = end.held
            end.held = []
            send(held, to: end)
        }
    }

    private func send(_ messages: [ByteBuffer], to target: LinkEnd) {
        let now = network.scheduler.nowNanos
        var arrival = max(target.lastArrivalNanos, now + network.latency(host.weather))
        let bytes = messages.reduce(0) { $0 + $1.readableBytes }
        if let rate = host.weather.bytesPerSecond { arrival += Int64(bytes) * 1_000_000_000 / rate }
        let loss = network.retransmission(host.weather, bytes: bytes)
        arrival += loss.nanos
        if loss.breaks {
            // Just before what was lost would be there, and everything behind it.
            client.loop.schedule(afterNanos: arrival - now - 1) { [self] in cut(tellsClient: true, tellsNode: true) }
        }
        target.lastArrivalNanos = arrival
        target.loop.schedule(afterNanos: arrival - now) { [self] in arrive(messages, at: target) }
    }

    /// Loses, repeats and swaps some of the messages, and keeps some until later ones have overtaken them.
    private func shaken(_ messages: [ByteBuffer], to target: LinkEnd) -> [ByteBuffer] {
        var shaken: [ByteBuffer] = []
        let overtaken = target.overtaken
        target.overtaken = []
        for message in messages {
            switch network.below(20) {
            case 0, 1:
                network.onEvent?(.messageLost)
            case 2, 3:
                network.onEvent?(.messageRepeated)
                shaken.append(message)
                shaken.append(message)
            case 4 where !shaken.isEmpty, 5 where !shaken.isEmpty:
                network.onEvent?(.messagesSwapped)
                shaken.insert(message, at: shaken.count - 1)
            case 6:
                network.onEvent?(.messageOvertaken)
                target.overtaken.append(message)
            default:
                shaken.append(message)
            }
        }
        return shaken + overtaken
    }

    // MARK: - Arriving

    private func arrive(_ messages: [ByteBuffer], at target: LinkEnd) {
        var messages = messages
        if isCut {
            guard !target.wasCutInside else { return }
            target.wasCutInside = true
            network.onEvent?(.messageCutInside)
            cutInside(&messages, target)
        }
        guard target.isOpen || target.side == .client, !target.isGone, !target.isFinished else { return }
        target.arrived += messages.count
        target.inbox.append(contentsOf: messages)
        target.takeInbox()
        end(target.side.other).tellIfDrained()
    }

    /// The cut falls into one of the messages: a node is left with its first bytes, a client with none of it.
    private func cutInside(_ messages: inout [ByteBuffer], _ target: LinkEnd) {
        let whole = network.below(messages.count + 1)
        guard whole < messages.count else { return }
        var broken = messages[whole]
        messages.removeLast(messages.count - whole)
        guard target.side == .node, broken.readableBytes > 0 else { return }
        if let head = broken.readSlice(length: network.below(broken.readableBytes)) { messages.append(head) }
    }

    // MARK: - Ending

    /// Breaks the connection. An end that is not told goes on believing in it.
    package func cut(tellsClient: Bool, tellsNode: Bool) {
        guard !isCut else { return }
        isCut = true
        client.held = []
        node.held = []
        if tellsClient { finish(client, "cut", afterNanos: network.latency(host.weather)) }
        if tellsNode { finish(node, "cut", afterNanos: network.latency(host.weather)) }
    }

    /// The process at one end is gone: it hears nothing any more.
    package func lose(_ side: Side, tells: Bool) {
        let lost = end(side)
        lost.isGone = true
        lost.receiver = nil
        if tells { finish(end(side.other), "reset", afterNanos: network.latency(host.weather)) }
        if end(side.other).isFinished || end(side.other).isGone { host.forget(self) }
    }

    func close(_ side: Side, reason: String) {
        finish(end(side), reason, afterNanos: 0)
        if !isCut { finish(end(side.other), reason, afterNanos: network.latency(host.weather)) }
    }

    /// Tells an end that the connection is over, behind everything that is on its way to it.
    private func finish(_ end: LinkEnd, _ reason: String, afterNanos: Int64) {
        guard !end.isGone, !end.isFinishing else { return }
        end.isFinishing = true
        let now = network.scheduler.nowNanos
        let delay = max(afterNanos, end.lastArrivalNanos - now) + 1
        end.loop.schedule(afterNanos: delay) { [self] in
            guard !end.isGone, !end.isFinished else { return }
            end.isFinished = true
            let receiver = end.receiver
            end.receiver = nil
            if end.isOpen || end.side == .client { receiver?.linkClosed(reason) }
            if self.end(end.side.other).isFinished || self.end(end.side.other).isGone { host.forget(self) }
        }
    }
}
