package import Logging

/// The keys of everything that log lines carry besides their static message.
package enum LogKey: String, Sendable {
    case address
    case code
    case connections
    case count
    case detail
    case directory
    case error
    case file
    case level
    case limit
    case loop
    case mapName = "map"
    case millis
    case node
    case partition
    case position
    case records
    case session
    case signal
    case subject
    case version
}

/// The log of the server: a static message, data beside it under ``LogKey``. Keys, values and tokens never get here.
package struct ServerLog: Sendable {
    package var logger: Logger

    package init(_ logger: Logger) {
        self.logger = logger
    }

    package func trace(_ message: StaticString, _ data: @autoclosure () -> [LogKey: any CustomStringConvertible] = [:])
    {
        write(.trace, message, data)
    }

    package func debug(_ message: StaticString, _ data: @autoclosure () -> [LogKey: any CustomStringConvertible] = [:])
    {
        write(.debug, message, data)
    }

    package func info(_ message: StaticString, _ data: @autoclosure () -> [LogKey: any CustomStringConvertible] = [:]) {
        write(.info, message, data)
    }

    package func notice(
        _ message: StaticString, _ data: @autoclosure () -> [LogKey: any CustomStringConvertible] = [:]
    ) {
        write(.notice, message, data)
    }

    /// Something an operator can act on.
    package func warning(
        _ message: StaticString, _ data: @autoclosure () -> [LogKey: any CustomStringConvertible] = [:]
    ) {
        write(.warning, message, data)
    }

    /// A promise was broken.
    package func error(_ message: StaticString, _ data: @autoclosure () -> [LogKey: any CustomStringConvertible] = [:])
    {
        write(.error, message, data)
    }

    private func write(
        _ level: Logger.Level, _ message: StaticString, _ data: () -> [LogKey: any CustomStringConvertible]
    ) {
        guard logger.logLevel <= level else { return }
        var metadata = Logger.Metadata()
        for (key, value) in data() { metadata[key.rawValue] = .string(value.description) }
        logger.log(level: level, "\(message)", metadata: metadata)
    }
}
