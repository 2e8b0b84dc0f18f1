/// Every word that configures a node, in flags (`--data-dir`), environment (`TOPGUN_DATA_DIR`) and file (`"data-dir"`).
package enum Setting: String, CaseIterable, Sendable {
    case listen
    case advertisedURL = "advertised-url"
    case dataDir = "data-dir"
    case nodeID = "node-id"
    case jwtSecretFile = "jwt-secret-file"
    case jwtIssuer = "jwt-issuer"
    case jwtAudience = "jwt-audience"
    case jwtLeewaySeconds = "jwt-leeway-seconds"
    case noAuth = "no-auth"
    case tlsCert = "tls-cert"
    case tlsKey = "tls-key"
    case defaultAccess = "default-access"
    case allowedOrigins = "allowed-origins"
    case logLevel = "log-level"
    case eventLoops = "event-loops"
    case maxConnections = "max-connections"
    case maxMessageBytes = "max-message-bytes"
    case operationsPerSecond = "operations-per-second"
    case operationsBurst = "operations-burst"
    case drainSeconds = "drain-seconds"

    // What design.md has and this version does not.
    case clusterListen = "cluster-listen"
    case failureDomain = "failure-domain"
    case role
    case etcd
    case replicationFactor = "replication-factor"
    case peers
    case postgres
    case jwksFile = "jwks-file"
    case peerCA = "peer-ca"
    case peerCert = "peer-cert"
    case peerKey = "peer-key"

    package enum Kind: Sendable {
        case text
        case number
        case yesOrNo
        case list
    }

    package var kind: Kind {
        switch self {
        case .jwtLeewaySeconds, .eventLoops, .maxConnections, .maxMessageBytes, .operationsPerSecond, .operationsBurst,
            .drainSeconds:
            .number
        case .noAuth: .yesOrNo
        case .allowedOrigins: .list
        case .listen, .advertisedURL, .dataDir, .nodeID, .jwtSecretFile, .jwtIssuer, .jwtAudience, .defaultAccess,
            .logLevel, .clusterListen, .failureDomain, .role, .etcd, .replicationFactor, .peers, .postgres, .jwksFile,
            .tlsCert,
            .tlsKey, .peerCA, .peerCert, .peerKey:
            .text
        }
    }

    /// What a setting that this version does not have would need; `nil` for those it has.
    package var missing: String? {
        switch self {
        case .clusterListen, .failureDomain, .role, .etcd, .replicationFactor, .peers, .peerCA, .peerCert, .peerKey:
            "clusters: it runs one node, on its own"
        case .postgres: "PostgreSQL: its data is in --data-dir"
        case .jwksFile: "key sets: give it one key with --jwt-secret-file"
        case .listen, .advertisedURL, .dataDir, .nodeID, .jwtSecretFile, .jwtIssuer, .jwtAudience, .jwtLeewaySeconds,
            .noAuth, .tlsCert, .tlsKey, .defaultAccess, .allowedOrigins, .logLevel, .eventLoops, .maxConnections,
            .maxMessageBytes, .operationsPerSecond, .operationsBurst, .drainSeconds:
            nil
        }
    }

    package var flag: String { "--" + rawValue }

    package var variable: String {
        Self.variablePrefix + rawValue.replacing("-", with: "_").uppercased()
    }

    package static let variablePrefix = "TOPGUN_"

    /// What upstream's server is told by and has other names here (protocol.md 2.3); the settings of ours win.
    static let upstreamVariables: Set<String> = ["TOPGUN_BIND_ADDR", "TOPGUN_CORS_ORIGINS"]

    /// What `topgun`, the command line, reads from the same environment; no business of a server.
    static let clientVariables: Set<String> = [
        "TOPGUN_SERVER", "TOPGUN_TOKEN", "TOPGUN_JSON", "TOPGUN_TIMEOUT_SECONDS", "TOPGUN_CLIENT_CONFIG",
    ]
}
