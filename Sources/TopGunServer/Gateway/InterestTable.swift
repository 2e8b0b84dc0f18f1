import TopGunModel

/// Which connections of one gateway hear of which maps.
///
/// A map that somebody here is interested in has a number, by which the groups name it in their events. A number is not
/// used again before all others were: an event on its way from another loop must not find another map behind it.
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
    private var entries: [Int32: Entry] = [:]
    private var nextNumber: Int32 = 0

    /// Maps that somebody is interested in.
    var count: Int { entries.count }

    /// Adds a connection; returns the map's number, and whether it is the first here.
    mutating func add(_ shell: SessionShell, to name: ByteString, in nameSpace: ByteString) -> (Int32, isFirst: Bool) {
        let key = Key(nameSpace: nameSpace, name: name)
        if let number = numbers[key] {
            entries[number]?.sessions.append(shell)
            return (number, false)
        }
        let number = takeNumber()
        numbers[key] = number
        entries[number] = Entry(nameSpace: nameSpace, name: name, sessions: [shell])
        return (number, true)
    }

    private mutating func takeNumber() -> Int32 {
        while entries[nextNumber] != nil { advance() }
        defer { advance() }
        return nextNumber
    }

    private mutating func advance() {
        nextNumber = nextNumber == .max ? 0 : nextNumber + 1
    }

    /// Takes a connection away; returns the map if it was the last.
    mutating func remove(_ shell: SessionShell, from number: Int32) -> Entry? {
        guard var entry = entries.removeValue(forKey: number) else { return nil }
        entry.sessions.removeAll { $0 === shell }
        guard entry.sessions.isEmpty else {
            entries[number] = entry
            return nil
        }
        numbers[Key(nameSpace: entry.nameSpace, name: entry.name)] = nil
        return entry
    }

    /// `nil` when nobody is interested any more.
    func entry(of number: Int32) -> Entry? {
        entries[number]
    }
}
