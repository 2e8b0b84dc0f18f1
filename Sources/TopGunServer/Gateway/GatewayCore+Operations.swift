import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// Operations of one read: checked, routed, merged in one pass, and answered frame by frame.
//
// With one loop everything is a direct call. With several, the operations of other loops' partitions are copied once into
// the mailbox of their loop, and the frame they came in becomes a `SplitFrame` that waits for all its answers.

extension GatewayCore {
    /// Merges the operations collected so far.
    func submit(_ shell: SessionShell) {
        guard !frames.isEmpty else { return }
        defer {
            frames.removeAll(keepingCapacity: true)
            operations.removeAll(keepingCapacity: operations.capacity <= Limits.operationsKeptMax)
        }
        guard let identity = shell.identity, !shell.isClosing else { return }
        metrics.counts.operationsReceived += operations.count
        check(shell, identity)
        if crew.count == 1 {
            merge(shell, identity)
        } else {
            mergeOnManyLoops(shell, identity)
        }
        if group.isCongested || areMailboxesFilling {
            pauseWriter(shell)
        }
    }

    /// What can be said of each operation before its partition sees it.
    private func check(_ shell: SessionShell, _ identity: ClientSession.Identity) {
        let general: Refusal? =
            isDraining
            ? .notReady
            : !identity.mayWrite
                ? .forbidden : forwardedOperations > Limits.mailboxOperationsMax ? .busy : group.refusal
        let takesRemovals = general == .nodeFull && group.takesRemovals
        let isOfficial = !shell.core.isAnnounced
        operations.withUnsafeMutableBufferPointer { operations in
            for index in operations.indices {
                operations[index].keyHash = KeyHash.of(operations[index].key)
                guard operations[index].refusal == nil else { continue }
                if let general, !(takesRemovals && operations[index].kind == .remove) {
                    operations[index].refusal = general
                } else if operations[index].map.isEmpty {
                    operations[index].refusal = .badRequest
                } else if ReservedNames.contain(operations[index].map) {
                    operations[index].refusal = .forbidden
                } else {
                    switch operations[index].kind {
                    case .put, .remove: break
                    // Kept by the client until it meets a server that has OR-Maps; refusing for good would lose them.
                    case .orAdd, .orRemove: operations[index].refusal = .notReady
                    }
                }
            }
        }
        // A write to a map is interest in it. A client that knows features says what it wants to hear instead.
        guard isOfficial, general == nil else { return }
        for index in operations.indices where operations[index].refusal == nil {
            noteWrite(shell, to: operations[index].map)
        }
    }

    private func noteWrite(_ shell: SessionShell, to map: UnsafeRawBufferPointer) {
        let isSame = shell.lastWritten.withUnsafeBytes { last in
            last.count == map.count && last.elementsEqual(map)
        }
        guard !isSame else { return }
        shell.lastWritten = Array(map)
        let name = ByteString(shell.lastWritten)
        if takeInterest(shell, in: name) { scheduleUnaskedRoot(shell, of: name) }
    }

    private func merge(_ shell: SessionShell, _ identity: ClientSession.Identity) {
        operations.withUnsafeBufferPointer { operations in
            group.apply(
                operations, author: shell.id, nameSpace: identity.nameSpace, rules: rules(shell),
                wallMillis: group.wallMillis)
            let outcomes = group.state.outcomes
            for frame in frames {
                answers.removeAll(keepingCapacity: true)
                for index in frame.first..<frame.end {
                    count(outcomes[index])
                    answers.append(OperationAnswer(operations[index], outcomes[index]))
                }
                guard !frame.isPush, let entry = acknowledge(shell) else { continue }
                if frame.hasTimeouts { noteTimeouts(frame, ofEntry: entry) }
            }
            var corrections = CorrectionList()
            for index in operations.indices where outcomes[index].needsAttention {
                note(Correction(operations[index], outcomes[index]), in: &corrections, for: shell)
            }
            correct(shell, corrections)
            group.publish()
        }
    }

    func rules(_ shell: SessionShell) -> IngressRules {
        var rules: IngressRules = []
        if shell.core.features.contains(.clock) { rules.insert(.reportsClockAhead) }
        if shell.core.isAnnounced { rules.insert(.reportsReplicaConflict) }
        return rules
    }

    func count(_ outcome: Outcome) {
        switch outcome {
        case .merged: metrics.counts.operationsMerged += 1
        case .repeated: metrics.counts.operationsRepeated += 1
        case .superseded: metrics.counts.operationsSuperseded += 1
        case .restamped: metrics.counts.operationsRestamped += 1
        case .refused(.busy): metrics.counts.operationsBusy += 1
        case .refused: metrics.counts.operationsRefused += 1
        }
    }
}

extension Outcome {
    /// Whether anything besides the acknowledgement is to be done.
    var needsAttention: Bool {
        switch self {
        case .merged, .repeated: false
        case .superseded, .restamped, .refused: true
        }
    }
}
