import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunQuery
import TopGunWire

// Live queries. The subscription starts in every group in the same turn as its scan, so nothing falls between the answer
// and the updates; updates that reach the gateway before the last part of the answer wait for it (protocol.md 6.5).
//
// A query with a limit shows a window: when a change touches it, it is answered anew as a whole, a bounded number of
// times a second. So is one without a limit whose rows are more than a query is answered with.
//
// A query that a partition keeps waiting too long is answered `NOT_READY`, and with its rows as soon as there are any: a
// client asks once and never again.

extension GatewayCore {
    /// Opens a query, in place of one with the same id.
    func subscribe(
        _ shell: SessionShell, _ queryID: ByteString, to map: ByteString, filter: QueryFilter, order: SortOrder,
        page: QueryPage, fields: FieldProjection?
    ) {
        endQuery(shell, queryID)
        guard let nameSpace = shell.identity?.nameSpace else { return }
        guard shell.queries.count < Limits.queriesPerSessionMax else {
            return refuseQuery(shell, queryID, "BUSY", "too many queries on one connection")
        }
        nextSubscription += 1
        let number = SubscriptionNumber(loop: index, count: nextSubscription)
        shell.queries[queryID] = LiveQuery(
            number: number, map: map, filter: filter, order: order, page: page, fields: fields)
        subscriptions[number.rawValue] = (shell, queryID)
        // A query is interest in the map's events for a client that does not say so itself.
        if !shell.core.isAnnounced, takeInterest(shell, in: map) { scheduleUnaskedRoot(shell, of: map) }
        ask(shell, queryID, nameSpace, subscribing: true)
    }

    /// Answers a query from the start: its rows as they are now.
    func askAnew(_ shell: SessionShell, _ queryID: ByteString) {
        guard var query = shell.queries[queryID], let nameSpace = shell.identity?.nameSpace else { return }
        query.isAnswered = false
        query.isRefreshSet = false
        shell.queries[queryID] = query
        ask(shell, queryID, nameSpace, subscribing: false)
    }

    private func ask(_ shell: SessionShell, _ queryID: ByteString, _ nameSpace: ByteString, subscribing: Bool) {
        guard takeTurn(shell, queryID, isFirst: subscribing) else { return }
        askNow(shell, queryID, nameSpace, subscribing: subscribing)
    }

    /// Asks a query whose turn it is.
    func askNow(_ shell: SessionShell, _ queryID: ByteString, _ nameSpace: ByteString, subscribing: Bool) {
        guard let query = shell.queries[queryID] else { return }
        let id = shell.id
        let number = query.number
        let rowsMax = min(query.page.limit ?? Limits.queryRowsMax, Limits.queryRowsMax)
        let (map, filter, order, after) = (query.map, query.filter, query.order, query.page.after)
        gather { group, reply in
            let scan = QueryScan(
                map: map, nameSpace: nameSpace, filter: filter, order: order, after: after, rowsMax: rowsMax)
            if subscribing, let refusal = group.subscribe(number, scan) { return reply(.success(.failed(refusal))) }
            group.run(scan, reply)
        } then: { [self] (answer: Result<[QueryPart], Refusal>) in
            defer { if let shell = self.shell(id) { endTurn(shell) } }
            guard let shell = self.shell(id), shell.queries[queryID]?.number == number else { return }
            switch answer {
            case .success(let parts): answerQuery(shell, queryID, parts, rowsMax: rowsMax)
            case .failure(let refusal): putOff(shell, queryID, refusal, subscribing: subscribing)
            }
            flush()
        }
    }

