package import TopGunModel

/// The client engine: local maps, the log of what the servers do not hold yet, and the conversation that brings both
/// together. A core: every event is a call that returns at once, every consequence is an effect.
///
/// ```
///            set, remove                      connected, received, disconnected
///                 │                                         │
///                 v                                         v
///        ┌─ local map ──> log ──> (committed) ──> OP_BATCH ──> OP_ACK ──> retired
///        │      ^                                           │
///        │      └── merge <── SERVER_EVENT, LEAF <──────────┘
///        v
///   transaction (records, operations, cursors) ──> committed / commitFailed
/// ```
///
/// Rules that everything here follows:
/// - Nothing is sent before the store has it: an id or a stamp that left the device is never given out again.
/// - An operation leaves the log only when an acknowledgement **names it** at the retire level, or when it was refused
///   for good; then it is set aside, and the key shows what the servers hold.
/// - What comes from the servers is shown at once and written behind; cursors are written after it.
///
/// Not thread-safe: keep it in an actor or behind a lock. Call ``takeEffects(at:)`` after every event.
package struct ReplicaState: ~Copyable, Sendable {
    let configuration: ReplicaConfiguration
    package internal(set) var role: ReplicaRole
    package internal(set) var identity: StoredIdentity
    var clock: HybridLogicalClock
    /// How far the servers' clock is ahead of ours, once known.
    var clockOffset: ClockOffset?
    var chance: Chance

    var maps: [ReplicaMap] = []
    var mapIndices: [ByteString: Int] = [:]
    var log = OperationLog()
    var pendings = PendingKeys()
    var setAsides: [SetAsideOperation] = []
    var refused = RefusedWrites()
    var saving = Saving()
    var queries: [QueryID: LiveQuery] = [:]
    var lastQuery: UInt64 = 0
    /// Whether any of them is to be asked for again.
    var areSubscriptionsDue = false
    var expiries = ExpiryQueue()
    var nodes = NodeNames()
    var lastWrite: UInt64 = 0
    /// Retired writes of this run that can still rise to `persisted`.
    var retiredWrites = RetiredWrites()
    /// Superseded operations whose winner has not arrived yet, by key.
    var supersededWrites: [EntryRef: [WriteResult]] = [:]

    var link = Link()
    var token: String?
    package internal(set) var isOnlineWanted = true
    var isStarted = false
    var isUpgradeRequired = false
    /// Operations sent and not decided.
    var sentCount = 0
    var sentBytes = 0
    /// When the operation was sent that waits longest for an answer; never later than that.
    var oldestSentMillis: Int64?
    /// Nothing is sent before this: a server asked for patience.
    var pausedUntilMillis: Int64?
    var pauseMillis: Int64 = 0
    /// Operations wait for new stamps, and nothing is sent before they have them.
    var isRestampWanted = false
    /// They do because our clock was ahead, so it starts anew from the servers'.
    var isClockAhead = false
    /// Whether the open maps were compared with the servers to the last byte in this run.
    var wasContentCompared = false
    /// Maps to be compared with the servers.
    var syncsDue: [Int] = []
    /// Maps that are being compared.
    var busyMaps: [Int] = []
    /// Paths that a server asked for, and how far they are answered.
    var pulls: [PullAnswer] = []
    /// Events were lost, so whatever could have been in them is asked for again at the end of the turn.
    var wasGapSeen = false
    /// Set while own records are offered again to servers that were restored from a backup.
    var reoffer: Reoffer?

    /// The change of the store up to which other processes' work is known here.
    package internal(set) var storeSequence: Int64 = 0
    /// The id up to which every operation of the store is known here.
    package internal(set) var lastOperationID: UInt64 = 0
    package internal(set) var syncState = SyncState.offline
    var effects = ReplicaEffects()
    /// Where messages are put together.
    let scratch = ByteSink()

    struct Pull: Hashable, Sendable {
        var map: Int
        var path: MerklePath
    }

    struct PullAnswer: Sendable {
        let pull: Pull
        /// The first place in the map's table that was not looked at.
        var nextPlace = 0
        var wasSent = false
    }

    struct Reoffer: Sendable {
        var epoch: Int64
        /// Maps that still have to be gone through.
        var maps: [Int]
    }

    /// - Parameters:
    ///   - identity: What the store holds; in a fresh one, an identity with a new lower-case UUID. A follower is given
    ///     a node id of its own, made for this run: two living processes never stamp with one.
    ///   - seed: 128 bits of fresh entropy.
    package init(
        _ configuration: ReplicaConfiguration, identity: StoredIdentity, role: ReplicaRole, seed: (UInt64, UInt64)
    ) {
        self.configuration = configuration
        self.identity = identity
        self.role = role
        self.chance = Chance(seed: seed)
        switch role {
        case .leader: self.clock = HybridLogicalClock(node: identity.node, restoredBound: identity.clockBound)
        case .follower: self.clock = HybridLogicalClock(node: identity.node)
        }
    }

    package var node: ByteString { clock.node }

    /// Operations that the servers do not hold safely yet.
    package var pendingCount: Int { log.count }

    /// Whether the store has everything that is here.
    package var isSaved: Bool { saving.isEmpty && saving.inFlight == nil }

    /// Ids of the operations that there may be news of: those in the log, ascending; in a follower then those that left it
    /// and may still reach the database.
    package var outstandingOperations: [UInt64] {
        switch role {
        case .leader: log.ids
        case .follower: log.ids + retiredWrites.ids
        }
    }

    /// Operations that were refused for good and not dealt with yet.
    package var setAsideOperations: [SetAsideOperation] { setAsides }
}

