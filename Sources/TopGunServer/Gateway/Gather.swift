import TopGunEnvironment

/// One question to the groups of all loops, and what is done with the answers once each has passed its gate.
///
/// Confined to the loop that asked.
final class Gather<Part: Sendable> {
    private var parts: [Part?]
    private var missing: Int
    private let then: ([Part]) -> Void

    fileprivate init(count: Int, then: @escaping ([Part]) -> Void) {
        self.parts = Array(repeating: nil, count: count)
        self.missing = count
        self.then = then
    }

    fileprivate func take(_ part: Part, from loop: Int) {
        precondition(parts[loop] == nil, "loop \(loop) answered twice")
        parts[loop] = part
        missing -= 1
        if missing == 0 { then(parts.compactMap { $0 }) }
    }
}

extension GatewayCore {
    /// Asks every group, and goes on here when all answers are allowed out. A group is asked when all its partitions are
    /// open, and answers by calling `reply`, in the same turn or a later one; the answer leaves behind everything that the
    /// group put into its gate before.
    func gather<Part: Sendable>(
        _ ask: @escaping @Sendable (GroupCore, _ reply: @escaping (Part) -> Void) -> Void,
        then: @escaping ([Part]) -> Void
    ) {
        questionsOut += 1
        let gather = LoopBound(
            Gather<Part>(count: crew.count) { [self] parts in
                questionsOut -= 1
                then(parts)
                let isWell = !group.isCongested && !areMailboxesFilling
                if questionsOut == Limits.questionsOutMax, isWell { resumeWriters() }
            }, on: loop)
        for target in crew.indices {
            let index = target
            if target == self.index {
                let group = group
                group.whenWhole {
                    ask(group) { part in group.afterGate { gather.value.take(part, from: index) } }
                }
                continue
            }
            crew[target].loop.execute { [door = crew[target]] in
                let group = door.value
                group.whenWhole {
                    ask(group) { part in
                        group.afterGate { gather.loop.execute { gather.value.take(part, from: index) } }
                    }
                }
            }
        }
    }
}
