/// The last-writer-wins record of one key: the write with the greatest version, removals included.
package struct LWWRecord: Hashable, Sendable {
    package var value: Payload
    package var timestamp: Timestamp
    /// Lifetime from the stamp on; 0 means it never expires.
    package var ttlMillis: Int64

    package init(value: Payload, timestamp: Timestamp, ttlMillis: Int64 = 0) {
        self.value = value
        self.timestamp = timestamp
        self.ttlMillis = max(ttlMillis, 0)
    }

    package var isTombstone: Bool { value.isTombstone }

    /// Whether the record's lifetime is over; it then stays stored and hashed, but no reader sees it.
    package func isExpired(nowMillis: Int64) -> Bool {
        Expiry.isOver(stampMillis: timestamp.millis, ttlMillis: ttlMillis, nowMillis: nowMillis)
    }

    /// Whether a reader sees a value.
    package func isVisible(nowMillis: Int64) -> Bool {
        !isTombstone && !isExpired(nowMillis: nowMillis)
    }

    /// Whether this record takes the place of `stored`.
    package func replaces(_ stored: LWWRecord, tie: VersionOrder.TieRule) -> Bool {
        VersionOrder.replaces(
            timestamp, value: value, ttlMillis: ttlMillis, stored: stored.timestamp, storedValue: stored.value,
            storedTTLMillis: stored.ttlMillis, tie: tie)
    }

    /// The record's item in the Merkle tree of its map.
    package func merkleItem(keyHash: UInt32) -> UInt32 {
        timestamp.node.bytes.withUnsafeBytes { node in
            MerkleTree32.item(keyHash: keyHash, millis: timestamp.millis, counter: timestamp.counter, node: node)
        }
    }

    package func merkleItem(key: ByteString) -> UInt32 {
        merkleItem(keyHash: KeyHash.of(key))
    }
}

/// When a record's lifetime ends (protocol.md 9.4).
package enum Expiry {
    /// Strictly after the last millisecond of the lifetime; a lifetime of 0 never ends.
    @inlinable
    package static func isOver(stampMillis: Int64, ttlMillis: Int64, nowMillis: Int64) -> Bool {
        guard ttlMillis > 0 else { return false }
        let (end, overflow) = stampMillis.addingReportingOverflow(ttlMillis)
        return !overflow && end < nowMillis
    }
}
