import TopGunModel
import TopGunQuery

/// The live subscriptions of a group, by map and in order of subscribing.
struct Subscriptions {
    struct Entry {
        var id: UInt64
        var filter: QueryFilter
    }

    private(set) var byMap: [[Entry]] = []
    private var mapOf: [UInt64: UInt32] = [:]
    /// For each subscription of the map at hand, whether the record matched before its change.
    var matchedBefore: [Bool] = []
    /// Its value before the change, and whether that was past its lifetime.
    let oldValue = ByteSink(capacity: 256)
    var wasExpired = false

    var count: Int { mapOf.count }

    func map(of id: UInt64) -> UInt32? { mapOf[id] }

    func entries(of map: UInt32) -> [Entry] {
        Int(map) < byMap.count ? byMap[Int(map)] : []
    }

    mutating func add(_ id: UInt64, filter: QueryFilter, to map: UInt32) {
        while byMap.count <= Int(map) { byMap.append([]) }
        byMap[Int(map)].append(Entry(id: id, filter: filter))
        mapOf[id] = map
    }

    /// Ends a subscription and returns its map.
    mutating func remove(_ id: UInt64) -> UInt32? {
        guard let map = mapOf.removeValue(forKey: id) else { return nil }
        byMap[Int(map)].removeAll { $0.id == id }
        return map
    }
}
