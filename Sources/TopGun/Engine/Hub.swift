import Synchronization

/// Readers of one kind of news, each with an inbox of its own.
final class Hub<Content: Sendable>: Sendable {
    private struct State {
        var inboxes: [Int: Inbox<Content>] = [:]
        var last = 0
        var isFinished = false

        /// In the order of subscribing: who is woken first must not depend on how a process hashes.
        var ordered: [Inbox<Content>] { inboxes.sorted { $0.key < $1.key }.map { $0.value } }
    }

    private let state = Mutex(State())

    var isEmpty: Bool { state.withLock { $0.inboxes.isEmpty } }

    /// A new reader, whose inbox begins with the content.
    func subscribe(_ content: Content) -> HubSubscription<Content> {
        let inbox = Inbox(content)
        let id = state.withLock { state in
            state.last += 1
            if state.isFinished {
                inbox.finish()
            } else {
                state.inboxes[state.last] = inbox
            }
            return state.last
        }
        return HubSubscription(hub: self, id: id, inbox: inbox)
    }

    func change(_ body: (inout Content) -> Void) {
        let inboxes = state.withLock { $0.ordered }
        for inbox in inboxes { inbox.change(body) }
    }

    func finish() {
        let inboxes = state.withLock { state in
            state.isFinished = true
            defer { state.inboxes = [:] }
            return state.ordered
        }
        for inbox in inboxes { inbox.finish() }
    }

    fileprivate func remove(_ id: Int) {
        state.withLock { $0.inboxes[id] = nil }
    }
}

/// One reader of a ``Hub``, for as long as somebody holds it.
final class HubSubscription<Content: Sendable>: Sendable {
    let inbox: Inbox<Content>
    private let hub: Hub<Content>
    private let id: Int

    fileprivate init(hub: Hub<Content>, id: Int, inbox: Inbox<Content>) {
        self.hub = hub
        self.id = id
        self.inbox = inbox
    }

    deinit {
        hub.remove(id)
    }
}

/// The sync state and who wants to know it.
final class SyncStateHub: Sendable {
    private let state: Mutex<SyncState>
    private let hub = Hub<SyncState?>()

    init(_ state: SyncState) {
        self.state = Mutex(state)
    }

    var current: SyncState { state.withLock { $0 } }

    func become(_ new: SyncState) {
        let isNews = state.withLock { state in
            defer { state = new }
            return state != new
        }
        if isNews { hub.change { $0 = new } }
    }

    func subscribe() -> HubSubscription<SyncState?> {
        let subscription = hub.subscribe(nil)
        // After subscribing, so that nothing falls between.
        let now = current
        subscription.inbox.change { if $0 == nil { $0 = now } }
        return subscription
    }

    func finish() { hub.finish() }
}
