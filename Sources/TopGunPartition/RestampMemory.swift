import TopGunModel

/// Which stamp of ours stands for which stamp of a client that was too far ahead, for the client horizon.
///
/// A client whose clock is ahead sends the same operation again and again with its own stamp; each time it must get the
/// stamp that it was given first, or a late repeat would overwrite what others wrote since (design.md rule 7). A pair is
/// logged in the tail of its record and, once the record was overwritten, written out by itself with checkpoints.
struct RestampMemory {
    /// An operation as its client knows it.
    struct Origin: Hashable {
        var map: UInt32
        var key: ByteString
        var node: UInt32
        var millis: Int64
        var counter: UInt32
    }

    struct Assigned: Equatable {
        var millis: Int64
        var counter: UInt32
        /// Who assigned it.
        var node: UInt32
    }

    struct Pair {
        /// Grows with every pair remembered, so that a walk can go on where it was.
        var sequence: UInt64
        var origin: Origin
        var assigned: Assigned
        var partition: Int
        var keyHash: UInt32
    }

    private var assignedByOrigin: [Origin: Assigned] = [:]
    /// The same pairs in order of coming; the first `start` of them are gone.
    private var queue: [Pair] = []
    private var start = 0
    private var nextSequence: UInt64 = 0

    var count: Int { assignedByOrigin.count }
    /// About how much memory the pairs take.
    private(set) var bytes = 0

    private static let bytesPerPair = 256

    func assigned(to origin: Origin) -> Assigned? { assignedByOrigin[origin] }

    /// Remembers a pair; one that is known keeps the earlier stamp, whatever comes first.
    mutating func remember(_ origin: Origin, as assigned: Assigned, partition: Int, keyHash: UInt32) {
        if let known = assignedByOrigin[origin] {
            guard (assigned.millis, assigned.counter) < (known.millis, known.counter) else { return }
            forget(origin)
            queue = queue[start...].filter { $0.origin != origin }
            start = 0
        }
        assignedByOrigin[origin] = assigned
        bytes += Self.bytesPerPair + origin.key.count
        queue.append(
            Pair(
                sequence: nextSequence, origin: origin, assigned: assigned, partition: partition, keyHash: keyHash))
        nextSequence += 1
    }

    /// Forgets the pairs at the front whose stamp is older than the horizon. After a restart pairs come in the order of
    /// the files, so some stay longer; none is forgotten early.
    mutating func expire(olderThan horizonMillis: Int64) {
        while start < queue.count, queue[start].assigned.millis < horizonMillis {
            forget(queue[start].origin)
            start += 1
        }
        guard start > 64, start * 2 > queue.count else { return }
        queue.removeFirst(start)
        start = 0
    }

    mutating func forget(partition: Int) {
        for pair in queue[start...] where pair.partition == partition { forget(pair.origin) }
        queue = queue[start...].filter { $0.partition != partition }
        start = 0
    }

    private mutating func forget(_ origin: Origin) {
        assignedByOrigin[origin] = nil
        bytes -= Self.bytesPerPair + origin.key.count
    }

    /// The first pair of a partition with that sequence or a later one.
    func next(from sequence: UInt64, partition: Int) -> Pair? {
        var (low, high) = (start, queue.count)
        while low < high {
            let middle = (low + high) / 2
            if queue[middle].sequence < sequence { low = middle + 1 } else { high = middle }
        }
        return queue[low...].first { $0.partition == partition }
    }
}

// MARK: - In the tail of a record

extension RestampMemory {
    /// A tail with one field, the stamp that the client sent: `i64 millis, u32 counter, node`.
    static func appendTail(
        millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer, to sink: ByteSink
    ) {
        sink.append(littleEndian: StoredRecord.Tag.originStamp.rawValue)
        sink.append(littleEndian: UInt16(truncatingIfNeeded: 12 + node.count))
        sink.append(littleEndian: millis)
        sink.append(littleEndian: counter)
        sink.append(node)
    }

    /// The stamp that the client sent, if the tail has one.
    static func originStamp(
        inTail tail: UnsafeRawBufferPointer
    ) -> (millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer)? {
        var offset = 0
        while tail.count - offset >= 3 {
            let tag = tail[offset]
            let length = Int(UInt16(littleEndian: tail.loadUnaligned(fromByteOffset: offset + 1, as: UInt16.self)))
            offset += 3
            guard length <= tail.count - offset else { return nil }
            if tag == StoredRecord.Tag.originStamp.rawValue, length >= 12 {
                return (
                    Int64(littleEndian: tail.loadUnaligned(fromByteOffset: offset, as: Int64.self)),
                    UInt32(littleEndian: tail.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self)),
                    UnsafeRawBufferPointer(rebasing: tail[(offset + 12)..<(offset + length)])
                )
            }
            offset += length
        }
        return nil
    }
}
