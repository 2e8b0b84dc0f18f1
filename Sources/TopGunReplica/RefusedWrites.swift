import TopGunModel

/// Writes that were refused, for as long as something that was read from the store before it let go of them may still
/// bring them back: a page of a map that is being read, or what other processes changed.
///
/// Nothing else could tell such a record from a write that stands, and its stamp is newer than what the servers hold, so
/// no comparison would ever put it right.
struct RefusedWrites: Sendable {
    private var writes: [EntryRef: [Refused]] = [:]

    private struct Refused: Sendable {
        var stamp: Timestamp
        /// The change of the store that took the write out; `nil` before it is committed.
        var sequence: Int64?
    }

    mutating func insert(_ stamp: Timestamp, at ref: EntryRef) {
        writes[ref, default: []].append(Refused(stamp: stamp))
    }

    func contains(_ stamp: Timestamp, at ref: EntryRef) -> Bool {
        guard !writes.isEmpty, let refused = writes[ref] else { return false }
        return refused.contains { $0.stamp == stamp }
    }

    /// The store has let go of a write.
    mutating func committed(_ stamp: Timestamp, at ref: EntryRef, sequence: Int64) {
        guard let refused = writes[ref] else { return }
        for index in refused.indices where refused[index].stamp == stamp { writes[ref]?[index].sequence = sequence }
    }

    /// Lets go of writes that nothing brings back any more: every change up to `sequence` is known here, and their map is
    /// not being read.
    mutating func forget(upTo sequence: Int64, _ maps: [ReplicaMap]) {
        guard !writes.isEmpty else { return }
        for ref in Array(writes.keys) where maps[Int(ref.map)].loading != .loading {
            let left = (writes[ref] ?? []).filter { $0.sequence.map { $0 > sequence } ?? true }
            writes[ref] = left.isEmpty ? nil : left
        }
    }
}
