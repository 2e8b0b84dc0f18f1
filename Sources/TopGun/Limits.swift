/// The limits of the SDK, with what happens at each.
package enum Limits {
    // MARK: What an application may write; refused with an error at the call

    /// Bytes of one encoded value. A value travels in one message with its key and names, and servers take 2 MiB.
    package static let valueBytesMax = 1 << 20
    /// Levels of maps and arrays inside one value.
    package static let valueDepthMax = 64
    /// Bytes of a key.
    package static let keyBytesMax = 1024
    /// Bytes of the name of a map.
    package static let mapNameBytesMax = 256

    // MARK: The store

    /// Transactions that are committed with one sync of the disk; more wait for the next.
    package static let storeGroupTransactionsMax = 4096
    /// How long another process may hold the store's write lock before a write fails.
    package static let storeBusyMillisMax = 5000
    /// How often a process looks whether another one has written to the store they share.
    package static let storePollMillis: Int64 = 50
    /// Processes that may have one store open at a time; a further one cannot open it.
    package static let storeSeatsMax = 16
    /// How long the outcomes of another process's writes are kept for it to read.
    package static let storeOutcomeMillisMax: Int64 = 7 * 24 * 3600 * 1000

    // MARK: What waits for the application

    /// Lost writes that wait for a reader of ``TopGunClient/lostWrites``; beyond it the oldest goes, and is still in the log.
    package static let lostWritesBufferMax = 1000
}
