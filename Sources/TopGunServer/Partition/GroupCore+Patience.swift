import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// Acknowledgements that the disk keeps waiting (protocol.md 3.5). Who can tell "not yet" from "no" is told what has been
// reached in time, and never more than is known: an operation that its partition has not seen may yet be refused. An
// official client cannot, and hears nothing until it is true.
//
// Nothing is kept for it while all goes well: what waits at the gate is the encoded acknowledgement itself, and it is
// read back only when it is late.

extension GroupCore {
    var nowMillis: Int64 { clock.monotonicNanos() / 1_000_000 }

    /// Makes sure that somebody looks at what waits no later than in so many milliseconds.
    func lookWithin(_ millis: Int64, nowMillis: Int64) {
        // A client may give its operations more time than there is; looking early costs little.
        let millis = min(millis, Limits.concernTimeoutMillis)
        let due = nowMillis + millis
        guard due < lookDueMillis else { return }
        lookDueMillis = due
        loop.schedule(afterMillis: millis) { [door = LoopBound(self, on: loop)] in door.value.lookForLate() }
    }

    private func lookForLate() {
        lookDueMillis = .max
        let now = nowMillis
        var next = gateway.tellLateFrames(nowMillis: now)
        for batch in gate.waitingBatches {
            let age = now - batch.sinceMillis
            tellLate(batch, age: age)
            batch.toldMillis = age
            if age < Limits.concernTimeoutMillis { next = min(next ?? .max, Limits.concernTimeoutMillis - age) }
            for timeout in batch.timeouts where timeout.millis > age { next = min(next ?? .max, timeout.millis - age) }
        }
        gateway.flush()
        if let next { lookWithin(max(1, next), nowMillis: now) }
    }

    private func tellLate(_ batch: GateBatch, age: Int64) {
        let isDue = { (millis: Int64) in batch.toldMillis < millis && millis <= age }
        let areOthersDue = isDue(Limits.concernTimeoutMillis)
        var ownTimeouts: [Int: [UInt64: Int64]] = [:]
        var dueEntries: Set<Int> = []
        for timeout in batch.timeouts {
            ownTimeouts[timeout.entry, default: [:]][timeout.id] = timeout.millis
            if isDue(timeout.millis) { dueEntries.insert(timeout.entry) }
        }
        for (index, entry) in batch.entries.enumerated() where entry.kind == .acknowledgement {
            guard areOthersDue || dueEntries.contains(index) else { continue }
            let own = ownTimeouts[index]
            gateway.tellLate(
                entry.session,
                acknowledgement: UnsafeRawBufferPointer(
                    rebasing: batch.bytes.bytes[entry.offset..<entry.offset + entry.length])
            ) { id in
                isDue(own?[id] ?? Limits.concernTimeoutMillis)
            }
        }
    }
}

extension GatewayCore {
    /// Tells a client which operations of an acknowledgement that still waits are late.
    func tellLate(_ id: SessionID, acknowledgement: UnsafeRawBufferPointer, where isLate: (UInt64) -> Bool) {
        guard let shell = shell(id), shell.core.features.contains(.results) else { return }
        let message: ServerMessage
        do { message = try ServerMessage.decode(acknowledgement) } catch {
            preconditionFailure("an acknowledgement of our own cannot be read: \(error)")
        }
        guard case .acknowledgement(let waiting) = message else { return }
        // Only what was merged has an acknowledgement to wait for.
        let late = (waiting.results ?? []).filter { $0.isSuccess && $0.level > .memory && isLate($0.id) }
        tellLate(shell, late.map { LateOperation(id: $0.id, isMerged: true) })
    }

    /// An operation whose client has waited long enough.
    private struct LateOperation {
        var id: UInt64
        /// Whether its partition has taken it. One that nobody has looked at may still be refused.
        var isMerged: Bool

        var notYet: OperationResult {
            var result = OperationResult(id: id, level: isMerged ? .memory : .fireAndForget)
            result.isSuccess = false
            result.isFinal = false
            result.error =
                isMerged
                ? "merged, and not on disk in time: its acknowledgement follows"
                : "received, and not looked at in time: its answer follows"
            return result
        }
    }

    private func tellLate(_ shell: SessionShell, _ late: [LateOperation]) {
        guard !late.isEmpty, !shell.isClosing else { return }
        metrics.counts.operationsLate += late.count
        send(
            shell,
            .acknowledgement(
                Acknowledgement(
                    lastID: min(shell.releasedID, shell.core.ledger.lastID),
                    level: late.allSatisfy(\.isMerged) ? .memory : .fireAndForget, results: late.map(\.notYet))))
    }

    // MARK: Frames

    /// Notes the time limits of a frame whose acknowledgement was just put into the open batch of the gate.
    func noteTimeouts(_ frame: OperationFrame, ofEntry entry: Int) {
        let batch = group.gate.open
        var shortest: Int64 = .max
        for operation in operations[frame.first..<frame.end] {
            guard let id = operation.id, let millis = operation.timeoutMillis else { continue }
            batch.timeouts.append(GateBatch.Timeout(entry: entry, id: id, millis: millis))
            shortest = min(shortest, millis)
        }
        if shortest < .max {
            group.lookWithin(max(1, min(shortest, Limits.concernTimeoutMillis)), nowMillis: nowMillis)
        }
    }

    /// Tells of frames whose operations are on other loops: of each that it was merged, if its loop has said so, or else
    /// that it was received and nothing more. Returns when to look again.
    func tellLateFrames(nowMillis: Int64) -> Int64? {
        var next: Int64?
        for token in splitFrames.keys.sorted() {
            guard let split = splitFrames[token], let shell = shell(split.session) else { continue }
            let age = nowMillis - split.sinceMillis
            var late: [LateOperation] = []
            for (index, id) in split.ids.enumerated() {
                guard let id, split.concerns[index] > .memory else { continue }
                let timeout = split.timeouts[id] ?? Limits.concernTimeoutMillis
                if timeout > age { next = min(next ?? .max, timeout - age) }
                guard split.toldMillis < timeout, timeout <= age else { continue }
                switch split.outcomes[index] {
                case .refused?: continue
                case .merged?, .repeated?, .superseded?, .restamped?: late.append(LateOperation(id: id, isMerged: true))
                case nil: late.append(LateOperation(id: id, isMerged: false))
                }
            }
            split.toldMillis = age
            guard shell.core.features.contains(.results) else { continue }
            tellLate(shell, late)
        }
        return next
    }
}
