import Synchronization

/// One wait, which ends once: by its timer or because its task is cancelled.
final class Sleep: Sendable {
    private let state = Mutex(State())

    private struct State {
        var isOver = false
        var isCancelled = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    func end(isCancelled: Bool = false) {
        let waiter = state.withLock { state in
            if !state.isOver { state.isCancelled = isCancelled }
            state.isOver = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    func wait() async throws {
        await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                let isOver = state.withLock { state in
                    if !state.isOver { state.waiter = waiter }
                    return state.isOver
                }
                if isOver { waiter.resume() }
            }
        } onCancel: {
            end(isCancelled: true)
        }
        if state.withLock({ $0.isCancelled }) { throw CancellationError() }
    }
}
