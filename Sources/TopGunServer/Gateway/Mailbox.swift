import TopGunModel
import TopGunPartition

/// Operations on their way to the partitions of another loop: one for each target and tick.
///
/// Unchecked because the loop that fills it gives it away with the job that carries it.
final class Mailbox: @unchecked Sendable {
    var segments: [MailboxSegment] = []
    var count = 0
}

/// The operations of one connection's read that go to one loop, copied once.
///
/// Unchecked for the same reason as ``Mailbox``; the views point into `bytes`, which never moves after it was filled.
final class MailboxSegment: @unchecked Sendable {
    let session: SessionID
    let nameSpace: ByteString
    let rules: IngressRules
    private(set) var operations: [OperationView] = []
    /// Which frame, and which place in it, each operation answers.
    private(set) var places: [(frame: UInt64, position: Int)] = []
    /// The answers, filled in by the loop that merged them.
    var outcomes: [Outcome] = []
    /// What the writer is to be told besides, by frame; filled in with the answers.
    var corrections: [(frame: UInt64, correction: Correction)] = []
    private var chunks: [ByteSink] = []

    init(session: SessionID, nameSpace: ByteString, rules: IngressRules) {
        self.session = session
        self.nameSpace = nameSpace
        self.rules = rules
    }

    /// Whether something of this can be answered before anything is on disk.
    var hasAnswersAtOnce: Bool {
        zip(operations, outcomes).contains { operation, outcome in
            switch OperationAnswer(operation, outcome).way {
            case .early, .silent, .away: true
            case .durable, .refused, .later: false
            }
        }
    }

    func append(_ operation: OperationView, frame: UInt64, position: Int) {
        var copy = operation
        let length =
            operation.map.count + operation.key.count + operation.value.count + operation.node.count
            + operation.tag.count
        let sink = room(for: length)
        copy.map = sink.keep(operation.map)
        copy.key = sink.keep(operation.key)
        copy.value = sink.keep(operation.value)
        copy.node = sink.keep(operation.node)
        copy.tag = sink.keep(operation.tag)
        operations.append(copy)
        places.append((frame, position))
    }

    /// Chunks are never grown, because a view into one must stay valid.
    private var free = 0

    private func room(for length: Int) -> ByteSink {
        if let last = chunks.last, length <= free {
            free -= length
            return last
        }
        let capacity = max(length, Limits.mailboxChunkBytes)
        let sink = ByteSink(capacity: capacity)
        chunks.append(sink)
        free = capacity - length
        return sink
    }

    /// Leaves only removals to be merged.
    func refusePuts(_ refusal: Refusal) {
        for index in operations.indices where operations[index].kind != .remove {
            operations[index].refusal = operations[index].refusal ?? refusal
        }
    }

    /// Gives the copied bytes back once the operations were merged; only places and outcomes are needed on the way back.
    func dropBytes() {
        operations.removeAll()
        chunks.removeAll()
    }
}

extension ByteSink {
    /// Copies bytes to the end, where there must be room without growing, and returns the copy.
    fileprivate func keep(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        let start = count
        append(bytes)
        return UnsafeRawBufferPointer(rebasing: self.bytes[start..<start + bytes.count])
    }
}