    /// Says that there is no answer yet, if the client has none at all, and asks again later.
    private func putOff(_ shell: SessionShell, _ queryID: ByteString, _ refusal: Refusal, subscribing: Bool) {
        guard var query = shell.queries[queryID], !query.isPutOff else { return }
        query.isPutOff = true
        (query.held, query.heldBytes) = ([], 0)
        if subscribing, !query.isRefused {
            query.isRefused = true
            refuseQuery(shell, queryID, ByteString("\(refusal.wireName)"), explanation(refusal))
        }
        if subscribing {
            // Some loops may have begun; all begin anew, under another number.
            endSubscription(query.number)
            nextSubscription += 1
            query.number = SubscriptionNumber(loop: index, count: nextSubscription)
            subscriptions[query.number.rawValue] = (shell, queryID)
        }
        shell.queries[queryID] = query
        let (id, number) = (shell.id, query.number)
        loop.schedule(afterMillis: Limits.wholeRetryMillis) { [door] in
            let gateway = door.value
            guard let shell = gateway.shell(id), shell.queries[queryID]?.number == number,
                let nameSpace = shell.identity?.nameSpace
            else { return }
            shell.queries[queryID]?.isPutOff = false
            gateway.ask(shell, queryID, nameSpace, subscribing: subscribing)
        }
    }

    private func answerQuery(_ shell: SessionShell, _ queryID: ByteString, _ parts: [QueryPart], rowsMax: Int) {
        var rows: [ScannedRow] = []
        var hasMore = false
        var isTooLarge = false
        for part in parts {
            switch part {
            case .failed(let refusal):
                endQuery(shell, queryID)
                return refuseQuery(shell, queryID, ByteString("\(refusal.wireName)"), explanation(refusal))
            case .tooLarge: isTooLarge = true
            case .rows(let some, let more):
                rows += some
                hasMore = hasMore || more
            }
        }
        if parts.count > 1 { rows.sort { $0.sortKey < $1.sortKey } }
        if rows.count > rowsMax {
            rows.removeLast(rows.count - rowsMax)
            hasMore = true
        }
        let bytes = rows.reduce(0) { $0 + $1.row.key.count + $1.row.value.bytes.count }
        guard !isTooLarge, bytes <= Limits.queryAnswerBytesMax else {
            endQuery(shell, queryID)
            return refuseQuery(shell, queryID, "QUERY_SNAPSHOT_OVERFLOW", "the answer is larger than the server sends")
        }
        guard let query = shell.queries[queryID] else { return }
        let nextCursor = hasMore ? nextCursor(behind: rows.last, of: query.page) : nil
        if let fields = query.fields {
            for index in rows.indices { rows[index].row.value = projected(rows[index].row.value, fields) }
        }
        metrics.counts.queriesAnswered += 1
        send(
            shell,
            .queryResponse(
                QueryResponse(
                    queryID: queryID, results: rows.map(\.row), nextCursor: nextCursor, hasMore: hasMore,
                    cursorStatus: query.page.status)))
        releaseHeld(shell, queryID, isCut: hasMore)
    }

    private func projected(_ value: Payload, _ fields: FieldProjection) -> Payload {
        scratch.removeAll()
        value.bytes.withUnsafeBytes { fields.write($0, to: scratch) }
        return Payload(copying: scratch.bytes)
    }

    private func releaseHeld(_ shell: SessionShell, _ queryID: ByteString, isCut: Bool) {
        guard var query = shell.queries[queryID] else { return }
        let held = query.held
        query.held = []
        query.heldBytes = 0
        query.isAnswered = true
        query.isRefused = false
        query.isCut = isCut
        shell.queries[queryID] = query
        for change in held {
            change.withUnsafeBytes { update(shell, queryID, change: $0) }
        }
    }

    func refuseQuery(_ shell: SessionShell, _ queryID: ByteString, _ code: ByteString, _ message: String) {
        send(
            shell,
            .queryResponse(QueryResponse(queryID: queryID, results: [], hasMore: false, error: message, code: code)))
    }

    func endQuery(_ shell: SessionShell, _ queryID: ByteString) {
        guard let query = shell.queries.removeValue(forKey: queryID) else { return }
        if query.isWaiting { shell.queryTurns.forget(queryID) }
        endSubscription(query.number)
    }

