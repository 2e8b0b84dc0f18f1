import TopGunModel

/// The node ids of all records, each kept in memory once: there are few writers and many records.
struct NodeNames: Sendable {
    private var names: [ByteString: ByteString] = [:]
    /// The one asked for last, which is most often the next one too.
    private var recent = ByteString([])

    mutating func interned(_ name: ByteString) -> ByteString {
        if name == recent { return recent }
        if let known = names[name] {
            recent = known
            return known
        }
        // A server that makes up a new name for every record gains nothing from it.
        if names.count >= ReplicaLimits.nodeNamesMax { names.removeAll() }
        names[name] = name
        recent = name
        return name
    }
}
