import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

@Suite struct ClientSessionTests {
    private static let anonymous = ClientSession.Identity(
        userID: nil, nameSpace: "", mayRead: true, mayWrite: true, expiresAtMillis: nil)
    private static let ada = ClientSession.Identity(
        userID: "ada", nameSpace: "", mayRead: true, mayWrite: true, expiresAtMillis: 1_000_000)

    private func session(authentication: Bool, offering features: FeatureSet = [.results, .flow]) -> ClientSession {
        ClientSession(
            terms: ClientSession.Terms(requiresAuthentication: authentication, features: features),
            anonymous: Self.anonymous, nowMillis: 0)
    }

    // MARK: Without authentication

    @Test func `without authentication a client may write from the start`() {
        let session = session(authentication: false)
        let (opening, identity) = (session.opening, session.identity)
        #expect(opening == .nothing)
        #expect(identity == Self.anonymous)
    }

    @Test func `a client with a token is answered though nobody asked for one`() {
        var session = session(authentication: false)
        let first = session.authenticate(token: "t", version: nil, features: [])
        let second = session.authenticate(token: "t", version: nil, features: [])
        #expect(first == .acknowledgeAuthentication(userID: nil, announced: false))
        #expect(second == .nothing)
    }

    @Test func `a device is greeted once and gets the features both sides have`() {
        var session = session(authentication: false)
        let first = session.greetDevice(version: 3, features: [.results, .delta])
        let second = session.greetDevice(version: 3, features: [.results, .delta])
        let features = session.features
        #expect(first == .acknowledgeDevice(announced: true))
        #expect(second == .nothing)
        #expect(features == [.results])
    }

    @Test func `a client that names no version has no features whatever it lists`() {
        var session = session(authentication: false)
        let answer = session.greetDevice(version: 1, features: [.results])
        let features = session.features
        #expect(answer == .acknowledgeDevice(announced: false))
        #expect(features == [])
    }

    // MARK: With authentication

    @Test func `with authentication a device is not answered in any way`() {
        var session = session(authentication: true)
        let opening = session.opening
        let answer = session.greetDevice(version: 3, features: [.results])
        let identity = session.identity
        #expect(opening == .demandAuthentication)
        #expect(answer == .nothing)
        #expect(identity == nil)
    }

    @Test func `the second AUTH is no error, before the verdict and after it`() {
        var session = session(authentication: true)
        let first = session.authenticate(token: "t", version: 3, features: [.results])
        let second = session.authenticate(token: "t", version: 3, features: [.results])
        let verdict = session.verified(Self.ada)
        let third = session.authenticate(token: "t", version: 3, features: [.results])
        let identity = session.identity
        #expect(first == .verify(token: "t"))
        #expect(second == .nothing)
        #expect(verdict == .acknowledgeAuthentication(userID: "ada", announced: true))
        #expect(third == .nothing)
        #expect(identity == Self.ada)
    }

    @Test func `M02 a refused token ends the session`() {
        var session = session(authentication: true)
        _ = session.authenticate(token: "t", version: nil, features: [])
        let verdict = session.verified(nil)
        let isClosed = session.isClosed
        #expect(verdict == .refuseAuthentication)
        #expect(isClosed)
    }

    @Test func `M03 a newer token renews the session and another user's ends it`() {
        var session = session(authentication: true)
        _ = session.authenticate(token: "t", version: nil, features: [])
        _ = session.verified(Self.ada)
        let renewal = session.authenticate(token: "newer", version: nil, features: [])
        var later = Self.ada
        later.expiresAtMillis = 2_000_000
        let renewed = session.verified(later)
        let identity = session.identity
        #expect(renewal == .verify(token: "newer"))
        #expect(renewed == .acknowledgeAuthentication(userID: "ada", announced: false))
        #expect(identity == later)

        _ = session.authenticate(token: "bob's", version: nil, features: [])
        var bob = later
        bob.userID = "bob"
        let verdict = session.verified(bob)
        let after = session.identity
        #expect(verdict == .refuseAuthentication)
        #expect(after == nil)
    }

    // MARK: Time

    @Test func `M04 ten seconds without a word end a connection that must say who it is`() {
        var session = session(authentication: true)
        let early = session.timePassed(nowMillis: 10_000, wallMillis: 0)
        let late = session.timePassed(nowMillis: 10_001, wallMillis: 0)
        #expect(early == .nothing)
        #expect(late == .close(code: 1000, reason: "handshake timeout"))
    }

