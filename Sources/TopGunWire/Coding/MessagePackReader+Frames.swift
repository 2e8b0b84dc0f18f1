import TopGunModel

// Reading where a value of the wrong kind is no reason to give up: it is stepped over and reported as absent. Only bytes
// that cannot be walked at all throw.

extension MessagePackReader {
    /// The name that stands here; `nil` for one that the hot path does not know, or that is no text.
    @inline(__always)
    mutating func fieldKey() throws(WireError) -> FieldKey? {
        if let name = tryReadShortString() { return FieldKey(name) }
        guard let name = try tryLongString() else { return nil }
        return FieldKey(name)
    }

    /// A string, unchecked; `nil` after stepping over anything else.
    @inline(__always)
    mutating func tryString() throws(WireError) -> UnsafeRawBufferPointer? {
        if let short = tryReadShortString() { return short }
        return try tryLongString()
    }

    @inline(never)
    private mutating func tryLongString() throws(WireError) -> UnsafeRawBufferPointer? {
        do throws(MessagePackError) {
            return try readString()
        } catch {
            guard error == .wrongKind else { throw WireError(error) }
        }
        try skipAny()
        return nil
    }

    /// A whole number; `nil` after stepping over anything else.
    @inline(__always)
    mutating func tryInteger() throws(WireError) -> Int64? {
        do throws(MessagePackError) {
            return try readInteger()
        } catch {
            guard error == .wrongKind || error == .notAnInteger else { throw WireError(error) }
        }
        try skipAny()
        return nil
    }

    /// A user's value; `nil` after stepping over one that nests too deep.
    @inline(__always)
    mutating func value() throws(WireError) -> UnsafeRawBufferPointer? {
        do throws(MessagePackError) {
            return try skipValue(depthLimit: ModelLimits.valueDepthMax)
        } catch {
            guard error == .tooDeep else { throw WireError(error) }
        }
        try skipAny()
        return nil
    }

    @inline(__always)
    mutating func skipAny() throws(WireError) {
        do throws(MessagePackError) { try skipValueOfAnyDepth() } catch { throw WireError(error) }
    }

    @inline(__always)
    mutating func mapCount() throws(WireError) -> Int {
        do throws(MessagePackError) { return try readMapCount() } catch { throw WireError(error) }
    }

    @inline(__always)
    mutating func arrayCount() throws(WireError) -> Int {
        do throws(MessagePackError) { return try readArrayCount() } catch { throw WireError(error) }
    }

    /// Whether a map stands here.
    @inline(__always)
    var isAtMap: Bool {
        guard remaining > 0 else { return false }
        let head = bytes[offset]
        return head & 0xf0 == 0x80 || head == 0xde || head == 0xdf
    }
}

/// Whether a name or key may be stored: well-formed UTF-8 without NUL, which PostgreSQL's texts cannot hold.
///
/// Eight ASCII bytes at a time, the last eight overlapping what was seen; what is not ASCII takes the long way.
@inline(__always)
func isPlainText(_ text: UnsafeRawBufferPointer) -> Bool {
    guard text.count >= 8 else { return isPlainShortText(text) }
    var found: UInt64 = 0
    var index = 0
    while index < text.count &- 8 {
        found |= unusual(text.loadUnaligned(fromByteOffset: index, as: UInt64.self))
        index &+= 8
    }
    found |= unusual(text.loadUnaligned(fromByteOffset: text.count &- 8, as: UInt64.self))
    return found == 0 || isPlainTextSlowly(text)
}

/// Not zero if a byte is above 0x7f, or zero and so borrows from above.
@inline(__always)
private func unusual(_ word: UInt64) -> UInt64 {
    (word | (word &- 0x0101_0101_0101_0101)) & 0x8080_8080_8080_8080
}

@inline(__always)
private func isPlainShortText(_ text: UnsafeRawBufferPointer) -> Bool {
    for byte in text where byte == 0 || byte > 0x7f { return isPlainTextSlowly(text) }
    return true
}

@inline(never)
private func isPlainTextSlowly(_ text: UnsafeRawBufferPointer) -> Bool {
    for byte in text where byte == 0 { return false }
    return isUTF8(text)
}

/// Whether a node id is one: plain text, not too long, without the colon that separates the parts of a stamp.
@inline(__always)
func isNodeID(_ node: UnsafeRawBufferPointer) -> Bool {
    guard node.count <= WireLimits.nodeBytesMax, isPlainText(node) else { return false }
    var index = 0
    while index &+ 8 <= node.count {
        // Zero exactly where there is a colon; a borrow may add false positives above one, never hide it.
        let word = node.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ 0x3a3a_3a3a_3a3a_3a3a
        if (word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080 != 0 { return false }
        index &+= 8
    }
    while index < node.count {
        if node[index] == UInt8(ascii: ":") { return false }
        index &+= 1
    }
    return true
}
