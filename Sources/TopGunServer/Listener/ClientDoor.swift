import NIOCore
import Synchronization
package import TopGunEnvironment

/// Where clients come in: knows whether they may, and who owns the connections of each event loop.
package final class ClientDoor: Sendable {
    package enum State: Sendable {
        /// The node reads its log; handshakes are answered with 503.
        case starting
        case open([any ClientConnectionOwner])
        /// The node is about to stop; handshakes are answered with 503.
        case draining
    }

    let sockets: [LoopSockets]
    private let state = Mutex(State.starting)

    package init(loops: [NIOLoop], metrics: ServerMetrics) {
        precondition(loops.count == metrics.loops.count)
        sockets = zip(loops, metrics.loops).map { LoopSockets(loop: $0, metrics: $1) }
    }

    /// Lets clients in; one owner for each event loop.
    package func open(_ owners: [any ClientConnectionOwner]) {
        precondition(owners.count == sockets.count, "\(owners.count) owners for \(sockets.count) loops")
        state.withLock { $0 = .open(owners) }
    }

    /// Lets nobody in any more, waits until every owner has let its clients go, and cuts off those that did not go in
    /// time. Connections still in their handshake are refused.
    package func drain(withinMillis limit: Int64) async {
        let owners: [any ClientConnectionOwner] = state.withLock { state in
            defer { state = .draining }
            if case .open(let owners) = state { return owners }
            return []
        }
        let cuts = sockets.map { sockets in
            sockets.loop.schedule(afterMillis: limit) { sockets.cut() }
        }
        await withTaskGroup { group in
            for owner in owners { group.addTask { await owner.drain() } }
        }
        for cut in cuts { cut.cancel() }
    }

    package var isOpen: Bool {
        state.withLock { state in
            if case .open = state { true } else { false }
        }
    }

    var isDraining: Bool {
        state.withLock { state in
            if case .draining = state { true } else { false }
        }
    }

    /// The memory and the owner of a loop; no owner while nobody may come in.
    func place(on eventLoop: any EventLoop) -> (sockets: LoopSockets, owner: (any ClientConnectionOwner)?) {
        guard let index = sockets.firstIndex(where: { $0.eventLoop === eventLoop }) else {
            preconditionFailure("a connection on an event loop that the door does not know")
        }
        let owner: (any ClientConnectionOwner)? = state.withLock { state in
            if case .open(let owners) = state { return owners[index] }
            return nil
        }
        return (sockets[index], owner)
    }
}
