import Crypto
import Foundation
import Synchronization
import Testing
import TopGunEnvironment

@testable import TopGunServer

@Suite struct EdgeTokenTests {
    private struct FixedClock: Clock {
        var millis: Int64 = 1_700_000_000_000
        func wallMillis() -> Int64 { millis }
        func monotonicNanos() -> Int64 { 0 }
    }

    private static let now = 1_700_000_000
    private static let secret = "a secret of more than thirty-two bytes, as it should be"

    private static func base64URL(_ data: some DataProtocol) -> String {
        Data(data).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    private static func token(
        header: String = #"{"alg":"HS256","typ":"JWT"}"#, _ claims: String, secret: String = secret
    ) -> String {
        let signed = base64URL(Data(header.utf8)) + "." + base64URL(Data(claims.utf8))
        let code = HMAC<SHA256>.authenticationCode(
            for: Data(signed.utf8), using: SymmetricKey(data: Data(secret.utf8)))
        return signed + "." + base64URL(Data(code))
    }

    private static func authority(
        _ key: String = secret, _ change: (inout TokenRules) -> Void = { _ in }
    ) async throws -> TokenAuthority {
        var rules = TokenRules(key: .text(key))
        change(&rules)
        return try await TokenAuthority(rules, clock: FixedClock())
    }

    private static func failure(_ token: String, _ authority: TokenAuthority) async -> AuthFailure.Code? {
        switch await authority.verify(token) {
        case .success: nil
        case .failure(let failure): failure.code
        }
    }

    private static let good = #"{"sub":"ann","exp":1700000100}"#

    @Test func `a good token names its principal`() async throws {
        let authority = try await Self.authority()
        let token = Self.token(#"{"sub":"ann","exp":1700000100.5,"roles":["admin","x"],"iat":1,"more":{}}"#)
        let principal = try await authority.verify(token).get()
        #expect(
            principal == Principal(subject: "ann", roles: ["admin", "x"], expiresAtMillis: 1_700_000_100_500))
    }

    @Test func `M02 the algorithm is the key's and never the token's`() async throws {
        let authority = try await Self.authority()
        let parts = Self.token(Self.good).split(separator: ".")
        for header in [
            #"{"alg":"none"}"#, #"{"alg":"None"}"#, #"{"alg":"HS512"}"#, #"{"alg":"RS256"}"#, #"{"alg":""}"#, "{}",
            #"{"alg":"HS256","crit":["exp"]}"#, #"{"alg":"HS256","jku":"https://evil.com"}"#,
            #"{"alg":"HS256","x5u":"https://evil.com"}"#, #"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#,
            #"{"alg":"HS256","x5c":["AA"]}"#,
        ] {
            // Even with a signature that fits.
            #expect(await Self.failure(Self.token(header: header, Self.good), authority) == .algorithm, "\(header)")
            let unsigned = Self.base64URL(Data(header.utf8)) + ".\(parts[1])."
            #expect(await Self.failure(unsigned, authority) == .algorithm, "\(header)")
        }
    }

    @Test func `M02 a public key is never a secret for HMAC`() async throws {
        // The public key of RFC 7515, A.2, as PEM.
        let pem = """
            -----BEGIN PUBLIC KEY-----
            MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
            NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
            P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
            9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
            EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
            FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
            oQIDAQAB
            -----END PUBLIC KEY-----
            """
        let authority = try await Self.authority(pem)
        #expect(await Self.failure(Self.token(Self.good, secret: pem), authority) == .algorithm)
        let claimed = Self.token(header: #"{"alg":"RS256"}"#, Self.good, secret: pem)
        #expect(await Self.failure(claimed, authority) == .signature)
        let escaped = try await Self.authority(pem.replacing("\n", with: "\\n"))
        #expect(await Self.failure(claimed, escaped) == .signature)
    }

    @Test func `M02 a foreign or changed signature is refused`() async throws {
        let authority = try await Self.authority()
        #expect(await Self.failure(Self.token(Self.good, secret: "another"), authority) == .signature)
        var parts = Self.token(Self.good).split(separator: ".").map(String.init)
        parts[1] = Self.base64URL(Data(#"{"sub":"bob","exp":1700000100}"#.utf8))
        #expect(await Self.failure(parts.joined(separator: "."), authority) == .signature)
    }

    @Test func `subject and expiry must be there`() async throws {
        let authority = try await Self.authority()
        for claims in [#"{"exp":1700000100}"#, #"{"sub":"","exp":1700000100}"#, #"{"sub":"ann"}"#, "{}"] {
            #expect(await Self.failure(Self.token(claims), authority) == .missingClaim, "\(claims)")
        }
        for claims in [#"{"sub":7,"exp":1700000100}"#, #"{"sub":"ann","exp":"soon"}"#, "[]", "{", "", "null"] {
            #expect(await Self.failure(Self.token(claims), authority) == .malformed, "\(claims)")
        }
    }

    @Test func `expiry and beginning have a leeway of a minute`() async throws {
        let authority = try await Self.authority()
        func token(_ name: String, _ seconds: Int) -> String {
            let exp = name == "exp" ? "" : #","exp":1800000000"#
            return Self.token(#"{"sub":"ann","\#(name)":\#(Self.now + seconds)\#(exp)}"#)
        }
        #expect(await Self.failure(token("exp", -59), authority) == nil)
        #expect(await Self.failure(token("exp", -60), authority) == .expired)
        #expect(await Self.failure(token("nbf", 60), authority) == nil)
        #expect(await Self.failure(token("nbf", 61), authority) == .notYetValid)
        let strict = try await Self.authority { $0.leewaySeconds = 0 }
        #expect(await Self.failure(token("exp", 0), strict) == .expired)
        #expect(await Self.failure(token("exp", 1), strict) == nil)
    }

    @Test(arguments: ["1e300", "-1e300", "9223372036854775807", "18446744073709551616", "0", "-1"])
    func `times of any size trap nothing`(seconds: String) async throws {
        let authority = try await Self.authority()
        let isFuture = !seconds.hasPrefix("-") && seconds != "0"
        let exp = Self.token(#"{"sub":"ann","exp":\#(seconds)}"#)
        #expect(await Self.failure(exp, authority) == (isFuture ? nil : .expired))
        let nbf = Self.token(#"{"sub":"ann","exp":1800000000,"nbf":\#(seconds)}"#)
        #expect(await Self.failure(nbf, authority) == (isFuture ? .notYetValid : nil))
    }

    @Test func `issuer and audience are demanded when configured`() async throws {
        let issuer = try await Self.authority { $0.issuer = "me" }
        #expect(await Self.failure(Self.token(Self.good), issuer) == .issuer)
        #expect(await Self.failure(Self.token(#"{"sub":"a","exp":1700000100,"iss":"you"}"#), issuer) == .issuer)
        #expect(await Self.failure(Self.token(#"{"sub":"a","exp":1700000100,"iss":"me"}"#), issuer) == nil)
        let audience = try await Self.authority { $0.audience = "grid" }
        #expect(await Self.failure(Self.token(Self.good), audience) == .audience)
        #expect(await Self.failure(Self.token(#"{"sub":"a","exp":1700000100,"aud":"other"}"#), audience) == .audience)
        #expect(await Self.failure(Self.token(#"{"sub":"a","exp":1700000100,"aud":"grid"}"#), audience) == nil)
        #expect(await Self.failure(Self.token(#"{"sub":"a","exp":1700000100,"aud":["x","grid"]}"#), audience) == nil)
        #expect(await Self.failure(Self.token(#"{"sub":"a","exp":1700000100,"aud":[]}"#), audience) == .audience)
    }

    @Test func `M02 what is no token is malformed`() async throws {
        let authority = try await Self.authority()
        let token = Self.token(Self.good)
        for text in [
            "", ".", "..", "...", "a.b.c", token + ".x", String(token.dropLast(token.count / 2)),
            "é.é.é", String(repeating: "x", count: 1_000_000), token.replacing(".", with: "+."),
        ] {
            #expect(await Self.failure(text, authority) == .malformed, "\(text.prefix(20))")
        }
    }

    @Test func `O06 secrets are rotated without an outage`() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "topgun-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: file) }
        try "old secret\n".write(to: file, atomically: true, encoding: .utf8)
        let authority = try await TokenAuthority(TokenRules(key: .file(file.path)), clock: FixedClock())
        #expect(authority.weakSecretBytes == 10)
        let old = Self.token(Self.good, secret: "old secret")
        let new = Self.token(Self.good, secret: Self.secret)
        #expect(await Self.failure(old, authority) == nil)
        #expect(await Self.failure(new, authority) == .signature)

        try "\(Self.secret)\nold secret\n".write(to: file, atomically: true, encoding: .utf8)
        try await authority.reload()
        #expect(await Self.failure(old, authority) == nil)
        #expect(await Self.failure(new, authority) == nil)

        try "\(Self.secret)\n".write(to: file, atomically: true, encoding: .utf8)
        try await authority.reload()
        #expect(await Self.failure(old, authority) == .signature)
        #expect(await Self.failure(new, authority) == nil)
        #expect(authority.weakSecretBytes == nil)

        try "\n".write(to: file, atomically: true, encoding: .utf8)
        await #expect(throws: ServerError.self) { try await authority.reload() }
        #expect(await Self.failure(new, authority) == nil)
    }

    @Test func `a key that is none stops it`() async {
        for key in ["", "  \n", "-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"] {
            await #expect(throws: ServerError.self) { try await Self.authority(key) }
        }
        await #expect(throws: ServerError.self) {
            try await TokenAuthority(TokenRules(key: .file("/nowhere/at/all")), clock: FixedClock())
        }
    }
}
