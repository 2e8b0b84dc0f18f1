import Testing

@testable import TopGunSimulation

/// Whole worlds, small ones: the many and the mutants are what the simulator's own program runs.
@Suite struct SimulationRunTests {
    private func scenario(_ seed: Int, operations: Int = 300) -> Scenario {
        Scenario(seed: UInt64(seed), clients: 4, operations: operations)
    }

    @Test(arguments: 1...12) func `a node and its clients keep every promise under the faults of a seed`(seed: Int) {
        let outcome = Simulation(scenario(seed)).run()
        #expect(outcome.history.violations.isEmpty, "seed \(seed)")
        #expect(Evidence(outcome.history).audits.count == 2, "seed \(seed)")
    }

    @Test func `the same seed is the same run to the last byte`() throws {
        for seed in [3, 8] {
            let first = Simulation(scenario(seed)).run()
            let second = Simulation(scenario(seed)).run()
            #expect(first.trace == second.trace && first.turns == second.turns)
            #expect(try first.history.lines() == second.history.lines())
            #expect(first.fingerprint == second.fingerprint)
        }
        #expect(Simulation(scenario(3)).run().fingerprint != Simulation(scenario(8)).run().fingerprint)
    }

    @Test func `the control: without faults none is counted and nothing fails`() {
        let outcome = Simulation(scenario(5).withoutFaults).run()
        #expect(outcome.history.violations.isEmpty)
        #expect(outcome.reached.keys.filter { $0.hasPrefix("fault.") || $0.hasPrefix("disk.") }.isEmpty)
        #expect(!outcome.history.events.contains { $0.kind == .fault && $0.code != "wall" })
    }

    @Test func `the control: a history with one acknowledgement taken away or added gets another verdict`() throws {
        let history = Simulation(scenario(5).withoutFaults).run().history
        #expect(history.violations.isEmpty)
        let lines = try History(lines: try history.lines())
        #expect(lines == history)
        // What the node is said to have shown was not on its disk after all.
        var dishonest = History(history.events)
        dishonest.append(Event.acknowledged("client-0", 1, isDurable: false))
        #expect(dishonest.violations.map(\.checker) == [.ackHonesty])
        // A write that nobody holds was acknowledged.
        var lossy = History(history.events)
        var lost = Event.stored("client-0", 9_999, "k0", 77, Event.stamp(.max / 2, node: "nobody"))
        lost.map = "map0"
        lossy.append(lost)
        lossy.append(Event.acknowledged("client-0", 9_999))
        #expect(lossy.violations.contains { $0.checker == .ackSurvival })
        // And one that somebody holds was never made.
        let kept = history.events.filter {
            !($0.kind == .wrote && $0.value == history.events.first { $0.kind == .read && $0.value != nil }?.value)
        }
        #expect(History(kept).violations.contains { $0.checker == .noPhantom })
    }

    @Test func `mutants at the seams are found by their checkers`() {
        for (name, seeds) in [("acknowledgeBeforeSync", 1...3), ("syncFailureIgnored", 1...40)] {
            let mutant = SimulationMutant.named(name)
            #expect(mutant != nil)
            guard let mutant else { continue }
            let isFound = seeds.contains { seed in
                var scenario = scenario(seed, operations: 200)
                if name == "syncFailureIgnored" { scenario.faults = [.init(kind: .syncFailure, everyMillis: 4_000)] }
                let history = Simulation(scenario, mutants: SimulatedMutants(name)).run().history
                return !mutant.checker.check(history).isEmpty
            }
            #expect(isFound, "\(name) survives")
        }
    }

    @Test func `a failing world is made smaller as long as it fails`() {
        let start = Scenario(seed: 4, clients: 8, operations: 2_000)
        var shrinker = Shrinker { scenario in
            scenario.clients >= 2 && scenario.operations >= 100 && scenario.faults.contains { $0.kind == .kill }
        }
        var failing = start
        failing.faults = [FaultKind.kill, .cut, .pause, .rot].map { .init(kind: $0, everyMillis: 1_000) }
        let smallest = shrinker.shrink(failing)
        #expect(smallest.faults.map(\.kind) == [.kill])
        #expect(smallest.clients == 2)
        #expect(smallest.operations < 120)
        #expect(smallest.maps == 1 && smallest.keys == 1 && smallest.nodeLoops == 1)
    }

    @Test func `a seed draws its faults: some have one kind, some many, each kind turns up`() {
        let scenarios = (1...400).map { Scenario(seed: UInt64($0)) }
        #expect(scenarios.contains { $0.faults.count == 1 })
        #expect(scenarios.contains { $0.faults.count > 10 })
        #expect(Set(scenarios.flatMap { $0.faults.map(\.kind) }) == Set(FaultKind.allCases))
        #expect(Scenario(seed: 7) == Scenario(seed: 7))
    }
}
