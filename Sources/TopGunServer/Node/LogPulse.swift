import TopGunEnvironment
import TopGunStorage

/// Waits for a sign of life from the thread of the log, which may stand in a call of the disk for a while.
///
/// ```
///   ping ──► answered ────────────────────────────────────► alive
///     └─ every second: at one batch for a second or more ──► alive, up to a limit; then only an answer counts
/// ```
///
/// A disk that hangs is a reason to wait and to say so, not to be killed: acknowledgements wait, and what was
/// acknowledged is on it. But a batch that takes longer than ``Limits/logBatchMillisMax`` is taken for a thread that is
/// stuck.
///
/// Unchecked because it is confined to its loop from ``begin()`` on.
final class LogPulse: @unchecked Sendable {
    private let log: WriteAheadLog
    private let clock: any Clock
    private let loop: any Loop
    private var continuation: CheckedContinuation<Void, Never>?
    private var alarm: (any ScheduledJob)?

    private init(
        _ log: WriteAheadLog, _ clock: any Clock, _ loop: any Loop, _ continuation: CheckedContinuation<Void, Never>
    ) {
        self.log = log
        self.clock = clock
        self.loop = loop
        self.continuation = continuation
    }

    static func wait(for log: WriteAheadLog, clock: any Clock, on loop: any Loop) async {
        await withCheckedContinuation { continuation in
            let pulse = LogPulse(log, clock, loop, continuation)
            loop.execute { pulse.begin() }
        }
    }

    private func begin() {
        log.ping(from: loop) { [self] in answer() }
        lookLater()
    }

    private func lookLater() {
        alarm = loop.schedule(afterMillis: Limits.logPulseMillis) { [self] in
            guard continuation != nil else { return }
            let busy = log.busyMillis(at: clock)
            if busy >= Limits.logPulseMillis, busy <= Limits.logBatchMillisMax { answer() } else { lookLater() }
        }
    }

    private func answer() {
        alarm?.cancel()
        alarm = nil
        continuation?.resume()
        continuation = nil
    }
}

extension WriteAheadLog {
    /// How long its thread has been at one batch; 0 if it is at none.
    func busyMillis(at clock: any Clock) -> Int64 {
        busySinceNanos.map { max(clock.monotonicNanos() - $0, 0) / 1_000_000 } ?? 0
    }
}
