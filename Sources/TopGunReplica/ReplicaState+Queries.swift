package import TopGunModel
import TopGunQuery
import TopGunWire

// Live queries: local rows at once, the servers' answer where they know more.

extension ReplicaState {
    /// Starts a live query over an open map; `whereMap` is a MessagePack map of fields that must equal values, `nil` for
    /// the whole map. Its rows are there at once; what changes afterwards comes as ``QueryChange``s.
    package mutating func subscribe(
        _ map: MapID, whereMap: Payload?, at now: ReplicaTime
    ) throws(ReplicaError) -> QueryID {
        guard maps.indices.contains(map.index), maps[map.index].isOpen else { throw ReplicaError(.unknownMap) }
        guard queries.count < ReplicaLimits.queriesMax else { throw ReplicaError(.tooManyQueries) }
        let filter = try Self.filter(whereMap)
        lastQuery += 1
        let id = QueryID(number: lastQuery)
        queries[id] = LiveQuery(id: id, map: map.index, filter: filter, whereMap: whereMap)
        maps[map.index].queries.append(id)
        refreshAll(id, now)
        // The rows so far are read, not told.
        effects.queryChanges.removeAll { $0.query == id }
        if link.isReady { sendSubscription(id, at: now) }
        return id
    }

    private static func filter(_ whereMap: Payload?) throws(ReplicaError) -> QueryFilter {
        guard let whereMap else { return .everything }
        guard whereMap.isOneValue else { throw ReplicaError(.badQuery) }
        let filter = whereMap.bytes.withUnsafeBytes { bytes -> QueryFilter? in
            do throws(QueryError) { return try QueryFilter(whereMap: bytes) } catch { return nil }
        }
        guard let filter else { throw ReplicaError(.badQuery) }
        return filter
    }

    package mutating func unsubscribe(_ query: QueryID, at now: ReplicaTime) {
        guard let removed = queries.removeValue(forKey: query) else { return }
        maps[removed.map].queries.removeAll { $0 == query }
        effects.queryChanges.removeAll { $0.query == query }
        if link.isReady { send(.queryUnsubscribe(queryID: Self.wireID(query))) }
    }

    /// The rows of a live query, by key.
    package func rows(of query: QueryID) -> [(key: ByteString, value: Payload)] {
        guard let live = queries[query] else { return [] }
        var rows: [(key: ByteString, value: Payload)] = []
        rows.reserveCapacity(live.rows.count)
        for (place, value) in live.rows { rows.append((maps[live.map].table.entries[Int(place)].key, value)) }
        rows.sort { $0.key < $1.key }
        return rows
    }

    var sortedQueries: [QueryID] { queries.keys.sorted { $0.number < $1.number } }

    /// Whether the server has answered the query on the present connection.
    package func isConfirmed(_ query: QueryID) -> Bool { queries[query]?.isConfirmed ?? false }

    /// Asks again where it is due. An answer that is on its way is awaited first, so that a server which loses events all
    /// the time is not asked faster than it answers.
    mutating func sendSubscriptions(at now: ReplicaTime) {
        guard link.isReady, areSubscriptionsDue else { return }
        areSubscriptionsDue = false
        for id in sortedQueries {
            guard let live = queries[id], live.isSubscriptionDue else { continue }
            if let asked = live.askedMillis, now.steadyMillis - asked < ReplicaLimits.queryStallMillis {
                areSubscriptionsDue = true
                continue
            }
            sendSubscription(id, at: now)
        }
    }

    /// Has a query asked again as soon as it can be.
    mutating func subscribeSoon(_ id: QueryID) {
        queries[id]?.isSubscriptionDue = true
        areSubscriptionsDue = true
    }

    mutating func sendSubscription(_ id: QueryID, at now: ReplicaTime) {
        guard link.isReady, let live = queries[id] else { return }
        queries[id]?.forgetAnswers()
        queries[id]?.isSubscriptionDue = false
        queries[id]?.askedMillis = now.steadyMillis
        var request = QueryRequest()
        request.equals = live.whereMap
        send(
            .querySubscribe(
                QuerySubscription(queryID: Self.wireID(id), mapName: maps[live.map].name, query: request)))
    }

    private static func wireID(_ id: QueryID) -> ByteString {
        var bytes = [UInt8(ascii: "q")]
        bytes.append(decimal: Int64(bitPattern: id.number))
        return ByteString(bytes)
    }

