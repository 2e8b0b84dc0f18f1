/// Who a verified token speaks for.
package struct Principal: Hashable, Sendable {
    /// The claim `sub`: the user id, and the name in access rules.
    package var subject: String
    /// The claim `roles`.
    package var roles: [String]
    /// The claim `exp`, in milliseconds since 1970, without leeway.
    package var expiresAtMillis: Int64

    package init(subject: String, roles: [String] = [], expiresAtMillis: Int64) {
        self.subject = subject
        self.roles = roles
        self.expiresAtMillis = expiresAtMillis
    }
}

/// Why a token was refused. For logs and metrics: a client only hears that authentication failed.
package struct AuthFailure: Error, Hashable, CustomStringConvertible {
    package enum Code: String, Hashable, Sendable {
        /// Not three parts of base64url with JSON in them, or larger than the limit.
        case malformed
        /// Another algorithm than the configured one; `none` above all.
        case algorithm
        case signature
        case expired
        case notYetValid
        /// A claim that is demanded is absent, empty or of the wrong type.
        case missingClaim
        case issuer
        case audience
    }

    package var code: Code

    package init(_ code: Code) {
        self.code = code
    }

    package var description: String { "token refused: \(code.rawValue)" }
}

/// Decides whether a token is good. Callable from anywhere; never logs a token.
package protocol TokenVerifier: Sendable {
    func verify(_ token: String) async -> Result<Principal, AuthFailure>
}
