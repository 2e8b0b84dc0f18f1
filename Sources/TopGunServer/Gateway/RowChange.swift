import TopGunModel
import TopGunPartition
import TopGunWire

/// A change of a query's row on its way from a group to the gateway, which alone knows the client's name for the query.
///
/// ```
///  u8 kind   u32 key length   key   value
/// ```
struct RowChange {
    let kind: ChangeType
    let key: UnsafeRawBufferPointer
    let value: UnsafeRawBufferPointer

    private static let headerBytes = 5

    static func append(_ kind: QueryChange.Kind, of record: StoredRecord, to sink: ByteSink) {
        sink.append(littleEndian: kind.rawValue)
        sink.append(littleEndian: UInt32(truncatingIfNeeded: record.key.count))
        sink.append(record.key)
        sink.append(record.value)
    }

    /// Reads what ``append(_:of:to:)`` wrote; the views live as long as the bytes.
    init(_ bytes: UnsafeRawBufferPointer) {
        switch QueryChange.Kind(rawValue: bytes[0]) {
        case .enter: kind = .enter
        case .update: kind = .update
        case .leave: kind = .leave
        case nil: preconditionFailure("no such change of a query: \(bytes[0])")
        }
        let length = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
        let end = Self.headerBytes + Int(truncatingIfNeeded: length)
        key = UnsafeRawBufferPointer(rebasing: bytes[Self.headerBytes..<end])
        value = UnsafeRawBufferPointer(rebasing: bytes[end...])
    }
}

/// The number by which a group knows a query: the loop of its gateway, and a count there.
struct SubscriptionNumber: Hashable, Sendable {
    let rawValue: UInt64

    init(_ rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(loop: Int, count: UInt64) {
        rawValue = UInt64(loop) << 56 | count
    }

    var loop: Int { Int(rawValue >> 56) }
}
