package import TopGunModel

// Map sync (protocol.md 4 and 5).

/// SYNC_INIT.
package struct SyncStart: Hashable, Sendable {
    package var mapName: ByteString
    package var lastSyncTimestamp: Int64?
    /// What SYNC_RESP_ROOT gave last time; asks for what changed since.
    package var syncCursor: ByteString?

    package init(mapName: ByteString, lastSyncTimestamp: Int64? = nil, syncCursor: ByteString? = nil) {
        self.mapName = mapName
        self.lastSyncTimestamp = lastSyncTimestamp
        self.syncCursor = syncCursor
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        lastSyncTimestamp = try fields.optionalInteger("lastSyncTimestamp")
        syncCursor = try fields.optionalText("syncCursor")
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.integer("lastSyncTimestamp", lastSyncTimestamp)
        map.text("syncCursor", syncCursor)
    }
}

/// A node of a map's tree: MERKLE_REQ_BUCKET, ORMAP_MERKLE_REQ_BUCKET, MERKLE_PULL.
package struct MapPath: Hashable, Sendable {
    package var mapName: ByteString
    package var path: MerklePath

    package init(mapName: ByteString, path: MerklePath) {
        self.mapName = mapName
        self.path = path
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        path = try fields.path()
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.text("path", path.text)
    }
}

/// SYNC_RESP_ROOT and ORMAP_SYNC_RESP_ROOT.
package struct SyncRoot: Hashable, Sendable {
    package var mapName: ByteString
    package var rootHash: UInt32
    package var timestamp: Timestamp
    /// OR-Maps only.
    package var coveringEpoch: Int64?
    package var fullResync: Bool
    /// The keyed 128-bit root, sixteen bytes.
    package var rootHash128: [UInt8]?
    package var syncCursor: ByteString?

    package init(
        mapName: ByteString, rootHash: UInt32, timestamp: Timestamp, coveringEpoch: Int64? = nil,
        fullResync: Bool = false, rootHash128: [UInt8]? = nil, syncCursor: ByteString? = nil
    ) {
        self.mapName = mapName
        self.rootHash = rootHash
        self.timestamp = timestamp
        self.coveringEpoch = coveringEpoch
        self.fullResync = fullResync
        self.rootHash128 = rootHash128
        self.syncCursor = syncCursor
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        rootHash = try fields.hash("rootHash")
        timestamp = try fields.timestamp("timestamp")
        coveringEpoch = try fields.optionalInteger("coveringEpoch")
        fullResync = try fields.optionalBool("fullResync") ?? false
        rootHash128 = try fields.optionalBinary("rootHash128")
        syncCursor = try fields.optionalText("syncCursor")
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.hash("rootHash", rootHash)
        map.timestamp("timestamp", timestamp)
        map.integer("coveringEpoch", coveringEpoch)
        if fullResync { map.bool("fullResync", true) }
        map.binary("rootHash128", rootHash128)
        map.text("syncCursor", syncCursor)
    }
}

/// SYNC_RESP_BUCKETS and ORMAP_SYNC_RESP_BUCKETS.
package struct SyncBuckets: Hashable, Sendable {
    /// The hash of one child, by its hex digit 0..<16.
    package struct Bucket: Hashable, Sendable {
        package var digit: UInt8
        package var hash: UInt32

        package init(digit: UInt8, hash: UInt32) {
            self.digit = digit
            self.hash = hash
        }
    }

    package struct Bucket128: Hashable, Sendable {
        package var digit: UInt8
        /// Sixteen bytes.
        package var hash: [UInt8]

        package init(digit: UInt8, hash: [UInt8]) {
            self.digit = digit
            self.hash = hash
        }
    }

    package var mapName: ByteString
    package var path: MerklePath
    package var buckets: [Bucket]
    package var buckets128: [Bucket128]?

    package init(mapName: ByteString, path: MerklePath, buckets: [Bucket], buckets128: [Bucket128]? = nil) {
        self.mapName = mapName
        self.path = path
        self.buckets = buckets
        self.buckets128 = buckets128
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        path = try fields.path()
        buckets = try fields.buckets("buckets")
        buckets128 = try fields.optionalPairs("buckets128") { (key, reader) throws(WireError) in
            guard let digit = hexDigit(key) else { throw WireError(.badField, field: "buckets128") }
            do throws(MessagePackError) {
                return Bucket128(digit: digit, hash: Array(try reader.readBinary()))
            } catch {
                throw WireError(error, field: "buckets128")
            }
        }
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.text("path", path.text)
        map.buckets("buckets", buckets)
        map.pairs("buckets128", buckets128) { bucket, out in
            out.writeHexDigit(bucket.digit)
            bucket.hash.withUnsafeBytes { out.writeBinary($0) }
        }
    }
}

