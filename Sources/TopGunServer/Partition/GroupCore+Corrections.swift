import TopGunModel
import TopGunPartition
import TopGunWire

// Records that are sent to one writer, because they stand in place of what it wrote.

extension GroupCore {
    /// Sends a writer the record that stands. Where its write was refused, what is sent beats the refused stamp and
    /// nothing that anybody else may have stamped since: it is never stored, and a later write of another must win.
    func tell(_ correction: Correction, in nameSpace: ByteString, to session: SessionID) {
        // What is being rebuilt is not known. Where that takes too long, who hears of it in no other way syncs anew.
        guard isOpen(PartitionID(hash: correction.keyHash)) else {
            return whenWhole {
                self.tell(correction, in: nameSpace, to: session)
            } orElse: { _ in
                guard correction.isOnlyWord else { return }
                let offset = self.gate.open.bytes.count
                ServerMessage.syncResetRequired(mapName: correction.map, reason: "a write was refused")
                    .encode(into: self.gate.open.bytes)
                self.send(from: offset, to: session)
            }
        }
        correction.key.bytes.withUnsafeBytes { key in
            let record = state.existingMap(correction.map, in: nameSpace).flatMap {
                state.record(in: $0, key: key, keyHash: correction.keyHash)
            }
            guard let refused = correction.refused else {
                if let record { echo(correction, record, to: session) }
                return
            }
            if let record, refused < Correction.Version(millis: record.millis, counter: record.counter) {
                return echo(correction, record, to: session)
            }
            let stamp = refused.successor
            guard let record, record.isVisible(wallMillis: wallMillis),
                let ttlMillis = Self.lifetimeLeft(of: record, from: stamp.millis)
            else { return hide(correction, from: session) }
            echo(correction, value: record.value, stamp, ttlMillis: ttlMillis, to: session)
        }
    }

    /// Tells a writer that there is nothing, whatever there is.
    func hide(_ correction: Correction, from session: SessionID) {
        guard let stamp = correction.refused?.successor else { return }
        Payload.tombstone.bytes.withUnsafeBytes { tombstone in
            echo(correction, value: tombstone, stamp, ttlMillis: 0, to: session)
        }
    }

    /// The lifetime that ends when the record's does, counted from another stamp; `nil` if it ends no later than that.
    private static func lifetimeLeft(of record: TopGunPartition.RecordView, from millis: Int64) -> Int64? {
        guard record.ttlMillis > 0 else { return 0 }
        let left = record.millis + record.ttlMillis - millis
        return left > 0 ? left : nil
    }

    private func echo(
        _ correction: Correction, value: UnsafeRawBufferPointer, _ stamp: Correction.Version, ttlMillis: Int64,
        to session: SessionID
    ) {
        state.clock.node.bytes.withUnsafeBytes { node in
            echo(
                correction, value: value, millis: stamp.millis, counter: stamp.counter, node: node,
                ttlMillis: ttlMillis, to: session)
        }
    }

    private func echo(_ correction: Correction, _ record: TopGunPartition.RecordView, to session: SessionID) {
        echo(
            correction, value: record.value, millis: record.millis, counter: record.counter, node: record.node,
            ttlMillis: record.ttlMillis, to: session)
    }

    private func echo(
        _ correction: Correction, value: UnsafeRawBufferPointer, millis: Int64, counter: UInt32,
        node: UnsafeRawBufferPointer, ttlMillis: Int64, to session: SessionID
    ) {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        let offset = gate.open.bytes.count
        correction.map.bytes.withUnsafeBytes { map in
            correction.key.bytes.withUnsafeBytes { key in
                let record = StoredRecord(
                    kind: .lww, nameSpace: none, map: map, key: key, node: node, millis: millis, counter: counter,
                    ttlMillis: ttlMillis, value: value, tail: none)
                ServerFrame.event(of: record, into: gate.open.bytes)
            }
        }
        send(from: offset, to: session)
    }

    /// Sends what was just encoded to a session of any loop, once what it reveals is on disk.
    private func send(from offset: Int, to session: SessionID) {
        let batch = gate.open
        batch.entries.append(
            GateEntry(
                kind: .echo, loop: UInt8(session.loop), session: session, offset: offset,
                length: batch.bytes.count - offset))
        scheduleTick()
    }
}
