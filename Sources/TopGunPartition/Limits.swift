/// The named limits of the partition core; what happens at each is in ``GroupLimits``.
package enum PartitionLimits {
    /// Longest key; a longer one is refused with `TOO_LARGE`.
    package static let keyBytesMax = 16_384

    /// Longest value unless configured otherwise; a longer one is refused with `TOO_LARGE`.
    package static let valueBytesMax = 1 << 20

    /// Longest map name and longest name space; a longer one is refused with `TOO_LARGE`.
    package static let mapNameBytesMax = 1_024
    package static let nameSpaceBytesMax = 255

    /// Longest node id of a writer; a longer one is refused with `BAD_REQUEST`.
    package static let nodeBytesMax = 255

    /// Longest tail of tagged fields that a record may carry.
    package static let tailBytesMax = 4_096

    /// How many maps one group knows; the next new one is refused with `NODE_FULL`.
    package static let mapsMax = 65_536

    /// How many node ids one group knows; the next new one is refused with `NODE_FULL`.
    package static let nodesMax = 4_194_304

    /// How many replaced stamps are remembered; the next write that would need one is refused with `BUSY`.
    package static let restampsMax = 262_144

    /// How long a replaced stamp is remembered: the longest time a client may be offline with unacknowledged writes.
    package static let clientHorizonMillis: Int64 = 7 * 24 * 3_600_000

    /// How long after the end of its lifetime a record becomes a tombstone; until then it is only hidden.
    package static let expiryGraceMillis: Int64 = 1_000

    /// How many live subscriptions one group serves; the next is refused with `BUSY`.
    package static let subscriptionsMax = 1_048_576

    /// How many operations the passes of ``GroupState/apply(_:author:nameSpace:rules:wallMillis:)`` take at once: their
    /// cache lines together must fit the first-level cache.
    static let passOperations = 64

    /// Longest lifetime, so that a stamp plus a lifetime never overflows.
    static let ttlMillisMax: Int64 = 9_007_199_254_740_991
}

/// The limits that a configuration may set for one group, with what happens at each.
package struct GroupLimits: Sendable {
    /// A longer key is refused with `TOO_LARGE`; at most ``PartitionLimits/keyBytesMax``.
    package var keyBytesMax = PartitionLimits.keyBytesMax
    /// A longer value is refused with `TOO_LARGE`.
    package var valueBytesMax = PartitionLimits.valueBytesMax
    /// A write of a new key beyond it is refused with `NODE_FULL`.
    package var recordsMax = Int.max
    /// A write that needs more memory for records beyond it is refused with `NODE_FULL`; removals are always taken.
    package var memoryBytesMax = Int.max
    /// A map beyond it is refused with `NODE_FULL`.
    package var mapsMax = PartitionLimits.mapsMax
    /// A writer beyond it is refused with `NODE_FULL`.
    package var nodesMax = PartitionLimits.nodesMax
    /// A write that needs its stamp replaced beyond it is refused with `BUSY`.
    package var restampsMax = PartitionLimits.restampsMax
    package var clientHorizonMillis = PartitionLimits.clientHorizonMillis
    package var expiryGraceMillis = PartitionLimits.expiryGraceMillis
    package var subscriptionsMax = PartitionLimits.subscriptionsMax

    package init() {}
}
