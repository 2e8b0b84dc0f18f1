import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// Operations of several loops. Each goes to the loop of its partition, together with everything else that this loop sends
// there in one tick; the answers come back the same way, through the gate of the loop that merged them.

extension GatewayCore {
    func mergeOnManyLoops(_ shell: SessionShell, _ identity: ClientSession.Identity) {
        var local: [OperationView] = []
        var places: [(frame: Int, position: Int)] = []
        var split: [Int: UInt64] = [:]
        var segments: [Int: MailboxSegment] = [:]
        local.reserveCapacity(operations.count)
        let rules = rules(shell)

        for (number, frame) in frames.enumerated() {
            for index in frame.first..<frame.end {
                let target = home(of: operations[index])
                if target == self.index {
                    local.append(operations[index])
                    places.append((number, index - frame.first))
                    continue
                }
                let token = split[number] ?? beginSplit(frame, of: shell)
                split[number] = token
                let segment =
                    segments[target]
                    ?? MailboxSegment(session: shell.id, nameSpace: identity.nameSpace, rules: rules)
                segments[target] = segment
                segment.append(operations[index], frame: token, position: index - frame.first)
            }
        }
        for target in segments.keys.sorted() {
            guard let segment = segments[target] else { continue }
            let mailbox = mailboxes[target] ?? Mailbox()
            mailboxes[target] = mailbox
            mailbox.segments.append(segment)
            mailbox.count += segment.operations.count
            forwardedOperations += segment.operations.count
            metrics.counts.operationsForwarded += segment.operations.count
        }
        group.scheduleTick()
        mergeLocal(shell, identity, local, places, split)
    }

    /// The loop that merges an operation; a refused one is answered here, wherever its record lives.
    private func home(of operation: OperationView) -> Int {
        guard operation.refusal == nil else { return index }
        return PartitionPlacement.loop(of: PartitionID(hash: operation.keyHash), loops: crew.count)
    }

    private func beginSplit(_ frame: OperationFrame, of shell: SessionShell) -> UInt64 {
        nextSplitFrame += 1
        let now = nowMillis
        let split = SplitFrame(session: shell.id, count: frame.end - frame.first, nowMillis: now)
        split.isPush = frame.isPush
        var shortest = Limits.concernTimeoutMillis
        for operation in operations[frame.first..<frame.end] {
            split.ids.append(operation.id)
            split.concerns.append(operation.concern ?? .replicated)
            if let id = operation.id { shell.core.ledger.postpone(id) }
            if frame.hasTimeouts, let id = operation.id, let millis = operation.timeoutMillis {
                split.timeouts[id] = millis
                shortest = min(shortest, millis)
            }
        }
        splitFrames[nextSplitFrame] = split
        group.lookWithin(shortest, nowMillis: now)
        return nextSplitFrame
    }

    private func mergeLocal(
        _ shell: SessionShell, _ identity: ClientSession.Identity, _ local: [OperationView],
        _ places: [(frame: Int, position: Int)], _ split: [Int: UInt64]
    ) {
        guard !local.isEmpty else { return }
        local.withUnsafeBufferPointer { local in
            group.apply(
                local, author: shell.id, nameSpace: identity.nameSpace, rules: rules(shell),
                wallMillis: group.wallMillis)
            let outcomes = group.state.outcomes
            var parts: [(frame: UInt64, position: Int, outcome: Outcome)] = []
            var index = 0
            for number in frames.indices {
                answers.removeAll(keepingCapacity: true)
                while index < local.count, places[index].frame == number {
                    count(outcomes[index])
                    if let token = split[number] {
                        parts.append((token, places[index].position, outcomes[index]))
                    } else {
                        answers.append(OperationAnswer(local[index], outcomes[index]))
                    }
                    index += 1
                }
                guard !answers.isEmpty, !frames[number].isPush, let entry = acknowledge(shell) else { continue }
                if frames[number].hasTimeouts { noteTimeouts(frames[number], ofEntry: entry) }
            }
            for part in parts { know(part.outcome, of: part.frame, at: part.position) }
            if !parts.isEmpty {
                group.afterGate { [self] in
                    for part in parts { store(part.frame) }
                }
            }
            var corrections = CorrectionList()
            for index in local.indices where outcomes[index].needsAttention {
                let correction = Correction(local[index], outcomes[index])
                if let frame = split[places[index].frame].flatMap({ splitFrames[$0] }) {
                    note(correction, in: &frame.corrections, for: shell)
                } else {
                    note(correction, in: &corrections, for: shell)
                }
            }
            correct(shell, corrections)
            group.publish()
        }
    }

