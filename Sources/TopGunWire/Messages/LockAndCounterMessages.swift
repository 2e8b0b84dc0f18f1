package import TopGunModel

// Topics, locks and counters (protocol.md 7.1 to 7.3).

/// TOPIC_MESSAGE.
package struct TopicMessage: Hashable, Sendable {
    package var topic: ByteString
    package var data: Payload
    package var publisherID: String?
    package var timestamp: Int64

    package init(topic: ByteString, data: Payload, publisherID: String? = nil, timestamp: Int64) {
        self.topic = topic
        self.data = data
        self.publisherID = publisherID
        self.timestamp = timestamp
    }

    init(_ fields: Fields) throws(WireError) {
        topic = try fields.text("topic")
        data = try fields.optionalPayload("data") ?? .tombstone
        publisherID = try fields.optionalString("publisherId")
        timestamp = try fields.integer("timestamp")
    }

    func write(into map: inout FieldWriter) {
        map.text("topic", topic)
        map.payload("data", data)
        map.string("publisherId", publisherID)
        map.integer("timestamp", timestamp)
    }
}

/// LOCK_REQUEST.
package struct LockRequest: Hashable, Sendable {
    package var requestID: ByteString
    package var name: ByteString
    package var ttlMillis: Int64?
    package var waitMillis: Int64?

    package init(requestID: ByteString, name: ByteString, ttlMillis: Int64? = nil, waitMillis: Int64? = nil) {
        self.requestID = requestID
        self.name = name
        self.ttlMillis = ttlMillis
        self.waitMillis = waitMillis
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        name = try fields.text("name")
        ttlMillis = try fields.optionalInteger("ttl")
        waitMillis = try fields.optionalInteger("waitMs")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("name", name)
        map.integer("ttl", ttlMillis)
        map.integer("waitMs", waitMillis)
    }
}

/// LOCK_RELEASE.
package struct LockRelease: Hashable, Sendable {
    package var requestID: ByteString?
    package var name: ByteString
    package var fencingToken: Int64

    package init(requestID: ByteString? = nil, name: ByteString, fencingToken: Int64) {
        self.requestID = requestID
        self.name = name
        self.fencingToken = fencingToken
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.optionalText("requestId")
        name = try fields.text("name")
        fencingToken = try fields.integer("fencingToken")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("name", name)
        map.integer("fencingToken", fencingToken)
    }
}

/// LOCK_GRANTED.
package struct LockGrant: Hashable, Sendable {
    package var requestID: ByteString
    package var name: ByteString
    package var fencingToken: Int64

    package init(requestID: ByteString, name: ByteString, fencingToken: Int64) {
        self.requestID = requestID
        self.name = name
        self.fencingToken = fencingToken
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        name = try fields.text("name")
        fencingToken = try fields.integer("fencingToken")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("name", name)
        map.integer("fencingToken", fencingToken)
    }
}

/// LOCK_RELEASED.
package struct LockReleased: Hashable, Sendable {
    package var requestID: ByteString
    package var name: ByteString
    /// Nil denies a LOCK_REQUEST: the official client would take `false` for a grant (protocol.md 7.2).
    package var success: Bool?

    package init(requestID: ByteString, name: ByteString, success: Bool?) {
        self.requestID = requestID
        self.name = name
        self.success = success
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        name = try fields.text("name")
        success = try fields.optionalBool("success")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("name", name)
        if let success { map.bool("success", success) } else { map.null("success") }
    }
}

/// LOCK_DENIED.
package struct LockDenial: Hashable, Sendable {
    package var requestID: ByteString
    package var name: ByteString
    package var code: ByteString
    package var retryAfterMillis: Int64?

    package init(requestID: ByteString, name: ByteString, refusal: Refusal, retryAfterMillis: Int64? = nil) {
        self.requestID = requestID
        self.name = name
        self.code = ByteString(refusal.wireName)
        self.retryAfterMillis = retryAfterMillis
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        name = try fields.text("name")
        code = try fields.text("code")
        retryAfterMillis = try fields.optionalInteger("retryAfterMs")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("name", name)
        map.text("code", code)
        map.integer("retryAfterMs", retryAfterMillis)
    }
}

/// COUNTER_SYNC, COUNTER_RESPONSE and COUNTER_UPDATE.
package struct CounterState: Equatable, Sendable {
    package var name: ByteString
    package var state: PNCounter

    package init(name: ByteString, state: PNCounter) {
        self.name = name
        self.state = state
    }

    init(_ fields: Fields) throws(WireError) {
        name = try fields.text("name")
        let state = try fields.fields("state")
        self.state = PNCounter(
            positive: try state.totals("positive", "p"), negative: try state.totals("negative", "n"))
    }

    /// The client writes its pair of names; the server writes both pairs, because nobody knows all four.
    func write(into map: inout FieldWriter, bothNames: Bool) {
        map.text("name", name)
        map.fields("state") { map in
            map.totals("positive", state.positive)
            map.totals("negative", state.negative)
            guard bothNames else { return }
            map.totals("p", state.positive)
            map.totals("n", state.negative)
        }
    }
}

extension Fields {
    /// Totals per node under either of their names.
    fileprivate func totals(
        _ name: StaticString, _ otherName: StaticString
    ) throws(WireError) -> [ByteString: Double] {
        let name = has(name) ? name : otherName
        var totals: [ByteString: Double] = [:]
        _ = try optionalPairs(name) { (node, reader) throws(WireError) -> Bool? in
            do throws(MessagePackError) {
                totals[ByteString(copying: node)] = try reader.readDouble()
                return nil
            } catch {
                throw WireError(error, field: name)
            }
        }
        return totals
    }
}

extension FieldWriter {
    /// Totals in the order of the node ids, so that equal counters make equal frames.
    fileprivate mutating func totals(_ name: StaticString, _ totals: [ByteString: Double]) {
        pairs(name, totals.sorted { $0.key < $1.key }) { total, out in
            out.write(total.key)
            out.write(number: total.value)
        }
    }
}
