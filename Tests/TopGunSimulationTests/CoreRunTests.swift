import Testing

@testable import TopGunSimulation

/// The first harness level: cores alone against a dictionary.
@Suite struct CoreRunTests {
    @Test(arguments: 1...20) func `cores do to every write what a dictionary does`(seed: Int) {
        let outcome = CoreRun(seed: UInt64(seed)).run(steps: 3_000)
        #expect(outcome.violations.isEmpty, "seed \(seed)")
        #expect(outcome.steps >= 3_000)
    }

    @Test func `the same seed is the same run of cores`() {
        let runs = [7, 7, 8].map { CoreRun(seed: $0).run(steps: 2_000).fingerprint }
        #expect(runs[0] == runs[1] && runs[0] != runs[2])
    }

    @Test func `the naive model orders versions by stamp, and what is loaded by content too`() {
        let one = NaiveVersion(millis: 1, counter: 0, writer: 0, value: 7)
        let two = NaiveVersion(millis: 1, counter: 1, writer: 0, value: nil)
        #expect(one.order(to: two) == .older && two.order(to: one) == .newer && one.order(to: one) == .same)
        let twin = NaiveVersion(millis: 1, counter: 0, writer: 0, value: 8)
        #expect(twin.replacesLoaded(one) && !one.replacesLoaded(twin) && !one.replacesLoaded(two))
        let mortal = NaiveVersion(millis: 10, counter: 2, writer: 0, value: 7, ttlMillis: 5)
        #expect(mortal.buried(by: 3, wallMillis: 16, graceMillis: 1) == nil)
        #expect(
            mortal.buried(by: 3, wallMillis: 17, graceMillis: 1)
                == NaiveVersion(millis: 15, counter: 0, writer: 3, value: nil))
    }
}
