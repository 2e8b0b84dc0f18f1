import NIOCore
import TopGunEnvironment

/// Leaves new connections alone for a while when one cannot be accepted, as without file descriptors, and tells the
/// operator. The connections that there are do not notice.
///
/// NIO's own back-off keeps the socket registered, so that its loop would spin for as long as someone waits to connect.
final class AcceptBackoff: ChannelInboundHandler {
    typealias InboundIn = Channel

    private let clock: any Clock
    private let log: ServerLog
    private var isPaused = false
    private var toldNanos: Int64?

    init(clock: any Clock, log: ServerLog) {
        self.clock = clock
        self.log = log
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is IOError else {
            context.fireErrorCaught(error)
            return
        }
        guard !isPaused else { return }
        isPaused = true
        tell(error)
        setReading(false, context.channel)
        context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(Limits.acceptPauseMillis)) {
            self.isPaused = false
            self.setReading(true, context.channel)
        }
    }

    private func tell(_ error: any Error) {
        let now = clock.monotonicNanos()
        if let toldNanos, now - toldNanos < Limits.acceptAlarmMillis * 1_000_000 { return }
        toldNanos = now
        log.warning(
            "connections cannot be accepted and wait: raise the limit of open files or lower --max-connections",
            [.error: "\(error)"])
    }

    private func setReading(_ reading: Bool, _ channel: any Channel) {
        // Fails only for a listener that is closed already.
        try? channel.syncOptions?.setOption(.autoRead, value: reading)
    }
}