// MARK: - Start

extension ReplicaState {
    /// The maps that the store knows; before ``start(token:storeSequence:at:)``.
    package mutating func restore(maps stored: [StoredMap]) {
        for state in stored {
            let map = mapIndex(named: state.name)
            maps[map].lastSyncMillis = state.lastSyncMillis
            maps[map].isStored = true
        }
    }

    /// Refused operations that the application has not dealt with.
    package mutating func restore(setAside: [SetAsideOperation]) {
        setAsides.append(contentsOf: setAside)
    }

    /// The operations of the log, ascending, in as many pieces as suit.
    package mutating func restore(operations: [StoredOperation]) {
        for operation in operations { adopt(operation) }
    }

    /// Everything small is restored; from now on the replica connects and asks for maps to be read.
    package mutating func start(token: String?, storeSequence: Int64, at now: ReplicaTime) {
        self.token = token
        self.storeSequence = max(self.storeSequence, storeSequence)
        isStarted = true
        for id in log.ids {
            if let slot = log.slot(ofID: id) { refuseUnlessSendable(slot, now) }
        }
        connectIfWanted(at: now)
    }

    /// Takes an operation from the store into the log.
    mutating func adopt(_ operation: StoredOperation) {
        lastOperationID = max(lastOperationID, operation.id)
        guard operation.id > 0, log.slot(ofID: operation.id) == nil else { return }
        let map = mapIndex(named: operation.map)
        let place = maps[map].table.makePlace(of: operation.key)
        let ref = EntryRef(map: map, place: place)
        let record = interned(operation.record)
        let stored = maps[map].table.entries[place].record
        if maps[map].table.entries[place].pending == RecordTable.none {
            // What others wrote came from the servers; what was written here may be this write, or another of the log.
            let isKnown = !maps[map].table.entries[place].isOwn
            let base = isKnown ? stored.map { PendingKey.Base.record($0, isOwn: false) } : nil
            maps[map].table.setPending(pendings.insert(base ?? .unknown), at: place)
        }
        let slot = log.insert(
            LogEntry(ref: ref, record: record, state: .ready, frameBytes: frameBytes(of: ref, record)))
        log.number(slot, id: operation.id)
        pendings[maps[map].table.entries[place].pending].writes.append(slot)
        if stored.map({ record.replaces($0, tie: .repeatChangesNothing) }) ?? true {
            put(record, isOwn: true, at: ref)
        }
        observe(record.timestamp)
    }
}

// MARK: - Maps

extension ReplicaState {
    /// Opens a map: it is read from the store, then kept in step with the servers. Opening it again returns the same.
    package mutating func open(_ name: ByteString, at now: ReplicaTime) throws(ReplicaError) -> MapID {
        guard Self.isMapName(name) else { throw ReplicaError(.badMapName) }
        if mapIndices[name] == nil, maps.count >= ReplicaLimits.openMapsMax { throw ReplicaError(.tooManyMaps) }
        let map = mapIndex(named: name)
        maps[map].isOpen = true
        load(map)
        if maps[map].loading == .loaded { syncSoon(map) }
        return MapID(index: map)
    }

