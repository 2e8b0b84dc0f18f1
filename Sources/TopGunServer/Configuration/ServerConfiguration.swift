package import Logging

/// Everything that can be set about one node, checked as a whole.
package struct ServerConfiguration: Sendable {
    /// Who may connect.
    package enum Authentication: Sendable {
        /// Anyone who can reach the address, which therefore must be a loopback address.
        case none
        /// Whoever presents a token that the key confirms.
        case token(TokenRules)
    }

    /// What an authenticated client may do while no access policy exists.
    package enum Access: String, Sendable, CaseIterable {
        case allow
        case deny
    }

    /// Where clients and probes connect. Port 0 lets the system choose.
    package var host = "127.0.0.1"
    package var port = 8080
    /// What clients are told to dial, to the letter as they dial it; `nil` tells each what it dialed itself.
    package var advertisedURL: String?
    /// `nil` serves `ws://` and `http://`.
    package var tls: TLSFiles?
    package var authentication = Authentication.none
    package var defaultAccess = Access.deny
    /// `Origin` values that may connect; `nil` admits every one, and clients that send none are always admitted.
    package var allowedOrigins: [String]?

    package var dataDirectory = "topgun-data"
    /// `nil` takes the one in the data directory, or makes a new one.
    package var nodeID: String?

    package var logLevel = Logger.Level.info
    package var eventLoops = 1
    package var connectionsMax = 15_000
    /// Bytes of one message from a client. An official client sends everything it wrote offline in one message, so a
    /// smaller bound is one that such a client may never get past.
    package var messageBytesMax = 16 * 1_024 * 1_024
    /// What one connection may send each second, on average and at once.
    package var operationsPerSecond = 1_000_000
    package var operationsBurst = 2_000_000
    /// How long a stop waits for clients to be told; what is left then is cut.
    package var drainMillisMax: Int64 = 10_000

    package init() {}
}

/// Where the certificate of the listener is, with those of its authorities behind it, and its key; both are read again on
/// SIGHUP.
package struct TLSFiles: Hashable, Sendable {
    package var certificate: String
    package var key: String

    package init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// What a token must look like.
package struct TokenRules: Sendable {
    /// Where the key comes from; a file is read again on SIGHUP.
    package enum KeySource: Sendable {
        case text(String)
        case file(String)
    }

    package var key: KeySource
    /// Demanded of every token when set.
    package var issuer: String?
    /// Demanded of every token when set; a token may name several.
    package var audience: String?
    /// How wrong the clocks of those who make tokens may be.
    package var leewaySeconds: Int64 = 60

    package init(key: KeySource) {
        self.key = key
    }
}
