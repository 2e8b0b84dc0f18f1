import Foundation
import Logging
import NIOCore

extension ServerConfiguration {
    /// Reads and checks every setting; the error says which one to mend, and how.
    package init(_ sources: SettingSources, environment: [String: String]) throws(ServerError) {
        self.init()
        if let listen = try sources.text(.listen) {
            (host, port) = try Self.address(listen, sources.nameOf(.listen))
        } else {
            try takeAddress(environment)
        }
        advertisedURL = try sources.text(.advertisedURL)
        if let advertisedURL, !Self.isSocketURL(advertisedURL) {
            throw Self.refusal(
                .advertisedURL, sources, "must be the URL that clients dial, such as wss://grid.example.com/ws")
        }
        dataDirectory = try sources.text(.dataDir) ?? dataDirectory
        if dataDirectory.isEmpty { throw Self.refusal(.dataDir, sources, "must name a directory") }
        nodeID = try sources.text(.nodeID)
        if let nodeID, !Self.isNodeID(nodeID) {
            throw Self.refusal(.nodeID, sources, "must be 1 to 64 letters, digits, dots, dashes or underscores")
        }
        eventLoops = try sources.number(.eventLoops, in: 1...Limits.eventLoopsMax) ?? max(1, System.coreCount - 1)
        connectionsMax = try sources.number(.maxConnections, in: 1...Limits.connectionsMaxMax) ?? connectionsMax
        messageBytesMax =
            try sources.number(.maxMessageBytes, in: Limits.messageBytesMin...Limits.messageBytesMaxMax)
            ?? messageBytesMax
        operationsPerSecond =
            try sources.number(.operationsPerSecond, in: 1...Limits.operationRateMax) ?? operationsPerSecond
        operationsBurst =
            try sources.number(.operationsBurst, in: 1...Limits.operationRateMax) ?? operationsPerSecond * 2
        if operationsBurst < operationsPerSecond {
            throw Self.refusal(.operationsBurst, sources, "must not be below --operations-per-second")
        }
        if let seconds = try sources.number(.drainSeconds, in: 0...Limits.drainSecondsMax) {
            drainMillisMax = Int64(seconds) * 1_000
        }
        logLevel = try Self.choice(.logLevel, sources, Logger.Level.allCases) ?? logLevel
        defaultAccess = try Self.choice(.defaultAccess, sources, Access.allCases) ?? defaultAccess
        allowedOrigins = try sources.list(.allowedOrigins) ?? Self.origins(environment)
        for origin in allowedOrigins ?? [] where !Self.isOrigin(origin) {
            let name = sources.nameOf(.allowedOrigins) ?? "TOPGUN_CORS_ORIGINS"
            throw ServerError(
                .configuration, "\(name) must list origins such as https://app.example.com, without a path.")
        }
        tls = try Self.tls(sources)
        authentication = try Self.authentication(sources, environment)
        if case .none = authentication, !Self.isLoopback(host) {
            throw ServerError(
                .configuration,
                "Without authentication topgund listens on loopback addresses only, not on \(host):\(port): give it a key "
                    + "with --jwt-secret-file FILE, or listen on 127.0.0.1.")
        }
    }

    /// The address by the names that upstream's server has for its parts (protocol.md 2.3).
    private mutating func takeAddress(_ environment: [String: String]) throws(ServerError) {
        if let text = environment["PORT"], !text.isEmpty {
            guard let number = UInt16(text) else {
                throw ServerError(.configuration, "PORT must be a whole number between 0 and 65535.")
            }
            port = Int(number)
        }
        if let text = environment["TOPGUN_BIND_ADDR"], !text.isEmpty {
            let isBare = text.split(separator: ":", omittingEmptySubsequences: false).count > 2 && !text.hasPrefix("[")
            do {
                (host, _) = try Self.address((isBare ? "[\(text)]" : text) + ":0", nil)
            } catch {
                throw ServerError(
                    .configuration, "TOPGUN_BIND_ADDR must be one address without a port, such as 127.0.0.1.")
            }
        }
    }

