import Synchronization
import TopGunModel
import TopGunReplica

/// The lost writes that the application has not dealt with, and who reads them.
///
/// Writes come to grief when the client connects, which may be long before the application looks; so what nobody has
/// forgotten is kept for whoever asks later. Refused ones are all kept, as the store keeps them; of the others the latest
/// ``Limits/lostWritesBufferMax``.
final class LostWriteBook: Sendable {
    private struct State {
        var refused: [LostWrite] = []
        var others: [LostWrite] = []
        var lastNumber: UInt64 = 0

        mutating func number() -> UInt64 {
            lastNumber += 1
            return lastNumber
        }
    }

    private let state = Mutex(State())
    private let hub = Hub<LostWriteQueue>()

    /// Takes in what the store holds; what is known already is not told again.
    func restore(_ stored: [SetAsideOperation]) {
        state.withLock { state in
            var known: Set<UInt64> = []
            for lost in state.refused { known.insert(lost.operation) }
            for operation in stored where known.insert(operation.operation.id).inserted {
                add(LostWrite(operation), &state)
            }
        }
    }

    func add(_ lost: LostWrite) {
        state.withLock { add(lost, &$0) }
    }

    private func add(_ lost: LostWrite, _ state: inout State) {
        var lost = lost
        lost.number = state.number()
        switch lost.reason {
        case .refused:
            state.refused.append(lost)
        case .superseded, .notStored:
            if state.others.count >= Limits.lostWritesBufferMax { state.others.removeFirst() }
            state.others.append(lost)
        }
        // Under the lock, so that whoever subscribes in this moment hears of it once.
        hub.change { $0.push(lost) }
    }

    func forget(_ lost: LostWrite) {
        state.withLock { state in
            state.refused.removeAll { $0.number == lost.number }
            state.others.removeAll { $0.number == lost.number }
        }
    }

    func subscribe() -> HubSubscription<LostWriteQueue> {
        state.withLock { state in
            hub.subscribe(LostWriteQueue((state.refused + state.others).sorted { $0.number < $1.number }))
        }
    }

    func finish() { hub.finish() }
}
