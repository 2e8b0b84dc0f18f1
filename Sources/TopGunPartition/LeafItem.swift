import TopGunModel

/// The mixed Merkle item of a record, from the hash of its key on.
///
/// The item is the hash of `key:millis:counter:node` (protocol.md 9.6). FNV-1a goes unit by unit, so the hash of the key,
/// which every record has anyway, is the state after the key, and only the rest is hashed. Node ids that are not ASCII
/// take ``MerkleTree32``'s general way.
enum LeafItem {
    @inline(__always)
    static func mixed(
        keyHash: UInt32, key: UnsafeRawBufferPointer, millis: Int64, counter: UInt32, node: UnsafeRawBufferPointer
    ) -> UInt32 {
        var hash = beforeNode(keyHash, millis, counter)
        guard let base = node.baseAddress else { return KeyHash.mix(hash) }
        var index = 0
        while index &+ 8 <= node.count {
            let word = UInt64(littleEndian: base.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            guard word & 0x8080_8080_8080_8080 == 0 else { return general(key, millis, counter, node) }
            hash = step(hash, UInt32(truncatingIfNeeded: word & 0xff))
            hash = step(hash, UInt32(truncatingIfNeeded: word &>> 8 & 0xff))
            hash = step(hash, UInt32(truncatingIfNeeded: word &>> 16 & 0xff))
            hash = step(hash, UInt32(truncatingIfNeeded: word &>> 24 & 0xff))
            hash = step(hash, UInt32(truncatingIfNeeded: word &>> 32 & 0xff))
            hash = step(hash, UInt32(truncatingIfNeeded: word &>> 40 & 0xff))
            hash = step(hash, UInt32(truncatingIfNeeded: word &>> 48 & 0xff))
            hash = step(hash, UInt32(truncatingIfNeeded: word &>> 56))
            index &+= 8
        }
        while index < node.count {
            let byte = base.load(fromByteOffset: index, as: UInt8.self)
            guard byte < 0x80 else { return general(key, millis, counter, node) }
            hash = step(hash, UInt32(byte))
            index &+= 1
        }
        return KeyHash.mix(hash)
    }

    /// The state before the node id.
    @inline(__always)
    static func beforeNode(_ keyHash: UInt32, _ millis: Int64, _ counter: UInt32) -> UInt32 {
        var hash = step(keyHash, 0x3a)
        if millis >= 1_000_000_000_000, millis < 10_000_000_000_000 {
            // Thirteen digits, which every stamp from 2001 to 2286 has: three groups that do not wait for each other.
            let high = UInt32(truncatingIfNeeded: millis / 100_000_000)
            let low = UInt32(truncatingIfNeeded: millis % 100_000_000)
            hash = step(hash, 0x30 &+ high / 10_000)
            hash = fourDigits(hash, high % 10_000)
            hash = fourDigits(hash, low / 10_000)
            hash = fourDigits(hash, low % 10_000)
        } else {
            hash = digits(hash, UInt64(millis))
        }
        hash = step(hash, 0x3a)
        if counter < 10 {
            hash = step(hash, 0x30 &+ counter)
        } else if counter < 100 {
            hash = step(step(hash, 0x30 &+ counter / 10), 0x30 &+ counter % 10)
        } else {
            hash = digits(hash, UInt64(counter))
        }
        return step(hash, 0x3a)
    }

    /// Four records on the way to their items: each step of one waits for the step before, so four fit into the time of
    /// one. Their node ids must be of one length, which those of clients are.
    struct Quad {
        private var states: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
        private var nodes: (UnsafeRawPointer?, UnsafeRawPointer?, UnsafeRawPointer?, UnsafeRawPointer?)
        private var nodeBytes = 0
        private(set) var count = 0

        init() {
            nodes = (nil, nil, nil, nil)
        }

        /// Adds a record by its state before the node id; one with a node id of another length drops those before it.
        @inline(__always)
        mutating func add(_ state: UInt32, node: UnsafeRawBufferPointer) {
            if node.count != nodeBytes {
                count = 0
                nodeBytes = node.count
            }
            switch count {
            case 0: (states.0, nodes.0) = (state, node.baseAddress)
            case 1: (states.1, nodes.1) = (state, node.baseAddress)
            case 2: (states.2, nodes.2) = (state, node.baseAddress)
            default: (states.3, nodes.3) = (state, node.baseAddress)
            }
            count += 1
        }

        /// The mixed items of the four, and room for the next; `nil` if a node id is not ASCII.
        mutating func finish() -> (UInt32, UInt32, UInt32, UInt32)? {
            precondition(count == 4, "a quad has four")
            count = 0
            guard let first = nodes.0, let second = nodes.1, let third = nodes.2, let fourth = nodes.3 else {
                return nil
            }
            var hashes = states
            var bits: UInt8 = 0
            for index in 0..<nodeBytes {
                let bytes = (
                    first.load(fromByteOffset: index, as: UInt8.self),
                    second.load(fromByteOffset: index, as: UInt8.self),
                    third.load(fromByteOffset: index, as: UInt8.self),
                    fourth.load(fromByteOffset: index, as: UInt8.self)
                )
                bits |= bytes.0 | bytes.1 | bytes.2 | bytes.3
                hashes = (
                    step(hashes.0, UInt32(bytes.0)), step(hashes.1, UInt32(bytes.1)),
                    step(hashes.2, UInt32(bytes.2)), step(hashes.3, UInt32(bytes.3))
                )
            }
            guard bits < 0x80 else { return nil }
            return (KeyHash.mix(hashes.0), KeyHash.mix(hashes.1), KeyHash.mix(hashes.2), KeyHash.mix(hashes.3))
        }
    }

    @inline(__always)
    private static func step(_ hash: UInt32, _ unit: UInt32) -> UInt32 {
        (hash ^ unit) &* 0x0100_0193
    }

    @inline(__always)
    private static func fourDigits(_ hash: UInt32, _ number: UInt32) -> UInt32 {
        let (high, low) = (number / 100, number % 100)
        var hash = step(hash, 0x30 &+ high / 10)
        hash = step(hash, 0x30 &+ high % 10)
        hash = step(hash, 0x30 &+ low / 10)
        return step(hash, 0x30 &+ low % 10)
    }

    @inline(never)
    private static func digits(_ hash: UInt32, _ number: UInt64) -> UInt32 {
        var scale: UInt64 = 1
        while number / scale >= 10 { scale *= 10 }
        var hash = hash
        while scale > 0 {
            hash = step(hash, 0x30 + UInt32(number / scale % 10))
            scale /= 10
        }
        return hash
    }

    @inline(never)
    private static func general(
        _ key: UnsafeRawBufferPointer, _ millis: Int64, _ counter: UInt32, _ node: UnsafeRawBufferPointer
    ) -> UInt32 {
        KeyHash.mix(MerkleTree32.item(key: key, millis: millis, counter: counter, node: node))
    }
}
