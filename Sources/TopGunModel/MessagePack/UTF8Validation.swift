/// Whether the bytes are well-formed UTF-8: no overlong form, no surrogate, nothing beyond U+10FFFF.
///
/// The table of the Unicode standard, section 3.9, with eight ASCII bytes taken at a time.
package func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var index = 0
    while index < bytes.count {
        if bytes.count &- index >= 8,
            bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
        {
            index &+= 8
            continue
        }
        let length = scalarLength(in: bytes, at: index)
        guard length > 0 else { return false }
        index &+= length
    }
    return true
}

/// The length of the scalar that begins at `index`; 0 if none well-formed does.
private func scalarLength(in bytes: UnsafeRawBufferPointer, at index: Int) -> Int {
    let length: Int
    var lowest: UInt8 = 0x80
    var highest: UInt8 = 0xbf
    switch bytes[index] {
    case 0x00...0x7f: return 1
    case 0xc2...0xdf: length = 2
    case 0xe0: (length, lowest) = (3, 0xa0)
    case 0xed: (length, highest) = (3, 0x9f)
    case 0xe1...0xef: length = 3
    case 0xf0: (length, lowest) = (4, 0x90)
    case 0xf4: (length, highest) = (4, 0x8f)
    case 0xf1...0xf3: length = 4
    default: return 0
    }
    guard length <= bytes.count &- index, bytes[index &+ 1] >= lowest, bytes[index &+ 1] <= highest else { return 0 }
    var next = index &+ 2
    while next < index &+ length {
        guard bytes[next] & 0xc0 == 0x80 else { return 0 }
        next &+= 1
    }
    return length
}
