import TopGunEnvironment
import TopGunModel
import TopGunQuery
import TopGunWire

// What is done with each message that carries no operations. A message that this server cannot serve is answered in its
// own response type where that has room for an error, because a client only logs ERROR and would wait for its timeout.

extension GatewayCore {
    /// Handles one message; returns what it costs.
    func handle(_ message: ClientMessage, from shell: SessionShell, isInner: Bool) -> Int {
        switch message {
        case .ping(let timestamp):
            // Ahead of the operations that wait for their merge: a heartbeat is not delayed by work.
            pong(shell, timestamp: timestamp)
            return 0
        case .authenticate(let request):
            perform(
                shell.core.authenticate(
                    token: request.token, version: request.protocolVersion, features: request.features,
                    device: request.deviceToken), for: shell)
            return 1
        case .deviceHello(let hello):
            perform(
                shell.core.greetDevice(
                    version: hello.protocolVersion, features: hello.features, device: hello.deviceToken), for: shell)
            return 1
        case .partitionMapRequest:
            takeMapRequest(shell)
            return 1
        default: break
        }
        // Until a client that must say who it is has done so, everything else is dropped without a word.
        guard shell.identity != nil else { return 1 }
        if case .batch(let batch) = message { return unpack(batch, from: shell) }
        submit(shell)
        guard !shell.isClosing else { return 1 }
        if case .merklePush(let push) = message { return take(push, from: shell) }
        serve(message, from: shell)
        return 1
    }

    private func unpack(_ batch: Batch, from shell: SessionShell) -> Int {
        batch.data.withUnsafeBytes { data in
            do throws(WireError) {
                var cost = 0
                for message in try BatchContent.messages(fromClient: data) {
                    cost += take(message, from: shell, isInner: true)
                    if shell.isClosing { break }
                }
                // The operations are views into the batch, which ends here.
                submit(shell)
                return cost
            } catch {
                refuse(shell, error)
                return 1
            }
        }
    }

    private func serve(_ message: ClientMessage, from shell: SessionShell) {
        switch message {
        case .syncStart(let request):
            sync(
                shell, map: request.mapName, lastSyncMillis: request.lastSyncTimestamp ?? 0, cursor: request.syncCursor)
        case .merkleRequest(let request): walk(shell, map: request.mapName, path: request.path)
        case .querySubscribe(let request): openQuery(request, from: shell)
        case .queryUnsubscribe(let queryID): endQuery(shell, queryID)
        // Without a stored root to compare, the snapshot that QUERY_SUB brought is the answer.
        case .querySyncStart: break
        // Nothing is ever discarded on the strength of these, so there is nothing to note.
        case .applyAcknowledgement, .hybridQuerySubscribe, .hybridQueryUnsubscribe: break
        case .topicUnsubscribe, .journalUnsubscribe, .searchUnsubscribe, .hybridSearchUnsubscribe: break
        case .orMapSyncStart(let request): missing(shell, "ORMAP_SYNC_INIT", map: request.mapName)
        case .orMapMerkleRequest(let request): missing(shell, "ORMAP_MERKLE_REQ_BUCKET", map: request.mapName)
        case .orMapDifferenceRequest(let map, _): missing(shell, "ORMAP_DIFF_REQUEST", map: map)
        case .orMapPushDifference(let entries): missing(shell, "ORMAP_PUSH_DIFF", map: entries.mapName)
        case .topicSubscribe: missing(shell, "TOPIC_SUB")
        case .topicPublish: missing(shell, "TOPIC_PUB")
        case .counterRequest: missing(shell, "COUNTER_REQUEST")
        case .counterSync: missing(shell, "COUNTER_SYNC")
        case .journalSubscribe(let request): missing(shell, "JOURNAL_SUBSCRIBE", requestID: request.requestID)
        case .journalRead(let request): missing(shell, "JOURNAL_READ", requestID: request.requestID)
        case .lockRequest(let request):
            missing(shell, "LOCK_REQUEST", requestID: request.requestID)
            // Not `false`: the official client would take that for a lock (protocol.md 7.2).
            send(shell, .lockReleased(LockReleased(requestID: request.requestID, name: request.name, success: nil)))
        case .lockRelease(let request):
            send(
                shell,
                .lockReleased(LockReleased(requestID: request.requestID ?? "", name: request.name, success: false)))
        default: serveUnsupported(message, from: shell)
        }
    }

