/// The one comparison of versions, used wherever two writes of one key meet (promises.md B.3, design.md rule 7).
///
/// ```
/// at client ingress    millis, counter, node bytes             all equal = the same write, seen again
/// between replicas     the same, then value bytes, then ttl    a cloned replica id cannot make two states
/// ```
package enum VersionOrder {
    /// Which of two versions stands.
    package enum Result: Int8, Sendable {
        case older = -1
        case same = 0
        case newer = 1
    }

    /// What happens when two records carry the same stamp.
    package enum TieRule: Sendable {
        /// The stored record stays: at client ingress and in a client an equal stamp is a repeat.
        case repeatChangesNothing
        /// The greater value bytes stand: between replicas, in a replayed log, in a loaded checkpoint.
        case contentDecides
    }

    /// How the left version relates to the right one by stamp alone.
    @inlinable
    package static func compare(
        millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer,
        to otherMillis: Int64, _ otherCounter: UInt32, _ otherNode: UnsafeRawBufferPointer
    ) -> Result {
        if millis != otherMillis { return millis < otherMillis ? .older : .newer }
        if counter != otherCounter { return counter < otherCounter ? .older : .newer }
        return compare(bytes: node, to: otherNode)
    }

    /// How the left content relates to the right one when the stamps are equal: value bytes, then lifetime.
    package static func compareContent(
        value: UnsafeRawBufferPointer, ttlMillis: Int64, to otherValue: UnsafeRawBufferPointer, _ otherTTLMillis: Int64
    ) -> Result {
        let order = compare(bytes: value, to: otherValue)
        if order != .same { return order }
        return ttlMillis == otherTTLMillis ? .same : ttlMillis < otherTTLMillis ? .older : .newer
    }

    /// Bytes ascending, a prefix before what it is a prefix of.
    package static func compare(bytes left: UnsafeRawBufferPointer, to right: UnsafeRawBufferPointer) -> Result {
        let count = min(left.count, right.count)
        if count > 0, let leftBase = left.baseAddress, let rightBase = right.baseAddress, leftBase != rightBase {
            var index = 0
            while index &+ 8 <= count {
                let leftWord = leftBase.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                let rightWord = rightBase.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                if leftWord != rightWord { return leftWord.bigEndian < rightWord.bigEndian ? .older : .newer }
                index &+= 8
            }
            while index < count {
                let leftByte = leftBase.load(fromByteOffset: index, as: UInt8.self)
                let rightByte = rightBase.load(fromByteOffset: index, as: UInt8.self)
                if leftByte != rightByte { return leftByte < rightByte ? .older : .newer }
                index &+= 1
            }
        }
        return left.count == right.count ? .same : left.count < right.count ? .older : .newer
    }

    /// Whether two texts have the same bytes.
    package static func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        left.count == right.count && compare(bytes: left, to: right) == .same
    }
}

extension VersionOrder {
    package static func compare(_ left: Timestamp, to right: Timestamp) -> Result {
        if left.millis != right.millis { return left.millis < right.millis ? .older : .newer }
        if left.counter != right.counter { return left.counter < right.counter ? .older : .newer }
        return left.node.bytes.withUnsafeBytes { leftNode in
            right.node.bytes.withUnsafeBytes { compare(bytes: leftNode, to: $0) }
        }
    }

    /// Whether a record at `version` with `value` replaces what is stored.
    package static func replaces(
        _ version: Timestamp, value: Payload, ttlMillis: Int64,
        stored: Timestamp, storedValue: Payload, storedTTLMillis: Int64, tie: TieRule
    ) -> Bool {
        switch compare(version, to: stored) {
        case .newer: return true
        case .older: return false
        case .same:
            guard tie == .contentDecides else { return false }
            return value.bytes.withUnsafeBytes { bytes in
                storedValue.bytes.withUnsafeBytes { storedBytes in
                    compareContent(value: bytes, ttlMillis: ttlMillis, to: storedBytes, storedTTLMillis) == .newer
                }
            }
        }
    }
}
