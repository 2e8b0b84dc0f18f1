/// Every bound of the server, and what happens at it.
enum Limits {
    // MARK: Connections

    /// A connection that must say who it is and has not by then is closed (protocol.md 1.5).
    static let handshakeMillisMax: Int64 = 10_000
    /// A connection that says nothing for this long is closed.
    static let idleMillisMax: Int64 = 60_000
    /// How often sessions are looked over for the two limits above.
    static let sessionSweepMillis: Int64 = 1_000
    /// The longest a rate-limited connection goes unread at a time.
    static let readPauseMillisMax: Int64 = 5_000

    // MARK: Devices

    /// Devices whose credentials one loop keeps, for ever as long as removals are kept for ever; a client beyond it is
    /// greeted without an identity of its own.
    static let devicesPerLoopMax = 262_144
    /// How long a greeting waits for a new credential to be on disk before it leaves without: half of what an official
    /// client waits for its answer.
    static let devicePatienceMillis: Int64 = 250

    /// Devices without a connection whose last operation ids are remembered; those that left first are forgotten, and are
    /// told to have sent nothing.
    static let devicesRememberedMax = 65_536

    // MARK: Operations

    /// Room for the operations of one read that a loop keeps; more is given back to the system.
    static let operationsKeptMax = 65_536

    /// Gaps in the operation ids of one connection that are kept apart; what lies between more of them counts as undecided
    /// as well, so that `lastId` covers less.
    static let undecidedRangesMax = 1_024

    /// Keys of one request whose refusal is told for each of them; of the others the answer says nothing.
    static let refusedKeysMax = 1_000

    /// What a refused client is told to wait before it tries again.
    static let busyRetryMillis: Int64 = 100
    static let fullRetryMillis: Int64 = 5_000

    /// How long the level that an operation asked for may take before its client is told how far it has come, unless
    /// the client says otherwise (protocol.md 3.5).
    static let concernTimeoutMillis: Int64 = 5_000

    /// How soon a client is made to forget a map and sync it again after it was told so for an earlier refusal.
    static let resetPauseMillis: Int64 = 1_000

    // MARK: Durability

    /// Bytes handed to the log by one loop and not yet on disk: connections that write are no longer read above the
    /// first, operations are refused as `BUSY` above the second.
    static let logBacklogBytesPause = 16 * 1_024 * 1_024
    static let logBacklogBytesMax = 64 * 1_024 * 1_024
    /// How long writes that nobody waits for are kept from the log, and how many bytes of them.
    static let patientLogMillis: Int64 = 2
    static let patientLogBytesMax = 256 * 1_024
    /// Bytes waiting at the gate of one loop; treated like the log's backlog.
    static let gateBytesMax = 64 * 1_024 * 1_024
    /// A gate buffer larger than this is given back to the system once empty.
    static let gateBufferBytesKept = 4 * 1_024 * 1_024
    /// Empty gate buffers kept for use again.
    static let gateSpareBatchesMax = 8

    /// How long the log's thread may be at one batch before the node says that its disk is slow.
    static let slowDiskMillis: Int64 = 2_000
    /// How often the watchdog's question to that thread is looked after, and how long a batch may take before the
    /// thread counts as stuck; a disk that is reset by its controller takes up to a minute or two.
    static let logPulseMillis: Int64 = 1_000
    static let logBatchMillisMax: Int64 = 300_000

    /// Records that one round of expiry looks at; the next round follows in a later turn of the loop.
    static let expiryBatchMax = 1_000
    /// Records whose Merkle leaves are built in one turn of a loop, when a map is synced for the first time.
    static let leavesBuiltPerTurn = 20_000

    // MARK: Between loops

    /// Operations sent to other loops and not answered yet: above half of it connections that write are not read, above
    /// it operations are refused as `BUSY`.
    static let mailboxOperationsMax = 262_144
    /// The smallest piece of memory that operations for another loop are copied into.
    static let mailboxChunkBytes = 16 * 1_024

    // MARK: Reading