    /// Answers in the response type of the request: a client waits for nothing else.
    private func serveUnsupported(_ message: ClientMessage, from shell: SessionShell) {
        let reason = "this server does not have the feature"
        switch message {
        case .entryProcess(let request):
            send(
                shell,
                .entryProcessResponse(
                    requestID: request.requestID, result: EntryProcessResult(success: false, error: reason)))
        case .entryProcessBatch(let request):
            let result = EntryProcessResult(success: false, error: reason)
            let keys = request.keys.prefix(Limits.refusedKeysMax)
            send(
                shell,
                .entryProcessBatchResponse(
                    EntryProcessBatchResponse(
                        requestID: request.requestID,
                        results: keys.map { EntryProcessBatchResponse.Entry(key: $0, result: result) })))
        case .registerResolver(let request):
            send(
                shell,
                .registerResolverResponse(
                    ResolverResponse(requestID: request.requestID, success: false, error: reason)))
        case .unregisterResolver(let requestID, _, _):
            send(
                shell,
                .unregisterResolverResponse(ResolverResponse(requestID: requestID, success: false, error: reason)))
        case .listResolvers(let requestID, _):
            send(shell, .listResolversResponse(requestID: requestID, resolvers: []))
        case .search(let request), .searchSubscribe(let request):
            send(
                shell,
                .searchResponse(SearchResponse(requestID: request.id, results: [], totalCount: 0, error: reason)))
        case .vectorSearch(let request):
            send(
                shell,
                .vectorSearchResponse(
                    VectorSearchResponse(
                        id: request.id, results: [], totalCandidates: 0, searchTimeMillis: 0, error: reason)))
        case .hybridSearch(let request), .hybridSearchSubscribe(let request):
            send(
                shell,
                .hybridSearchResponse(
                    HybridSearchResponse(requestID: request.id, results: [], searchTimeMillis: 0, error: reason)))
        case .sqlQuery(_, let queryID):
            send(
                shell,
                .sqlResponse(
                    SQLResponse(queryID: queryID, columns: [], rows: [], error: reason, code: "FEATURE_DISABLED")))
        default:
            // Operations come by another way, and greetings were seen to.
            sendError(shell, code: 400, message: "not expected here", refusal: .badRequest)
        }
    }

    /// ERROR 501 for every request: clients only log it, so none asks again because of it.
    private func missing(
        _ shell: SessionShell, _ request: ByteString, requestID: ByteString? = nil, map: ByteString? = nil
    ) {
        sendError(
            shell, code: 501, message: "this server does not have the feature", request: request,
            requestID: requestID, map: map)
    }

    // MARK: Queries

    private func openQuery(_ request: QuerySubscription, from shell: SessionShell) {
        let query = request.query
        guard let identity = shell.identity else { return }
        guard identity.mayRead, !request.mapName.isReserved, !request.mapName.isEmpty else {
            return refuseQuery(shell, request.queryID, "FORBIDDEN", "read access denied")
        }
        guard request.mapName.isPossible else {
            return refuseQuery(shell, request.queryID, "BAD_REQUEST", "no map has so long a name")
        }
        guard query.groupBy.isEmpty, query.aggregations.isEmpty else {
            return refuseQuery(
                shell, request.queryID, "QUERY_UNSUPPORTED",
                "this server answers queries with where, predicate, sort, limit, cursor and fields, without groups")
        }
        if let limit = query.limit, limit < 0 {
            return refuseQuery(shell, request.queryID, "BAD_REQUEST", "limit is negative")
        }
        do throws(QueryError) {
            let filter = try Self.filter(query, for: identity)
            try SortOrder.check(count: query.sort.count)
            let order = SortOrder(
                query.sort.map { SortOrder.Field(FieldPath($0.field), isDescending: $0.isDescending) })
            let fields = try request.fields.map { (names) throws(QueryError) in try FieldProjection(names) }
            subscribe(
                shell, request.queryID, to: request.mapName, filter: filter, order: order,
                page: page(of: query, map: request.mapName, in: identity.nameSpace),
                fields: fields)
        } catch {
            refuseQuery(shell, request.queryID, ByteString("\(error.wireName)"), "\(error.message)")
        }
    }

    private static func filter(
        _ query: QueryRequest, for identity: ClientSession.Identity
    ) throws(QueryError) -> QueryFilter {
        let context = QueryContext(principal: principal(identity))
        return try view(query.equals) { (equals) throws(QueryError) in
            try view(query.predicate) { (predicate) throws(QueryError) in
                try QueryFilter(whereMap: equals, predicate: predicate, context: context)
            }
        }
    }

    /// A query may refer to who asks, and to nobody else.
    private static func principal(_ identity: ClientSession.Identity) -> Payload? {
        guard let userID = identity.userID else { return nil }
        let sink = ByteSink(capacity: 64)
        let writer = MessagePackWriter(sink)
        writer.writeMapHead(1)
        writer.write("id")
        writer.write(userID)
        return Payload(copying: sink.bytes)
    }

    private static func view<Value>(
        _ payload: Payload?, _ body: (UnsafeRawBufferPointer?) throws(QueryError) -> Value
    ) throws(QueryError) -> Value {
        guard let payload else { return try body(nil) }
        return try payload.bytes.withUnsafeBytes { bytes in
            Result { () throws(QueryError) in try body(bytes) }
        }.get()
    }
}
