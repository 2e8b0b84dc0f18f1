/// A node of the tree that clients walk: up to three hex digits, none for the root.
package struct MerklePath: Hashable, Sendable {
    /// The digits as a number.
    package let digits: UInt16
    /// How many digits there are, 0...3.
    package let length: UInt8

    package static let root = MerklePath(digits: 0, length: 0)

    private init(digits: UInt16, length: UInt8) {
        self.digits = digits
        self.length = length
    }

    /// The path of a leaf, 0..<4096.
    package init(leaf: Int) {
        precondition(leaf >= 0 && leaf < ModelLimits.merkleLeafCount, "no such leaf")
        self.init(digits: UInt16(truncatingIfNeeded: leaf), length: 3)
    }

    /// Reads at most three lower-case hex digits; anything else is no path.
    package init?(text: UnsafeRawBufferPointer) {
        guard text.count <= ModelLimits.merkleDigits else { return nil }
        var digits: UInt16 = 0
        for byte in text {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
            default: return nil
            }
            digits = digits << 4 | UInt16(digit)
        }
        self.init(digits: digits, length: UInt8(truncatingIfNeeded: text.count))
    }

    package init?(text: ByteString) {
        guard let path = text.bytes.withUnsafeBytes({ MerklePath(text: $0) }) else { return nil }
        self = path
    }

    package var text: ByteString {
        ByteString((0..<Int(length)).map { Self.digit(Int(digits >> UInt16(4 * (Int(length) - 1 - $0))) & 15) })
    }

    /// The character of a hex digit, 0..<16.
    package static func digit(_ value: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: value < 10 ? 0x30 + value : 0x57 + value)
    }

    package var isLeaf: Bool { Int(length) == ModelLimits.merkleDigits }

    /// The child with that digit; not of a leaf.
    package func child(_ digit: Int) -> MerklePath {
        precondition(!isLeaf && digit >= 0 && digit < 16, "no such child")
        return MerklePath(digits: digits << 4 | UInt16(truncatingIfNeeded: digit), length: length + 1)
    }

    /// The leaves below this node; its own for a leaf.
    package var leafRange: Range<Int> { firstLeaf..<firstLeaf + leafCount }

    package var firstLeaf: Int { Int(digits) << (4 * (ModelLimits.merkleDigits - Int(length))) }

    package var leafCount: Int { 1 << (4 * (ModelLimits.merkleDigits - Int(length))) }

    /// Whether a key lies below this node.
    package func contains(keyHash: UInt32) -> Bool {
        leafRange.contains(MerkleTree32.leaf(ofKeyHash: keyHash))
    }
}
