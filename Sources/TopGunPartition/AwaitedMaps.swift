package import TopGunModel

/// A map by its name.
package struct MapName: Hashable, Sendable {
    package var name: ByteString
    package var nameSpace: ByteString

    package init(name: ByteString, nameSpace: ByteString) {
        self.name = name
        self.nameSpace = nameSpace
    }

    init(copying name: UnsafeRawBufferPointer, in nameSpace: UnsafeRawBufferPointer) {
        self.init(name: ByteString(copying: name), nameSpace: ByteString(copying: nameSpace))
    }
}

/// Who waits for maps that nobody has written to.
///
/// A map gets its number, which is for ever, with its first record; until then the interest in it is kept here, and goes
/// when those who wait do.
struct AwaitedMaps {
    struct Interest {
        var watchers: Int32 = 0
        /// In order of subscribing.
        var subscriptions: [Subscriptions.Entry] = []

        var isEmpty: Bool { watchers == 0 && subscriptions.isEmpty }
    }

    private var interests: [MapName: Interest] = [:]
    private var nameOf: [UInt64: MapName] = [:]

    var isEmpty: Bool { interests.isEmpty }
    var subscriptionCount: Int { nameOf.count }

    mutating func watch(_ map: MapName) {
        interests[map, default: Interest()].watchers += 1
    }

    mutating func unwatch(_ map: MapName) {
        precondition(interests[map].map { $0.watchers > 0 } == true, "unwatch without watch")
        change(map) { $0.watchers -= 1 }
    }

    mutating func add(_ entry: Subscriptions.Entry, to map: MapName) {
        interests[map, default: Interest()].subscriptions.append(entry)
        nameOf[entry.id] = map
    }

    /// Ends a subscription; `false` if it is none of these.
    mutating func remove(_ subscription: UInt64) -> Bool {
        guard let map = nameOf.removeValue(forKey: subscription) else { return false }
        change(map) { $0.subscriptions.removeAll { $0.id == subscription } }
        return true
    }

    /// The map is there: what waited for it is the caller's now.
    mutating func take(_ map: MapName) -> Interest? {
        guard let interest = interests.removeValue(forKey: map) else { return nil }
        for entry in interest.subscriptions { nameOf[entry.id] = nil }
        return interest
    }

    mutating func giveBack(_ interest: Interest, for map: MapName) {
        guard !interest.isEmpty else { return }
        interests[map] = interest
        for entry in interest.subscriptions { nameOf[entry.id] = map }
    }

    private mutating func change(_ map: MapName, _ body: (inout Interest) -> Void) {
        guard var interest = interests.removeValue(forKey: map) else { return }
        body(&interest)
        if !interest.isEmpty { interests[map] = interest }
    }
}
