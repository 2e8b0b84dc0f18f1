package import TopGunModel

/// Everything that a client says, one case for each message of the protocol.
package enum ClientMessage: Equatable, Sendable {
    /// AUTH
    case authenticate(Authentication)
    /// DEVICE_HELLO
    case deviceHello(DeviceHello)
    /// PING
    case ping(timestamp: Int64)
    /// BATCH
    case batch(Batch)
    /// CLIENT_OP
    case operation(ClientOperation)
    /// OP_BATCH
    case operations(OperationBatch)
    /// SYNC_INIT
    case syncStart(SyncStart)
    /// MERKLE_REQ_BUCKET
    case merkleRequest(MapPath)
    /// MERKLE_PUSH
    case merklePush(SyncLeaf)
    /// ORMAP_SYNC_INIT
    case orMapSyncStart(ORMapSyncStart)
    /// ORMAP_MERKLE_REQ_BUCKET
    case orMapMerkleRequest(MapPath)
    /// ORMAP_DIFF_REQUEST
    case orMapDifferenceRequest(mapName: ByteString, keys: [ByteString])
    /// ORMAP_PUSH_DIFF
    case orMapPushDifference(ORMapEntries)
    /// CLIENT_APPLY_ACK
    case applyAcknowledgement(cursor: Int64)
    /// QUERY_SUB
    case querySubscribe(QuerySubscription)
    /// QUERY_UNSUB
    case queryUnsubscribe(queryID: ByteString)
    /// QUERY_SYNC_INIT
    case querySyncStart(queryID: ByteString, rootHash: Int64)
    /// TOPIC_SUB
    case topicSubscribe(topic: ByteString)
    /// TOPIC_UNSUB
    case topicUnsubscribe(topic: ByteString)
    /// TOPIC_PUB
    case topicPublish(topic: ByteString, data: Payload)
    /// LOCK_REQUEST
    case lockRequest(LockRequest)
    /// LOCK_RELEASE
    case lockRelease(LockRelease)
    /// COUNTER_REQUEST
    case counterRequest(name: ByteString)
    /// COUNTER_SYNC
    case counterSync(CounterState)
    /// ENTRY_PROCESS
    case entryProcess(EntryProcess)
    /// ENTRY_PROCESS_BATCH
    case entryProcessBatch(EntryProcessBatch)
    /// REGISTER_RESOLVER
    case registerResolver(ResolverRegistration)
    /// UNREGISTER_RESOLVER
    case unregisterResolver(requestID: ByteString, mapName: ByteString, resolverName: ByteString)
    /// LIST_RESOLVERS
    case listResolvers(requestID: ByteString, mapName: ByteString?)
    /// JOURNAL_SUBSCRIBE
    case journalSubscribe(JournalSubscription)
    /// JOURNAL_UNSUBSCRIBE
    case journalUnsubscribe(subscriptionID: ByteString)
    /// JOURNAL_READ
    case journalRead(JournalRead)
    /// SEARCH
    case search(SearchRequest)
    /// SEARCH_SUB
    case searchSubscribe(SearchRequest)
    /// SEARCH_UNSUB
    case searchUnsubscribe(subscriptionID: ByteString)
    /// VECTOR_SEARCH
    case vectorSearch(VectorSearch)
    /// HYBRID_SEARCH
    case hybridSearch(HybridSearch)
    /// HYBRID_SEARCH_SUB
    case hybridSearchSubscribe(HybridSearch)
    /// HYBRID_SEARCH_UNSUB
    case hybridSearchUnsubscribe(subscriptionID: ByteString)
    /// HYBRID_QUERY_SUBSCRIBE
    case hybridQuerySubscribe(HybridQuerySubscription)
    /// HYBRID_QUERY_UNSUBSCRIBE
    case hybridQueryUnsubscribe(subscriptionID: ByteString)
    /// SQL_QUERY
    case sqlQuery(sql: String, queryID: ByteString)
    /// PARTITION_MAP_REQUEST
    case partitionMapRequest(currentVersion: Int64?)
}

// MARK: - Reading

