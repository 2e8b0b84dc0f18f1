import TopGunModel
import TopGunReplica

/// A write of this store's application that does not stand: the app can get its value back from here.
public struct LostWrite: Sendable {
    /// Why a write does not stand, and how long it can be got back.
    public enum Reason: Sendable, Hashable {
        /// A newer write of the same key won; see ``LostWrite/winner(as:)``. It was merged, so every device agrees. Kept
        /// until ``TopGunClient/forget(_:)`` or the end of this run.
        case superseded
        /// The server refused it for good, with this code, such as `FORBIDDEN`. The key shows again what the server
        /// holds. Kept, over restarts too, until ``TopGunClient/forget(_:)``.
        case refused(code: String)
        /// This device could not store it (for instance because its disk is full), so it did not happen. Kept as above.
        case notStored
    }

    /// The name of the map that was written to.
    public let map: String
    /// The key that was written.
    public let key: String
    /// Why the write does not stand.
    public let reason: Reason
    /// Whether the write was a removal; then there is no value.
    public var isRemoval: Bool { losing.isTombstone }

    /// Tells lost writes apart; given by ``LostWriteBook``.
    var number: UInt64 = 0
    let operation: UInt64
    let losing: Payload
    let winning: Payload?

    /// The value that was written; `nil` if the write was a removal.
    ///
    /// - Throws: ``TopGunError`` with the code `invalidValue` when it is none of that type.
    public func value<Value: Decodable>(as type: Value.Type) throws(TopGunError) -> Value? {
        losing.isTombstone ? nil : try PayloadDecoder.decode(type, from: losing)
    }

    /// The value that stood instead when the write was found to be lost, where it is known; `nil` if that was a removal.
    ///
    /// - Throws: ``TopGunError`` with the code `invalidValue` when it is none of that type.
    public func winner<Value: Decodable>(as type: Value.Type) throws(TopGunError) -> Value? {
        guard let winning, !winning.isTombstone else { return nil }
        return try PayloadDecoder.decode(type, from: winning)
    }
}

/// Writes that do not stand, as they become known.
///
/// Begins with those that became known earlier and were not forgotten yet (``TopGunClient/forget(_:)``), oldest first:
/// refused ones, those of earlier runs too, and the last 1,000 others of this run. At most 1,000 wait for one reader; beyond
/// that the oldest go. Ends when the client is closed.
public struct LostWrites: AsyncSequence, Sendable {
    let engine: ReplicaEngine

    /// A reader of its own.
    public func makeAsyncIterator() -> Iterator { Iterator(subscription: engine.lostWrites.subscribe()) }

    /// One reader; for one task at a time.
    public struct Iterator: AsyncIteratorProtocol {
        let subscription: HubSubscription<LostWriteQueue>

        /// Waits for the next one; `nil` when the client is closed or the task is cancelled.
        public mutating func next() async -> LostWrite? {
            await subscription.inbox.next { $0.pop() }
        }
    }
}

/// A bounded queue: the oldest go when it is full.
struct LostWriteQueue: Sendable {
    private var waiting: ArraySlice<LostWrite>

    init(_ waiting: [LostWrite] = []) {
        self.waiting = waiting.suffix(Limits.lostWritesBufferMax)
    }

    mutating func push(_ lost: LostWrite) {
        if waiting.count >= Limits.lostWritesBufferMax { waiting.removeFirst() }
        waiting.append(lost)
    }

    mutating func pop() -> LostWrite? { waiting.popFirst() }
}

extension LostWrite {
    init?(_ result: WriteResult) {
        switch result.outcome {
        case .stored, .reached: return nil
        case .superseded(let losing, let winning):
            self.init(
                map: result.map.string, key: result.key.string, reason: .superseded, operation: result.id,
                losing: losing.value, winning: winning?.value)
        case .refused(let code, let losing):
            self.init(
                map: result.map.string, key: result.key.string, reason: .refused(code: code.string),
                operation: result.id, losing: losing.value, winning: nil)
        case .notStored(_, let losing):
            self.init(
                map: result.map.string, key: result.key.string, reason: .notStored, operation: result.id,
                losing: losing.value, winning: nil)
        }
    }

    init(_ refused: SetAsideOperation) {
        self.init(
            map: refused.operation.map.string, key: refused.operation.key.string,
            reason: .refused(code: refused.code.string), operation: refused.operation.id,
            losing: refused.operation.record.value, winning: nil)
    }
}
