import Synchronization

/// Where news waits for one reader: a piece of state that writers change and a reader empties.
///
/// It never grows with the number of changes, only with what the state holds: writers coalesce. That is what lets a slow
/// reader fall behind without anybody waiting for it and without anything being dropped unseen.
final class Inbox<Content: Sendable>: Sendable {
    private struct State {
        var content: Content
        var hasNews = true
        var isFinished = false
        var reader: CheckedContinuation<Void, Never>?

        mutating func wake() -> CheckedContinuation<Void, Never>? {
            defer { reader = nil }
            return reader
        }
    }

    private let state: Mutex<State>

    init(_ content: Content) {
        state = Mutex(State(content: content))
    }

    /// Changes the state and wakes the reader.
    func change(_ body: (inout Content) -> Void) {
        let reader = state.withLock { state in
            body(&state.content)
            state.hasNews = true
            return state.wake()
        }
        reader?.resume()
    }

    /// Nothing comes any more: the reader gets what is left, then nil.
    func finish() {
        let reader = state.withLock { state in
            state.isFinished = true
            return state.wake()
        }
        reader?.resume()
    }

    /// Waits until `take` finds something; nil when the inbox is finished or the task is cancelled. For one task at a
    /// time.
    func next<Element: Sendable>(_ take: (inout Content) -> Element?) async -> Element? {
        while !Task.isCancelled {
            let (element, isFinished) = state.withLock { state in
                state.hasNews = false
                return (take(&state.content), state.isFinished)
            }
            if let element { return element }
            if isFinished { return nil }
            await wait()
        }
        return nil
    }

    private func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { reader in
                let isReady = state.withLock { state in
                    if state.hasNews || state.isFinished || Task.isCancelled { return true }
                    state.reader = reader
                    return false
                }
                if isReady { reader.resume() }
            }
        } onCancel: {
            state.withLock { $0.wake() }?.resume()
        }
    }
}
