import Foundation
import JWTKit
import Synchronization
package import TopGunEnvironment

/// Verifies JSON Web Tokens against the configured key (protocol.md 2.3).
///
/// The algorithm belongs to the key, never to the token: a text is a secret for HS256, a PEM is a public key for RS256. So
/// a token signed by HMAC with the public key, or one that says `none`, has no chance.
///
/// A file of secrets may hold several, one a line: every one of them is good. That is how a secret is rotated without
/// sending anyone away.
package final class TokenAuthority: TokenVerifier {
    private struct Keys: Sendable {
        var algorithm: String
        /// Several only while a secret is rotated.
        var collections: [JWTKeyCollection]
        /// The shortest secret; `nil` for a public key.
        var secretBytes: Int?
    }

    private let rules: TokenRules
    private let clock: any Clock
    private let keys: Mutex<Keys>

    package init(_ rules: TokenRules, clock: any Clock) async throws(ServerError) {
        self.rules = rules
        self.clock = clock
        self.keys = Mutex(try await Self.load(rules.key))
    }

    /// Reads the key again. On an error the old one stays.
    package func reload() async throws(ServerError) {
        let fresh = try await Self.load(rules.key)
        keys.withLock { $0 = fresh }
    }

    /// A secret shorter than the hash can be guessed; `nil` if there is nothing to warn of.
    package var weakSecretBytes: Int? {
        keys.withLock { $0.secretBytes }.flatMap { $0 < Limits.strongSecretBytes ? $0 : nil }
    }

    package func verify(_ token: String) async -> Result<Principal, AuthFailure> {
        do throws(AuthFailure) {
            return .success(try await principal(of: token))
        } catch {
            return .failure(error)
        }
    }

    private func principal(of token: String) async throws(AuthFailure) -> Principal {
        guard token.utf8.count <= Limits.tokenBytesMax else { throw AuthFailure(.malformed) }
        let keys = keys.withLock { $0 }
        try Self.check(header: token, algorithm: keys.algorithm)
        let claims = try await Self.claims(of: token, keys.collections)
        return try principal(claims, nowMillis: clock.wallMillis())
    }

    private static func claims(of token: String, _ collections: [JWTKeyCollection]) async throws(AuthFailure) -> Claims
    {
        var failure = AuthFailure(.signature)
        for collection in collections {
            do {
                return try await collection.verify(token, as: Claims.self)
            } catch let error as JWTError {
                failure = AuthFailure(error.errorType == .signatureVerificationFailed ? .signature : .malformed)
            } catch {
                failure = AuthFailure(.malformed)
            }
        }
        throw failure
    }

    private func principal(_ claims: Claims, nowMillis: Int64) throws(AuthFailure) -> Principal {
        let leeway = rules.leewaySeconds * 1_000
        guard let subject = claims.sub, !subject.isEmpty, let expiry = claims.exp else {
            throw AuthFailure(.missingClaim)
        }
        let expiresAtMillis = Self.millis(expiry)
        guard nowMillis < expiresAtMillis.addingClamped(leeway) else { throw AuthFailure(.expired) }
        if let begin = claims.nbf, Self.millis(begin) > nowMillis.addingClamped(leeway) {
            throw AuthFailure(.notYetValid)
        }
        if let issuer = rules.issuer, claims.iss != issuer { throw AuthFailure(.issuer) }
        if let audience = rules.audience, claims.aud?.names.contains(audience) != true { throw AuthFailure(.audience) }
        return Principal(subject: subject, roles: claims.roles ?? [], expiresAtMillis: expiresAtMillis)
    }

    /// Seconds as a token has them, of any size.
    private static func millis(_ seconds: Double) -> Int64 {
        let millis = (seconds * 1_000).rounded(.down)
        if millis.isNaN { return 0 }
        return Int64(exactly: millis) ?? (millis > 0 ? .max : .min)
    }
}

// MARK: - The header