    @Test func `an open connection may be silent for sixty seconds`() {
        var session = session(authentication: false)
        session.heard(nowMillis: 5_000)
        let early = session.timePassed(nowMillis: 65_000, wallMillis: 0)
        let late = session.timePassed(nowMillis: 65_001, wallMillis: 0)
        let again = session.timePassed(nowMillis: 99_000, wallMillis: 0)
        #expect(early == .nothing)
        #expect(late == .close(code: 1000, reason: "idle timeout"))
        #expect(again == .nothing)
    }

    @Test func `where nobody has to say who he is, a client that never says a word has sixty seconds`() {
        var session = session(authentication: false)
        let beyondHandshake = session.timePassed(nowMillis: 10_001, wallMillis: 0)
        let early = session.timePassed(nowMillis: 60_000, wallMillis: 0)
        let late = session.timePassed(nowMillis: 60_001, wallMillis: 0)
        #expect(beyondHandshake == .nothing)
        #expect(early == .nothing)
        #expect(late == .close(code: 1000, reason: "idle timeout"))
    }

    @Test func `M04 words that are no accepted token do not prolong the ten seconds`() {
        var session = session(authentication: true)
        session.heard(nowMillis: 9_000)
        _ = session.authenticate(token: "t", version: nil, features: [])
        session.heard(nowMillis: 10_000)
        let late = session.timePassed(nowMillis: 10_001, wallMillis: 0)
        #expect(late == .close(code: 1000, reason: "handshake timeout"))
    }

    @Test func `M03 an expired token ends a live connection`() {
        var session = session(authentication: true)
        _ = session.authenticate(token: "t", version: nil, features: [])
        _ = session.verified(Self.ada)
        let early = session.timePassed(nowMillis: 1, wallMillis: 1_000_000)
        let late = session.timePassed(nowMillis: 2, wallMillis: 1_000_001)
        #expect(early == .nothing)
        #expect(late == .close(code: 1008, reason: "token expired"))
    }

    // MARK: Any order

    @Test(arguments: 0..<500)
    func `whatever the order of greetings, nobody gets in without a verdict`(_ seed: UInt64) {
        var generator = Generator(seed: seed)
        var session = session(authentication: true)
        var asked = false
        var accepted = false
        for step in 0..<50 {
            switch Int.random(in: 0..<5, using: &generator) {
            case 0:
                let token = ["a", "b"].randomElement(using: &generator)!
                let action = session.authenticate(token: token, version: 3, features: [.flow])
                if action == .verify(token: token) { asked = true }
            case 1:
                let action = session.greetDevice(version: 3, features: [.flow])
                #expect(action == .nothing, "seed \(seed)")
            case 2:
                let verdict = Bool.random(using: &generator) ? Self.ada : nil
                let action = session.verified(verdict)
                if action == .acknowledgeAuthentication(userID: "ada", announced: true) {
                    #expect(asked, "seed \(seed)")
                    accepted = true
                }
                if action == .refuseAuthentication { accepted = false }
                asked = false
            case 3: session.heard(nowMillis: Int64(step))
            default: _ = session.timePassed(nowMillis: Int64(step), wallMillis: 0)
            }
            let isOpen = session.identity != nil
            #expect(isOpen == accepted, "seed \(seed) step \(step)")
        }
    }
}

@Suite struct TokenBucketTests {
    @Test func `M20 what a flood costs is paid by not being read`() {
        var bucket = TokenBucket(perSecond: 1_000, burst: 2_000, nowNanos: 0)
        #expect(bucket.take(2_000, nowNanos: 0) == 0)
        #expect(bucket.take(500, nowNanos: 0) == 500)
        #expect(bucket.take(0, nowNanos: 500_000_000) == 0)
        #expect(bucket.take(1, nowNanos: 500_000_000) == 1)
    }

    @Test func `a clock that goes back gives nothing away and takes nothing`() {
        var bucket = TokenBucket(perSecond: 1_000, burst: 10, nowNanos: 1_000_000_000)
        #expect(bucket.take(10, nowNanos: 0) == 0)
        #expect(bucket.take(1, nowNanos: 1_000_000_000) == 1)
    }

    @Test func `no pause is longer than the limit`() {
        var bucket = TokenBucket(perSecond: 1, burst: 1, nowNanos: 0)
        #expect(bucket.take(1_000_000, nowNanos: 0) == Limits.readPauseMillisMax)
    }
}

@Suite struct ReservedNamesTests {
    @Test(arguments: ["_topgun_x", "__topgun_x", "_TopGun_", "__TOPGUN_policies"])
    func `M14 reserved names are seen whatever their case`(_ name: String) {
        #expect(ByteString(name).isReserved)
    }

    @Test(arguments: ["topgun_x", "_topgu", "_", "", "___topgun_x", "x_topgun_", "todos"])
    func `M14 other names are free`(_ name: String) {
        #expect(!ByteString(name).isReserved)
    }
}
