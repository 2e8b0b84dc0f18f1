/// The limits of the SDK, with what happens at each.
package enum Limits {
    // MARK: What an application may write; refused with an error at the call

    /// Bytes of one encoded value. A value travels in one message with its key and names, and servers take 2 MiB.
    package static let valueBytesMax = 1 << 20
    /// Levels of maps and arrays inside one value.
    package static let valueDepthMax = 64

    // MARK: The store

    /// How long another process may hold the store's write lock before a write fails.
    package static let storeBusyMillisMax = 5000
    /// How often a file that another process is making is tried; then opening it fails.
    package static let storeOpenAttemptsMax = 16
    /// Memory for pages of the store, in KiB; beyond it SQLite lets go of those used longest ago.
    package static let storeCacheKiBMax = 8192
    /// How often a process looks whether another one has written to the store they share, or has left.
    package static let storePollMillis: Int64 = 100

    // MARK: What waits for the application

    /// Lost writes that wait for one reader of ``TopGunClient/lostWrites``; beyond it the oldest go.
    package static let lostWritesBufferMax = 1000
    /// Keys of changes that a reader has taken and that are still held; from here on they are let go once they are half of
    /// all that are held.
    package static let readKeysMax = 1024
    /// Decoded values that a map keeps for its next reads; beyond it all of them are let go and decoded again when read.
    package static let decodedValuesMax = 1 << 18

    // MARK: Tokens

    /// First and longest pause before a token is asked for again after its provider threw.
    package static let tokenRetryMillisMin: Int64 = 1000
    package static let tokenRetryMillisMax: Int64 = 30_000
}
