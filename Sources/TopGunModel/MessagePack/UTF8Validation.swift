extension UnsafeRawBufferPointer {
    /// Whether the bytes are well-formed UTF-8: no overlong form, no surrogate, nothing beyond U+10FFFF.
    ///
    /// The table of the Unicode standard, section 3.9, with eight ASCII bytes taken at a time.
    package var isWellFormedUTF8: Bool {
        var index = 0
        while index < count {
            if count &- index >= 8,
                loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
            {
                index &+= 8
                continue
            }
            let length = scalarLength(at: index)
            guard length > 0 else { return false }
            index &+= length
        }
        return true
    }

    /// The length of the scalar that begins at `index`; 0 if none well-formed does.
    private func scalarLength(at index: Int) -> Int {
        let length: Int
        var second: ClosedRange<UInt8> = 0x80...0xbf
        switch self[index] {
        case 0x00...0x7f: return 1
        case 0xc2...0xdf: length = 2
        case 0xe0: (length, second) = (3, 0xa0...0xbf)
        case 0xed: (length, second) = (3, 0x80...0x9f)
        case 0xe1...0xef: length = 3
        case 0xf0: (length, second) = (4, 0x90...0xbf)
        case 0xf4: (length, second) = (4, 0x80...0x8f)
        case 0xf1...0xf3: length = 4
        default: return 0
        }
        guard length <= count &- index, second.contains(self[index &+ 1]) else { return 0 }
        var next = index &+ 2
        while next < index &+ length {
            guard self[next] & 0xc0 == 0x80 else { return 0 }
            next &+= 1
        }
        return length
    }
}
