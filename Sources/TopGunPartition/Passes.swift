import TopGunModel

/// What the passes over a batch know of each operation, for at most ``PartitionLimits/passOperations`` at a time.
///
/// ```
///  prepare   check, number of map and node, hash, partition        no table touched
///  touch     slots; then first line of each record; then the rest  cache misses overlap
///  merge     in order of the operations                            everything is in the cache
/// ```
struct Passes {
    struct Prepared {
        var hash: UInt64 = 0
        var map: UInt32 = 0
        var node: UInt32 = 0
        var partition: Int32 = 0
        /// The mixed Merkle item of the new record, or 0 where it is not needed or not taken ahead.
        var mixed: UInt32 = 0
        var verdict = Verdict.merge
        var refusal = Refusal.badRequest
    }

    enum Verdict: UInt8 {
        case merge
        /// The stamp is too far ahead.
        case ahead
        /// The writer once had stamps replaced: this may be a repeat of such an operation.
        case maybeRestamped
        case refuse
        /// Its map or its writer has no number yet: all else turns out when it is its turn.
        case newName

        /// Whether it is known where its record is.
        @inline(__always)
        var isPlaced: Bool { rawValue < Verdict.refuse.rawValue }
    }

    let prepared: UnsafeMutablePointer<Prepared>
    private let blocks: UnsafeMutablePointer<RecordBlock?>

    /// What a run of operations most often has in common with the one before.
    var lastMap: UInt32 = 0
    var lastNode: UInt32 = 0

    init() {
        prepared = .allocate(capacity: PartitionLimits.passOperations)
        prepared.initialize(repeating: Prepared(), count: PartitionLimits.passOperations)
        blocks = .allocate(capacity: PartitionLimits.passOperations)
        blocks.initialize(repeating: nil, count: PartitionLimits.passOperations)
    }

    func deallocate() {
        prepared.deallocate()
        blocks.deallocate()
    }

    /// Brings slots and records of the prepared operations into the cache.
    @inline(__always)
    func touch(
        _ operations: UnsafePointer<OperationView>, count: Int, states: UnsafeMutablePointer<PartitionState>
    ) {
        var touched: UInt64 = 0
        for index in 0..<count where prepared[index].verdict.isPlaced {
            touched ^= states[Int(prepared[index].partition)].table.touchSlot(prepared[index].hash)
        }
        for index in 0..<count {
            guard prepared[index].verdict.isPlaced else {
                blocks[index] = nil
                continue
            }
            let block = states[Int(prepared[index].partition)].table.likelyBlock(prepared[index].hash)
            blocks[index] = block
            if let block { touched ^= UInt64(truncatingIfNeeded: block.millis) }
        }
        for index in 0..<count {
            guard let block = blocks[index] else { continue }
            // The lines that the new value will be written to, as far as the block reaches.
            let end = min(
                block.blockBytes,
                RecordBlock.headerBytes &+ operations[index].key.count &+ operations[index].value.count)
            var line = 64
            while line < end {
                touched ^= UInt64(block.base.load(fromByteOffset: line, as: UInt8.self))
                line &+= 64
            }
            touched ^= UInt64(block.base.load(fromByteOffset: end &- 1, as: UInt8.self))
        }
        keepAlive(touched)
    }
}