    /// Maps that the application has open, in the order in which they became known.
    package var openMaps: [MapID] {
        maps.indices.filter { maps[$0].isOpen }.map { MapID(index: $0) }
    }

    package func name(of map: MapID) -> ByteString {
        maps[map.index].name
    }

    /// Whether everything that the store has of the map is here.
    package func isLoaded(_ map: MapID) -> Bool {
        maps.indices.contains(map.index) && maps[map.index].loading == .loaded
    }

    /// Entries of a map as they stand in the store, in as many pieces as suit.
    package mutating func loaded(map id: MapID, entries: [StoredEntry], isLast: Bool, at now: ReplicaTime) {
        let map = id.index
        guard maps.indices.contains(map), maps[map].loading == .loading else { return }
        if maps[map].table.entries.isEmpty { maps[map].table.reserveCapacity(entries.count) }
        for entry in entries {
            // What is no value could be read by nobody, and would be offered to servers together with what is.
            guard let record = entry.record, record.value.isOneValue else { continue }
            let place = maps[map].table.makePlace(of: entry.key)
            restore(interned(record), isOwn: entry.isOwn, at: EntryRef(map: map, place: place), now)
        }
        guard isLast else { return }
        maps[map].loading = .loaded
        refused.forget(upTo: storeSequence, maps)
        effects.notices.append(.mapLoaded(id))
        if maps[map].isOpen { syncSoon(map) }
        continueReoffer(after: map, at: now)
    }

    /// The store could not be read: the map is not open after all. Opening it again has it read again.
    package mutating func loadFailed(map id: MapID) {
        let map = id.index
        guard maps.indices.contains(map), maps[map].loading == .loading else { return }
        maps[map].loading = .known
        maps[map].isOpen = false
        maps[map].isSyncDue = false
        syncsDue.removeAll { $0 == map }
    }

    /// Puts a stored record where it was, below whatever has happened since.
    private mutating func restore(_ record: LWWRecord, isOwn: Bool, at ref: EntryRef, _ now: ReplicaTime) {
        guard !refused.contains(record.timestamp, at: ref) else { return }
        let place = Int(ref.place)
        let entry = maps[Int(ref.map)].table.entries[place]
        if entry.pending != RecordTable.none {
            // A write of the log is shown already, and may have got another stamp since it was stored: the old one would
            // stand above it, and nobody else has it.
            let isWrite = pendings[entry.pending].writes.contains { slot in
                let write = log[slot].record
                return write.timestamp == record.timestamp || isOwn && Self.isSameValue(write, record)
            }
            if isWrite { return }
            pendings[entry.pending].base = pendings[entry.pending].base.merged(record, isOwn: isOwn)
        }
        observe(record.timestamp)
        if entry.record.map({ record.replaces($0, tie: .repeatChangesNothing) }) ?? true {
            show(record, isOwn: isOwn, at: ref, isLocal: false, now)
        }
    }

    /// Whether ``MapChange``s of the map are wanted.
    package mutating func watch(_ map: MapID, _ isWatched: Bool) {
        guard maps.indices.contains(map.index) else { return }
        maps[map.index].isWatched = isWatched
    }

    mutating func mapIndex(named name: ByteString) -> Int {
        if let index = mapIndices[name] { return index }
        maps.append(ReplicaMap(name: name))
        mapIndices[name] = maps.count - 1
        return maps.count - 1
    }

    /// Has the map read from the store, unless it is or will be.
    mutating func load(_ map: Int) {
        guard maps[map].loading == .known else { return }
        maps[map].loading = .loading
        effects.loads.append(MapID(index: map))
    }

