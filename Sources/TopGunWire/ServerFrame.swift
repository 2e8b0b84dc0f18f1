package import TopGunModel

/// The frames that a server sends for every write, encoded from views straight into a sink.
///
/// Byte for byte what ``ServerMessage`` would write, without the message in between.
package enum ServerFrame {
    /// SERVER_EVENT of an LWW map; a value that is nil makes it a REMOVE.
    package static func event(
        map: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, millis: Int64,
        counter: UInt32, node: UnsafeRawBufferPointer, ttlMillis: Int64 = 0, into sink: ByteSink
    ) {
        let isRemoval = value.count == 1 && value[0] == 0xc0
        var cursor = FrameCursor(sink, reserving: 192 &+ map.count &+ key.count &+ value.count &+ node.count)
        cursor.eventHead(fields: 4, map: map, kind: isRemoval ? "REMOVE" : "PUT", key: key)
        cursor.word("record")
        cursor.record(value: value, millis: millis, counter: counter, node: node, ttlMillis: ttlMillis, tag: nil)
        cursor.finish()
    }

    /// SERVER_EVENT of an add to an OR-Map.
    package static func orAddEvent(
        map: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, millis: Int64,
        counter: UInt32, node: UnsafeRawBufferPointer, tag: UnsafeRawBufferPointer, ttlMillis: Int64 = 0,
        into sink: ByteSink
    ) {
        let variable = map.count &+ key.count &+ value.count &+ node.count &+ tag.count
        var cursor = FrameCursor(sink, reserving: 208 &+ variable)
        cursor.eventHead(fields: 4, map: map, kind: "OR_ADD", key: key)
        cursor.word("orRecord")
        cursor.record(value: value, millis: millis, counter: counter, node: node, ttlMillis: ttlMillis, tag: tag)
        cursor.finish()
    }

    /// SERVER_EVENT of a removal from an OR-Map.
    package static func orRemoveEvent(
        map: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, tag: UnsafeRawBufferPointer, into sink: ByteSink
    ) {
        var cursor = FrameCursor(sink, reserving: 112 &+ map.count &+ key.count &+ tag.count)
        cursor.eventHead(fields: 4, map: map, kind: "OR_REMOVE", key: key)
        cursor.word("orTag")
        cursor.text(tag)
        cursor.finish()
    }

    /// SERVER_EVENT of a record as it is stored; kinds that are nobody's business outside write nothing.
    package static func event(of record: StoredRecord, into sink: ByteSink) {
        switch record.kind {
        case .lww:
            event(
                map: record.map, key: record.key, value: record.value, millis: record.millis, counter: record.counter,
                node: record.node, ttlMillis: record.ttlMillis, into: sink)
        case .orAdd:
            orAddEvent(
                map: record.map, key: record.key, value: record.value, millis: record.millis, counter: record.counter,
                node: record.node, tag: record.orMapTag, ttlMillis: record.ttlMillis, into: sink)
        case .orRemove:
            orRemoveEvent(map: record.map, key: record.key, tag: record.orMapTag, into: sink)
        case .counter, .clockBound: break
        }
    }

    /// QUERY_UPDATE; the value of a row that left is nil.
    package static func queryUpdate(
        queryID: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        change: ChangeType, sequence: Int64? = nil, into sink: ByteSink
    ) {
        var cursor = FrameCursor(sink, reserving: 112 &+ queryID.count &+ key.count &+ value.count)
        cursor.map(2)
        cursor.word("type")
        cursor.word("QUERY_UPDATE")
        cursor.word("payload")
        cursor.map(sequence == nil ? 4 : 5)
        cursor.word("queryId")
        cursor.text(queryID)
        cursor.word("key")
        cursor.text(key)
        cursor.word("value")
        if change == .leave { cursor.byte(0xc0) } else { cursor.raw(value) }
        cursor.word("changeType")
        cursor.word(change.wireName)
        if let sequence {
            cursor.word("seq")
            cursor.unsigned(UInt64(bitPattern: sequence))
        }
        cursor.finish()
    }

    /// Copies an encoded SERVER_EVENT or QUERY_UPDATE with the connection's number in it.
    ///
    /// - Precondition: the frame is one of this type's, without a number.
    package static func number(_ frame: UnsafeRawBufferPointer, sequence: Int64, into sink: ByteSink) {
        // {type, payload}: behind the type's text stands "payload", then the head of its map.
        let typeEnd = 6 &+ 1 &+ Int(frame[6] & 0x1f)
        let head = typeEnd &+ 8
        precondition(frame.count > head && frame[head] & 0xf0 == 0x80, "no frame of the server")
        var cursor = FrameCursor(sink, reserving: frame.count &+ 4 &+ FrameCursor.longestHeadBytes)
        cursor.raw(UnsafeRawBufferPointer(rebasing: frame[..<head]))
        cursor.byte(frame[head] &+ 1)
        cursor.raw(UnsafeRawBufferPointer(rebasing: frame[(head &+ 1)...]))
        cursor.word("seq")
        cursor.unsigned(UInt64(bitPattern: sequence))
        cursor.finish()
    }
}

