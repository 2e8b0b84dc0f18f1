import TopGunModel

/// Which connections of one gateway hear of which maps.
///
/// A map that somebody here is interested in has a number, by which the groups name it in their events. A number is never
/// used again: an event on its way from another loop must not find another map behind it.
struct InterestTable {
    struct Entry {
        var nameSpace: ByteString
        var name: ByteString
        var sessions: [SessionShell]
    }

    private struct Key: Hashable {
        var nameSpace: ByteString
        var name: ByteString
    }

    private var numbers: [Key: Int32] = [:]
    private(set) var entries: [Entry?] = []

    /// Adds a connection; returns the map's number, and whether it is the first here.
    mutating func add(_ shell: SessionShell, to name: ByteString, in nameSpace: ByteString) -> (Int32, isFirst: Bool) {
        let key = Key(nameSpace: nameSpace, name: name)
        if let number = numbers[key] {
            entries[Int(number)]?.sessions.append(shell)
            return (number, false)
        }
        let number = Int32(entries.count)
        numbers[key] = number
        entries.append(Entry(nameSpace: nameSpace, name: name, sessions: [shell]))
        return (number, true)
    }

    /// Takes a connection away; returns the map if it was the last.
    mutating func remove(_ shell: SessionShell, from number: Int32) -> Entry? {
        guard var entry = entries[Int(number)] else { return nil }
        entries[Int(number)] = nil
        entry.sessions.removeAll { $0 === shell }
        guard entry.sessions.isEmpty else {
            entries[Int(number)] = entry
            return nil
        }
        numbers[Key(nameSpace: entry.nameSpace, name: entry.name)] = nil
        return entry
    }

    func sessions(of number: Int32) -> [SessionShell] {
        entries[Int(number)]?.sessions ?? []
    }

    func name(of number: Int32) -> ByteString? {
        entries[Int(number)]?.name
    }
}
