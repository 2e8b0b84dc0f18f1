import Crypto
import Foundation
import Synchronization
import TopGunEnvironment
import TopGunSimulation

@testable import TopGunServer

extension FuzzTarget {
    /// What a client presents to be let in: a token, or a device's credential.
    ///
    /// Nothing traps. A token is taken only if it is signed with the secret, says the key's algorithm and nothing of
    /// other keys, and has not ended; one that was signed with the secret is judged by its claims alone.
    ///
    /// ```
    /// u8 0: the token   1: header piece, claims; signed with the secret   2: a credential
    /// ```
    static let token = FuzzTarget(
        name: "token", lengthMax: 32_768,
        seeds: {
            let header = Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8)
            let claims = [
                #"{"sub":"ann","exp":1800000000}"#, #"{"sub":"ann","exp":1800000000.5,"roles":["admin"],"nbf":1}"#,
                #"{"sub":"ann","exp":1e300,"aud":["grid","x"],"iss":"me"}"#, #"{"sub":"","exp":1800000000}"#,
                #"{"sub":"ann","exp":"soon"}"#, "[]", "{}", "null", #"{"exp":-1e308,"sub":"\u0000"}"#,
            ].map { Array($0.utf8) }
            let headers = [
                #"{"alg":"none"}"#, #"{"alg":"HS256","jku":"x"}"#, #"{"alg":"HS256","crit":["exp"]}"#, "{}",
                #"{"alg":"RS256","kid":"a"}"#, #"{"alg":"HS256","jwk":{}}"#,
            ].map { Array($0.utf8) }
            let good = TokenReading.signed(header: header, claims: claims[0])
            let foreign = [good, Array(good.dropLast(3)), Array("a.b.c".utf8), Array("..".utf8)]
            let credential = "01234567-89ab-4def-89ab-0123456789ab." + String(repeating: "a", count: 64)
            var seeds: [[UInt8]] = [[2] + Array(credential.utf8)]
            for token in foreign { seeds.append([0] + token) }
            for claims in claims { seeds.append([1] + FuzzInput.piece(header) + claims) }
            for header in headers { seeds.append([1] + FuzzInput.piece(header) + claims[0]) }
            return seeds
        },
        words: words(
            "alg", "HS256", "RS256", "none", "typ", "kid", "jku", "jwk", "x5u", "x5c", "crit", "sub", "exp", "nbf",
            "iat",
            "iss", "aud", "roles", "admin", "1800000000", "1e300", "null", "true", #"\u0000"#, "eyJ", "."),
        body: { bytes in
            var input = FuzzInput(bytes)
            switch input.byte() % 3 {
            case 0: TokenReading.checkForeign(Array(input.rest))
            case 1:
                let header = Array(input.piece())
                TokenReading.checkSigned(header: header, claims: Array(input.rest))
            default: TokenReading.checkCredential(String(decoding: input.rest, as: UTF8.self))
            }
        })
}

private enum TokenReading {
    private static let secret = "a secret of more than thirty-two bytes, as it should be"
    private static let nowMillis = StillClock().wallMillis()

    private static func base64URL(_ bytes: some DataProtocol) -> [UInt8] {
        Data(bytes).base64EncodedData().compactMap { byte in
            switch byte {
            case UInt8(ascii: "+"): UInt8(ascii: "-")
            case UInt8(ascii: "/"): UInt8(ascii: "_")
            case UInt8(ascii: "="): nil
            default: byte
            }
        }
    }

    static func signed(header: [UInt8], claims: [UInt8]) -> [UInt8] {
        let signed = base64URL(header) + [UInt8(ascii: ".")] + base64URL(claims)
        return signed + [UInt8(ascii: ".")] + base64URL(signature(of: signed))
    }

    private static func signature(of signed: [UInt8]) -> [UInt8] {
        Array(
            HMAC<SHA256>.authenticationCode(for: Data(signed), using: SymmetricKey(data: Data(secret.utf8))))
    }

    /// What the authority says; its actors run on a simulated loop, so that no other thread is needed.
    private static func verify(_ token: String) -> Result<Principal, AuthFailure> {
        let scheduler = SimulatedScheduler(seed: 1)
        let spawner = SimulatedSpawner(node: "node", loops: 1, scheduler: scheduler)
        let answer = Answer()
        spawner.spawn("verify") {
            do throws(ServerError) {
                let authority = try await TokenAuthority(TokenRules(key: .text(secret)), clock: StillClock())
                let result = await authority.verify(token)
                answer.held.withLock { $0 = result }
            } catch {
                fatalError("no authority: \(error)")
            }
        }
        scheduler.runUntilIdle()
        guard let result = answer.held.withLock({ $0 }) else { fatalError("a token without an answer") }
        return result
    }

    private final class Answer: Sendable {
        let held = Mutex<Result<Principal, AuthFailure>?>(nil)
    }

    // MARK: Checks

    static func checkForeign(_ bytes: [UInt8]) {
        let token = String(decoding: bytes, as: UTF8.self)
        guard case .success(let principal) = verify(token) else { return }
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        expect(parts.count == 3, "a token of \(parts.count) parts was taken")
        let signed = Array("\(parts[0]).\(parts[1])".utf8)
        expect(Array(parts[2].utf8) == base64URL(signature(of: signed)), "a token was taken with another signature")
        check(principal)
    }

    static func checkSigned(header: [UInt8], claims: [UInt8]) {
        let token = String(decoding: signed(header: header, claims: claims), as: UTF8.self)
        switch verify(token) {
        case .success(let principal):
            expect(token.utf8.count <= Limits.tokenBytesMax, "a token above the limit was taken")
            check(principal)
            checkHeader(header)
            // The two readers of JSON differ in what they let pass inside of texts that nobody looks at.
            if let said = object(claims) {
                expect(said["sub"] as? String == principal.subject, "another subject than the token's")
            }
        case .failure(let failure):
            // What signs right and says the right algorithm fails for what it says, never for its signature.
            guard token.utf8.count <= Limits.tokenBytesMax, header == Array(#"{"alg":"HS256","typ":"JWT"}"#.utf8) else {
                return
            }
            expect(failure.code != .signature && failure.code != .algorithm, "a right signature is \(failure)")
        }
    }

    private static func checkHeader(_ header: [UInt8]) {
        guard let said = object(header) else { return }
        expect(said["alg"] as? String == "HS256", "a token was taken with another algorithm")
        for name in ["crit", "jku", "jwk", "x5u", "x5c"] {
            expect(said[name] == nil || said[name] is NSNull, "a token was taken that brings \(name)")
        }
    }

    private static func check(_ principal: Principal) {
        expect(!principal.subject.isEmpty, "a principal without a name")
        expect(principal.expiresAtMillis > nowMillis - 60_000, "a token that has ended was taken")
    }

    /// By another reader of JSON than the product's.
    private static func object(_ bytes: [UInt8]) -> [String: Any]? {
        // What is no JSON is no object.
        (try? JSONSerialization.jsonObject(with: Data(bytes))) as? [String: Any]
    }

    static func checkCredential(_ text: String) {
        guard let credential = DeviceCredential(text) else { return }
        guard let again = DeviceCredential(credential.text) else { fatalError("a credential does not come back") }
        expect(again == credential && again.digest == credential.digest, "a credential comes back as another")
        expect(text.lowercased() == credential.text, "a credential is not what was presented")
    }
}
