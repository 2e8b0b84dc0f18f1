/// Why a world could not do what a test asked for. The description says which part of the world is in which state, and what
/// a test can do about it.
public struct TopGunWorldError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is. More may be added; keep a `default`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// Its name, for people.
        public let description: String

        /// The world did not come to rest in time.
        public static let notSettled = Code(description: "not settled")
        /// The test waits for something that will not come.
        public static let stuck = Code(description: "stuck")
        /// The server would not start, or has stopped by itself.
        public static let serverStopped = Code(description: "server stopped")
        /// The device runs an application already.
        public static let alreadyRunning = Code(description: "already running")
    }

    /// What kind of failure it is.
    public var code: Code
    /// What happened, for people.
    public var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Code and message.
    public var description: String { "\(code): \(message)" }
}
