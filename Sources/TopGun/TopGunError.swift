/// What can go wrong at a call of the SDK.
///
/// Being offline is never an error: writes are kept and sent later. The description names no keys, values or tokens.
public struct TopGunError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is. More may be added; keep a `default`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// Its name, for people.
        public let description: String

        /// The value cannot be encoded, or what is stored is not of the type asked for.
        public static let invalidValue = Code(description: "invalid value")
        /// The key, the map's name or another argument is not allowed.
        public static let invalidArgument = Code(description: "invalid argument")
        /// The value, key or name is above its limit.
        public static let tooLarge = Code(description: "too large")
        /// The store on disk cannot be read or written; ``TopGunError/cause`` says why. The write did not happen.
        public static let storage = Code(description: "storage")
        /// The store was written by a newer version of TopGun. Nothing was touched.
        public static let storeTooNew = Code(description: "store too new")
        /// The server refused the write for good; ``TopGunError/refusal`` says why. It has been undone locally.
        public static let refused = Code(description: "refused")
        /// The client was closed.
        public static let closed = Code(description: "closed")
    }

    /// What kind of failure it is.
    public var code: Code
    /// What happened, for people.
    public var message: String
    /// The server's word for its refusal, such as `FORBIDDEN`; only with the code ``Code/refused``.
    public var refusal: String?
    /// What it was caused by.
    public var cause: (any Error)?

    init(_ code: Code, _ message: String, refusal: String? = nil, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.refusal = refusal
        self.cause = cause
    }

    /// Code, message and the server's word, without the cause.
    public var description: String {
        let reason = refusal.map { " (\($0))" } ?? ""
        return "\(code): \(message)\(reason)"
    }
}
