import Foundation
import TopGunModel

/// A write as it stood in a client's log.
package struct LoggedWrite: Sendable {
    var stamp: Stamp
    /// None for a removal.
    var token: UInt32?
    /// When its value ends; none if it does not.
    var endMillis: Int64?
    var place: Place?
    var mark: StampMark

    init(_ event: HistoryEvent) {
        let stamp = event.stamp ?? Stamp(millis: 0, counter: 0, node: "")
        self.stamp = stamp
        token = event.value
        endMillis = event.ttl.map { stamp.millis + $0 }
        place = Place(event)
        mark = StampMark(stamp, place)
    }
}

/// What a removal is known by on a disk: it has no value, so its place and its stamp must do.
struct StampMark: Hashable, Sendable {
    private var place: Int
    private var millis: Int64
    private var counter: UInt32
    /// The first bytes of the node id, which are random enough.
    private var node: UInt64

    init(_ stamp: Stamp, _ place: Place?) {
        self.place = Self.place(Array((place?.map ?? "").utf8), Array((place?.key ?? "").utf8))
        (millis, counter) = (stamp.millis, stamp.counter)
        var text = stamp.node
        node = text.withUTF8 { Self.head(UnsafeRawBufferPointer($0)) }
    }

    private init(_ record: StoredRecord) {
        place = Self.place(record.map, record.key)
        (millis, counter) = (record.millis, record.counter)
        node = Self.head(record.node)
    }

    private static func place(_ map: some Collection<UInt8>, _ key: some Collection<UInt8>) -> Int {
        var hash = 0
        for byte in map { hash = hash &* 31 &+ Int(byte) }
        for byte in key { hash = hash &* 31 &+ Int(byte) }
        return hash
    }

    private static func head(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        bytes.count < 8 ? 0 : bytes.loadUnaligned(as: UInt64.self)
    }

    /// Every removal from a map of a scenario among some bytes of a log or a checkpoint.
    static func eachRemoval(in bytes: UnsafeRawBufferPointer, _ body: (StampMark) -> Void) {
        guard let base = bytes.baseAddress else { return }
        var index = StoredRecord.headerBytes
        while index < bytes.count, let found = memchr(base + index, Int32(UInt8(ascii: "m")), bytes.count - index) {
            // The name space is empty, so the name of the map is what stands behind the header.
            var start = UnsafeRawPointer(found) - base - StoredRecord.headerBytes
            index = start + StoredRecord.headerBytes + 1
            // The length of the value; a removal's is one byte.
            guard bytes.loadUnaligned(fromByteOffset: start + 8, as: UInt32.self) == UInt32(1).littleEndian,
                let record = StoredRecord(in: bytes, at: &start), record.nameSpace.isEmpty, record.value.first == 0xc0
            else { continue }
            body(StampMark(record))
        }
    }
}
