/// Makes a failing scenario smaller while it still fails in the same way: fault kinds, then clients, then writes, then
/// everything else that makes a run long to read.
package struct Shrinker {
    private let fails: (Scenario) -> Bool
    /// Runs that it may still take.
    private var runsLeft: Int

    package init(runsMax: Int = 300, fails: @escaping (Scenario) -> Bool) {
        runsLeft = runsMax
        self.fails = fails
    }

    package mutating func shrink(_ scenario: Scenario) -> Scenario {
        var best = scenario
        var isSmaller = true
        while isSmaller, runsLeft > 0 {
            isSmaller = false
            for candidate in candidates(best) where runsLeft > 0 {
                runsLeft -= 1
                if fails(candidate) {
                    best = candidate
                    isSmaller = true
                    break
                }
            }
        }
        return best
    }

    private func candidates(_ scenario: Scenario) -> [Scenario] {
        var candidates: [Scenario] = []
        func add(_ change: (inout Scenario) -> Void) {
            var smaller = scenario
            change(&smaller)
            if smaller != scenario { candidates.append(smaller) }
        }
        let half = scenario.faults.count / 2
        if half > 1 {
            add { $0.faults.removeFirst(half) }
            add { $0.faults.removeLast(half) }
        }
        for index in scenario.faults.indices { add { $0.faults.remove(at: index) } }
        for clients in [1, 2, scenario.clients / 2, scenario.clients - 1] where clients > 0 {
            if clients < scenario.clients { add { $0.clients = clients } }
        }
        for operations in [scenario.operations / 4, scenario.operations / 2, scenario.operations * 9 / 10]
        where operations > 0 {
            add { $0.operations = operations }
        }
        for millis in [scenario.loadMillis / 2, scenario.loadMillis * 9 / 10] where millis > 1_000 {
            add { $0.loadMillis = millis }
        }
        add { $0.maps = 1 }
        add { $0.keys = 1 }
        add { $0.keys = max($0.keys / 2, 1) }
        add { $0.nodeLoops = 1 }
        add { $0.removals = 0 }
        add { $0.lifetimes = 0 }
        add { $0.isLockstep = false }
        return candidates
    }
}
