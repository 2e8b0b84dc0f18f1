import Synchronization

/// What becomes of one write: the promise that ``TopGunMap/set(_:for:lifetime:)`` and ``TopGunMap/remove(_:)`` return.
///
/// The write is visible to every reader of this process when the call returns. What the levels add, each including the
/// lower ones:
///
/// | Level | The write survives |
/// | --- | --- |
/// | ``Level/stored`` | a crash and a power cut of this device; it will be sent |
/// | ``Level/applied`` | a crash of the server that took it: it is on that server's disk |
/// | ``Level/replicated`` | the loss of a server: it is on the disks of a majority of the replicas |
/// | ``Level/persisted`` | the loss of every server: it is in the database behind them, where there is one |
///
/// The receipt may be dropped: the write goes its way all the same.
public struct WriteReceipt: Sendable {
    /// What a write survives; each level includes those below it.
    public enum Level: UInt8, Sendable, Hashable, Comparable, CaseIterable {
        /// In the store of this device.
        case stored = 1
        /// On the disk of the server that took it.
        case applied
        /// On the disks of a majority of the replicas; on a single node the same as ``applied``.
        case replicated
        /// In the database behind the servers; where there is none, the same as ``replicated``.
        case persisted

        /// Lower levels come first.
        public static func < (left: Level, right: Level) -> Bool { left.rawValue < right.rawValue }
    }

    let progress: WriteProgress

    /// The highest level reached so far; `nil` before the write is stored on this device.
    public var level: Level? { progress.level }

    /// Returns once the write has reached the level; at once if it has.
    ///
    /// Waits as long as it takes: while the device is offline nothing above ``Level/stored`` is reached. A write that a
    /// newer one superseded reaches its levels like any other (see ``TopGunClient/lostWrites``). In a process that does not
    /// sync, the one that does leaves word of each level in the store; if that is an older version of this library, or many
    /// thousands of writes lie between, nothing is known of the write any more, and this waits until the client is closed.
    ///
    /// - Throws: ``TopGunError`` with the code `refused` when the server refused the write for good, `storage` when this
    ///   device could not store it, `closed` when the client was closed before; `CancellationError` when the task was
    ///   cancelled.
    public func reaches(_ level: Level) async throws {
        try await progress.reaches(level)
    }
}

/// How far one write has come, and who waits for it.
final class WriteProgress: Sendable {
    private struct State {
        var level: WriteReceipt.Level?
        var failure: TopGunError?
        var waiters: [Int: (level: WriteReceipt.Level, continuation: CheckedContinuation<Void, any Error>)] = [:]
        var lastWaiter = 0

        /// Takes out those who wait for nothing above the level, in the order in which they came.
        mutating func takeWaiters(upTo level: WriteReceipt.Level) -> [CheckedContinuation<Void, any Error>] {
            let ready = waiters.filter { $0.value.level <= level }.sorted { $0.key < $1.key }
            for (id, _) in ready { waiters[id] = nil }
            return ready.map { $0.value.continuation }
        }
    }

    private let state = Mutex(State())

    var level: WriteReceipt.Level? { state.withLock { $0.level } }

    func reached(_ level: WriteReceipt.Level) {
        let woken = state.withLock { state in
            state.level = max(state.level ?? level, level)
            return state.takeWaiters(upTo: level)
        }
        for continuation in woken { continuation.resume() }
    }

    /// No level above the one reached will come.
    func failed(_ error: TopGunError) {
        let woken = state.withLock { state in
            if state.failure == nil { state.failure = error }
            return state.takeWaiters(upTo: .persisted)
        }
        for continuation in woken { continuation.resume(throwing: error) }
    }

    func reaches(_ level: WriteReceipt.Level) async throws {
        let id = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    if let reached = state.level, reached >= level { return .success(()) }
                    if let failure = state.failure { return .failure(failure) }
                    if Task.isCancelled { return .failure(CancellationError()) }
                    state.waiters[id] = (level, continuation)
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { $0.waiters.removeValue(forKey: id) }
            waiter?.continuation.resume(throwing: CancellationError())
        }
    }
}
