import TopGunEnvironment
import TopGunModel
import TopGunPartition
import TopGunWire

// What follows an acknowledgement where the write does not stand as it was sent: the record that does, one event for each
// key of a batch, always behind the OP_ACK. The record lives where its partition does:
//
//   OP_ACK at the gate ─┬─► keys of this loop ──► this gate ──────────────────────► SERVER_EVENT
//                       └─► left the gate ──► loop of the key ──► its gate ──► back ──► SERVER_EVENT

extension GatewayCore {
    /// Notes what is to be put right for a writer. One that knows features is told of a refusal by its result.
    func note(_ correction: Correction?, in list: inout CorrectionList, for shell: SessionShell) {
        guard var correction, correction.refused == nil || !shell.core.isAnnounced else { return }
        correction.isOnlyWord = !shell.core.isAnnounced
        list.add(correction)
    }

    /// Puts corrections behind the acknowledgement that was just put into the gate.
    func correct(_ shell: SessionShell, _ corrections: CorrectionList) {
        guard !corrections.isEmpty, let identity = shell.identity else { return }
        let latest = group.wallMillis + ModelLimits.clientAheadMillisMax
        var away: [Int: [Correction]] = [:]
        for correction in corrections.entries {
            if let refused = correction.refused, refused.millis > latest {
                reset(shell, correction.map)
                continue
            }
            guard identity.mayRead, !correction.map.isReserved else {
                group.hide(correction, from: shell.id)
                continue
            }
            let target = PartitionPlacement.loop(of: PartitionID(hash: correction.keyHash), loops: crew.count)
            if target == index {
                group.tell(correction, in: identity.nameSpace, to: shell.id)
            } else {
                away[target, default: []].append(correction)
            }
        }
        for target in away.keys.sorted() {
            send(away[target] ?? [], in: identity.nameSpace, to: shell.id, by: target)
        }
    }

    /// Has the loop of the keys tell the writer, once its acknowledgement has left.
    private func send(_ corrections: [Correction], in nameSpace: ByteString, to session: SessionID, by target: Int) {
        correctionsAway += 1
        group.afterGate { [self] in
            crew[target].loop.execute { [door = crew[target], home = self.door] in
                for correction in corrections { door.value.tell(correction, in: nameSpace, to: session) }
                door.value.afterGate { home.loop.execute { home.value.correctionsAway -= 1 } }
            }
        }
    }

    /// Makes an official client forget a map and sync it anew, because no stamp that may be given beats the one it has:
    /// after each refusal, but not more often than now and then. The refused write is acknowledged, so it ends.
    private func reset(_ shell: SessionShell, _ map: ByteString) {
        let now = nowMillis
        let last = shell.resets[map]
        guard let last, now - last.sentMillis < Limits.resetPauseMillis else {
            if last != nil || shell.resets.count < Limits.mapsPerSessionMax {
                shell.resets[map] = SessionShell.Reset(sentMillis: now)
            }
            return sendReset(shell, map)
        }
        guard !last.isDue else { return }
        shell.resets[map]?.isDue = true
        let id = shell.id
        loop.schedule(afterMillis: last.sentMillis + Limits.resetPauseMillis - now) { [door] in
            guard let shell = door.value.shell(id) else { return }
            shell.resets[map] = SessionShell.Reset(sentMillis: door.value.nowMillis)
            door.value.sendReset(shell, map)
        }
    }

    private func sendReset(_ shell: SessionShell, _ map: ByteString) {
        group.answerAfterGate(.syncResetRequired(mapName: map, reason: "a write was refused"), to: shell.id)
    }
}
