import Testing
import TopGunModel

@testable import TopGunSimulation

/// Each checker against histories made by hand: one in which its promise holds, and one for each way to break it.
@Suite struct CheckerTests {
    private let one = Event.stamp(1)
    private let two = Event.stamp(2)
    private let three = Event.stamp(3, node: "b")

    // MARK: AckSurvival

    @Test func `a write that stands, or that something newer replaced, has survived`() {
        let checker = Checker.ackSurvival
        #expect(
            checker.findings(
                Event.stored("c", 1, "k", 7, one), Event.acknowledged("c", 1), Event.holds("auditor-0", "k", 7, one)
            ).isEmpty)
        #expect(
            checker.findings(
                Event.stored("c", 1, "k", 7, one), Event.acknowledged("c", 1), Event.holds("auditor-0", "k", 8, three)
            ).isEmpty)
    }

    @Test func `a write that is gone, or older than what stood before it, is lost`() {
        let checker = Checker.ackSurvival
        let gone = checker.findings(
            Event.stored("c", 1, "k", 7, two), Event.acknowledged("c", 1), Event.holds("auditor-0", "other", 9, one))
        #expect(gone == ["c's operation 1, acknowledged at replicated, is lost: m/k has no record for auditor-0"])
        let older = checker.findings(
            Event.stored("c", 1, "k", 7, two), Event.holds("auditor-0", "k", 8, one))
        #expect(older == ["c's operation 1 of 2:0:a, never acknowledged, is lost: m/k has 1:0:a for auditor-0"])
    }

    @Test func `another value under the stamp of a write is its loss, unless the write has got a new stamp since`() {
        let written = [Event.stored("c", 1, "k", 7, two), Event.stored("d", 1, "k", 8, two)]
        let end = [Event.holds("auditor-0", "k", 8, two)]
        let lost = Checker.ackSurvival.check(History(written + end)).map(\.message)
        #expect(
            lost == ["c's operation 1, never acknowledged, is lost: m/k has another value under 2:0:a for auditor-0"])
        for op: UInt64 in [1, 2] {
            let again = [Event.stored("c", op, "k", 7, Event.stamp(2, node: "Z"), kind: .restamped)]
            #expect(Checker.ackSurvival.check(History(written + again + end)).isEmpty)
        }
    }

    @Test func `a restart that loses a write is found by the second look at the node`() {
        let findings = Checker.ackSurvival.findings(
            Event.stored("c", 1, "k", 7, one), Event.acknowledged("c", 1), Event.holds("auditor-0", "k", 7, one),
            Event.root("auditor-1", 0))
        #expect(findings.count == 1 && findings[0].hasSuffix("auditor-1"))
    }

    @Test func `a refused write need not survive, and a restamped one counts under its last stamp`() {
        #expect(
            Checker.ackSurvival.findings(
                Event.stored("c", 1, "k", 7, two), Event.refused("c", 1), Event.root("auditor-0", 0)
            ).isEmpty)
        #expect(
            Checker.ackSurvival.findings(
                Event.stored("c", 1, "k", 7, Event.stamp(900)), Event.stored("c", 1, "k", 7, two, kind: .restamped),
                Event.holds("auditor-0", "k", 7, two)
            ).isEmpty)
    }

    // MARK: AckHonesty

    @Test func `what breaks the rules is refused with its code, or cannot be judged at present`() {
        let findings = { (code: String, answer: HistoryEvent) in
            Checker.ackHonesty.findings(Event.offended("s", 1, code), answer)
        }
        for code in ["BAD_STAMP", "NODE_FULL", "NOT_READY", "BUSY"] {
            #expect(findings("BAD_STAMP", Event.refusal("s", 1, code)).isEmpty)
        }
        #expect(findings("BAD_STAMP", Event.refusal("s", 1, "CLOCK_AHEAD")).count == 1)
        #expect(findings("REPLICA_ID_CONFLICT", Event.refusal("s", 1, "CLOCK_AHEAD")).isEmpty)
        #expect(
            findings("BAD_STAMP", Event.refusal("s", 1, "TOO_LARGE"))
                == ["s's operation 1 is refused as TOO_LARGE, not refused as BAD_STAMP"])
        #expect(
            findings("BAD_STAMP", Event.acknowledged("s", 1, isDurable: nil))
                == ["s's operation 1 is taken, not refused as BAD_STAMP"])
        #expect(findings("BAD_STAMP", Event.acknowledged("other", 1, isDurable: nil)).isEmpty)
    }

    @Test func `another write under a known stamp is refused, or superseded, and then rises as what stands there`() {
        let offended = Event.offended("s", 1, "REPLICA_ID_CONFLICT")
        let rise = Event.acknowledged("s", 1, .replicated, isDurable: nil)
        var superseded = Event.acknowledged("s", 1, .memory, isDurable: nil)
        #expect(Checker.ackHonesty.findings(offended, superseded).count == 1)
        superseded.isSuperseded = true
        #expect(Checker.ackHonesty.findings(offended, superseded, rise).isEmpty)
        #expect(Checker.ackHonesty.findings(offended, Event.refusal("s", 1, "REPLICA_ID_CONFLICT"), rise).count == 1)
        #expect(Checker.ackHonesty.findings(Event.offended("s", 1, "BAD_STAMP"), superseded).count == 1)
    }

    @Test func `an acknowledgement before the write is on disk is dishonest, one of MEMORY is not`() {
        #expect(Checker.ackHonesty.findings(Event.acknowledged("c", 1)).isEmpty)
        #expect(Checker.ackHonesty.findings(Event.acknowledged("c", 1, .memory, isDurable: false)).isEmpty)
        #expect(Checker.ackHonesty.findings(Event.acknowledged("c", 1, .applied, isDurable: false)).count == 1)
    }

    @Test func `an application is told no level that no node acknowledged`() {
        var reached = HistoryEvent(.reached, "c")
        reached.op = 1
        reached.level = .replicated
        #expect(Checker.ackHonesty.findings(Event.acknowledged("c", 1), reached).isEmpty)
        #expect(Checker.ackHonesty.findings(reached, Event.acknowledged("c", 1)).count == 1)
        #expect(Checker.ackHonesty.findings(Event.acknowledged("c", 1, .memory, isDurable: nil), reached).count == 1)
        #expect(Checker.ackHonesty.findings(Event.acknowledged("d", 1), reached).count == 1)
    }

    @Test
    func `an application is told no refusal that no node gave for good, and no write is called stored before it is`() {
        let checker = Checker.ackHonesty
        let refused = Event.refused("c", 1)
        #expect(checker.findings(Event.refusal("c", 1, "FORBIDDEN"), refused).isEmpty)
        #expect(checker.findings(refused).count == 1)
        #expect(checker.findings(Event.refusal("c", 1, "NODE_FULL"), refused).count == 1)
        #expect(checker.findings(Event.refusal("c", 2, "FORBIDDEN"), refused).count == 1)
        #expect(checker.findings(Event.stored("c", 1, "k", 7, one), Event.saved("c", 1)).isEmpty)
        #expect(checker.findings(Event.saved("c", 1), Event.stored("c", 1, "k", 7, one)).count == 1)
    }

    @Test func `a word that an operation takes longer claims no more than is true`() {
        let late = { Event.acknowledged("c", 1, $0, isDurable: $1, kind: .late) }
        #expect(Checker.ackHonesty.findings(late(.none, nil), late(.memory, nil), late(.applied, true)).isEmpty)
        #expect(
            Checker.ackHonesty.findings(late(.applied, false))
                == ["node-0 called c's operation 1 applied, which is not on its disk"])
        var reached = HistoryEvent(.reached, "c")
        reached.op = 1
        reached.level = .replicated
        #expect(Checker.ackHonesty.findings(late(.applied, true), reached).count == 1)
    }

    // MARK: Convergence

    @Test func `all hold the same, or they have not converged`() {
        let same = [Event.holds("auditor-0", "k", 7, one), Event.holds("c", "k", 7, one)]
        #expect(Checker.convergence.check(History(same)).isEmpty)
        #expect(
            Checker.convergence.findings(Event.holds("auditor-0", "k", 7, two), Event.holds("c", "k", 6, one))
                == ["m/k: c has value 6 of 1:0:a, auditor-0 has value 7 of 2:0:a"])
        #expect(
            Checker.convergence.findings(Event.holds("auditor-0", "k", 7, two), Event.root("c", 0))
                == ["m/k: c has nothing, auditor-0 has value 7 of 2:0:a"])
    }

    @Test func `a node whose tree differs from those who hold its content has not converged`() {
        let content = [Event.holds("auditor-0", "k", 7, one), Event.root("auditor-0", 5)]
        #expect(Checker.convergence.check(History(content + [Event.root(Event.node, 5, to: "c")])).isEmpty)
        #expect(Checker.convergence.check(History(content + [Event.root(Event.node, 6, to: "c")])).count == 1)
    }

    // MARK: NoPhantom

    @Test func `a value is read where it was written and nowhere else`() {
        let written = Event.wrote("c", "k", 7, one)
        #expect(Checker.noPhantom.findings(written, Event.read("d", "k", 7, one)).isEmpty)
        #expect(Checker.noPhantom.findings(written, Event.read("d", "other", 7, one)).count == 1)
        #expect(Checker.noPhantom.findings(written, Event.read("d", "k", 8, one)).count == 1)
    }

    @Test func `nothing is shown before it is on disk, and nothing refused stands at the end`() {
        #expect(Checker.noPhantom.findings(Event.shown(7, isDurable: true)).isEmpty)
        #expect(Checker.noPhantom.findings(Event.shown(7, isDurable: false)).count == 1)
        #expect(
            Checker.noPhantom.findings(
                Event.wrote("c", "k", 7, one), Event.stored("c", 1, "k", 7, one), Event.refused("c", 1),
                Event.holds("auditor-0", "k", 7, one)
            ).count == 1)
    }

    @Test func `a removal is somebody's, or the end of a value`() {
        let checker = Checker.noPhantom
        #expect(checker.findings(Event.stored("c", 1, "k", nil, one), Event.holds("auditor-0", "k", nil, one)).isEmpty)
        #expect(
            checker.findings(Event.stored("c", 1, "k", nil, one), Event.holds("auditor-0", "k", nil, two))
                == ["m/k was removed at 2:0:a, which nobody did"])
        let mortal = Event.stored("c", 1, "k", 7, one, ttl: 10)
        #expect(checker.findings(mortal, Event.holds("auditor-0", "k", nil, Event.stamp(11, node: "node"))).isEmpty)
        #expect(checker.findings(mortal, Event.holds("auditor-0", "k", nil, Event.stamp(12, node: "node"))).count == 1)
        #expect(checker.findings(mortal, Event.holds("auditor-0", "k", nil, Event.stamp(11, 1))).count == 1)
    }

    @Test func `a value is its token, its length and its filling, and no other value's`() {
        let payload = Token.payload(7, length: 60)
        #expect(Token.of(payload) == 7)
        #expect(Token.of(.tombstone) == nil)
        var bytes = Array(payload.bytes)
        bytes[50] ^= 1
        #expect(Token.of(Payload(bytes)) == Token.broken)
        #expect(Token.of(Payload(Array(payload.bytes.dropLast()))) == Token.broken)
        let other = Array(Token.payload(8, length: 60).bytes)
        #expect(Token.of(Payload(Array(payload.bytes.prefix(30)) + other[30...])) == Token.broken)
    }

    // MARK: NoResurrection

    @Test func `a value that has ended is held by nobody`() {
        let mortal = Event.stored("c", 1, "k", 7, one, ttl: 10)
        let held = Event.holds("d", "k", 7, one)
        let end = 11 + Limits.expiryMillisMax
        #expect(Checker.noResurrection.findings(mortal, Event.healed(wall: end), held).isEmpty)
        #expect(Checker.noResurrection.findings(mortal, Event.healed(wall: end + 1), held).count == 1)
        #expect(
            Checker.noResurrection.findings(
                mortal, Event.stored("c", 1, "k", 7, two, ttl: 10, kind: .restamped), Event.healed(wall: end + 1), held
            ).isEmpty)
    }

    @Test func `a removal that was acknowledged is undone by something newer only`() {
        let removal = [Event.stored("c", 1, "k", nil, two), Event.acknowledged("c", 1, isDurable: nil)]
        #expect(Checker.noResurrection.check(History(removal + [Event.holds("d", "k", 8, three)])).isEmpty)
        #expect(Checker.noResurrection.check(History(removal + [Event.holds("d", "k", nil, two)])).isEmpty)
        #expect(Checker.noResurrection.check(History(removal + [Event.holds("d", "k", 7, one)])).count == 1)
    }

    // MARK: Session

    @Test func `a client reads what it wrote and never goes back`() {
        #expect(Checker.session.findings(Event.wrote("c", "k", 7, two), Event.read("c", "k", 7, two)).isEmpty)
        #expect(Checker.session.findings(Event.wrote("c", "k", 7, two), Event.read("c", "k", 6, one)).count == 1)
        #expect(Checker.session.findings(Event.wrote("c", "k", 7, two), Event.read("c", "k", nil, nil)).count == 1)
        #expect(Checker.session.findings(Event.read("c", "k", 7, two), Event.read("c", "k", 6, one)).count == 1)
        #expect(Checker.session.findings(Event.read("c", "k", 7, two), Event.read("d", "k", 6, one)).isEmpty)
    }

    @Test func `a new run, a write that was not stored and a new stamp may go back`() {
        let before = Event.wrote("c", "k", 7, two)
        let after = Event.read("c", "k", 6, one)
        for between in [
            Event.fault(.clientCrash, "c"), HistoryEvent(.notStored, "c"), HistoryEvent(.clockAhead, "c"),
        ] {
            #expect(Checker.session.findings(before, between, after).isEmpty)
        }
        #expect(Checker.session.findings(before, Event.fault(.clientCrash, "d"), after).count == 1)
    }

    // MARK: OnceEffects

    @Test func `a value stands under a stamp that its author gave it`() {
        let written = Event.wrote("c", "k", 7, one)
        #expect(Checker.onceEffects.findings(written, Event.holds("auditor-0", "k", 7, one)).isEmpty)
        #expect(
            Checker.onceEffects.findings(written, Event.holds("auditor-0", "k", 7, three))
                == ["value 7 stands at m/k under 3:0:b, which nobody gave it"])
        #expect(
            Checker.onceEffects.findings(
                written, Event.stored("c", 1, "k", 7, two, kind: .restamped), Event.holds("auditor-0", "k", 7, two)
            ).isEmpty)
    }

    // MARK: ClockSanity

    @Test func `stamps of one node id grow`() {
        #expect(
            Checker.clockSanity.findings(
                Event.stored("c", 1, "k", 7, two), Event.stored("d", 1, "k", 8, Event.stamp(1, node: "b"))
            ).isEmpty)
        #expect(
            Checker.clockSanity.findings(Event.stored("c", 1, "k", 7, two), Event.stored("c", 2, "k", 8, two)).count
                == 1)
        #expect(
            Checker.clockSanity.findings(Event.stored("c", 1, "k", 7, two), Event.stored("c", 2, "k", 8, one)).count
                == 1)
    }

    @Test func `where a store was copied the stamps of each device grow, and no others may be the same`() {
        let both = [Event.stored("c", 1, "k", 7, two), Event.stored("d", 1, "k", 8, two)]
        #expect(Checker.clockSanity.check(History(both)).count == 1)
        var copying = Event.fault(.storeCopied, "c")
        #expect(Checker.clockSanity.check(History([copying] + both)).count == 1, "the id was not in the store")
        copying.note = two.node
        let copied = [copying] + both
        #expect(Checker.clockSanity.check(History(copied)).isEmpty)
        #expect(Checker.clockSanity.check(History(copied + [Event.stored("d", 2, "k", 9, one)])).count == 1)
    }

    @Test func `a write that is offered again as it was is no new stamp, another one under its stamp is`() {
        let written = [Event.stored("c", 1, "k", 7, one), Event.stored("c", 2, "k", 8, two)]
        let verdict = { Checker.clockSanity.check(History(written + [$0])).count }
        #expect(verdict(Event.stored("c", 3, "k", 7, one)) == 0)
        #expect(verdict(Event.stored("c", 3, "k", 9, one)) == 1)
        #expect(verdict(Event.stored("c", 3, "other", 7, one)) == 1)
        #expect(verdict(Event.stored("c", 2, "k", 7, one, kind: .restamped)) == 1)
    }

    @Test func `nothing is taken that lies more than a minute ahead of the node's clock`() {
        for (ahead, count) in [(60_000, 0), (60_001, 1)] {
            #expect(
                Checker.clockSanity.findings(
                    Event.stored("c", 1, "k", 7, Event.stamp(1_000 + Int64(ahead))),
                    Event.acknowledged("c", 1, wall: 1_000)
                ).count == count)
        }
    }

    @Test func `nothing stands at the end that lies more than a minute ahead, whoever was told what of it`() {
        for (ahead, count) in [(60_000, 0), (60_001, 1)] {
            #expect(
                Checker.clockSanity.findings(
                    Event.healed(wall: 1_000), Event.holds("auditor-0", "k", 7, Event.stamp(1_000 + Int64(ahead)))
                ).count == count)
        }
    }

    @Test func `who says only that a write has come in does not say that it stands`() {
        let stored = Event.stored("c", 1, "k", 7, Event.stamp(315_360_000_000))
        let late = { Event.acknowledged("c", 1, $0, isDurable: nil, wall: 1_000, kind: .late) }
        #expect(Checker.clockSanity.findings(stored, late(.none)).isEmpty)
        #expect(
            Checker.clockSanity.findings(stored, late(.memory))
                == ["c's operation 1 is said to stand with 315360000000:0:a, from the future"])
    }

    // MARK: Bounds and Liveness

    @Test func `what is measured stays within its limit`() {
        var event = HistoryEvent(.bound, "c")
        event.note = "bytes"
        event.count = 10
        event.limit = 10
        #expect(Checker.bounds.findings(event).isEmpty)
        event.count = 11
        #expect(Checker.bounds.findings(event) == ["c: 11 bytes, at most 10 allowed"])
    }

    @Test func `after faults end everything comes to rest`() {
        let healed = HistoryEvent(.healed, "world")
        #expect(Checker.liveness.findings(healed, HistoryEvent(.quiet, "world")).isEmpty)
        #expect(Checker.liveness.findings(healed).count == 1)
        #expect(Checker.liveness.findings(healed, HistoryEvent(.stuck, "c")).count == 1)
        #expect(
            Checker.liveness.findings(
                healed, HistoryEvent(.refusedToStart, Event.node), HistoryEvent(.quiet, "world")
            ).count == 1)
        #expect(
            Checker.liveness.findings(
                healed, HistoryEvent(.refusedToStart, Event.node), HistoryEvent(.serving, Event.node),
                HistoryEvent(.quiet, "world")
            ).isEmpty)
    }
}
