import TopGunModel
import TopGunPartition

// The credentials of devices whose keys belong to this loop: records like any other, so that log, checkpoints and
// recovery know nothing of them.

extension GroupCore {
    /// Whether that digest is kept under the key; `nil` while that is not known, because its partition is being rebuilt.
    func knowsDevice(_ key: ByteString, digest: [UInt8], in nameSpace: ByteString) -> Bool? {
        guard isOpen(PartitionID(hash: KeyHash.of(key))) else { return nil }
        guard let map = state.existingMap(DeviceRecords.map, in: nameSpace) else { return false }
        return key.bytes.withUnsafeBytes { bytes in
            guard let record = state.record(in: map, key: bytes, keyHash: KeyHash.of(key)) else { return false }
            return DeviceRecords.holds(record.value, digest)
        }
    }

    /// Keeps the digest of a new device; it is on disk once what is put into the gate now leaves it. `false`, and nothing
    /// has happened, where nothing can be written at present or `limit` devices are kept already.
    func keepDevice(_ key: ByteString, digest: [UInt8], in nameSpace: ByteString, limit: Int) -> Bool {
        guard refusal == nil else { return false }
        if let map = state.existingMap(DeviceRecords.map, in: nameSpace), state.summary(of: map).records >= limit {
            return false
        }
        guard let stamp = stampOwnWrite() else { return false }
        let value = DeviceRecords.value(digest)
        return DeviceRecords.map.bytes.withUnsafeBytes { map in
            key.bytes.withUnsafeBytes { bytes in
                value.withUnsafeBytes { value in
                    stamp.node.bytes.withUnsafeBytes { node in
                        var write = OperationView()
                        write.map = map
                        write.key = bytes
                        write.keyHash = KeyHash.of(key)
                        write.value = value
                        write.millis = stamp.millis
                        write.counter = stamp.counter
                        write.node = node
                        return merge(ownWrite: write, nameSpace: nameSpace)
                    }
                }
            }
        }
    }

    private func merge(ownWrite: OperationView, nameSpace: ByteString) -> Bool {
        withUnsafePointer(to: ownWrite) { write in
            apply(
                UnsafeBufferPointer(start: write, count: 1), author: .none, nameSpace: nameSpace, rules: [],
                wallMillis: wallMillis)
        }
        publish()
        return state.outcomes.first == .merged
    }

    /// A stamp of this node; `nil` while its clock may not give one.
    private func stampOwnWrite() -> Timestamp? {
        let wall = wallMillis
        reserveStamps(wallMillis: wall)
        do {
            return try state.clock.now(wallMillis: wall)
        } catch {
            return nil
        }
    }
}