    private static func origins(_ environment: [String: String]) -> [String]? {
        guard let text = environment["TOPGUN_CORS_ORIGINS"], !text.isEmpty, text != "*" else { return nil }
        return text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    private static func tls(_ sources: SettingSources) throws(ServerError) -> TLSFiles? {
        switch (try sources.text(.tlsCert), try sources.text(.tlsKey)) {
        case (.none, .none): return nil
        case (.some(let certificate), .some(let key)): return TLSFiles(certificate: certificate, key: key)
        case (.some, .none):
            throw refusal(.tlsCert, sources, "is set and \(Setting.tlsKey.flag) is not: TLS needs both, or neither")
        case (.none, .some):
            throw refusal(.tlsKey, sources, "is set and \(Setting.tlsCert.flag) is not: TLS needs both, or neither")
        }
    }

    private static func authentication(
        _ sources: SettingSources, _ environment: [String: String]
    ) throws(ServerError) -> Authentication {
        let file = try sources.text(.jwtSecretFile)
        let secret = environment["JWT_SECRET"].flatMap { $0.isEmpty ? nil : $0 }
        let noAuth = try sources.yesOrNo(.noAuth)
        let issuer = try sources.text(.jwtIssuer)
        let audience = try sources.text(.jwtAudience)
        let leeway = try sources.number(.jwtLeewaySeconds, in: 0...Limits.leewaySecondsMax)

        let key: TokenRules.KeySource
        switch (file, secret, noAuth ?? false) {
        case (.some, .some, _):
            throw contradiction("--jwt-secret-file and JWT_SECRET both give a key: keep one.")
        case (.some, .none, true):
            throw contradiction("--no-auth and --jwt-secret-file contradict each other: keep one.")
        case (.none, .some, true):
            throw contradiction("--no-auth and JWT_SECRET contradict each other: keep one.")
        case (.none, .none, _):
            for (setting, isSet) in [
                (Setting.jwtIssuer, issuer != nil), (.jwtAudience, audience != nil), (.jwtLeewaySeconds, leeway != nil),
            ] where isSet {
                throw refusal(setting, sources, "has no meaning without a key: add --jwt-secret-file FILE")
            }
            if noAuth == false {
                throw refusal(.noAuth, sources, "is false, but there is no key: add --jwt-secret-file FILE")
            }
            return .none
        case (.some(let path), .none, false):
            key = .file(path)
        case (.none, .some(let text), false):
            key = .text(text)
        }
        var rules = TokenRules(key: key)
        rules.issuer = issuer
        rules.audience = audience
        rules.leewaySeconds = leeway.map { Int64($0) } ?? rules.leewaySeconds
        return .token(rules)
    }

    // MARK: Values

    private static func address(_ text: String, _ name: String?) throws(ServerError) -> (host: String, port: Int) {
        let fault = ServerError(
            .configuration, "\(name ?? Setting.listen.flag) must be HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080.")
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            throw fault
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
            guard host.contains(":") else { throw fault }
        } else if host.contains(":") {
            throw fault
        }
        guard !host.isEmpty, host.allSatisfy({ $0.isASCII && !$0.isWhitespace && $0 != "/" }) else { throw fault }
        return (String(host), Int(port))
    }

    static func isLoopback(_ host: String) -> Bool {
        if host.lowercased() == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.first == "127" && parts.allSatisfy { UInt8($0) != nil }
    }

    private static func isNodeID(_ id: String) -> Bool {
        (1...64).contains(id.utf8.count)
            && id.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    /// `ws://` or `wss://`, a host, maybe a port and a path.
    private static func isSocketURL(_ text: String) -> Bool {
        guard let scheme = ["ws://", "wss://"].first(where: { text.hasPrefix($0) }),
            text.utf8.count <= Limits.urlBytesMax,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") && $0 != UInt8(ascii: "@") })
        else { return false }
        let place = text.dropFirst(scheme.count).prefix { $0 != "/" && $0 != "?" }
        guard let colon = place.lastIndex(of: ":"), !place.hasSuffix("]") else { return !place.isEmpty }
        let host = place[..<colon]
        let isBracketed = host.hasPrefix("[") && host.hasSuffix("]") && host.count > 2
        guard isBracketed || !host.isEmpty && !host.contains(":") else { return false }
        return UInt16(place[place.index(after: colon)...]).map { $0 > 0 } ?? false
    }

    private static func isOrigin(_ text: String) -> Bool {
        guard let scheme = ["http://", "https://"].first(where: { text.hasPrefix($0) }) else { return false }
        let host = text.dropFirst(scheme.count)
        return !host.isEmpty && !host.contains("/") && !host.contains("*")
    }

    private static func choice<Choice: RawRepresentable<String>>(
        _ setting: Setting, _ sources: SettingSources, _ all: [Choice]
    ) throws(ServerError) -> Choice? {
        guard let text = try sources.text(setting) else { return nil }
        guard let choice = Choice(rawValue: text) else {
            throw refusal(setting, sources, "must be one of: " + all.map(\.rawValue).joined(separator: ", "))
        }
        return choice
    }

    private static func refusal(_ setting: Setting, _ sources: SettingSources, _ what: String) -> ServerError {
        ServerError(.configuration, "\(sources.nameOf(setting) ?? setting.flag) \(what).")
    }

    private static func contradiction(_ message: String) -> ServerError {
        ServerError(.configuration, message)
    }
}