    private func endSubscription(_ number: SubscriptionNumber) {
        subscriptions[number.rawValue] = nil
        for target in crew.indices {
            // Behind the subscription, should that still wait for a partition.
            if target == index {
                group.inTurn { [group] in group.state.unsubscribe(number.rawValue) }
            } else {
                crew[target].loop.execute { [door = crew[target]] in
                    let group = door.value
                    group.inTurn { group.state.unsubscribe(number.rawValue) }
                }
            }
        }
    }

    func dropQueries(_ shell: SessionShell) {
        for queryID in shell.queries.keys.sorted() { endQuery(shell, queryID) }
    }
}

// MARK: - Updates

extension GatewayCore {
    func deliverUpdate(_ number: SubscriptionNumber, bytes: UnsafeRawBufferPointer) {
        guard let (shell, queryID) = subscriptions[number.rawValue], !shell.isClosing,
            let query = shell.queries[queryID], query.number == number, !query.isWaiting
        else { return }
        // What changes before it is asked again is in the rows that it then gets.
        guard !query.isPutOff else { return }
        if query.isAnswered {
            update(shell, queryID, change: bytes)
        } else {
            hold(shell, queryID, bytes)
        }
    }

    private func hold(_ shell: SessionShell, _ queryID: ByteString, _ bytes: UnsafeRawBufferPointer) {
        guard var query = shell.queries[queryID] else { return }
        guard query.heldBytes + bytes.count <= Limits.heldUpdatesBytesMax else {
            metrics.counts.slowReadersClosed += 1
            return close(shell, code: 1013, reason: "too many changes during a query")
        }
        shell.queries[queryID] = nil
        query.held.append(Array(bytes))
        query.heldBytes += bytes.count
        shell.queries[queryID] = query
    }

    private func update(_ shell: SessionShell, _ queryID: ByteString, change: UnsafeRawBufferPointer) {
        guard !shell.isClosing, let query = shell.queries[queryID] else { return }
        if query.isWindow { return scheduleRefresh(shell, queryID) }
        guard !shell.lostQueries.contains(queryID) else { return }
        guard !isTooSlow(shell.connection.queuedBytes) else {
            metrics.counts.eventsDropped += 1
            return lose(shell) { $0.lostQueries.insert(queryID) }
        }
        var sequence: Int64?
        if shell.core.features.contains(.seq) {
            shell.sequence += 1
            sequence = shell.sequence
        }
        let row = RowChange(change)
        let shown = query.fields.map { fields in
            let sink = ByteSink(capacity: row.value.count + 8)
            fields.write(row.value, to: sink)
            return sink
        }
        scratch.removeAll()
        queryID.bytes.withUnsafeBytes { queryID in
            ServerFrame.queryUpdate(
                queryID: queryID, key: row.key, value: shown?.bytes ?? row.value, change: row.kind, sequence: sequence,
                into: scratch)
        }
        metrics.counts.eventsSent += 1
        shell.connection.send(copying: scratch.bytes)
        touch(shell)
    }

    private func scheduleRefresh(_ shell: SessionShell, _ queryID: ByteString) {
        guard var query = shell.queries[queryID], !query.isRefreshSet else { return }
        query.isRefreshSet = true
        shell.queries[queryID] = query
        let id = shell.id
        let number = query.number
        loop.schedule(afterMillis: Limits.windowRefreshMillis) { [door] in
            guard let shell = door.value.shell(id), shell.queries[queryID]?.number == number else { return }
            door.value.askAnew(shell, queryID)
        }
    }
}

// MARK: - In the groups

/// What a group has to say to a query.
enum QueryPart: Sendable {
    /// The first rows in order, and whether there are more.
    case rows([ScannedRow], hasMore: Bool)
    /// They are more than a query is answered with.
    case tooLarge
    case failed(Refusal)
}

/// A row with what puts it in order.
struct ScannedRow: Sendable {
    var sortKey: ByteString
    var row: QueryRow

    var bytes: Int { sortKey.count + row.key.count + row.value.bytes.count }
}

