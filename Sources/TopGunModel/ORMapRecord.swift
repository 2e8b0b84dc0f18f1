/// One add to a key of an OR-Map, known by its tag for ever.
package struct ORMapRecord: Hashable, Sendable {
    package var value: Payload
    package var timestamp: Timestamp
    /// Made once, when the value was added, and kept through every repeat and re-stamping; opaque.
    package var tag: ByteString
    /// Lifetime from the stamp on; 0 means it never expires.
    package var ttlMillis: Int64

    package init(value: Payload, timestamp: Timestamp, tag: ByteString, ttlMillis: Int64 = 0) {
        self.value = value
        self.timestamp = timestamp
        self.tag = tag
        self.ttlMillis = max(ttlMillis, 0)
    }

    package func isExpired(nowMillis: Int64) -> Bool {
        Expiry.isOver(stampMillis: timestamp.millis, ttlMillis: ttlMillis, nowMillis: nowMillis)
    }

    /// Whether this record takes the place of `stored`, which has the same tag.
    package func replaces(_ stored: ORMapRecord, tie: VersionOrder.TieRule) -> Bool {
        VersionOrder.replaces(
            timestamp, value: value, ttlMillis: ttlMillis, stored: stored.timestamp, storedValue: stored.value,
            storedTTLMillis: stored.ttlMillis, tie: tie)
    }
}