    private func query(wireID: ByteString) -> QueryID? {
        guard wireID.count > 1, wireID.count <= 20, wireID.bytes[0] == UInt8(ascii: "q") else { return nil }
        var number: UInt64 = 0
        for digit in wireID.bytes.dropFirst() {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            number = number &* 10 &+ UInt64(digit - UInt8(ascii: "0"))
        }
        let id = QueryID(number: number)
        return queries[id] == nil ? nil : id
    }
}

// MARK: - Rows

extension ReplicaState {
    /// Looks at one key again.
    mutating func refresh(_ place: Int32, of id: QueryID, _ now: ReplicaTime) {
        // Taken out while it changes, so that its rows are not copied.
        guard var live = queries.removeValue(forKey: id) else { return }
        refresh(place, of: &live, now)
        queries[id] = live
    }

    mutating func refreshAll(_ id: QueryID, _ now: ReplicaTime) {
        guard var live = queries.removeValue(forKey: id) else { return }
        for place in maps[live.map].table.entries.indices {
            refresh(Int32(truncatingIfNeeded: place), of: &live, now)
        }
        queries[id] = live
    }

    private mutating func refresh(_ place: Int32, of live: inout LiveQuery, _ now: ReplicaTime) {
        let entry = maps[live.map].table.entries[Int(place)]
        let value = visibleValue(entry, place, live, now)
        if live.rows[place] == value { return }
        // Its end may have come before, on a clock that has gone back since.
        if value != nil, live.rows[place] == nil, let record = entry.record {
            awaitEnd(of: record, at: EntryRef(map: live.map, place: Int(place)))
        }
        live.rows[place] = value
        effects.queryChanges.append(QueryChange(query: live.id, key: entry.key, value: value))
    }

    private func visibleValue(
        _ entry: RecordTable.Entry, _ place: Int32, _ live: LiveQuery, _ now: ReplicaTime
    ) -> Payload? {
        if entry.pending == RecordTable.none, maps[live.map].walk.phase != .compared {
            if let answer = live.answers[place] { return answer }
            if live.isAnswerComplete, !live.fresh.contains(place) { return nil }
        }
        guard let record = entry.record, record.isVisible(nowMillis: wallMillis(now)) else { return nil }
        let matches = entry.key.bytes.withUnsafeBytes { key in
            record.value.bytes.withUnsafeBytes { live.filter.matches(key: key, value: $0) }
        }
        return matches ? record.value : nil
    }

    /// A record that came with its stamp knows more than an answer without.
    mutating func trustRecord(at ref: EntryRef) {
        let map = Int(ref.map)
        guard !maps[map].queries.isEmpty, maps[map].walk.phase != .compared else { return }
        for id in maps[map].queries { queries[id]?.trust(ref.place) }
    }
}

// MARK: - What the server says

extension ReplicaState {
    mutating func queryAnswered(_ response: QueryResponse, at now: ReplicaTime) {
        guard let id = query(wireID: response.queryID) else { return }
        queries[id]?.askedMillis = nil
        if response.error != nil {
            queries[id]?.isConfirmed = false
            effects.notices.append(.queryRefused(id))
            return
        }
        queries[id]?.isConfirmed = true
        effects.notices.append(.queryConfirmed(id))
        guard let map = queries[id]?.map, maps[map].walk.phase != .compared else { return }
        var answers: [Int32: Payload?] = [:]
        for row in response.results {
            answers.updateValue(row.value, forKey: Int32(truncatingIfNeeded: maps[map].table.makePlace(of: row.key)))
        }
        queries[id]?.forgetAnswers()
        queries[id]?.answers = answers
        queries[id]?.isAnswerComplete = response.hasMore != true
        refreshAll(id, now)
    }

    mutating func queryUpdated(_ update: QueryUpdate, at now: ReplicaTime) {
        noteSequence(update.sequence)
        guard let id = query(wireID: update.queryID), let map = queries[id]?.map, maps[map].walk.phase != .compared
        else { return }
        let place = Int32(truncatingIfNeeded: maps[map].table.makePlace(of: update.key))
        queries[id]?.fresh.remove(place)
        queries[id]?.answers.updateValue(update.change == .leave ? nil : update.value, forKey: place)
        refresh(place, of: id, now)
    }
}