/// A scan of one map on one loop: in slices, between which the loop serves others. Confined to that loop.
final class QueryScan {
    let map: ByteString
    let nameSpace: ByteString
    let filter: QueryFilter
    let order: SortOrder
    /// Only rows with a greater sort key, where there is one.
    let after: ByteString?
    let rowsMax: Int
    fileprivate var cursor: ScanCursor?
    /// By key: a row that a later slice meets again is taken in its newer form.
    fileprivate var rows: [ByteString: ScannedRow] = [:]
    private var bytes = 0
    fileprivate var hasMore = false
    /// Whether it holds more than a query is answered with, and ends.
    fileprivate private(set) var isTooLarge = false
    /// Bytes that it looked at in this turn of the loop.
    private var turnBytes = 0

    init(
        map: ByteString, nameSpace: ByteString, filter: QueryFilter, order: SortOrder, after: ByteString?, rowsMax: Int
    ) {
        self.map = map
        self.nameSpace = nameSpace
        self.filter = filter
        self.order = order
        self.after = after
        self.rowsMax = rowsMax
    }

    fileprivate func beginTurn() {
        turnBytes = 0
    }

    /// Looks at a record; returns whether that is enough for this turn.
    fileprivate func visit(_ record: TopGunPartition.RecordView) -> Bool {
        turnBytes += record.key.count + record.value.count
        if filter.matches(key: record.key, value: record.value) { take(record) }
        return turnBytes >= Limits.scanBytesPerTurn || isTooLarge
    }

    private func take(_ record: TopGunPartition.RecordView) {
        let key = ByteString(copying: record.key)
        let sortKey =
            order.fields.isEmpty
            ? key : order.sortKey(of: TopGunQuery.RecordView(key: record.key, value: record.value))
        turnBytes += sortKey.count
        if let after, sortKey <= after {
            // Where it moved meanwhile, it is on this page no more.
            bytes -= rows.removeValue(forKey: key)?.bytes ?? 0
            return
        }
        let row = ScannedRow(sortKey: sortKey, row: QueryRow(key: key, value: Payload(copying: record.value)))
        bytes += row.bytes - (rows.updateValue(row, forKey: key)?.bytes ?? 0)
        // More than needed, so that cutting costs little for each row.
        if bytes > 2 * Limits.queryAnswerBytesMax {
            cut()
            isTooLarge = bytes > Limits.queryAnswerBytesMax
        } else if rows.count > 2 * rowsMax + Limits.queryRowsSpare {
            cut()
        }
    }

    /// Keeps the first rows in order.
    fileprivate func cut() {
        guard rows.count > rowsMax else { return }
        hasMore = true
        for row in rows.values.sorted(by: { $0.sortKey < $1.sortKey })[rowsMax...] {
            rows[row.row.key] = nil
            bytes -= row.bytes
        }
    }
}

extension GroupCore {
    func subscribe(_ number: SubscriptionNumber, _ scan: QueryScan) -> Refusal? {
        do {
            try state.subscribe(number.rawValue, to: scan.map, in: scan.nameSpace, filter: scan.filter)
            return nil
        } catch {
            return error.code == .full ? .nodeFull : .badRequest
        }
    }

    func run(_ scan: QueryScan, _ reply: @escaping (Result<QueryPart, Refusal>) -> Void) {
        guard let map = state.existingMap(scan.map, in: scan.nameSpace) else {
            return reply(.success(.rows([], hasMore: false)))
        }
        scan.beginTurn()
        scan.cursor = state.scan(
            map, from: scan.cursor, visits: Limits.scanVisitsPerTurn, wallMillis: wallMillis
        ) { record in
            scan.visit(record)
        }
        guard !scan.isTooLarge else { return reply(.success(.tooLarge)) }
        guard scan.cursor == nil else {
            let step = LoopBound((scan, reply), on: loop)
            loop.execute { [door = LoopBound(self, on: loop)] in
                let (scan, reply) = step.value
                let group = door.value
                group.whenWhole {
                    group.run(scan, reply)
                } orElse: {
                    reply(.failure($0))
                }
            }
            return
        }
        scan.cut()
        let rows = scan.rows.values.sorted { $0.sortKey < $1.sortKey }
        reply(.success(.rows(rows, hasMore: scan.hasMore)))
    }
}
