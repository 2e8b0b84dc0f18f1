package import TopGunModel
package import TopGunQuery

// Who is told of changes. A map that nobody has written to is waited for under its name.

extension GroupState {
    /// Asks for `changes` of a map; counted, so as many `unwatch` end it.
    package func watch(_ map: MapID) {
        cell(of: map).pointee.watchers += 1
    }

    package func unwatch(_ map: MapID) {
        precondition(cell(of: map).pointee.watchers > 0, "unwatch without watch")
        cell(of: map).pointee.watchers -= 1
    }

    /// Asks for `changes` of a map that need not be there yet.
    package func watch(_ name: ByteString, in nameSpace: ByteString) throws(PartitionError) {
        if let map = existingMap(name, in: nameSpace) { return watch(map) }
        guard maps.takes(name, in: nameSpace) else { throw PartitionError(code: .tooLarge) }
        awaited.watch(MapName(name: name, nameSpace: nameSpace))
    }

    package func unwatch(_ name: ByteString, in nameSpace: ByteString) {
        if let map = existingMap(name, in: nameSpace) { return unwatch(map) }
        awaited.unwatch(MapName(name: name, nameSpace: nameSpace))
    }

    /// Starts a subscription under a number of the caller's choice; one with the same number is replaced. Its first
    /// result is the caller's to take with `scan`, in the same turn of the loop.
    package func subscribe(_ subscription: UInt64, to map: MapID, filter: QueryFilter) throws(PartitionError) {
        try makeRoom(for: subscription)
        subscriptions.add(subscription, filter: filter, to: map.rawValue)
        cell(of: map).pointee.subscriptions += 1
    }

    /// The same for a map that need not be there yet.
    package func subscribe(
        _ subscription: UInt64, to name: ByteString, in nameSpace: ByteString, filter: QueryFilter
    ) throws(PartitionError) {
        if let map = existingMap(name, in: nameSpace) { return try subscribe(subscription, to: map, filter: filter) }
        guard maps.takes(name, in: nameSpace) else { throw PartitionError(code: .tooLarge) }
        try makeRoom(for: subscription)
        awaited.add(
            Subscriptions.Entry(id: subscription, filter: filter), to: MapName(name: name, nameSpace: nameSpace))
    }

    private func makeRoom(for subscription: UInt64) throws(PartitionError) {
        unsubscribe(subscription)
        guard subscriptionCount < limits.subscriptionsMax else { throw PartitionError(code: .full) }
    }

    /// Subscriptions to maps, those that nobody has written to yet among them.
    package var subscriptionCount: Int { subscriptions.count + awaited.subscriptionCount }

    /// Ends a subscription; one that does not exist is no error.
    package func unsubscribe(_ subscription: UInt64) {
        if awaited.remove(subscription) { return }
        guard let map = subscriptions.remove(subscription) else { return }
        cell(of: MapID(map)).pointee.subscriptions -= 1
    }
}

// MARK: - Maps that come

extension GroupState {
    /// The number of a map, a new one if it has none and there are fewer than `limit`: from then on it is told to those
    /// who waited for it.
    func intern(
        map name: UnsafeRawBufferPointer, in nameSpace: UnsafeRawBufferPointer, limit: Int
    ) -> Result<UInt32, PartitionError> {
        let known = maps.count
        let interned = maps.intern(name, in: nameSpace, limit: limit)
        guard case .success(let map) = interned, maps.count > known, !awaited.isEmpty,
            let interest = awaited.take(MapName(copying: name, in: nameSpace))
        else { return interned }
        let cell = maps.cells + Int(map)
        cell.pointee.watchers = interest.watchers
        cell.pointee.subscriptions = Int32(interest.subscriptions.count)
        for entry in interest.subscriptions { subscriptions.add(entry.id, filter: entry.filter, to: map) }
        return interned
    }

    /// Takes back the map that got its number last, before it has a record.
    func removeLastMap() {
        let map = UInt32(maps.count - 1)
        let (cell, name) = (maps.cells + Int(map), MapName(copying: maps.name(map), in: maps.nameSpace(map)))
        let entries = subscriptions.entries(of: map)
        for entry in entries { _ = subscriptions.remove(entry.id) }
        awaited.giveBack(AwaitedMaps.Interest(watchers: cell.pointee.watchers, subscriptions: entries), for: name)
        maps.removeLast()
    }
}

// MARK: - Differences of results

extension GroupState {
    /// Notes, before a record is overwritten, which subscriptions it matched.
    ///
    /// A record past its lifetime that is not buried yet still counts as there, or its LEAVE would be lost.
    @inline(never)
    func noteOldMatches(_ map: UInt32, at place: RecordTable.Place, in partition: Int, wallMillis: Int64) {
        let entries = subscriptions.entries(of: map)
        subscriptions.matchedBefore.removeAll(keepingCapacity: true)
        subscriptions.oldValue.removeAll()
        subscriptions.wasExpired = false
        guard place.isFound, let stored = partitions.states[partition].table.block(at: place.slot), !stored.isTombstone
        else {
            subscriptions.matchedBefore.append(contentsOf: repeatElement(false, count: entries.count))
            return
        }
        // Readers who came after its end do not have it: then it enters again instead of being updated.
        subscriptions.wasExpired = Expiry.isOver(
            stampMillis: stored.millis, ttlMillis: stored.ttlMillis, nowMillis: wallMillis)
        subscriptions.oldValue.append(stored.value)
        for entry in entries {
            subscriptions.matchedBefore.append(entry.filter.matches(key: stored.key, value: stored.value))
        }
    }

    @inline(never)
    func noteQueryChanges(_ incoming: Incoming, offset: Int, wallMillis: Int64) {
        let isVisible =
            !incoming.isTombstone
            && !Expiry.isOver(stampMillis: incoming.millis, ttlMillis: incoming.ttlMillis, nowMillis: wallMillis)
        let isSame = VersionOrder.equal(incoming.value, subscriptions.oldValue.bytes)
        for (index, entry) in subscriptions.entries(of: incoming.map).enumerated() {
            let matches = isVisible && entry.filter.matches(key: incoming.key, value: incoming.value)
            let kind: QueryChange.Kind
            switch (subscriptions.matchedBefore[index], matches) {
            case (false, false): continue
            case (false, true): kind = .enter
            case (true, false): kind = .leave
            case (true, true):
                if subscriptions.wasExpired {
                    kind = .enter
                } else if isSame {
                    continue
                } else {
                    kind = .update
                }
            }
            queryChanges.append(QueryChange(subscription: entry.id, kind: kind, offset: offset))
        }
    }
}
