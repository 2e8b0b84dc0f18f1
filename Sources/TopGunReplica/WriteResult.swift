package import TopGunModel

/// One local write of this process, for as long as it runs; what receipts are found by.
package struct WriteID: Hashable, Sendable {
    package var number: UInt64

    package init(_ number: UInt64) {
        self.number = number
    }
}

/// News of one write.
///
/// `stored` comes first, then levels in ascending order; a level may be skipped, it is included in the higher one.
/// `superseded` can come at any time after `stored`, and levels can still follow it. Nothing follows `refused` and
/// `notStored`.
package struct WriteResult: Sendable, Equatable {
    package enum Outcome: Sendable, Equatable {
        /// In this device's store: it survives a crash and will be sent.
        case stored
        /// The servers hold it at this level: `applied`, `replicated` or `persisted`.
        case reached(WriteConcern)
        /// The servers hold it, but a newer write of the same key stands. The winner is `nil` if the key has none.
        case superseded(losing: LWWRecord, winning: LWWRecord?)
        /// The servers refused it for good. It is set aside under `id`, and the key shows again what the servers hold.
        case refused(code: ByteString, losing: LWWRecord)
        /// This device could not store it, so the write did not happen and the key shows what it did before.
        case notStored(StoreError, losing: LWWRecord)
    }

    /// `nil` for a write of an earlier run, or of another process.
    package var write: WriteID?
    /// Its number in the log; 0 before it is stored.
    package var id: UInt64
    package var map: ByteString
    package var key: ByteString
    package var outcome: Outcome

    package init(write: WriteID?, id: UInt64, map: ByteString, key: ByteString, outcome: Outcome) {
        self.write = write
        self.id = id
        self.map = map
        self.key = key
        self.outcome = outcome
    }
}
