/// A version of a record as simple as can be: what the cores are held against.
///
/// Writers are numbered in the order of their names' bytes, so comparing numbers is comparing names.
struct NaiveVersion: Equatable {
    var millis: Int64
    var counter: UInt32
    var writer: Int
    /// `nil` for a removal.
    var value: UInt32?
    var ttlMillis: Int64 = 0

    enum Order {
        case older, same, newer
    }

    /// How it relates to another by stamp.
    func order(to other: NaiveVersion) -> Order {
        let mine = (millis, counter, writer)
        let theirs = (other.millis, other.counter, other.writer)
        return mine == theirs ? .same : mine < theirs ? .older : .newer
    }

    /// Whether it takes the place of another that came from a log: where stamps are equal, the greater content stands.
    func replacesLoaded(_ other: NaiveVersion) -> Bool {
        switch order(to: other) {
        case .older: return false
        case .newer: return true
        case .same:
            // A removal's one byte is below the first byte of every value.
            let mine = value.map { Int64($0) } ?? -1
            let theirs = other.value.map { Int64($0) } ?? -1
            return mine == theirs ? ttlMillis > other.ttlMillis : mine > theirs
        }
    }

    /// The removal that it ends in, once its lifetime and the grace are over.
    func buried(by writer: Int, wallMillis: Int64, graceMillis: Int64) -> NaiveVersion? {
        guard ttlMillis > 0, value != nil, millis + ttlMillis + graceMillis < wallMillis else { return nil }
        return NaiveVersion(millis: millis + ttlMillis, counter: 0, writer: writer)
    }
}

/// What one group of partitions should hold, by map and key.
struct NaiveMap: Equatable {
    private(set) var versions: [NaiveVersion?]

    init(places: Int) {
        versions = Array(repeating: nil, count: places)
    }

    subscript(place: Int) -> NaiveVersion? {
        get { versions[place] }
        set { versions[place] = newValue }
    }

    mutating func load(_ version: NaiveVersion, at place: Int) {
        if versions[place].map({ version.replacesLoaded($0) }) ?? true { versions[place] = version }
    }
}
