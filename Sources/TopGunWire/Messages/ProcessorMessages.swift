package import TopGunModel

// Entry processors and conflict resolvers (protocol.md 7.4, 7.5).

/// A processor by its name; its code is never run.
package struct EntryProcessor: Hashable, Sendable {
    package var name: ByteString
    package var code: String
    package var arguments: Payload?

    package init(name: ByteString, code: String = "", arguments: Payload? = nil) {
        self.name = name
        self.code = code
        self.arguments = arguments
    }

    init(_ fields: Fields) throws(WireError) {
        name = try fields.text("name")
        code = try fields.optionalString("code") ?? ""
        arguments = fields.has("args") ? try fields.payload("args") : nil
    }

    func write(into map: inout FieldWriter) {
        map.text("name", name)
        map.string("code", code)
        map.payload("args", arguments)
    }
}

/// ENTRY_PROCESS.
package struct EntryProcess: Hashable, Sendable {
    package var requestID: ByteString
    package var mapName: ByteString
    package var key: ByteString
    package var processor: EntryProcessor

    package init(requestID: ByteString, mapName: ByteString, key: ByteString, processor: EntryProcessor) {
        self.requestID = requestID
        self.mapName = mapName
        self.key = key
        self.processor = processor
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        mapName = try fields.text("mapName")
        key = try fields.text("key")
        processor = try EntryProcessor(try fields.fields("processor"))
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("mapName", mapName)
        map.text("key", key)
        map.fields("processor") { processor.write(into: &$0) }
    }
}

/// ENTRY_PROCESS_BATCH.
package struct EntryProcessBatch: Hashable, Sendable {
    package var requestID: ByteString
    package var mapName: ByteString
    package var keys: [ByteString]
    package var processor: EntryProcessor

    package init(requestID: ByteString, mapName: ByteString, keys: [ByteString], processor: EntryProcessor) {
        self.requestID = requestID
        self.mapName = mapName
        self.keys = keys
        self.processor = processor
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        mapName = try fields.text("mapName")
        keys = try fields.texts("keys")
        processor = try EntryProcessor(try fields.fields("processor"))
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("mapName", mapName)
        map.texts("keys", keys)
        map.fields("processor") { processor.write(into: &$0) }
    }
}

/// What a processor did to one record.
package struct EntryProcessResult: Hashable, Sendable {
    package var success: Bool
    package var result: Payload?
    package var newValue: Payload?
    package var error: String?

    package init(success: Bool, result: Payload? = nil, newValue: Payload? = nil, error: String? = nil) {
        self.success = success
        self.result = result
        self.newValue = newValue
        self.error = error
    }

    init(_ fields: Fields) throws(WireError) {
        success = try fields.bool("success")
        result = try fields.optionalPayload("result")
        newValue = try fields.optionalPayload("newValue")
        error = try fields.optionalString("error")
    }

    func write(into map: inout FieldWriter) {
        map.bool("success", success)
        map.payload("result", result)
        map.payload("newValue", newValue)
        map.string("error", error)
    }
}

/// ENTRY_PROCESS_BATCH_RESPONSE.
package struct EntryProcessBatchResponse: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        package var key: ByteString
        package var result: EntryProcessResult

        package init(key: ByteString, result: EntryProcessResult) {
            self.key = key
            self.result = result
        }
    }

    package var requestID: ByteString
    package var results: [Entry]

    package init(requestID: ByteString, results: [Entry]) {
        self.requestID = requestID
        self.results = results
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        results =
            try fields.optionalPairs("results") { (key, reader) throws(WireError) in
                Entry(
                    key: ByteString(copying: key),
                    result: try EntryProcessResult(try Fields(&reader, field: "results")))
            } ?? []
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.pairs("results", results) { entry, out in
            out.write(entry.key)
            FieldWriter.write(into: out.sink) { entry.result.write(into: &$0) }
        }
    }
}

/// REGISTER_RESOLVER.
package struct ResolverRegistration: Hashable, Sendable {
    package var requestID: ByteString
    package var mapName: ByteString
    package var name: ByteString
    package var code: String
    package var priority: Int64?
    package var keyPattern: ByteString?

    package init(
        requestID: ByteString, mapName: ByteString, name: ByteString, code: String, priority: Int64? = nil,
        keyPattern: ByteString? = nil
    ) {
        self.requestID = requestID
        self.mapName = mapName
        self.name = name
        self.code = code
        self.priority = priority
        self.keyPattern = keyPattern
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        mapName = try fields.text("mapName")
        let resolver = try fields.fields("resolver")
        name = try resolver.text("name")
        code = try resolver.optionalString("code") ?? ""
        priority = try resolver.optionalInteger("priority")
        keyPattern = try resolver.optionalText("keyPattern")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.text("mapName", mapName)
        map.fields("resolver") { map in
            map.text("name", name)
            map.string("code", code)
            map.integer("priority", priority)
            map.text("keyPattern", keyPattern)
        }
    }
}

/// One resolver in LIST_RESOLVERS_RESPONSE.
package struct ResolverInfo: Hashable, Sendable {
    package var mapName: ByteString
    package var name: ByteString
    package var priority: Int64?
    package var keyPattern: ByteString?

    package init(mapName: ByteString, name: ByteString, priority: Int64? = nil, keyPattern: ByteString? = nil) {
        self.mapName = mapName
        self.name = name
        self.priority = priority
        self.keyPattern = keyPattern
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        name = try fields.text("name")
        priority = try fields.optionalInteger("priority")
        keyPattern = try fields.optionalText("keyPattern")
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.text("name", name)
        map.integer("priority", priority)
        map.text("keyPattern", keyPattern)
    }
}

/// REGISTER_RESOLVER_RESPONSE and UNREGISTER_RESOLVER_RESPONSE.
package struct ResolverResponse: Hashable, Sendable {
    package var requestID: ByteString
    package var success: Bool
    package var error: String?

    package init(requestID: ByteString, success: Bool, error: String? = nil) {
        self.requestID = requestID
        self.success = success
        self.error = error
    }

    init(_ fields: Fields) throws(WireError) {
        requestID = try fields.text("requestId")
        success = try fields.bool("success")
        error = try fields.optionalString("error")
    }

    func write(into map: inout FieldWriter) {
        map.text("requestId", requestID)
        map.bool("success", success)
        map.string("error", error)
    }
}

/// MERGE_REJECTED.
package struct MergeRejection: Hashable, Sendable {
    package var mapName: ByteString
    package var key: ByteString
    package var attemptedValue: Payload
    package var reason: String
    package var timestamp: Timestamp

    package init(mapName: ByteString, key: ByteString, attemptedValue: Payload, reason: String, timestamp: Timestamp) {
        self.mapName = mapName
        self.key = key
        self.attemptedValue = attemptedValue
        self.reason = reason
        self.timestamp = timestamp
    }

    init(_ fields: Fields) throws(WireError) {
        mapName = try fields.text("mapName")
        key = try fields.text("key")
        attemptedValue = try fields.payload("attemptedValue")
        reason = try fields.string("reason")
        timestamp = try fields.timestamp("timestamp")
    }

    func write(into map: inout FieldWriter) {
        map.text("mapName", mapName)
        map.text("key", key)
        map.payload("attemptedValue", attemptedValue)
        map.string("reason", reason)
        map.timestamp("timestamp", timestamp)
    }
}