    /// Maps one connection may be interested in, and queries it may have open; more are refused.
    static let mapsPerSessionMax = 10_000
    static let queriesPerSessionMax = 1_000
    /// Queries of one connection that are asked at a time; the others wait for their turn, and all while more is queued than
    /// ``answerQueueBytesMax``.
    static let queriesAskedMax = 4
    /// Walks of one connection that are not answered yet: above the first it is not read until half of them are, above the
    /// second, which only a frame full of them reaches, they are refused as `BUSY`.
    static let walksPause = 512
    static let walksMax = 4_096
    /// Rows of a query without a limit; `hasMore` says that there are more.
    static let queryRowsMax = 10_000
    /// How long a cursor of a query is good, and the longest sort key that one carries: behind a row with a longer one
    /// there is no next page.
    static let cursorMillisMax: Int64 = 600_000
    static let cursorKeyBytesMax = 4_096
    /// Rows that a scan keeps beyond what it needs before it sorts and cuts.
    static let queryRowsSpare = 256
    /// Table entries that a scan visits in one turn of a loop, and bytes of the records that it looks at there.
    static let scanVisitsPerTurn = 20_000
    static let scanBytesPerTurn = 4 * 1_024 * 1_024
    /// How soon a query with a limit is answered anew after a change of its rows.
    static let windowRefreshMillis: Int64 = 50
    /// Fields that a query may show of each value; one with more is refused.
    static let shownFieldsMax = 1_024
    /// Bytes of one query answer; a larger one is refused with `QUERY_SNAPSHOT_OVERFLOW`.
    static let queryAnswerBytesMax = 32 * 1_024 * 1_024
    /// Updates held back until every loop has given its part of a query's first answer.
    static let heldUpdatesBytesMax = 4 * 1_024 * 1_024
    /// A subtree up to this size is answered with its records instead of its hashes.
    static let leafAtOnceRecordsMax = 200
    static let leafAtOnceBytesMax = 64 * 1_024
    /// Records of one LEAF message, in bytes; the last one may go beyond.
    static let leafBytesMax = 256 * 1_024
    /// How long after its first write or query an official client that has not asked for a map's root is sent one.
    static let unaskedRootDelayMillis: Int64 = 1_000

    /// Bytes of a map on one loop up to which it is hashed anew for a connection with `hash128`; a larger one is compared
    /// by its 32-bit hashes.
    static let contentBytesMax = 4 * 1_024 * 1_024
    /// Bytes that are hashed in one turn of a loop, and maps whose hashes a loop keeps for connections.
    static let hashedBytesPerTurn = 256 * 1_024
    static let contentsKeptMax = 16
    /// Hashing so many records counts as one operation against a connection's rate.
    static let hashedRecordsPerToken = 4
    /// Paths that one connection is asked for; the walk of its next one finds what is left.
    static let pullsPerSessionMax = 4_096
    /// How long after a client gave what it was asked for it is sent the root that came of it.
    static let rootAfterPushMillis: Int64 = 1_000
    /// Questions of one loop's connections that are not answered yet; beyond it connections are not read any more.
    static let questionsOutMax = 10_000

    // MARK: Slow readers

    /// Bytes queued for a connection above which events are dropped: `RESYNC` follows, or the connection is closed.
    static let broadcastQueueBytesMax = 4 * 1_024 * 1_024
    /// Bytes queued above which a connection is not read any more, so that it cannot ask for more.
    static let answerQueueBytesMax = 1_024 * 1_024
    /// Below this a congested connection is well again.
    static let queueBytesResume = 256 * 1_024
    /// How often congested connections are looked at.
    static let congestionSweepMillis: Int64 = 10
    /// A connection that stays congested for this long without taking a byte is closed.
    static let stalledMillisMax: Int64 = 30_000

    // MARK: Partitions

    /// Log bytes after which a round of checkpoints starts.
    static let checkpointLogBytes: Int64 = 512 * 1_024 * 1_024
    /// Segments of the log after which one starts, too: every start of the node makes one, however little follows.
    static let checkpointSegments = 256
    /// Pause between the checkpoints of two partitions: their syncs and the log's go to one disk.
    static let checkpointPauseMillis: Int64 = 10
    /// How often the supervisor looks at log growth and expiry.
    static let supervisorTickMillis: Int64 = 1_000
    /// How often a stop looks whether what it waits for is done.
    static let stopLookMillis: Int64 = 10
    /// Bytes of one slice of a partition that is rebuilt; between slices the loop serves clients.
    static let rebuildSliceBytes = 128 * 1_024
    /// How long after a partition could not be rebuilt it is tried again: first, and in the end.
    static let rebuildRetryMillisMin: Int64 = 250
    static let rebuildRetryMillisMax: Int64 = 60_000
    /// Bytes of one slice of a checkpoint; between slices the loop serves clients.
    static let checkpointSliceBytes = 128 * 1_024
    /// Table slots and leaf entries that one loop checks each time the supervisor looks: well below a thousandth of the
    /// loop's time, and a round over a million records in some ten minutes.
    static let checkVisitsPerTurn = 4_096
    /// How often one partition whose memory broke is rebuilt within that time; then it stays out.
    static let repairsMax = 3
    static let repairWindowMillis: Int64 = 600_000
    /// How long a question about a whole map waits for a partition that is being rebuilt, and how many wait on one loop;
    /// then they are refused, with `NOT_READY` and with `BUSY`.
    static let wholePatienceMillis: Int64 = 4_000
    static let waitersMax = 1_000
    /// How soon after such a refusal the server asks again on the client's behalf: a live query then gets its rows after
    /// all, a map its root.
    static let wholeRetryMillis: Int64 = 5_000
}

