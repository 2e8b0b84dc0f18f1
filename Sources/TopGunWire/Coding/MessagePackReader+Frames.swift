import TopGunModel

// Reading where a value of the wrong kind is no reason to give up: it is stepped over and reported as absent. Only bytes
// that cannot be walked at all throw.

extension MessagePackReader {
    /// The name that stands here; `nil` for one that the hot path does not know, or that is no text.
    @inline(__always)
    mutating func fieldKey() throws(WireError) -> FieldKey? {
        guard let name = try tryString() else { return nil }
        return FieldKey(name)
    }

    /// A string, unchecked; `nil` after stepping over anything else.
    @inline(__always)
    mutating func tryString() throws(WireError) -> UnsafeRawBufferPointer? {
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
/// Eight ASCII bytes at a time; what is not ASCII takes the long way.
@inline(__always)
func isPlainText(_ text: UnsafeRawBufferPointer) -> Bool {
    let highBits: UInt64 = 0x8080_8080_8080_8080
    let lowBits: UInt64 = 0x0101_0101_0101_0101
    var index = 0
    while index &+ 8 <= text.count {
        let word = text.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        // A byte is above 0x7f, or it is zero and borrows from above.
        if (word | (word &- lowBits)) & highBits != 0 { return isPlainTextSlowly(text) }
        index &+= 8
    }
    while index < text.count {
        let byte = text[index]
        if byte == 0 || byte > 0x7f { return isPlainTextSlowly(text) }
        index &+= 1
    }
    return true
}

@inline(never)
private func isPlainTextSlowly(_ text: UnsafeRawBufferPointer) -> Bool {
    for byte in text where byte == 0 { return false }
    return isUTF8(text)
}
