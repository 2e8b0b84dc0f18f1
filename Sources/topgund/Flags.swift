import ArgumentParser
import TopGunServer

/// Every setting as a flag. All are texts here: they are read and checked where variables and files are.
struct Flags: ParsableArguments {
    @Option(help: ArgumentHelp("A file with settings, as one JSON object.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("Where clients and probes connect. (default: 127.0.0.1:8080)", valueName: "host:port"))
    var listen: String?

    @Option(
        name: .customLong("advertised-url"),
        help: ArgumentHelp(
            "What clients of a cluster dial, to the letter. (default: what each dialed)", valueName: "url"))
    var advertisedURL: String?

    @Option(help: ArgumentHelp("Log and checkpoints. (default: topgun-data)", valueName: "dir"))
    var dataDir: String?

    @Option(help: ArgumentHelp("Name of the node. (default: made up once)", valueName: "id"))
    var nodeID: String?

    @Option(help: ArgumentHelp("Key for tokens: secrets, one a line, or a public key.", valueName: "file"))
    var jwtSecretFile: String?

    @Option(help: ArgumentHelp("Demand this issuer of tokens.", valueName: "name"))
    var jwtIssuer: String?

    @Option(help: ArgumentHelp("Demand this audience of tokens.", valueName: "name"))
    var jwtAudience: String?

    @Option(help: ArgumentHelp("How wrong clocks may be. (default: 60)", valueName: "seconds"))
    var jwtLeewaySeconds: String?

    @Option(help: ArgumentHelp("Serve TLS with this certificate and those of its authorities, PEM.", valueName: "file"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("The key of that certificate, PEM.", valueName: "file"))
    var tlsKey: String?

    @Flag(help: "Let everyone in; loopback addresses only.")
    var noAuth = false

    @Option(
        help: ArgumentHelp(
            "What clients with a token may do while no policy says so. (default: deny)", valueName: "allow|deny"))
    var defaultAccess: String?

    @Option(help: ArgumentHelp("Sites whose pages may connect, as origins.", valueName: "origin,..."))
    var allowedOrigins: String?

    @Option(help: ArgumentHelp("trace, debug, info, notice, warning, error. (default: info)", valueName: "level"))
    var logLevel: String?

    @Option(help: ArgumentHelp("Threads that serve. (default: one less than cores)", valueName: "n"))
    var eventLoops: String?

    @Option(help: ArgumentHelp("More connections wait. (default: 15000)", valueName: "n"))
    var maxConnections: String?

    @Option(help: ArgumentHelp("Largest message of a client. (default: 16777216)", valueName: "bytes"))
    var maxMessageBytes: String?

    @Option(help: ArgumentHelp("What one connection may send each second. (default: 1000000)", valueName: "n"))
    var operationsPerSecond: String?

    @Option(help: ArgumentHelp("What it may send at once. (default: twice that)", valueName: "n"))
    var operationsBurst: String?

    @Option(help: ArgumentHelp("How long a stop waits for clients. (default: 10)", valueName: "seconds"))
    var drainSeconds: String?

    // What this version does not have is known, so that the refusal can say so.
    @Option(help: .hidden) var clusterListen: String?
    @Option(help: .hidden) var failureDomain: String?
    @Option(help: .hidden) var role: String?
    @Option(help: .hidden) var etcd: String?
    @Option(help: .hidden) var replicationFactor: String?
    @Option(help: .hidden) var peers: String?
    @Option(help: .hidden) var postgres: String?
    @Option(help: .hidden) var jwksFile: String?
    @Option(name: .customLong("peer-ca"), help: .hidden) var peerCA: String?
    @Option(help: .hidden) var peerCert: String?
    @Option(help: .hidden) var peerKey: String?

    var settings: [Setting: String] {
        let texts: [Setting: String?] = [
            .listen: listen, .advertisedURL: advertisedURL, .dataDir: dataDir, .nodeID: nodeID,
            .jwtSecretFile: jwtSecretFile, .jwtIssuer: jwtIssuer,
            .jwtAudience: jwtAudience, .jwtLeewaySeconds: jwtLeewaySeconds, .noAuth: noAuth ? "true" : nil,
            .defaultAccess: defaultAccess, .allowedOrigins: allowedOrigins, .logLevel: logLevel,
            .eventLoops: eventLoops, .maxConnections: maxConnections, .maxMessageBytes: maxMessageBytes,
            .operationsPerSecond: operationsPerSecond, .operationsBurst: operationsBurst, .drainSeconds: drainSeconds,
            .clusterListen: clusterListen, .failureDomain: failureDomain, .role: role, .etcd: etcd,
            .replicationFactor: replicationFactor, .peers: peers, .postgres: postgres, .jwksFile: jwksFile,
            .tlsCert: tlsCert, .tlsKey: tlsKey, .peerCA: peerCA, .peerCert: peerCert, .peerKey: peerKey,
        ]
        return texts.compactMapValues { $0 }
    }
}