// MARK: - The edge

extension Limits {
    /// How old the numbers of `/metrics` may be.
    static let metricsPublishMillis: Int64 = 1_000

    // MARK: Client sockets

    /// Bytes taken from a socket at once; a loop has one such buffer for all its connections.
    static let receiveBufferBytes = 64 * 1_024
    /// Bytes waiting for a socket above which its owner hears of it once they are down to half.
    static let socketQueueBytesHigh = 1_024 * 1_024
    /// A message to a client from this size on is handed to the socket as it is instead of being copied behind others.
    static let copiedMessageBytesMax = 16 * 1_024
    /// Buffers for outgoing frames that a loop keeps for the next tick, and the largest one worth keeping.
    static let outBuffersKept = 64
    static let outBufferBytesKept = 256 * 1_024
    static let outBufferBytesMin = 2 * 1_024
    /// Buffers for messages that come in pieces: the smallest, how many a loop keeps, and the largest one worth keeping.
    static let messageBufferBytesMin = 1_024
    static let messageBuffersKept = 16
    static let messageBufferBytesKept = 256 * 1_024
    /// Memory of all messages of one loop that have come in part; the connection that brings more is closed with 1013.
    /// More than one message of the longest kind takes.
    static let heldMessagesBytesMax = 128 * 1_024 * 1_024
    /// Bytes of one message from a client that must say who it is and has not; a longer one closes with 1009.
    static let strangerMessageBytesMax = 64 * 1_024
    /// Pings, pongs and other control frames of one connection in one second; more is a flood and closes with 1008.
    static let controlFramesPerSecondMax = 200
    /// A pong is not queued behind more than this: who does not read needs no sign of life.
    static let pongQueueBytesMax = 64 * 1_024
    /// What a close frame has left for its reason.
    static let closeReasonBytesMax = 123
    /// How long a connection that was told to go may take to do so.
    static let goodbyeMillisMax: Int64 = 5_000

    // MARK: HTTP

    /// From accept to a whole request head.
    static let requestHeadMillisMax: Int64 = 10_000
    /// An HTTP connection without a request for this long is closed.
    static let httpIdleMillisMax: Int64 = 60_000
    static let headerFieldsMax = 64
    static let headerFieldBytesMax = 8 * 1_024
    static let headerListBytesMax = 16 * 1_024
    /// Connections that the kernel holds until they are accepted.
    static let acceptBacklog = 1_024
    /// How long new connections are left alone after one could not be accepted, and how often that is told.
    static let acceptPauseMillis: Int64 = 500
    static let acceptAlarmMillis: Int64 = 60_000

    // MARK: Tokens and settings

    /// A longer token is refused unread.
    static let tokenBytesMax = 16 * 1_024
    /// A shorter secret gets a warning: it is weaker than the hash it is used with.
    static let strongSecretBytes = 32
    /// What settings may say.
    static let eventLoopsMax = 256
    static let connectionsMaxMax = 1_000_000
    static let messageBytesMin = 1_024
    static let messageBytesMaxMax = 64 * 1_024 * 1_024
    static let operationRateMax = 100_000_000
    static let drainSecondsMax = 3_600
    static let leewaySecondsMax = 3_600
    /// A longer URL, of a setting or of a request, is none.
    static let urlBytesMax = 512

    // MARK: Process

    /// File descriptors kept from connections, for the log, checkpoints and what the process itself needs; and for each
    /// event loop.
    static let otherFilesMin = 48
    static let filesPerLoop = 4
    /// What comes after the clients are let go, such as closing the log, before the process is ended by force.
    static let stopMillisMax: Int64 = 60_000
    /// How often the service manager is told how many clients there are.
    static let statusMillis: Int64 = 10_000
}