extension ClientMessage {
    /// Decodes one frame.
    ///
    /// Everything in the message is a copy; the frame may go. A type that this side does not take is
    /// ``WireError/Code/unknownType``.
    package static func decode(_ frame: UnsafeRawBufferPointer) throws(WireError) -> Self {
        let fields = try Fields(frame: frame)
        guard let type = try fields.optionalView("type") else { throw WireError(.unknownType, field: "type") }
        do throws(WireError) {
            return try decode(FieldName(type), fields)
        } catch {
            throw error.about(ByteString(copying: type), fields)
        }
    }

    private static func decode(_ type: FieldName, _ fields: Fields) throws(WireError) -> Self {
        switch type {
        case "AUTH":
            return .authenticate(try Authentication(fields))
        case "DEVICE_HELLO":
            return .deviceHello(try DeviceHello(fields))
        case "PING":
            return .ping(timestamp: try fields.integer("timestamp"))
        case "BATCH":
            return .batch(try Batch(fields))
        case "CLIENT_OP":
            return .operation(try ClientOperation(try fields.fields("payload")))
        case "OP_BATCH":
            return .operations(try OperationBatch(try fields.fields("payload")))
        case "SYNC_INIT":
            return .syncStart(try SyncStart(fields))
        case "MERKLE_REQ_BUCKET":
            return .merkleRequest(try MapPath(try fields.fields("payload")))
        case "MERKLE_PUSH":
            return .merklePush(try SyncLeaf(try fields.fields("payload")))
        case "ORMAP_SYNC_INIT":
            return .orMapSyncStart(try ORMapSyncStart(fields))
        case "ORMAP_MERKLE_REQ_BUCKET":
            return .orMapMerkleRequest(try MapPath(try fields.fields("payload")))
        case "ORMAP_DIFF_REQUEST":
            let payload = try fields.fields("payload")
            return .orMapDifferenceRequest(mapName: try payload.text("mapName"), keys: try payload.texts("keys"))
        case "ORMAP_PUSH_DIFF":
            return .orMapPushDifference(try ORMapEntries(try fields.fields("payload")))
        case "CLIENT_APPLY_ACK":
            return .applyAcknowledgement(cursor: try fields.integer("cursor"))
        case "QUERY_SUB":
            return .querySubscribe(try QuerySubscription(try fields.fields("payload")))
        case "QUERY_UNSUB":
            return .queryUnsubscribe(queryID: try fields.fields("payload").text("queryId"))
        case "QUERY_SYNC_INIT":
            let payload = try fields.fields("payload")
            return .querySyncStart(queryID: try payload.text("queryId"), rootHash: try payload.integer("rootHash"))
        case "TOPIC_SUB":
            return .topicSubscribe(topic: try fields.fields("payload").text("topic"))
        case "TOPIC_UNSUB":
            return .topicUnsubscribe(topic: try fields.fields("payload").text("topic"))
        case "TOPIC_PUB":
            let payload = try fields.fields("payload")
            return .topicPublish(
                topic: try payload.text("topic"), data: try payload.optionalPayload("data") ?? .tombstone)
        case "LOCK_REQUEST":
            return .lockRequest(try LockRequest(try fields.fields("payload")))
        case "LOCK_RELEASE":
            return .lockRelease(try LockRelease(try fields.fields("payload")))
        case "COUNTER_REQUEST":
            return .counterRequest(name: try fields.fields("payload").text("name"))
        case "COUNTER_SYNC":
            return .counterSync(try CounterState(try fields.fields("payload")))
        case "ENTRY_PROCESS":
            return .entryProcess(try EntryProcess(fields))
        case "ENTRY_PROCESS_BATCH":
            return .entryProcessBatch(try EntryProcessBatch(fields))
        case "REGISTER_RESOLVER":
            return .registerResolver(try ResolverRegistration(fields))
        case "UNREGISTER_RESOLVER":
            return .unregisterResolver(
                requestID: try fields.text("requestId"), mapName: try fields.text("mapName"),
                resolverName: try fields.text("resolverName"))
        case "LIST_RESOLVERS":
            return .listResolvers(requestID: try fields.text("requestId"), mapName: try fields.optionalText("mapName"))
        case "JOURNAL_SUBSCRIBE":
            return .journalSubscribe(try JournalSubscription(fields))
        case "JOURNAL_UNSUBSCRIBE":
            return .journalUnsubscribe(subscriptionID: try fields.text("subscriptionId"))
        case "JOURNAL_READ":
            return .journalRead(try JournalRead(fields))
        case "SEARCH":
            return .search(try SearchRequest(try fields.fields("payload"), id: "requestId"))
        case "SEARCH_SUB":
            return .searchSubscribe(try SearchRequest(try fields.fields("payload"), id: "subscriptionId"))
        case "SEARCH_UNSUB":
            return .searchUnsubscribe(subscriptionID: try fields.fields("payload").text("subscriptionId"))
        case "VECTOR_SEARCH":
            return .vectorSearch(try VectorSearch(try fields.fields("payload")))
        case "HYBRID_SEARCH":
            return .hybridSearch(try HybridSearch(try fields.fields("payload"), id: "requestId"))
        case "HYBRID_SEARCH_SUB":
            return .hybridSearchSubscribe(try HybridSearch(try fields.fields("payload"), id: "subscriptionId"))
        case "HYBRID_SEARCH_UNSUB":
            return .hybridSearchUnsubscribe(subscriptionID: try fields.fields("payload").text("subscriptionId"))
        case "HYBRID_QUERY_SUBSCRIBE":
            return .hybridQuerySubscribe(try HybridQuerySubscription(try fields.fields("payload")))
        case "HYBRID_QUERY_UNSUBSCRIBE":
            return .hybridQueryUnsubscribe(subscriptionID: try fields.fields("payload").text("subscriptionId"))
        case "SQL_QUERY":
            let payload = try fields.fields("payload")
            return .sqlQuery(sql: try payload.string("sql"), queryID: try payload.text("queryId"))
        case "PARTITION_MAP_REQUEST":
            return .partitionMapRequest(
                currentVersion: try fields.optionalFields("payload")?.optionalInteger("currentVersion"))
        default: throw WireError(.unknownType, field: "type")
        }
    }
}

