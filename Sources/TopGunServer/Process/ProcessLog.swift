package import Logging
import Synchronization

/// The log of the process: lines on standard error, with a level that can be changed while it runs.
package final class ProcessLog: Sendable {
    private let level: Mutex<Logger.Level>

    package init(_ level: Logger.Level) {
        self.level = Mutex(level)
    }

    /// Counts for every logger made here, at once.
    package func setLevel(_ level: Logger.Level) {
        self.level.withLock { $0 = level }
    }

    package func logger() -> Logger {
        Logger(label: "topgund") { label in Handler(log: self, lines: StreamLogHandler.standardError(label: label)) }
    }

    private struct Handler: LogHandler {
        let log: ProcessLog
        var lines: StreamLogHandler
        /// A logger that was made quieter than the process stays so.
        private var ownLevel: Logger.Level?

        init(log: ProcessLog, lines: StreamLogHandler) {
            self.log = log
            self.lines = lines
            self.lines.logLevel = .trace
        }

        var logLevel: Logger.Level {
            get { ownLevel ?? log.level.withLock { $0 } }
            set { ownLevel = newValue }
        }

        var metadata: Logger.Metadata {
            get { lines.metadata }
            set { lines.metadata = newValue }
        }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { lines[metadataKey: key] }
            set { lines[metadataKey: key] = newValue }
        }

        func log(event: LogEvent) {
            lines.log(event: event)
        }
    }
}
