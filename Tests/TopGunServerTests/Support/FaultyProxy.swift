import NIOCore
import NIOPosix

#if canImport(Darwin)
import Darwin
#else
import Glibc
#endif

/// A proxy on the way from clients to a real server, with the faults of networks.
///
/// ```
///   client ── front ── OneWay up ──► back ── server
///                  ◄── OneWay down ──
/// ```
///
/// The handshake passes; faults begin behind it. Everything runs on one loop. It takes from one side only what the other
/// may have, so both sides feel a slow link as they would feel a real one.
final class FaultyProxy: Sendable {
    /// What happens to connections that are made from now on.
    struct Faults: Sendable {
        /// Bytes behind the handshake after which the connection is cut, on the way to the server and to the client.
        var cutUp: Int?
        var cutDown: Int?
        /// A cut is a reset; else it is an orderly end.
        var isReset = false
        var bytesPerSecond: Int?
        var delay = TimeAmount.zero
    }

    fileprivate struct State: Sendable {
        var faults = Faults()
        var links: [(front: any Channel, back: any Channel)] = []
        /// Links before this one pass nothing any more.
        var stalled = 0
        var ended = 0
        var bytesDown = 0
    }

    private let state = Shared(State())
    private let listener: any Channel

    var port: Int { listener.localAddress?.port ?? 0 }

    init(to port: Int) async throws {
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton.next())
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { [state] front in Self.link(front, to: port, state) }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    deinit {
        listener.close(promise: nil)
        for link in state.with({ $0.links }) {
            link.front.close(promise: nil)
            link.back.close(promise: nil)
        }
    }

    func set(_ faults: Faults) {
        state.with { $0.faults = faults }
    }

    /// What is sent on the present connections vanishes from now on, and neither side hears of it.
    func stall() {
        state.with { $0.stalled = $0.links.count }
    }

    /// Connections that were made and are over, on both sides.
    var ended: Int { state.with { $0.ended } }

    /// What servers sent behind handshakes, in all.
    var bytesDown: Int { state.with { $0.bytesDown } }

    private static func link(
        _ front: any Channel, to port: Int, _ state: Shared<State>
    ) -> EventLoopFuture<Void> {
        ClientBootstrap(group: front.eventLoop)
            .channelOption(.autoRead, value: false)
            .connect(host: "127.0.0.1", port: port)
            .flatMapThrowing { back in
                let (number, faults) = state.with { state in
                    state.links.append((front, back))
                    return (state.links.count - 1, state.faults)
                }
                try front.pipeline.syncOperations.addHandler(
                    OneWay(to: back, faults, cut: faults.cutUp, link: number, state))
                try back.pipeline.syncOperations.addHandler(
                    OneWay(to: front, faults, cut: faults.cutDown, isDown: true, link: number, state))
                front.closeFuture.and(back.closeFuture).whenComplete { _ in state.with { $0.ended += 1 } }
            }
    }
}

/// One direction of a connection.
private final class OneWay: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private static let headEnd = Array("\r\n\r\n".utf8)

    private let target: any Channel
    private let faults: FaultyProxy.Faults
    private let isDown: Bool
    private let link: Int
    private let state: Shared<FaultyProxy.State>
    /// The last bytes of the handshake; `nil` once it is over.
    private var head: [UInt8]? = []
    /// Bytes that may still pass.
    private var rest: Int?
    /// When the last byte that was taken has arrived.
    private var arrival = NIODeadline.uptimeNanoseconds(0)

    init(
        to target: any Channel, _ faults: FaultyProxy.Faults, cut: Int?, isDown: Bool = false, link: Int,
        _ state: Shared<FaultyProxy.State>
    ) {
        self.target = target
        self.isDown = isDown
        self.faults = faults
        self.link = link
        self.state = state
        rest = cut
    }

    private var isStalled: Bool { state.with { link < $0.stalled } }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { context.read() }
    }

    func channelActive(context: ChannelHandlerContext) {
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        guard !isStalled else { return context.read() }
        if let handshake = takeHandshake(&bytes) { forward(handshake, context) }
        guard bytes.readableBytes > 0 else { return }
        if isDown { state.with { [count = bytes.readableBytes] in $0.bytesDown += count } }
        guard let rest else { return forward(bytes, context) }
        let passing = min(rest, bytes.readableBytes)
        self.rest = rest - passing
        if let slice = bytes.readSlice(length: passing) { forward(slice, context) }
        if rest == passing { cut(context) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        guard !isStalled else { return }
        let target = target
        at(arrival, context) { target.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func takeHandshake(_ bytes: inout ByteBuffer) -> ByteBuffer? {
        guard var seen = head else { return nil }
        let before = seen.count
        seen += bytes.readableBytesView
        guard let end = seen.indices.first(where: { seen[$0...].starts(with: Self.headEnd) }) else {
            head = Array(seen.suffix(Self.headEnd.count - 1))
            return bytes.readSlice(length: bytes.readableBytes)
        }
        head = nil
        return bytes.readSlice(length: end + Self.headEnd.count - before)
    }

    private func forward(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        let now = NIODeadline.now()
        let size = bytes.readableBytes
        var sent = max(arrival - faults.delay, now)
        if let bytesPerSecond = faults.bytesPerSecond {
            sent = sent + .nanoseconds(Int64(size) * 1_000_000_000 / Int64(bytesPerSecond))
        }
        arrival = sent + faults.delay
        let target = target
        at(arrival, context) { target.writeAndFlush(bytes, promise: nil) }
        at(sent, context) { context.read() }
    }

    private func at(_ time: NIODeadline, _ context: ChannelHandlerContext, _ action: @escaping () -> Void) {
        guard time > .now() else { return action() }
        context.eventLoop.assumeIsolated().scheduleTask(deadline: time, action)
    }

    private func cut(_ context: ChannelHandlerContext) {
        let (source, target) = (context.channel, target)
        guard faults.isReset else {
            // The other side ends in its turn, and then this one.
            target.close(mode: .output, promise: nil)
            return
        }
        for channel in [source, target] {
            guard let socket = channel as? any SocketOptionProvider else { continue }
            socket.setSoLinger(linger(l_onoff: 1, l_linger: 0)).whenComplete { _ in channel.close(promise: nil) }
        }
    }
}
