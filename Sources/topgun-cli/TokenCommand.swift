import ArgumentParser
import Foundation
import JWTKit
import TopGunEnvironment

struct Token: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes a token that servers with the same secret accept.",
        discussion: "The secret comes from --secret-file or from JWT_SECRET. Nothing is sent anywhere.")

    @Argument(help: "The user: becomes `sub`.") var user: String
    @Option(help: ArgumentHelp("Holds the secret on its first line.", valueName: "file")) var secretFile: String?
    @Option(name: .customLong("role"), help: ArgumentHelp("May be given several times.", valueName: "name"))
    var roles: [String] = []
    @Option(help: ArgumentHelp("How long it is valid.", valueName: "seconds")) var lifetimeSeconds = 3600
    @Option(help: ArgumentHelp("Becomes `iss`.", valueName: "name")) var issuer: String?
    @Option(help: ArgumentHelp("Becomes `aud`.", valueName: "name")) var audience: String?
    @Flag(help: "Write JSON, one object a line.") var json = false

    private static let lifetimeSecondsLongest = 100 * 365 * 86400

    private struct Claims: JWTPayload {
        var sub: SubjectClaim
        var exp: ExpirationClaim
        var roles: [String]?
        var iss: IssuerClaim?
        var aud: AudienceClaim?

        func verify(using algorithm: some JWTAlgorithm) throws {}
    }

    func run() async throws {
        guard !user.isEmpty else { throw Failure(.usage, "the user is empty") }
        guard lifetimeSeconds > 0, lifetimeSeconds <= Self.lifetimeSecondsLongest else {
            throw Failure(.usage, "the lifetime must be above 0 and at most a hundred years")
        }
        let keys = JWTKeyCollection()
        await keys.add(hmac: HMACKey(from: try secret()), digestAlgorithm: .sha256)
        let now = Double(SystemClock().wallMillis()) / 1000
        let claims = Claims(
            sub: SubjectClaim(value: user),
            exp: ExpirationClaim(value: Date(timeIntervalSince1970: now + Double(lifetimeSeconds))),
            roles: roles.isEmpty ? nil : roles, iss: issuer.map { IssuerClaim(value: $0) },
            aud: audience.map { AudienceClaim(value: $0) })
        let token = try await keys.sign(claims)
        print(json ? JSONValue.object(["token": .text(token)]).json : token)
    }

    private func secret() throws(Failure) -> String {
        guard let secretFile else {
            guard let secret = ProcessInfo.processInfo.environment["JWT_SECRET"], !secret.isEmpty else {
                throw Failure(.usage, "no secret: --secret-file or JWT_SECRET")
            }
            return secret
        }
        do {
            let text = try String(contentsOfFile: secretFile, encoding: .utf8)
            guard let line = text.split(separator: "\n").first else {
                throw Failure(.usage, "\(secretFile) is empty")
            }
            return String(line)
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(.usage, "\(secretFile) cannot be read")
        }
    }
}
