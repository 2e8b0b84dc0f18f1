package import TopGunModel

/// Everything that a server says, one case for each message of the protocol.
package enum ServerMessage: Equatable, Sendable {
    /// AUTH_REQUIRED
    case authenticationRequired
    /// AUTH_ACK
    case authenticationAcknowledged(Greeting)
    /// AUTH_FAIL
    case authenticationFailed(error: String?, code: Int64?)
    /// DEVICE_ACK
    case deviceAcknowledged(Greeting)
    /// PONG
    case pong(timestamp: Int64, serverTime: Int64)
    /// ERROR
    case error(ErrorMessage)
    /// BATCH
    case batch(Batch)
    /// OP_ACK
    case acknowledgement(Acknowledgement)
    /// OP_REJECTED
    case operationRejected(operationID: UInt64, reason: String, code: Int64?)
    /// LEVEL_UP
    case levelUp([LevelUp])
    /// SERVER_EVENT
    case event(ServerEvent)
    /// SERVER_BATCH_EVENT
    case events([ServerEvent])
    /// RESYNC
    case resync(mapName: ByteString)
    /// SYNC_RESP_ROOT
    case syncRoot(SyncRoot)
    /// SYNC_RESP_BUCKETS
    case syncBuckets(SyncBuckets)
    /// SYNC_RESP_LEAF
    case syncLeaf(SyncLeaf)
    /// SYNC_RESET_REQUIRED
    case syncResetRequired(mapName: ByteString, reason: String)
    /// MERKLE_PULL
    case merklePull(MapPath)
    /// ORMAP_SYNC_RESP_ROOT
    case orMapSyncRoot(SyncRoot)
    /// ORMAP_SYNC_RESP_BUCKETS
    case orMapSyncBuckets(SyncBuckets)
    /// ORMAP_SYNC_RESP_LEAF
    case orMapSyncLeaf(ORMapEntries)
    /// ORMAP_DIFF_RESPONSE
    case orMapDifference(ORMapEntries)
    /// GC_PRUNE
    case prune(olderThan: Timestamp)
    /// QUERY_RESP
    case queryResponse(QueryResponse)
    /// QUERY_UPDATE
    case queryUpdate(QueryUpdate)
    /// TOPIC_MESSAGE
    case topicMessage(TopicMessage)
    /// LOCK_GRANTED
    case lockGranted(LockGrant)
    /// LOCK_RELEASED
    case lockReleased(LockReleased)
    /// LOCK_DENIED
    case lockDenied(LockDenial)
    /// LOCK_LOST
    case lockLost(name: ByteString, fencingToken: Int64)
    /// COUNTER_RESPONSE
    case counterResponse(CounterState)
    /// COUNTER_UPDATE
    case counterUpdate(CounterState)
    /// ENTRY_PROCESS_RESPONSE
    case entryProcessResponse(requestID: ByteString, result: EntryProcessResult)
    /// ENTRY_PROCESS_BATCH_RESPONSE
    case entryProcessBatchResponse(EntryProcessBatchResponse)
    /// REGISTER_RESOLVER_RESPONSE
    case registerResolverResponse(ResolverResponse)
    /// UNREGISTER_RESOLVER_RESPONSE
    case unregisterResolverResponse(ResolverResponse)
    /// LIST_RESOLVERS_RESPONSE
    case listResolversResponse(requestID: ByteString, resolvers: [ResolverInfo])
    /// MERGE_REJECTED
    case mergeRejected(MergeRejection)
    /// JOURNAL_EVENT
    case journalEvent(JournalEvent)
    /// JOURNAL_READ_RESPONSE
    case journalPage(JournalPage)
    /// SEARCH_RESP
    case searchResponse(SearchResponse)
    /// SEARCH_UPDATE
    case searchUpdate(SearchUpdate)
    /// VECTOR_SEARCH_RESP
    case vectorSearchResponse(VectorSearchResponse)
    /// HYBRID_SEARCH_RESP
    case hybridSearchResponse(HybridSearchResponse)
    /// HYBRID_SEARCH_UPDATE
    case hybridSearchUpdate(HybridSearchUpdate)
    /// SQL_QUERY_RESP
    case sqlResponse(SQLResponse)
    /// PARTITION_MAP
    case partitionMap(PartitionMap)
    /// PARTITION_MAP_DELTA
    case partitionMapDelta(PartitionMapDelta)
}

