import TopGunEnvironment
import TopGunModel

/// One question to the groups of all loops, and what is done with the answers once each has passed its gate.
///
/// One group that refuses is enough for the question to be refused, at once; it stays out until all have answered.
/// Confined to the loop that asked.
final class Gather<Part: Sendable> {
    private var parts: [Part?]
    private var missing: Int
    private var isRefused = false
    private let then: (Result<[Part], Refusal>) -> Void
    private let done: () -> Void

    fileprivate init(count: Int, then: @escaping (Result<[Part], Refusal>) -> Void, done: @escaping () -> Void) {
        self.parts = Array(repeating: nil, count: count)
        self.missing = count
        self.then = then
        self.done = done
    }

    fileprivate func take(_ answer: Result<Part, Refusal>, from loop: Int) {
        precondition(missing > 0 && (isRefused || parts[loop] == nil), "loop \(loop) answered twice")
        missing -= 1
        switch answer {
        case .success(let part):
            if !isRefused { parts[loop] = part }
        case .failure(let refusal):
            if !isRefused {
                isRefused = true
                parts = []
                then(.failure(refusal))
            }
        }
        guard missing == 0 else { return }
        if !isRefused { then(.success(parts.compactMap { $0 })) }
        done()
    }
}

extension GatewayCore {
    /// Asks every group, and goes on here when all answers are allowed out. A group is asked when all its partitions are
    /// open, behind what was written here before, and answers by calling `reply` once, in the same turn or a later one; the
    /// answer leaves behind everything that the group put into its gate before. A refusal reveals nothing and waits for
    /// nothing.
    func gather<Part: Sendable>(
        _ ask: @escaping @Sendable (GroupCore, _ reply: @escaping (Result<Part, Refusal>) -> Void) -> Void,
        then: @escaping (Result<[Part], Refusal>) -> Void
    ) {
        questionsOut += 1
        sendMailboxes()
        let gather = LoopBound(
            Gather<Part>(count: crew.count, then: then) { [self] in
                questionsOut -= 1
                let isWell = !group.isCongested && !areMailboxesFilling
                if questionsOut == Limits.questionsOutMax, isWell { resumeWriters() }
            }, on: loop)
        for target in crew.indices {
            if target == index {
                let index = index
                Self.put(ask, to: group) { gather.value.take($0, from: index) }
                continue
            }
            crew[target].loop.execute { [door = crew[target]] in
                Self.put(ask, to: door.value) { answer in
                    gather.loop.execute { gather.value.take(answer, from: target) }
                }
            }
        }
    }

    private static func put<Part: Sendable>(
        _ ask: @escaping (GroupCore, _ reply: @escaping (Result<Part, Refusal>) -> Void) -> Void, to group: GroupCore,
        answer: @escaping (Result<Part, Refusal>) -> Void
    ) {
        group.whenWhole {
            ask(group) { part in
                switch part {
                case .success: group.afterGate { answer(part) }
                case .failure: answer(part)
                }
            }
        } orElse: { refusal in
            // Not in the turn that asks: who is told ends what it began, on loops that may not have been asked yet.
            let answer = LoopBound(answer, on: group.loop)
            group.loop.execute { answer.value(.failure(refusal)) }
        }
    }
}
