import ArgumentParser
import TopGun

struct Get: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints the value of a key.")

    @Argument(help: "The map.") var map: String
    @Argument(help: "The key.") var key: String
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let session = try await Session(options)
        let map = try await session.map(map)
        session.arrived()
        guard let value = map[key] else { throw Failure(.notFound, "no value for that key") }
        print(
            options.json
                ? JSONValue.object(["map": .text(map.name), "key": .text(key), "value": value]).json : value.plain)
    }
}

struct Set: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Writes the value of a key.")

    @Argument(help: "The map.") var map: String
    @Argument(help: "The key.") var key: String
    @Argument(help: "JSON; what is not JSON is taken as text.") var value: String
    @Flag(help: "Take the value as text, also when it looks like JSON.") var text = false
    @Option(help: "Until when to wait: applied, replicated or persisted.") var level = Level.replicated
    @Option(help: ArgumentHelp("How long the value is seen. (default: for ever)", valueName: "seconds"))
    var lifetimeSeconds: Double?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let value = text ? JSONValue.text(value) : JSONValue(typed: value)
        guard value != .null else { throw Failure(.usage, "null is no value: use remove") }
        let lifetime = try lifetime()
        let session = try await Session(options)
        let map = try await session.emptyMap(map)
        let receipt: WriteReceipt
        do {
            receipt = try map.set(value, for: key, lifetime: lifetime)
        } catch {
            throw Failure(.usage, error.message)
        }
        try await session.wait(for: receipt, level.level)
        session.arrived()
        if options.json {
            print(
                JSONValue.object(["map": .text(map.name), "key": .text(key), "level": .text(level.rawValue)]).json)
        }
    }
}

extension Set {
    private func lifetime() throws(Failure) -> Duration? {
        guard let lifetimeSeconds else { return nil }
        // What is no number, or too large for one of milliseconds, fails here.
        guard let millis = Int64(exactly: (lifetimeSeconds * 1000).rounded()), millis > 0 else {
            throw Failure(.usage, "the lifetime must be at least a millisecond, and end some time")
        }
        return .milliseconds(millis)
    }
}

struct Remove: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Removes a key.")

    @Argument(help: "The map.") var map: String
    @Argument(help: "The key.") var key: String
    @Option(help: "Until when to wait: applied, replicated or persisted.") var level = Level.replicated
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let session = try await Session(options)
        let map = try await session.map(map)
        guard map[key] != nil else { throw Failure(.notFound, "no value for that key") }
        let receipt: WriteReceipt
        do {
            receipt = try map.remove(key)
        } catch {
            throw Failure(.usage, error.message)
        }
        try await session.wait(for: receipt, level.level)
        session.arrived()
        if options.json {
            print(
                JSONValue.object(["map": .text(map.name), "key": .text(key), "level": .text(level.rawValue)]).json)
        }
    }
}

enum Level: String, ExpressibleByArgument, CaseIterable {
    case applied
    case replicated
    case persisted

    var level: WriteReceipt.Level {
        switch self {
        case .applied: .applied
        case .replicated: .replicated
        case .persisted: .persisted
        }
    }
}

struct Keys: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints the keys of a map, one a line.")

    @Argument(help: "The map.") var map: String
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        let session = try await Session(options)
        let map = try await session.map(map)
        session.arrived()
        for key in map.keys { print(options.json ? JSONValue.object(["key": .text(key)]).json : key) }
    }
}

struct Watch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints what a map or a key holds, then every change.",
        discussion: "Runs until it is stopped. A removed key is printed without value, in JSON as null.")

    @Argument(help: "The map.") var map: String
    @Argument(help: "Only this key.") var key: String?
    @Option(help: ArgumentHelp("Stop after so many lines.", valueName: "n")) var count: Int?
    @OptionGroup var options: GlobalOptions

    func run() async throws {
        guard count.map({ $0 > 0 }) ?? true else { throw Failure(.usage, "the count must be above 0") }
        let session = try await Session(options)
        let map = try await session.map(map)
        session.arrived()
        var left = count ?? .max
        // From here on before the rows are read, so that no change falls between.
        var changes = map.changes.makeAsyncIterator()
        for key in map.keys where self.key.map({ $0 == key }) ?? true {
            guard left > 0 else { return }
            left -= 1
            show(key, map[key])
        }
        while left > 0, let change = await changes.next() {
            if let key, key != change.key { continue }
            left -= 1
            show(change.key, change.value)
        }
    }

    private func show(_ key: String, _ value: JSONValue?) {
        if options.json {
            print(JSONValue.object(["key": .text(key), "value": value ?? .null]).json)
        } else {
            print(value.map { "\(key) = \($0.plain)" } ?? "\(key) removed")
        }
        flushOutput()
    }
}
