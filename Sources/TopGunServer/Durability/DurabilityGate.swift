import TopGunModel

/// One thing that leaves a loop's partitions once what it reveals is on disk.
///
/// A plain value without references, because a busy loop makes a million of them a second; the bytes it speaks of lie
/// in the batch it belongs to.
struct GateEntry {
    enum Kind: UInt8 {
        /// Bytes for one session; `number` is the `lastId` they cover.
        case acknowledgement
        /// Bytes for one session.
        case answer
        /// Bytes for every session interested in the map `target` of loop `loop`, except session `number`.
        case event
        /// Bytes of an event for the one session that wrote something else than what stands now.
        case echo
        /// Bytes for the query `number` of a session.
        case update
        /// The closure `target` of the batch.
        case job
    }

    var kind: Kind
    /// The loop whose gateway it is for.
    var loop: UInt8 = 0
    var target: Int32 = 0
    var number: UInt64 = 0
    var session = SessionID.none
    var offset = 0
    var length = 0
}

/// What waits for one ticket of the log.
final class GateBatch {
    fileprivate(set) var ticket: Int64 = 0
    let bytes = ByteSink(capacity: 16 * 1_024)
    var entries: [GateEntry] = []
    var jobs: [() -> Void] = []
    /// When it was closed, by the monotonic clock; and up to which age its waiting acknowledgements were told of.
    var sinceMillis: Int64 = 0
    var toldMillis: Int64 = -1
    /// Of operations that do not have the usual time.
    var timeouts: [Timeout] = []

    /// How long a client waits for one operation in the acknowledgement `entry`.
    struct Timeout {
        var entry: Int
        var id: UInt64
        var millis: Int64
    }

    var isEmpty: Bool { entries.isEmpty }

    fileprivate func removeAll() {
        entries.removeAll(keepingCapacity: true)
        jobs.removeAll()
        bytes.removeAll()
        timeouts.removeAll()
        sinceMillis = 0
        toldMillis = -1
    }
}

/// The one door by which anything leaves a loop's partitions: first in, first out, and nothing before the log has what
/// it reveals (design.md rule 5).
///
/// ```
///  merges, reads ──► open batch ──close()──► waiting (ticket 7) (ticket 8) ──release(upTo: 7)──► leaves
///                                                │ needs no ticket, nothing waiting
///                                                └───────────────────────────────► leaves at once
/// ```
///
/// A ticket stands for one hand-over to the log; tickets grow by one and are reached in order. What is put in after the
/// last hand-over needs the next ticket if something is still to be logged, else the last one.
struct DurabilityGate {
    private(set) var open = GateBatch()
    private var waiting: [GateBatch] = []
    private var head = 0
    private var spare: [GateBatch] = []
    /// The last ticket handed to the log, and the last one it has put on disk.
    private(set) var handedOver: Int64 = 0
    private(set) var reached: Int64 = 0

    /// Bytes of everything that waits.
    private(set) var waitingBytes = 0

    /// What was closed and is not on disk yet, oldest first.
    var waitingBatches: ArraySlice<GateBatch> { waiting[head...] }

    var isIdle: Bool { open.isEmpty && head == waiting.count }

    /// Whether something handed to the log is not on disk yet.
    var isOutstanding: Bool { reached < handedOver }

    /// Ends the open batch. With `logged`, a new ticket covers it and is returned: hand what is to be logged over under
    /// it. Call ``release(upTo:_:)`` with ``reached`` afterwards, for what needs no ticket.
    mutating func close(logged: Bool) -> Int64 {
        if logged { handedOver += 1 }
        guard !open.isEmpty else { return handedOver }
        open.ticket = handedOver
        waitingBytes += open.bytes.count
        waiting.append(open)
        open = spare.popLast() ?? GateBatch()
        return handedOver
    }

    /// Lets everything go whose ticket is on disk, in the order it came.
    mutating func release(upTo ticket: Int64) -> [GateBatch] {
        precondition(ticket <= handedOver, "the log reached ticket \(ticket), only \(handedOver) were handed over")
        reached = max(reached, ticket)
        var released: [GateBatch] = []
        while head < waiting.count, waiting[head].ticket <= reached {
            let batch = waiting[head]
            head += 1
            waitingBytes -= batch.bytes.count
            released.append(batch)
        }
        if head == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            head = 0
        } else if head > 64 {
            waiting.removeFirst(head)
            head = 0
        }
        return released
    }

    /// Takes the memory of a batch back that has left.
    mutating func recycle(_ batch: GateBatch) {
        guard spare.count < Limits.gateSpareBatchesMax, batch.bytes.count <= Limits.gateBufferBytesKept else { return }
        batch.removeAll()
        spare.append(batch)
    }
}
