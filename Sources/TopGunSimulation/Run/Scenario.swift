/// What a run is made of, all of it drawn from a seed; the shrinker takes things away again.
package struct Scenario: Codable, Sendable, Equatable {
    package struct Fault: Codable, Sendable, Equatable {
        package var kind: FaultKind
        /// Between two of them, on average.
        package var everyMillis: Int
    }

    package var seed: UInt64
    package var clients: Int
    /// Writes of all clients together.
    package var operations: Int
    package var loadMillis: Int
    package var nodeLoops: Int
    package var maps: Int
    package var keys: Int
    /// Percentage of writes that remove.
    package var removals: Int
    /// Percentage of values with a lifetime.
    package var lifetimes: Int
    /// Percentage of writes to a key that nobody writes to again: nothing newer hides that such a write is lost.
    package var onces: Int
    /// Whether clients act at the same milliseconds, so that their stamps meet.
    package var isLockstep: Bool
    package var segmentBytes: Int
    package var checkpointLogBytes: Int64
    package var faults: [Fault]

    /// Draws a scenario. Each fault kind is in one run out of three, and one run in eight has a single kind, often.
    package init(seed: UInt64, clients: Int? = nil, operations: Int = 2_000) {
        var dice = SeededGenerator(seed: seed &* 0x9e37_79b9 &+ 1)
        self.seed = seed
        self.clients = clients ?? 2 + dice.below(11)
        self.operations = operations
        loadMillis = 20_000 + dice.below(60_000)
        nodeLoops = 1 + dice.below(2)
        maps = 1 + dice.below(3)
        keys = 2 + dice.below(dice.chance(1, in: 2) ? 6 : 60)
        removals = dice.below(40)
        lifetimes = dice.chance(1, in: 4) ? 10 : 0
        onces = dice.below(20)
        isLockstep = dice.chance(1, in: 4)
        segmentBytes = (8 << 10) << dice.below(4)
        checkpointLogBytes = Int64((32 << 10) << dice.below(4))
        // After a salvage clients offer everything again, which hides what a node loses from then on.
        let isDiskTrue = dice.chance(1, in: 2)
        faults = []
        if dice.chance(1, in: 8) {
            let kind = FaultKind.allCases[dice.below(FaultKind.allCases.count)]
            faults = [Fault(kind: kind, everyMillis: 300 + dice.below(3_000))]
        } else {
            for kind in FaultKind.allCases where dice.chance(1, in: 3) {
                // Where each of several kinds takes the node down, it must still come to do something in between.
                let rarity = kind.takesTheNodeDown ? 3 : 1
                let fault = Fault(kind: kind, everyMillis: rarity * (3_000 + dice.below(20_000)))
                if !(isDiskTrue && kind.leadsToSalvage) { faults.append(fault) }
            }
        }
    }

    /// Whether a client may do without our extensions: only they put a wrong clock right, bring back what a salvage lost,
    /// bear messages that no socket would lose, and find out that there is another one with the same node id.
    var isKindToPlainClients: Bool {
        faults.allSatisfy { fault in
            !fault.kind.leadsToSalvage && !fault.kind.isOfClocks && ![.frameChaos, .storeCopied].contains(fault.kind)
        }
    }

    /// The same world in which nothing goes wrong: the control.
    package var withoutFaults: Scenario {
        var scenario = self
        scenario.faults = []
        return scenario
    }
}
