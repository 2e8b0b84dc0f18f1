import TopGunEnvironment
import TopGunModel
import TopGunWire

/// One client connection as its gateway keeps it: the session's core, its socket, and what is owed to it.
///
/// Confined to the gateway's loop.
final class SessionShell {
    let id: SessionID
    let connection: any ClientConnection
    let peer: PeerInfo
    var core: ClientSession
    var bucket: TokenBucket
    /// A copy of the core's answer, because the hot path asks for it with every read.
    var identity: ClientSession.Identity?

    /// What is known of the device that it is, and its id once the client was told; several connections may be one device.
    var device = DeviceSearch.open
    var deviceID: String?
    /// What its 128-bit hashes are keyed by, once it was told.
    var hashKey: SipHash128.Key?
    /// Ids that earlier connections of the device left undecided, if any, and those of them that this one decided.
    var openBefore: IDRanges?
    var decidedBefore = IDRanges()

    /// The maps it hears of, by name, as the gateway numbers them.
    var interests: [ByteString: Int32] = [:]
    /// The maps it was sent a root of, or is going to be.
    var synced: Set<ByteString> = []
    /// Maps of which it has nothing yet and will be sent everything.
    var isEmptyHanded: Set<ByteString> = []
    /// The map it wrote to last: most batches are about one map.
    var lastWritten: [UInt8] = []
    /// Maps that it was told to forget and sync anew.
    var resets: [ByteString: Reset] = [:]

    struct Reset {
        /// When it was told, by the monotonic clock, and whether it will be again.
        var sentMillis: Int64
        var isDue = false
    }

    /// Paths whose records it was asked for, and maps whose root it is going to be sent, for what it gave or because none
    /// could be had.
    var pulled: Set<MapPath> = []
    var rootsDue: Set<ByteString> = []

    /// Whether it ever asked for the partition map, and whether it waits for one until its token is accepted.
    var asksForMaps = false
    var isOwedMap = false

    var queries: [ByteString: LiveQuery] = [:]
    var queryTurns = QueryTurns()
    /// Walks that the groups are being asked about, and the records of others that wait to be sent.
    var walksOut = 0
    var streams: [LeafStream] = []

    /// The number of the last event or query update.
    var sequence: Int64 = 0
    /// Acknowledgements at the gate, and the `lastId` of the last one that left.
    var acknowledgementsWaiting = 0
    var releasedID: UInt64 = 0

    var pauses: Pauses = []
    /// Whether something was sent since the last flush.
    var isDirty = false
    /// Maps of which events were dropped since it became congested.
    var lostMaps: Set<ByteString> = []
    var lostQueries: Set<ByteString> = []
    /// Whether a closing handshake was begun; nothing is sent any more.
    var isClosing = false
    /// Since when it took no byte, in monotonic milliseconds, and how much was queued then.
    var stalledSinceMillis: Int64?
    var stalledBytes = 0

    /// Why the socket is not read at present.
    struct Pauses: OptionSet {
        let rawValue: UInt8

        static let rate = Pauses(rawValue: 1)
        static let congestion = Pauses(rawValue: 2)
        static let backlog = Pauses(rawValue: 4)
        static let walks = Pauses(rawValue: 8)
    }

    init(
        id: SessionID, connection: any ClientConnection, peer: PeerInfo, core: consuming ClientSession,
        bucket: TokenBucket
    ) {
        self.id = id
        self.connection = connection
        self.peer = peer
        self.core = core
        self.bucket = bucket
        self.identity = self.core.identity
    }

    /// Starts or ends one reason not to read the socket.
    func pause(_ reason: Pauses, _ isOn: Bool) {
        let before = pauses
        if isOn { pauses.insert(reason) } else { pauses.remove(reason) }
        guard before.isEmpty != pauses.isEmpty, !isClosing else { return }
        connection.setReading(pauses.isEmpty)
    }
}
