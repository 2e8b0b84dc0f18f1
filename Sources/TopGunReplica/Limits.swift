/// The named limits of a client replica and what happens at each (protocol.md 1.5, 2, 11).
package enum ReplicaLimits {
    // MARK: Names and values

    /// Longest map name; a longer one cannot be opened.
    package static let mapNameBytesMax = 256
    /// Longest key; a write to a longer one is refused.
    package static let keyBytesMax = 4096
    /// Largest value; a larger one is refused, because no server takes a frame that holds it.
    package static let valueBytesMax = 1 << 20
    /// Most maps that a replica holds open; one more is refused.
    package static let openMapsMax = 4096
    /// Most live queries at once; one more is refused.
    package static let queriesMax = 1024

    /// Node ids that are kept once for all records; beyond it they are kept per record.
    package static let nodeNamesMax = 65_536

    // MARK: The network window

    /// What an operation takes in a frame above its texts and its value.
    package static let operationFrameBytes = 128

    /// Operations of one OP_BATCH.
    package static let batchOperationsMax = 512
    /// Bytes of one OP_BATCH, unless a single operation is larger.
    package static let batchBytesMax = 64 << 10
    /// Operations sent and not decided yet; the rest waits in the log.
    package static let windowOperationsMax = 4 * batchOperationsMax
    /// Bytes sent and not decided yet.
    package static let windowBytesMax = 4 * batchBytesMax
    /// An operation without any answer for so long is sent again on the same connection.
    package static let resendAfterMillis: Int64 = 30_000
    /// Merkle paths asked for and not answered yet, per map; the rest waits.
    package static let walkRequestsMax = 256
    /// A walk in which nothing arrived for so long starts over.
    package static let walkStallMillis: Int64 = 30_000
    /// A live query that was not answered for so long may be asked again.
    package static let queryStallMillis: Int64 = 30_000
    /// Longest sync cursor that is kept and given back; without one the map is walked.
    package static let cursorBytesMax = 8_192
    /// Bytes of one MERKLE_PUSH, unless a single record is larger.
    package static let pushBytesMax = 256 << 10
    /// Bytes of MERKLE_PUSHes that follow each other; the next one waits for the PONG to a PING behind them.
    package static let pushWindowBytesMax = 4 * pushBytesMax
    /// Largest frame that is taken from a server.
    package static let receivedFrameBytesMax = 64 << 20

    /// How long the comparison of maps waits for the log to be sent first.
    package static let syncDelayMillisMax: Int64 = 5_000
    /// Merkle paths that a server is answered on one connection, each once; the rest is not answered.
    package static let pullsMax = 4_096
    /// Operations, counted back from the newest, whose fate a store tells to the process that wrote them; of older ones
    /// that left the log it says that nothing is known.
    package static let decidedOperationsMax: UInt64 = 65_536
    /// Retired writes that can still be told that they reached the database; the oldest are forgotten.
    package static let retiredWritesMax = 4_096

    // MARK: Connection

    /// How long a socket may take to open.
    package static let connectMillisMax: Int64 = 5_000
    /// How long an answer to AUTH may take.
    package static let handshakeMillisMax: Int64 = 10_000
    /// How long a client without token waits for DEVICE_ACK or AUTH_REQUIRED before it goes on.
    package static let graceMillis: Int64 = 500
    package static let pingEveryMillis: Int64 = 5_000
    /// Without PONG for so long the connection is given up.
    package static let pongMissingMillis: Int64 = 15_000
    /// Before jitter; doubled with every attempt up to ``reconnectMillisMax``.
    package static let reconnectMillisMin: Int64 = 1_000
    package static let reconnectMillisMax: Int64 = 30_000
    /// First and longest pause after BUSY, NODE_FULL and NOT_READY.
    package static let retryMillisMin: Int64 = 200
    package static let retryMillisMax: Int64 = 30_000

    /// A difference from the servers' clock below this is none; nor is a step of the wall clock below this one.
    package static let clockOffsetMillisMin: Int64 = 5_000

    /// Ends of lifetimes that may be queued above twice those that count, before the void ones are looked for.
    package static let voidExpiriesMax = 1_024
    /// The longest that a timer is set for; wall clocks jump meanwhile.
    package static let timerMillisMax: Int64 = 60_000

    // MARK: Store

    /// Records of one store transaction; what is left goes into the next one.
    package static let transactionEntriesMax = 20_000
    /// How many records a shell should read from the store at once.
    package static let loadEntriesMax = 4_096
    /// How long a failed store is left alone before what still has to be written is tried again.
    package static let storeRetryMillis: Int64 = 1_000
}
