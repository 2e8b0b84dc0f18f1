/// The limits of this target, and what happens at each.
enum Limits {
    /// Size of a log segment; a group that is larger gets a segment of its own and makes it longer.
    static let segmentBytes = 64 << 20
    /// Size of the first segment after a start, which must not wait for 64 MB of zeros.
    static let firstSegmentBytes = 4 << 20
    /// Retired segments kept for use as the next ones, as many as one round of checkpoints retires; more are deleted.
    static let spareSegments = 8
    /// What is kept on disk for removals, so that they are taken while a full disk refuses writes; no larger than a
    /// segment. Once it is used up removals are refused too, and it is filled first when there is room again.
    static let removalReserveBytes = 4 << 20
    /// The part of the reserve, one in so many, that is left for what was taken before the log could say that it is used
    /// up.
    static let removalMarginShare = 4
    /// Framed bytes that are written with one call; more groups are written with several calls before one sync.
    static let writeBytes = 4 << 20
    /// Zeros written ahead per call, and how many between two syncs, so that the log's own find a short queue at the
    /// device.
    static let fillBytes = 1 << 20
    static let fillSyncBytes = 8 << 20
    /// Bytes waiting for the log above which callers should refuse writes as busy.
    static let queuedBytes = 64 << 20
    /// How long after a full disk, or a lack of file descriptors, stopped it the log tries again.
    static let fullDiskRetryMillis: Int64 = 250
    /// How long the log stays silent before it writes down that its last group was durable.
    static let sealDelayMillis: Int64 = 100
    /// What recovery and salvage read at once; also the memory they need, except for one larger group.
    static let readBytes = 4 << 20
    /// Sectors of one file that its disk may not give back before the file counts as unreadable: reading one that is bad
    /// takes a disk seconds, and what loses more than this needs another tool first.
    static let unreadableSectorsMax = 4_096
    /// Bytes between two calls of a progress callback.
    static let progressBytes: Int64 = 16 << 20
    /// Records per group that salvage writes.
    static let salvageGroupBytes = 1 << 20
    /// Positions, starts, epochs and segment numbers that no node lives to count up to; a header with a higher one is
    /// damaged, and whoever adds to a lower one does not overflow.
    static let countMax: Int64 = 1 << 62
    static let clusterIDBytes = 64
    static let nodeIDBytes = 128
}

/// Limits of the log that its callers need.
package enum LogLimits {
    /// Bytes waiting for the log above which callers should refuse writes as busy.
    package static let queuedBytes = Limits.queuedBytes
}