    /// Names that are nobody's but the system's, or that the protocol has no room for, are refused.
    private static func isMapName(_ name: ByteString) -> Bool {
        guard !name.isEmpty, name.count <= ReplicaLimits.mapNameBytesMax,
            !name.bytes.contains(where: { $0 == 0 || $0 == UInt8(ascii: ":") })
        else { return false }
        for prefix: StaticString in ["_topgun_", "__topgun_"] where name.count >= prefix.utf8CodeUnitCount {
            let isPrefix = (0..<prefix.utf8CodeUnitCount).allSatisfy { index in
                let byte = name.bytes[index]
                let lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
                return lower == prefix.utf8Start[index]
            }
            if isPrefix { return false }
        }
        return true
    }
}

// MARK: - Reading

extension ReplicaState {
    /// The visible value of a key: a dictionary look-up.
    package func value(of key: ByteString, in map: MapID, at now: ReplicaTime) -> Payload? {
        guard let record = record(of: key, in: map), record.isVisible(nowMillis: wallMillis(now)) else { return nil }
        return record.value
    }

    /// The record of a key, a tombstone or an expired one included.
    package func record(of key: ByteString, in map: MapID) -> LWWRecord? {
        guard maps.indices.contains(map.index), let place = maps[map.index].table.place(of: key) else { return nil }
        return maps[map.index].table.entries[place].record
    }

    /// Visits the visible values of a map, in the order in which their keys were first seen.
    package func forEach(in map: MapID, at now: ReplicaTime, _ body: (ByteString, Payload) -> Void) {
        guard maps.indices.contains(map.index) else { return }
        let wallMillis = wallMillis(now)
        for entry in maps[map.index].table.entries {
            guard let record = entry.record, record.isVisible(nowMillis: wallMillis) else { continue }
            body(entry.key, record.value)
        }
    }

    package func count(in map: MapID, at now: ReplicaTime) -> Int {
        var count = 0
        forEach(in: map, at: now) { _, _ in count += 1 }
        return count
    }

    /// The root of the tree over a map's records.
    package func merkleRoot(of map: MapID) -> UInt32 {
        maps.indices.contains(map.index) ? maps[map.index].table.tree.root : 0
    }
}

// MARK: - Time

extension ReplicaState {
    /// The wall clock as the servers see it, as far as they told us theirs.
    func wallMillis(_ now: ReplicaTime) -> Int64 {
        let wall = min(max(now.wallMillis, 0), ModelLimits.millisMax)
        return min(max(wall + (clockOffset?.millis(at: now) ?? 0), 0), ModelLimits.millisMax)
    }

    /// The servers told their time, when they were asked or later. What the answer may have spent on its way is no
    /// difference between clocks: taken for one, it would order the writes of two devices whose clocks are right by how
    /// long their answers took.
    mutating func noteServerTime(_ serverMillis: Int64?, askedWallMillis: Int64, at now: ReplicaTime) {
        guard let serverMillis, serverMillis > 0, serverMillis <= ModelLimits.millisMax else { return }
        // As ``wallMillis(_:)`` takes them: a clock out of this world can be put right like any other.
        let wallMillis = min(max(now.wallMillis, 0), ModelLimits.millisMax)
        let askedWallMillis = min(max(askedWallMillis, 0), ModelLimits.millisMax)
        // One of the two was not read on the clock that the other was.
        guard askedWallMillis <= wallMillis else { return }
        let known = clockOffset?.millis(at: now) ?? 0
        // As little as the answer demands: what is known stands wherever it explains it.
        let offset = min(max(known, serverMillis - wallMillis), serverMillis - askedWallMillis)
        clockOffset = ClockOffset(abs(offset) < ReplicaLimits.clockOffsetMillisMin ? 0 : offset, at: now)
    }

    /// Moves the clock past a stamp of our own store.
    mutating func observe(_ stamp: Timestamp) {
        guard stamp.millis > clock.millis || stamp.millis == clock.millis && stamp.counter > clock.counter else {
            return
        }
        do throws(ClockError) {
            try clock.observe(stamp, wallMillis: 0, from: .trusted)
        } catch {
            // Out of range, so no clock can follow it: the record stands until something replaces it.
        }
    }

    /// Moves the clock past a stamp that the servers sent, unless no honest server would hold it.
    mutating func observeRemote(_ stamp: Timestamp, at now: ReplicaTime) {
        let latest = wallMillis(now) + ModelLimits.peerAheadMillisMax
        if clockOffset?.millis(at: now) != nil, stamp.millis > latest { return }
        observe(stamp)
    }
}
