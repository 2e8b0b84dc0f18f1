import TopGunModel
package import TopGunQuery

// Who is told of changes.

extension GroupState {
    /// Asks for `changes` of a map; counted, so as many `unwatch` end it.
    package func watch(_ map: MapID) {
        cell(of: map).pointee.watchers += 1
    }

    package func unwatch(_ map: MapID) {
        precondition(cell(of: map).pointee.watchers > 0, "unwatch without watch")
        cell(of: map).pointee.watchers -= 1
    }

    /// Starts a subscription under a number of the caller's choice; one with the same number is replaced. Its first
    /// result is the caller's to take with `scan`, in the same turn of the loop.
    package func subscribe(_ subscription: UInt64, to map: MapID, filter: QueryFilter) throws(PartitionError) {
        unsubscribe(subscription)
        guard subscriptions.count < limits.subscriptionsMax else { throw PartitionError(code: .full) }
        subscriptions.add(subscription, filter: filter, to: map.rawValue)
        cell(of: map).pointee.subscriptions += 1
    }

    /// Ends a subscription; one that does not exist is no error.
    package func unsubscribe(_ subscription: UInt64) {
        guard let map = subscriptions.remove(subscription) else { return }
        cell(of: MapID(map)).pointee.subscriptions -= 1
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