// MARK: - Acknowledgements

extension ServerFrame {
    /// OP_ACK; without results where there are none.
    package static func acknowledgement(
        lastID: UInt64, level: WriteConcern?, results: [OperationResult] = [], into sink: ByteSink
    ) {
        var cursor = FrameCursor(sink, reserving: 128)
        cursor.map(2)
        cursor.word("type")
        cursor.word("OP_ACK")
        cursor.word("payload")
        cursor.map(1 + (level == nil ? 0 : 1) + (results.isEmpty ? 0 : 1))
        cursor.word("lastId")
        cursor.decimal(lastID)
        if let level {
            cursor.word("achievedLevel")
            cursor.word(level.wireName)
        }
        if !results.isEmpty {
            cursor.word("results")
            cursor.array(results.count)
        }
        cursor.finish()
        for result in results { append(result, to: sink) }
    }

    private static func append(_ result: OperationResult, to sink: ByteSink) {
        guard result.code == nil, result.error == nil, result.isFinal == nil, result.serverTime == nil else {
            return FieldWriter.write(into: sink) { result.write(into: &$0) }
        }
        var cursor = FrameCursor(sink, reserving: 96)
        cursor.map(result.isSuperseded ? 4 : 3)
        cursor.word("opId")
        cursor.decimal(result.id)
        cursor.word("success")
        cursor.byte(result.isSuccess ? 0xc3 : 0xc2)
        cursor.word("achievedLevel")
        cursor.word(result.level.wireName)
        if result.isSuperseded {
            cursor.word("superseded")
            cursor.byte(0xc3)
        }
        cursor.finish()
    }

    /// PONG.
    package static func pong(timestamp: Int64, serverTime: Int64, into sink: ByteSink) {
        ServerMessage.pong(timestamp: timestamp, serverTime: serverTime).encode(into: sink)
    }
}

// MARK: - Leaves

extension ServerFrame {
    /// The head of a SYNC_RESP_LEAF; follow with `count` times ``leafRecord(key:value:millis:counter:node:ttlMillis:into:)``.
    package static func leafHead(map: UnsafeRawBufferPointer, path: MerklePath, count: Int, into sink: ByteSink) {
        leafHead("SYNC_RESP_LEAF", map, path, "records", count, sink)
    }

    package static func leafRecord(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, millis: Int64, counter: UInt32,
        node: UnsafeRawBufferPointer, ttlMillis: Int64 = 0, into sink: ByteSink
    ) {
        var cursor = FrameCursor(sink, reserving: 128 &+ key.count &+ value.count &+ node.count)
        cursor.map(2)
        cursor.word("key")
        cursor.text(key)
        cursor.word("record")
        cursor.record(value: value, millis: millis, counter: counter, node: node, ttlMillis: ttlMillis, tag: nil)
        cursor.finish()
    }

    /// The head of an ORMAP_SYNC_RESP_LEAF; follow with `count` entries, each an
    /// ``orMapEntryHead(key:recordCount:into:)``, its records, a ``tombstonesHead(count:into:)`` and its tags.
    package static func orMapLeafHead(map: UnsafeRawBufferPointer, path: MerklePath, count: Int, into sink: ByteSink) {
        leafHead("ORMAP_SYNC_RESP_LEAF", map, path, "entries", count, sink)
    }