extension TokenAuthority {
    private struct Header: Decodable {
        var alg: String?
        /// Extensions that must be understood, of which we understand none.
        var crit: [String]?
        /// Keys that the token brings along or points to: the bearer's word for the bearer's word.
        var jku: String?
        var jwk: Presence?
        var x5u: String?
        var x5c: Presence?
    }

    /// Anything at all.
    private struct Presence: Decodable {
        init(from decoder: any Decoder) throws {}
    }

    private static func check(header token: String, algorithm: String) throws(AuthFailure) {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let bytes = base64URL(parts[0]) else { throw AuthFailure(.malformed) }
        let header: Header
        do {
            header = try JSONDecoder().decode(Header.self, from: bytes)
        } catch {
            throw AuthFailure(.malformed)
        }
        guard header.alg == algorithm, header.crit == nil else { throw AuthFailure(.algorithm) }
        guard header.jku == nil, header.jwk == nil, header.x5u == nil, header.x5c == nil else {
            throw AuthFailure(.algorithm)
        }
    }

    private static func base64URL(_ text: Substring) -> Data? {
        guard !text.contains("+"), !text.contains("/"), !text.contains("=") else { return nil }
        let padding = String(repeating: "=", count: (4 - text.utf8.count % 4) % 4)
        return Data(base64Encoded: text.replacing("-", with: "+").replacing("_", with: "/") + padding)
    }
}

// MARK: - Claims

private struct Claims: JWTPayload {
    var sub: String?
    var exp: Double?
    var nbf: Double?
    var iss: String?
    var aud: Audience?
    var roles: [String]?

    /// The rules are checked with the clock and the configuration, which this call does not have.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}

/// One name or several.
private struct Audience: Codable {
    var names: [String]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        // Not a text, then it must be a list.
        if let name = try? container.decode(String.self) {
            names = [name]
        } else {
            names = try container.decode([String].self)
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(names)
    }
}

extension Int64 {
    fileprivate func addingClamped(_ other: Int64) -> Int64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other > 0 ? .max : .min) : sum
    }
}

// MARK: - Keys

extension TokenAuthority {
    private static func load(_ source: TokenRules.KeySource) async throws(ServerError) -> Keys {
        switch source {
        case .text(let text):
            return try await keys(text, origin: "JWT_SECRET")
        case .file(let path):
            let text: String
            do {
                text = try String(contentsOfFile: path, encoding: .utf8)
            } catch {
                throw ServerError(
                    .configuration, "Cannot read the file of --jwt-secret-file, \(path): is it there, and readable?")
            }
            return try await keys(text, origin: path)
        }
    }

    private static func keys(_ text: String, origin: String) async throws(ServerError) -> Keys {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        if text.hasPrefix("-----BEGIN") {
            do {
                // An environment variable may hold the line ends of a PEM as \n.
                let pem = text.replacing("\\n", with: "\n")
                let key = try Insecure.RSA.PublicKey(pem: pem)
                let collection = await JWTKeyCollection().add(rsa: key, digestAlgorithm: .sha256)
                return Keys(algorithm: "RS256", collections: [collection], secretBytes: nil)
            } catch {
                throw ServerError(.configuration, "\(origin) holds a PEM that is no RSA public key.")
            }
        }
        let secrets = text.split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
            .filter { !$0.isEmpty }
        guard !secrets.isEmpty else { throw ServerError(.configuration, "\(origin) holds no secret.") }
        var collections: [JWTKeyCollection] = []
        for secret in secrets {
            // HMAC fills a short key with zeros itself; the library wants them to be there.
            var bytes = Array(secret.utf8)
            bytes += Array(repeating: 0, count: max(0, Limits.strongSecretBytes - bytes.count))
            collections.append(await JWTKeyCollection().add(hmac: HMACKey(from: bytes), digestAlgorithm: .sha256))
        }
        return Keys(
            algorithm: "HS256", collections: collections, secretBytes: secrets.map(\.utf8.count).min())
    }
}
