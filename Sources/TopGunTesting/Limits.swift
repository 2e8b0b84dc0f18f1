/// The limits of a world for tests, and what happens at each.
enum Limits {
    /// Turns that the world takes before its thread looks whether it has other things to do.
    static let turnsPerSliceMax = 512
    /// Virtual time that a test may spend in waiting for something that is no call of the world, such as a receipt. Then the
    /// world stands still.
    static let waitNanosMax: Int64 = 600 * 1_000_000_000
    /// Real time for which a world stands still before the test is told that nothing will come.
    static let standstillMillisMax: Int64 = 20_000

    /// How long everything must have been at rest for a world to be settled, and how often it is looked at.
    static let calmNanosMin: Int64 = 1_000 * 1_000_000
    static let lookNanos: Int64 = 100 * 1_000_000

    /// How long a device waits for an earlier client of its own to close the store.
    static let storeFreeNanosMax: Int64 = 10_000 * 1_000_000

    /// What the disks of a world take for a sync, or for a commit, unless the test says otherwise.
    static let syncNanosMax: Int64 = 2_000_000
    static let commitNanosMax: Int64 = 3_000_000

    /// Bytes of a segment of the server's log, and of log after which checkpoints are written: small, so that tests come to
    /// the second one.
    static let segmentBytes = 64 << 10
    static let checkpointLogBytes: Int64 = 256 << 10

    /// Turns within which a server must have ended with its world; then it is killed.
    static let endTurnsMax = 100_000
}