/// SYNC_RESP_LEAF and MERKLE_PUSH.
package struct SyncLeaf: Hashable, Sendable {
    package var mapName: ByteString
    package var path: MerklePath
    package var records: [KeyedRecord]

    package init(mapName: ByteString, path: MerklePath, records: [KeyedRecord]) {
        self.mapName = mapName
        self.path = path
        self.records = records
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        path = try fields.path()
        records = try fields.list("records") { (record) throws(WireError) in try KeyedRecord(record) }
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.text("path", path.text)
        map.list("records", records) { record, map in record.write(into: &map) }
    }
}

/// ORMAP_SYNC_INIT.
package struct ORMapSyncStart: Hashable, Sendable {
    package var mapName: ByteString
    package var rootHash: UInt32
    /// The client's top level.
    package var bucketHashes: [SyncBuckets.Bucket]
    package var lastSyncTimestamp: Int64?
    package var claimedEpoch: Int64?

    package init(
        mapName: ByteString, rootHash: UInt32, bucketHashes: [SyncBuckets.Bucket], lastSyncTimestamp: Int64? = nil,
        claimedEpoch: Int64? = nil
    ) {
        self.mapName = mapName
        self.rootHash = rootHash
        self.bucketHashes = bucketHashes
        self.lastSyncTimestamp = lastSyncTimestamp
        self.claimedEpoch = claimedEpoch
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        rootHash = try fields.optionalHash("rootHash") ?? 0
        bucketHashes = try fields.buckets("bucketHashes")
        lastSyncTimestamp = try fields.optionalInteger("lastSyncTimestamp")
        claimedEpoch = try fields.optionalInteger("claimedEpoch")
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.hash("rootHash", rootHash)
        map.buckets("bucketHashes", bucketHashes)
        map.integer("lastSyncTimestamp", lastSyncTimestamp)
        map.integer("claimedEpoch", claimedEpoch)
    }
}

/// ORMAP_SYNC_RESP_LEAF (with a path), ORMAP_DIFF_RESPONSE and ORMAP_PUSH_DIFF (without).
package struct ORMapEntries: Hashable, Sendable {
    package var mapName: ByteString
    package var path: MerklePath?
    package var entries: [KeyedORMapRecords]
    package var coveringEpoch: Int64?

    package init(
        mapName: ByteString, path: MerklePath? = nil, entries: [KeyedORMapRecords], coveringEpoch: Int64? = nil
    ) {
        self.mapName = mapName
        self.path = path
        self.entries = entries
        self.coveringEpoch = coveringEpoch
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        path = fields.has("path") ? try fields.path() : nil
        entries = try fields.list("entries") { (entry) throws(WireError) in try KeyedORMapRecords(entry) }
        coveringEpoch = try fields.optionalInteger("coveringEpoch")
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.text("path", path?.text)
        map.list("entries", entries) { entry, map in entry.write(into: &map) }
        map.integer("coveringEpoch", coveringEpoch)
    }
}

// MARK: - Digits

extension Fields {
    /// Hashes by hex digit; absent counts as none.
    fileprivate func buckets(_ name: StaticString) throws(WireError) -> [SyncBuckets.Bucket] {
        try optionalPairs(name) { (key, reader) throws(WireError) in
            guard let digit = hexDigit(key) else { throw WireError(.badField, field: name) }
            let hash: Int64
            do throws(MessagePackError) {
                hash = try reader.readInteger()
            } catch {
                throw WireError(error, field: name)
            }
            guard let hash = UInt32(exactly: hash) else { throw WireError(.badField, field: name) }
            return SyncBuckets.Bucket(digit: digit, hash: hash)
        } ?? []
    }
}

extension FieldWriter {
    fileprivate mutating func buckets(_ name: StaticString, _ buckets: [SyncBuckets.Bucket]) {
        pairs(name, buckets) { bucket, out in
            out.writeHexDigit(bucket.digit)
            out.write(bucket.hash)
        }
    }
}

extension MessagePackWriter {
    fileprivate func writeHexDigit(_ digit: UInt8) {
        writeStringHead(1)
        sink.append(MerklePath.digit(Int(digit & 15)))
    }
}

extension ByteSink {
    fileprivate func append(_ byte: UInt8) {
        reserve(1).storeBytes(of: byte, as: UInt8.self)
        advance(by: 1)
    }
}

private func hexDigit(_ text: UnsafeRawBufferPointer) -> UInt8? {
    guard text.count == 1 else { return nil }
    switch text[0] {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): return text[0] - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): return text[0] - UInt8(ascii: "a") + 10
    default: return nil
    }
}
