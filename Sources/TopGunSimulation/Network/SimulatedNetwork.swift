package import TopGunEnvironment

/// Every connection of a simulated world.
///
/// Unchecked, like all of the world beside the scheduler and the disks: the thread that runs the world is the only one
/// there is.
package final class SimulatedNetwork: @unchecked Sendable {
    let scheduler: SimulatedScheduler
    private var generator: SeededGenerator
    private var listeners: [String: any SimulatedListener] = [:]
    private var lastLink: UInt64 = 0
    /// Sees every message that a node hands to a socket, at that moment.
    package var sniffer: ((LinkEnd, UnsafeRawBufferPointer) -> Void)?
    /// Counts what the weather did.
    package var onEvent: ((NetworkEvent) -> Void)?

    package init(seed: UInt64, scheduler: SimulatedScheduler) {
        self.scheduler = scheduler
        generator = SeededGenerator(seed: seed)
    }

    package func listen(on address: String, _ listener: any SimulatedListener) {
        listeners[address] = listener
    }

    func listener(_ address: String) -> (any SimulatedListener)? {
        listeners[address]
    }

    func nextLink() -> UInt64 {
        lastLink += 1
        return lastLink
    }

    /// How long something travels.
    func latency(_ weather: Weather) -> Int64 {
        20_000 + Int64(below(Int(max(weather.latencyNanosMax, 1))))
    }

    /// How much longer something travels because packets of it get lost, and whether one gets lost so often that the
    /// connection breaks then. Packets travel side by side, so the unluckiest one decides.
    func retransmission(_ weather: Weather, bytes: Int) -> (nanos: Int64, breaks: Bool) {
        guard weather.lossMillionths > 0 else { return (0, false) }
        var most = 0
        for _ in 0...bytes / Limits.packetBytes {
            var losses = 0
            while losses <= Limits.retransmissionsMax, generator.chance(weather.lossMillionths, in: 1_000_000) {
                losses += 1
            }
            most = max(most, losses)
        }
        return (Limits.retransmissionNanosMin * ((1 << Int64(most)) - 1), most > Limits.retransmissionsMax)
    }

    func below(_ bound: Int) -> Int {
        generator.below(bound)
    }

    /// The mask of a client's next frame.
    func mask() -> UInt32 {
        UInt32(truncatingIfNeeded: generator.next())
    }
}

/// Something that happened to messages, for the counters.
package enum NetworkEvent: String, Sendable, CaseIterable {
    case messageLost, messageRepeated, messagesSwapped, messageOvertaken, messageCutInside, connectionReset,
        connectionRefused
    case connectionTimedOut, readSplit, messageFragmented
}

/// A process that takes connections.
package protocol SimulatedListener: AnyObject, Sendable {
    /// Whether the process is there; otherwise whoever connects is refused.
    var isAccepting: Bool { get }

    /// Whether the machine is there at all; otherwise whoever connects hears nothing.
    var isReachable: Bool { get }

    /// Whether the process has died in the middle of something and the world has not noticed yet: nothing it says counts.
    var isSilenced: Bool { get }

    /// The loop that the next connection belongs to.
    func loopForNextConnection() -> SimulatedLoop

    /// A connection, on its loop.
    func accept(_ end: LinkEnd)
}

/// One machine of a client, with its way to everybody else.
package final class SimulatedHost: Network, @unchecked Sendable {
    // Unchecked for the reason given at SimulatedNetwork.
    package let name: String
    let network: SimulatedNetwork
    package var weather = Weather() {
        didSet { for link in links { link.weatherChanged() } }
    }
    package private(set) var links: [SimulatedLink] = []
    /// The most that a node ever had queued for a connection of this machine.
    package private(set) var queuedBytesPeak = 0

    package init(name: String, network: SimulatedNetwork) {
        self.name = name
        self.network = network
    }

    package func connect(to address: String, on loop: any Loop, receiver: any MessageReceiver) {
        guard let loop = loop as? SimulatedLoop else { preconditionFailure("a real loop in a simulated world") }
        let isBlocked = weather.isUpBlocked || weather.isDownBlocked
        guard !isBlocked, let listener = network.listener(address), listener.isReachable else {
            network.onEvent?(.connectionTimedOut)
            loop.schedule(afterNanos: Limits.connectNanosMax) { receiver.closed(reason: "timed out") }
            return
        }
        guard listener.isAccepting else {
            network.onEvent?(.connectionRefused)
            loop.schedule(afterNanos: network.latency(weather)) { receiver.closed(reason: "refused") }
            return
        }
        let link = SimulatedLink(
            id: network.nextLink(), host: self, listener: listener, clientLoop: loop,
            nodeLoop: listener.loopForNextConnection())
        links.append(link)
        link.open(receiver)
    }

    /// Whether the machine's process has yet to find out that a connection is none any more.
    var isDeceived: Bool { links.contains { $0.isHalfOpen } }

    /// Whether something is on its way to this machine or from it.
    var isAwaited: Bool { links.contains { $0.isBusy } }

    /// What is left to happen on its connections, for people.
    var unrest: String {
        links.map { link in
            let ends = [link.client, link.node].map {
                "\($0.side) \($0.travelling) bytes, \($0.held.count) held, \($0.inbox.count) unread, reading \($0.isReading)"
            }
            return "; connection \(link.id)\(link.isHalfOpen ? " half open" : ""): \(ends.joined(separator: ", "))"
        }.joined()
    }

    func noteQueue(_ bytes: Int) {
        queuedBytesPeak = max(queuedBytesPeak, bytes)
    }

    func forget(_ link: SimulatedLink) {
        links.removeAll { $0 === link }
        link.client.link = nil
        link.node.link = nil
    }

    /// The process is gone. `tells` whether the nodes' machines hear of it.
    package func crash(tells: Bool) {
        for link in links { link.lose(.client, tells: tells) }
    }
}