// MARK: - Reading

extension ServerMessage {
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
        case "AUTH_REQUIRED":
            return .authenticationRequired
        case "AUTH_ACK":
            return .authenticationAcknowledged(try Greeting(fields))
        case "AUTH_FAIL":
            return .authenticationFailed(
                error: try fields.optionalString("error"), code: try fields.optionalInteger("code"))
        case "DEVICE_ACK":
            return .deviceAcknowledged(try Greeting(fields))
        case "PONG":
            return .pong(timestamp: try fields.integer("timestamp"), serverTime: try fields.integer("serverTime"))
        case "ERROR":
            return .error(try ErrorMessage(try fields.fields("payload")))
        case "BATCH":
            return .batch(try Batch(fields))
        case "OP_ACK":
            return .acknowledgement(try Acknowledgement(try fields.fields("payload")))
        case "OP_REJECTED":
            let payload = try fields.fields("payload")
            return .operationRejected(
                operationID: try payload.decimal("opId"), reason: try payload.string("reason"),
                code: try payload.optionalInteger("code"))
        case "LEVEL_UP":
            return .levelUp(
                try fields.fields("payload").list("ops") { (element) throws(WireError) in try LevelUp(element) })
        case "SERVER_EVENT":
            return .event(try ServerEvent(try fields.fields("payload")))
        case "SERVER_BATCH_EVENT":
            return .events(
                try fields.fields("payload").list("events") { (element) throws(WireError) in try ServerEvent(element) })
        case "RESYNC":
            return .resync(mapName: try fields.fields("payload").text("mapName"))
        case "SYNC_RESP_ROOT":
            return .syncRoot(try SyncRoot(try fields.fields("payload")))
        case "SYNC_RESP_BUCKETS":
            return .syncBuckets(try SyncBuckets(try fields.fields("payload")))
        case "SYNC_RESP_LEAF":
            return .syncLeaf(try SyncLeaf(try fields.fields("payload")))
        case "SYNC_RESET_REQUIRED":
            let payload = try fields.fields("payload")
            return .syncResetRequired(mapName: try payload.text("mapName"), reason: try payload.string("reason"))
        case "MERKLE_PULL":
            return .merklePull(try MapPath(try fields.fields("payload")))
        case "ORMAP_SYNC_RESP_ROOT":
            return .orMapSyncRoot(try SyncRoot(try fields.fields("payload")))
        case "ORMAP_SYNC_RESP_BUCKETS":
            return .orMapSyncBuckets(try SyncBuckets(try fields.fields("payload")))
        case "ORMAP_SYNC_RESP_LEAF":
            return .orMapSyncLeaf(try ORMapEntries(try fields.fields("payload")))
        case "ORMAP_DIFF_RESPONSE":
            return .orMapDifference(try ORMapEntries(try fields.fields("payload")))
        case "GC_PRUNE":
            return .prune(olderThan: try fields.fields("payload").timestamp("olderThan"))
        case "QUERY_RESP":
            return .queryResponse(try QueryResponse(try fields.fields("payload")))
        case "QUERY_UPDATE":
            return .queryUpdate(try QueryUpdate(try fields.fields("payload")))
        case "TOPIC_MESSAGE":
            return .topicMessage(try TopicMessage(try fields.fields("payload")))
        case "LOCK_GRANTED":
            return .lockGranted(try LockGrant(try fields.fields("payload")))
        case "LOCK_RELEASED":
            return .lockReleased(try LockReleased(try fields.fields("payload")))
        case "LOCK_DENIED":
            return .lockDenied(try LockDenial(try fields.fields("payload")))
        case "LOCK_LOST":
            let payload = try fields.fields("payload")
            return .lockLost(name: try payload.text("name"), fencingToken: try payload.integer("fencingToken"))
        case "COUNTER_RESPONSE":
            return .counterResponse(try CounterState(try fields.fields("payload")))
        case "COUNTER_UPDATE":
            return .counterUpdate(try CounterState(try fields.fields("payload")))
        case "ENTRY_PROCESS_RESPONSE":
            return .entryProcessResponse(
                requestID: try fields.text("requestId"), result: try EntryProcessResult(fields))
        case "ENTRY_PROCESS_BATCH_RESPONSE":
            return .entryProcessBatchResponse(try EntryProcessBatchResponse(fields))
        case "REGISTER_RESOLVER_RESPONSE":
            return .registerResolverResponse(try ResolverResponse(fields))
        case "UNREGISTER_RESOLVER_RESPONSE":
            return .unregisterResolverResponse(try ResolverResponse(fields))
        case "LIST_RESOLVERS_RESPONSE":
            return .listResolversResponse(
                requestID: try fields.text("requestId"),
                resolvers: try fields.list("resolvers") { (element) throws(WireError) in try ResolverInfo(element) })
        case "MERGE_REJECTED":
            return .mergeRejected(try MergeRejection(fields))
        case "JOURNAL_EVENT":
            return .journalEvent(try JournalEvent(try fields.fields("event")))
        case "JOURNAL_READ_RESPONSE":
            return .journalPage(try JournalPage(fields))
        case "SEARCH_RESP":
            return .searchResponse(try SearchResponse(try fields.fields("payload")))
        case "SEARCH_UPDATE":
            return .searchUpdate(try SearchUpdate(try fields.fields("payload")))
        case "VECTOR_SEARCH_RESP":
            return .vectorSearchResponse(try VectorSearchResponse(try fields.fields("payload")))
        case "HYBRID_SEARCH_RESP":
            return .hybridSearchResponse(try HybridSearchResponse(try fields.fields("payload")))
        case "HYBRID_SEARCH_UPDATE":
            return .hybridSearchUpdate(try HybridSearchUpdate(try fields.fields("payload")))
        case "SQL_QUERY_RESP":
            return .sqlResponse(try SQLResponse(try fields.fields("payload")))
        case "PARTITION_MAP":
            return .partitionMap(try PartitionMap(try fields.fields("payload")))
        case "PARTITION_MAP_DELTA":
            return .partitionMapDelta(try PartitionMapDelta(try fields.fields("payload")))
        default: throw WireError(.unknownType, field: "type")
        }
    }
}