    package static func orMapEntryHead(key: UnsafeRawBufferPointer, recordCount: Int, into sink: ByteSink) {
        var cursor = FrameCursor(sink, reserving: 40 &+ key.count)
        cursor.map(3)
        cursor.word("key")
        cursor.text(key)
        cursor.word("records")
        cursor.array(recordCount)
        cursor.finish()
    }

    package static func orMapRecord(
        value: UnsafeRawBufferPointer, millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer,
        tag: UnsafeRawBufferPointer, ttlMillis: Int64 = 0, into sink: ByteSink
    ) {
        var cursor = FrameCursor(sink, reserving: 128 &+ value.count &+ node.count &+ tag.count)
        cursor.record(value: value, millis: millis, counter: counter, node: node, ttlMillis: ttlMillis, tag: tag)
        cursor.finish()
    }

    package static func tombstonesHead(count: Int, into sink: ByteSink) {
        var cursor = FrameCursor(sink, reserving: 24)
        cursor.word("tombstones")
        cursor.array(count)
        cursor.finish()
    }

    package static func tombstone(_ tag: UnsafeRawBufferPointer, into sink: ByteSink) {
        var cursor = FrameCursor(sink, reserving: tag.count &+ FrameCursor.longestHeadBytes)
        cursor.text(tag)
        cursor.finish()
    }

    private static func leafHead(
        _ type: StaticString, _ map: UnsafeRawBufferPointer, _ path: MerklePath, _ list: StaticString, _ count: Int,
        _ sink: ByteSink
    ) {
        var cursor = FrameCursor(sink, reserving: 112 &+ map.count)
        cursor.map(2)
        cursor.word("type")
        cursor.word(type)
        cursor.word("payload")
        cursor.map(3)
        cursor.word("mapName")
        cursor.text(map)
        cursor.word("path")
        path.text.bytes.withUnsafeBytes { cursor.text($0) }
        cursor.word(list)
        cursor.array(count)
        cursor.finish()
    }
}

// MARK: - Parts

extension FrameCursor {
    @inline(__always)
    fileprivate mutating func eventHead(
        fields: Int, map: UnsafeRawBufferPointer, kind: StaticString, key: UnsafeRawBufferPointer
    ) {
        self.map(2)
        word("type")
        word("SERVER_EVENT")
        word("payload")
        self.map(fields)
        word("mapName")
        text(map)
        word("eventType")
        word(kind)
        word("key")
        text(key)
    }

    /// A record with its stamp; an absent lifetime stays absent (protocol.md 1.3).
    @inline(__always)
    fileprivate mutating func record(
        value: UnsafeRawBufferPointer, millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer, ttlMillis: Int64,
        tag: UnsafeRawBufferPointer?
    ) {
        map(2 &+ (tag == nil ? 0 : 1) &+ (ttlMillis > 0 ? 1 : 0))
        word("value")
        raw(value)
        word("timestamp")
        map(3)
        word("millis")
        unsigned(UInt64(bitPattern: millis))
        word("counter")
        unsigned(UInt64(counter))
        word("nodeId")
        text(node)
        if let tag {
            word("tag")
            text(tag)
        }
        if ttlMillis > 0 {
            word("ttlMs")
            unsigned(UInt64(bitPattern: ttlMillis))
        }
    }
}

extension StoredRecord {
    /// The tag of an OR-Map record, from the tail; empty if the tail has none.
    fileprivate var orMapTag: UnsafeRawBufferPointer {
        var offset = 0
        while tail.count &- offset >= 3 {
            let length = Int(UInt16(littleEndian: tail.loadUnaligned(fromByteOffset: offset &+ 1, as: UInt16.self)))
            let start = offset &+ 3
            guard length <= tail.count &- start else { break }
            if tail[offset] == Tag.orTag.rawValue {
                return UnsafeRawBufferPointer(rebasing: tail[start..<start &+ length])
            }
            offset = start &+ length
        }
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }
}
