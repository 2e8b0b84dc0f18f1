/// The limits of the simulated world, and what happens at each.
enum Limits {
    /// What a client waits for an answer before it gives up connecting.
    static let connectNanosMax: Int64 = 5_000_000_000
    /// Bytes of a packet, the pause after which the first loss of one is made good, doubled each time, and how many times
    /// it is sent again before the connection breaks: after 51 seconds.
    static let packetBytes = 1_400
    static let retransmissionNanosMin: Int64 = 200_000_000
    static let retransmissionsMax = 7
    /// What the kernels at both ends of a connection take before a sender notices.
    static let socketBytes = 16 << 10
    /// How long a heartbeat is on its way at most where the path is well.
    static let heartbeatNanosMax: Int64 = 200_000_000
    /// What a node takes as one message.
    static let messageBytesMax = 16 << 20
    /// Bytes queued for a connection above which its owner hears of it once they are down to half.
    static let queueBytesHigh = 1_024 * 1_024
    /// Bytes that may ever be queued for one connection: answers up to the limit of the server, and a message beyond.
    static let queuedBytesMax: Int64 = 1_280 << 10

    /// Bytes of the checkpoints of all partitions, with all that a world writes in them, and of what else a node keeps.
    static let checkpointBytesMax: Int64 = 384 << 10

    /// How long a sync of a disk that is well takes at most.
    static let syncNanosMax: Int64 = 2_000_000
    /// How long a commit of a device that is well takes at most.
    static let commitNanosMax: Int64 = 3_000_000
    /// Writes that are remembered for a stranger.
    static let standingMax = 64
    /// Devices of a world that are set up from the stores of others.
    static let copiesMax = 2
    /// Entries that a client reads from its store at once.
    static let pageEntries = 8

    /// Operations that a run of cores applies at once at most, and log bytes after which others may load them.
    static let coreBatchOperations = 64
    static let coreLogBytes = 16 << 10

    /// How long a value with a lifetime lives at most.
    static let lifetimeMillisMax: Int64 = 20_000
    /// How long after its end a value may still be there: grace, the supervisor's tick, and the way.
    static let expiryMillisMax: Int64 = 5_000
    /// How far ahead of the node's clock a client's stamp may lie, and so how much later a value may end.
    static let aheadMillisMax: Int64 = 60_000
    /// How long everything may take to come to rest: the thirty seconds that are promised, after one reconnect of at most
    /// forty-five and one lost answer of thirty.
    static let quietMillisMax: Int64 = 120_000
}