// MARK: - Writing

extension ServerMessage {
    /// Appends the message in its shortest form.
    package func encode(into sink: ByteSink) {
        switch self {
        case .authenticationRequired: flat("AUTH_REQUIRED", sink) { _ in }
        case .authenticationAcknowledged(let message): flat("AUTH_ACK", sink) { message.write(into: &$0) }
        case .authenticationFailed(let error, let code):
            flat("AUTH_FAIL", sink) {
                $0.string("error", error)
                $0.integer("code", code)
            }
        case .deviceAcknowledged(let message): flat("DEVICE_ACK", sink) { message.write(into: &$0) }
        case .pong(let timestamp, let serverTime):
            flat("PONG", sink) {
                $0.integer("timestamp", timestamp)
                $0.integer("serverTime", serverTime)
            }
        case .error(let message): payloadEnvelope("ERROR", sink) { message.write(into: &$0) }
        case .batch(let message): flat("BATCH", sink) { message.write(into: &$0) }
        case .acknowledgement(let message): payloadEnvelope("OP_ACK", sink) { message.write(into: &$0) }
        case .operationRejected(let operationID, let reason, let code):
            payloadEnvelope("OP_REJECTED", sink) {
                $0.decimal("opId", operationID)
                $0.string("reason", reason)
                $0.integer("code", code)
            }
        case .levelUp(let elements):
            payloadEnvelope("LEVEL_UP", sink) { $0.list("ops", elements) { element, map in element.write(into: &map) } }
        case .event(let message): payloadEnvelope("SERVER_EVENT", sink) { message.write(into: &$0) }
        case .events(let elements):
            payloadEnvelope("SERVER_BATCH_EVENT", sink) {
                $0.list("events", elements) { element, map in element.write(into: &map) }
            }
        case .resync(let mapName):
            payloadEnvelope("RESYNC", sink) {
                $0.text("mapName", mapName)
            }
        case .syncRoot(let message): payloadEnvelope("SYNC_RESP_ROOT", sink) { message.write(into: &$0) }
        case .syncBuckets(let message): payloadEnvelope("SYNC_RESP_BUCKETS", sink) { message.write(into: &$0) }
        case .syncLeaf(let message): payloadEnvelope("SYNC_RESP_LEAF", sink) { message.write(into: &$0) }
        case .syncResetRequired(let mapName, let reason):
            payloadEnvelope("SYNC_RESET_REQUIRED", sink) {
                $0.text("mapName", mapName)
                $0.string("reason", reason)
            }
        case .merklePull(let message): payloadEnvelope("MERKLE_PULL", sink) { message.write(into: &$0) }
        case .orMapSyncRoot(let message): payloadEnvelope("ORMAP_SYNC_RESP_ROOT", sink) { message.write(into: &$0) }
        case .orMapSyncBuckets(let message):
            payloadEnvelope("ORMAP_SYNC_RESP_BUCKETS", sink) { message.write(into: &$0) }
        case .orMapSyncLeaf(let message): payloadEnvelope("ORMAP_SYNC_RESP_LEAF", sink) { message.write(into: &$0) }
        case .orMapDifference(let message): payloadEnvelope("ORMAP_DIFF_RESPONSE", sink) { message.write(into: &$0) }
        case .prune(let olderThan):
            payloadEnvelope("GC_PRUNE", sink) {
                $0.timestamp("olderThan", olderThan)
            }
        case .queryResponse(let message): payloadEnvelope("QUERY_RESP", sink) { message.write(into: &$0) }
        case .queryUpdate(let message): payloadEnvelope("QUERY_UPDATE", sink) { message.write(into: &$0) }
        case .topicMessage(let message): payloadEnvelope("TOPIC_MESSAGE", sink) { message.write(into: &$0) }
        case .lockGranted(let message): payloadEnvelope("LOCK_GRANTED", sink) { message.write(into: &$0) }
        case .lockReleased(let message): payloadEnvelope("LOCK_RELEASED", sink) { message.write(into: &$0) }
        case .lockDenied(let message): payloadEnvelope("LOCK_DENIED", sink) { message.write(into: &$0) }
        case .lockLost(let name, let fencingToken):
            payloadEnvelope("LOCK_LOST", sink) {
                $0.text("name", name)
                $0.integer("fencingToken", fencingToken)
            }
        case .counterResponse(let message):
            payloadEnvelope("COUNTER_RESPONSE", sink) { message.write(into: &$0, bothNames: true) }
        case .counterUpdate(let message):
            payloadEnvelope("COUNTER_UPDATE", sink) { message.write(into: &$0, bothNames: true) }
        case .entryProcessResponse(let requestID, let result):
            flat("ENTRY_PROCESS_RESPONSE", sink) {
                $0.text("requestId", requestID)
                result.write(into: &$0)
            }
        case .entryProcessBatchResponse(let message):
            flat("ENTRY_PROCESS_BATCH_RESPONSE", sink) { message.write(into: &$0) }
        case .registerResolverResponse(let message):
            flat("REGISTER_RESOLVER_RESPONSE", sink) { message.write(into: &$0) }
        case .unregisterResolverResponse(let message):
            flat("UNREGISTER_RESOLVER_RESPONSE", sink) { message.write(into: &$0) }
        case .listResolversResponse(let requestID, let resolvers):
            flat("LIST_RESOLVERS_RESPONSE", sink) {
                $0.text("requestId", requestID)
                $0.list("resolvers", resolvers) { element, map in element.write(into: &map) }
            }
        case .mergeRejected(let message): flat("MERGE_REJECTED", sink) { message.write(into: &$0) }
        case .journalEvent(let message): eventEnvelope("JOURNAL_EVENT", sink) { message.write(into: &$0) }
        case .journalPage(let message): flat("JOURNAL_READ_RESPONSE", sink) { message.write(into: &$0) }
        case .searchResponse(let message): payloadEnvelope("SEARCH_RESP", sink) { message.write(into: &$0) }
        case .searchUpdate(let message): payloadEnvelope("SEARCH_UPDATE", sink) { message.write(into: &$0) }
        case .vectorSearchResponse(let message):
            payloadEnvelope("VECTOR_SEARCH_RESP", sink) { message.write(into: &$0) }
        case .hybridSearchResponse(let message):
            payloadEnvelope("HYBRID_SEARCH_RESP", sink) { message.write(into: &$0) }
        case .hybridSearchUpdate(let message):
            payloadEnvelope("HYBRID_SEARCH_UPDATE", sink) { message.write(into: &$0) }
        case .sqlResponse(let message): payloadEnvelope("SQL_QUERY_RESP", sink) { message.write(into: &$0) }
        case .partitionMap(let message): payloadEnvelope("PARTITION_MAP", sink) { message.write(into: &$0) }
        case .partitionMapDelta(let message): payloadEnvelope("PARTITION_MAP_DELTA", sink) { message.write(into: &$0) }
        }
    }
}
