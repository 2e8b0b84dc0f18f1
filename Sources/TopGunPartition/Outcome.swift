package import TopGunModel

/// A map as one group knows it: a small number that stands for (name space, map name).
///
/// Ids are given out in the order in which maps are first met, are never reused, and mean nothing outside their group.
package struct MapID: Hashable, Sendable {
    package let rawValue: UInt32

    package init(_ rawValue: UInt32) {
        self.rawValue = rawValue
    }
}

/// What became of one operation.
package enum Outcome: Equatable, Sendable {
    /// Stored and logged.
    case merged
    /// Seen before with the same stamp: nothing changed, it counts as done.
    case repeated
    /// Older than what stands: nothing changed, and the writer is told so.
    case superseded
    /// Its stamp lay too far ahead and was replaced by this one of the server's clock (node id: the clock's). A repeat of
    /// the same operation gets the same answer and changes nothing.
    case restamped(millis: Int64, counter: UInt32)
    /// Not taken.
    case refused(Refusal)
}

/// How the writes of one client are judged where clients differ (protocol.md 16).
package struct IngressRules: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// The client has the feature `clock`: a stamp too far ahead is refused with `CLOCK_AHEAD`. Without it such a stamp is
    /// replaced by the server's.
    package static let reportsClockAhead = IngressRules(rawValue: 1)
    /// The client has features at all: an equal stamp with other content is `REPLICA_ID_CONFLICT`. Without it an equal
    /// stamp is a repeat whatever it carries.
    package static let reportsReplicaConflict = IngressRules(rawValue: 2)
}

/// A change of a watched map, for events.
package struct Change: Equatable, Sendable {
    package var map: MapID
    /// Where the new record starts in ``GroupState/log``.
    package var offset: Int
    /// Who wrote it, as given to `apply`; 0 for a change that the server made itself.
    package var author: UInt64
}

/// A change of the result of a subscription.
package struct QueryChange: Equatable, Sendable {
    package enum Kind: UInt8, Sendable {
        case enter
        case update
        case leave
    }

    package var subscription: UInt64
    package var kind: Kind
    /// Where the new record starts in ``GroupState/log``; for `leave` only its key matters.
    package var offset: Int
}

/// A record as views over the table's memory: valid until the group is changed, never to be stored.
package struct RecordView {
    package var kind: StoredRecord.Kind
    package var map: MapID
    package var key: UnsafeRawBufferPointer
    package var value: UnsafeRawBufferPointer
    package var millis: Int64
    package var counter: UInt32
    package var node: UnsafeRawBufferPointer
    package var ttlMillis: Int64
    package var tail: UnsafeRawBufferPointer

    package var isTombstone: Bool { value.count == 1 && value[0] == 0xc0 }

    /// Whether a reader sees the record: neither removed nor past its lifetime.
    package func isVisible(wallMillis: Int64) -> Bool {
        !isTombstone && !Expiry.isOver(stampMillis: millis, ttlMillis: ttlMillis, nowMillis: wallMillis)
    }
}

/// Counts of one map over all partitions of the group.
package struct MapSummary: Equatable, Sendable {
    /// Records, tombstones included.
    package var records: Int
    /// Records that are no tombstones.
    package var liveRecords: Int
    /// Memory of the records, their share of the tables not included.
    package var bytes: Int
}

/// Counts of one partition.
package struct PartitionSummary: Equatable, Sendable {
    package var records: Int
    package var liveRecords: Int
    package var bytes: Int
    /// Whether operations are taken; `false` between ``GroupState/drop(_:)`` and ``GroupState/open(_:)``.
    package var isOpen: Bool
}

/// Where a checkpoint of a partition goes on; from ``GroupState/slice(_:from:bytesLimit:into:)``.
package struct CheckpointCursor: Equatable, Sendable {
    var generation: UInt32
    var slot: Int
    var restamp: UInt64
}

/// Where a scan of a map goes on; from ``GroupState/scan(_:from:visits:wallMillis:_:)``.
package struct ScanCursor: Equatable, Sendable {
    /// A partition, or a leaf where the map has leaves.
    var part: Int
    var position: Int
    var generation: UInt32
    var overLeaves: Bool
}

/// Where a walk over the records of one leaf goes on; from ``GroupState/forEachRecord(in:from:_:)``.
package struct LeafPlace: Equatable, Sendable {
    package let leaf: Int
    var position = 0
    var generation: UInt32 = 0

    /// The beginning of a leaf.
    package init(leaf: Int) {
        self.leaf = leaf
    }
}

/// Why the partition core refuses something that is no client operation.
package struct PartitionError: Error, Equatable, Sendable {
    package enum Code: Sendable {
        /// The partition belongs to another group.
        case notHosted
        /// A name, key, value or tail is longer than its limit.
        case tooLarge
        /// The group knows as many maps, writers or subscriptions as it may.
        case full
        /// A record of a kind that this version does not keep.
        case unsupportedKind
        /// A stamp, lifetime or node id that no record may have.
        case malformed
    }

    package var code: Code

    package init(code: Code) {
        self.code = code
    }
}