    /// Whether so much is on its way to other loops that connections that write should not be read for a while.
    var areMailboxesFilling: Bool { forwardedOperations > Limits.mailboxOperationsMax / 2 }

    /// One crossing for each loop that is owed something: at the end of a tick, or ahead of a question, which shall find
    /// there what was written before it.
    func sendMailboxes() {
        for target in mailboxes.indices {
            guard let mailbox = mailboxes[target] else { continue }
            mailboxes[target] = nil
            crew[target].loop.execute { [door = crew[target], home = self.door] in
                door.value.merge(mailbox, from: home)
            }
        }
    }
}

extension GroupCore {
    /// Merges what another loop sent. Outcomes travel back at once for what needs no disk to be answered, and through
    /// the gate for all.
    func merge(_ mailbox: Mailbox, from home: LoopBound<GatewayCore>) {
        var hasAnswersAtOnce = false
        for segment in mailbox.segments {
            if takesRemovals { segment.refusePuts(.nodeFull) }
            segment.operations.withUnsafeBufferPointer { operations in
                if let refusal, !takesRemovals {
                    segment.outcomes = Array(repeating: .refused(refusal), count: operations.count)
                    return
                }
                apply(
                    operations, author: segment.session, nameSpace: segment.nameSpace, rules: segment.rules,
                    wallMillis: wallMillis)
                segment.outcomes = state.outcomes
                for index in operations.indices where segment.outcomes[index].needsAttention {
                    guard let correction = Correction(operations[index], segment.outcomes[index]) else { continue }
                    segment.corrections.append((segment.places[index].frame, correction))
                }
            }
            hasAnswersAtOnce = hasAnswersAtOnce || segment.hasAnswersAtOnce
            segment.dropBytes()
        }
        publish()
        if hasAnswersAtOnce { home.loop.execute { home.value.learn(mailbox, isStored: false) } }
        afterGate { home.loop.execute { home.value.learn(mailbox, isStored: true) } }
    }
}

// MARK: - Answers

extension GatewayCore {
    /// Outcomes that came back from another loop.
    func learn(_ mailbox: Mailbox, isStored: Bool) {
        for segment in mailbox.segments {
            if isStored, let shell = shell(segment.session) {
                for (token, correction) in segment.corrections {
                    guard let split = splitFrames[token] else { continue }
                    note(correction, in: &split.corrections, for: shell)
                }
            }
            for (index, place) in segment.places.enumerated() {
                know(segment.outcomes[index], of: place.frame, at: place.position)
                if isStored { store(place.frame) }
            }
        }
        if isStored { forwardedOperations -= mailbox.count }
        if !group.isCongested, !areMailboxesFilling { resumeWriters() }
        flush()
    }

    private func know(_ outcome: Outcome, of token: UInt64, at position: Int) {
        guard let split = splitFrames[token], split.outcomes[position] == nil else { return }
        split.outcomes[position] = outcome
        split.unknown -= 1
        guard split.unknown == 0, !split.isPush, let shell = shell(split.session) else { return }
        load(split)
        acknowledge(shell, .known)
    }

    private func store(_ token: UInt64) {
        guard let split = splitFrames[token] else { return }
        split.unstored -= 1
        guard split.unstored == 0 else { return }
        splitFrames[token] = nil
        guard let shell = shell(split.session) else { return }
        if !split.isPush {
            load(split)
            acknowledge(shell, .stored)
        }
        correct(shell, split.corrections)
    }

    private func load(_ split: SplitFrame) {
        answers.removeAll(keepingCapacity: true)
        for index in split.ids.indices {
            guard let outcome = split.outcomes[index] else { preconditionFailure("a frame lacks an answer") }
            answers.append(OperationAnswer(id: split.ids[index], concern: split.concerns[index], outcome: outcome))
        }
    }
}