// MARK: - Writing

extension ClientMessage {
    /// Appends the message in its shortest form.
    package func encode(into sink: ByteSink) {
        switch self {
        case .authenticate(let message): flat("AUTH", sink) { message.write(into: &$0) }
        case .deviceHello(let message): flat("DEVICE_HELLO", sink) { message.write(into: &$0) }
        case .ping(let timestamp):
            flat("PING", sink) {
                $0.integer("timestamp", timestamp)
            }
        case .batch(let message): flat("BATCH", sink) { message.write(into: &$0) }
        case .operation(let message): payloadEnvelope("CLIENT_OP", sink) { message.write(into: &$0) }
        case .operations(let message): payloadEnvelope("OP_BATCH", sink) { message.write(into: &$0) }
        case .syncStart(let message): flat("SYNC_INIT", sink) { message.write(into: &$0) }
        case .merkleRequest(let message): payloadEnvelope("MERKLE_REQ_BUCKET", sink) { message.write(into: &$0) }
        case .merklePush(let message): payloadEnvelope("MERKLE_PUSH", sink) { message.write(into: &$0) }
        case .orMapSyncStart(let message): flat("ORMAP_SYNC_INIT", sink) { message.write(into: &$0) }
        case .orMapMerkleRequest(let message):
            payloadEnvelope("ORMAP_MERKLE_REQ_BUCKET", sink) { message.write(into: &$0) }
        case .orMapDifferenceRequest(let mapName, let keys):
            payloadEnvelope("ORMAP_DIFF_REQUEST", sink) {
                $0.text("mapName", mapName)
                $0.texts("keys", keys)
            }
        case .orMapPushDifference(let message): payloadEnvelope("ORMAP_PUSH_DIFF", sink) { message.write(into: &$0) }
        case .applyAcknowledgement(let cursor):
            flat("CLIENT_APPLY_ACK", sink) {
                $0.integer("cursor", cursor)
            }
        case .querySubscribe(let message): payloadEnvelope("QUERY_SUB", sink) { message.write(into: &$0) }
        case .queryUnsubscribe(let queryID):
            payloadEnvelope("QUERY_UNSUB", sink) {
                $0.text("queryId", queryID)
            }
        case .querySyncStart(let queryID, let rootHash):
            payloadEnvelope("QUERY_SYNC_INIT", sink) {
                $0.text("queryId", queryID)
                $0.integer("rootHash", rootHash)
            }
        case .topicSubscribe(let topic):
            payloadEnvelope("TOPIC_SUB", sink) {
                $0.text("topic", topic)
            }
        case .topicUnsubscribe(let topic):
            payloadEnvelope("TOPIC_UNSUB", sink) {
                $0.text("topic", topic)
            }
        case .topicPublish(let topic, let data):
            payloadEnvelope("TOPIC_PUB", sink) {
                $0.text("topic", topic)
                $0.payload("data", data)
            }
        case .lockRequest(let message): payloadEnvelope("LOCK_REQUEST", sink) { message.write(into: &$0) }
        case .lockRelease(let message): payloadEnvelope("LOCK_RELEASE", sink) { message.write(into: &$0) }
        case .counterRequest(let name):
            payloadEnvelope("COUNTER_REQUEST", sink) {
                $0.text("name", name)
            }
        case .counterSync(let message):
            payloadEnvelope("COUNTER_SYNC", sink) { message.write(into: &$0, bothNames: false) }
        case .entryProcess(let message): flat("ENTRY_PROCESS", sink) { message.write(into: &$0) }
        case .entryProcessBatch(let message): flat("ENTRY_PROCESS_BATCH", sink) { message.write(into: &$0) }
        case .registerResolver(let message): flat("REGISTER_RESOLVER", sink) { message.write(into: &$0) }
        case .unregisterResolver(let requestID, let mapName, let resolverName):
            flat("UNREGISTER_RESOLVER", sink) {
                $0.text("requestId", requestID)
                $0.text("mapName", mapName)
                $0.text("resolverName", resolverName)
            }
        case .listResolvers(let requestID, let mapName):
            flat("LIST_RESOLVERS", sink) {
                $0.text("requestId", requestID)
                $0.text("mapName", mapName)
            }
        case .journalSubscribe(let message): flat("JOURNAL_SUBSCRIBE", sink) { message.write(into: &$0) }
        case .journalUnsubscribe(let subscriptionID):
            flat("JOURNAL_UNSUBSCRIBE", sink) {
                $0.text("subscriptionId", subscriptionID)
            }
        case .journalRead(let message): flat("JOURNAL_READ", sink) { message.write(into: &$0) }
        case .search(let message): payloadEnvelope("SEARCH", sink) { message.write(into: &$0, id: "requestId") }
        case .searchSubscribe(let message):
            payloadEnvelope("SEARCH_SUB", sink) { message.write(into: &$0, id: "subscriptionId") }
        case .searchUnsubscribe(let subscriptionID):
            payloadEnvelope("SEARCH_UNSUB", sink) {
                $0.text("subscriptionId", subscriptionID)
            }
        case .vectorSearch(let message): payloadEnvelope("VECTOR_SEARCH", sink) { message.write(into: &$0) }
        case .hybridSearch(let message):
            payloadEnvelope("HYBRID_SEARCH", sink) { message.write(into: &$0, id: "requestId") }
        case .hybridSearchSubscribe(let message):
            payloadEnvelope("HYBRID_SEARCH_SUB", sink) { message.write(into: &$0, id: "subscriptionId") }
        case .hybridSearchUnsubscribe(let subscriptionID):
            payloadEnvelope("HYBRID_SEARCH_UNSUB", sink) {
                $0.text("subscriptionId", subscriptionID)
            }
        case .hybridQuerySubscribe(let message):
            payloadEnvelope("HYBRID_QUERY_SUBSCRIBE", sink) { message.write(into: &$0) }
        case .hybridQueryUnsubscribe(let subscriptionID):
            payloadEnvelope("HYBRID_QUERY_UNSUBSCRIBE", sink) {
                $0.text("subscriptionId", subscriptionID)
            }
        case .sqlQuery(let sql, let queryID):
            payloadEnvelope("SQL_QUERY", sink) {
                $0.string("sql", sql)
                $0.text("queryId", queryID)
            }
        case .partitionMapRequest(let currentVersion):
            flat("PARTITION_MAP_REQUEST", sink) { map in
                guard let currentVersion else { return }
                map.fields("payload") { $0.integer("currentVersion", currentVersion) }
            }
        }
    }
}
