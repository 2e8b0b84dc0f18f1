/// The field names of the hot path, recognised by one word and their length.
enum FieldKey {
    case id
    case key
    case type
    case ops
    case mapName
    case opType
    case record
    case orRecord
    case orTag
    case timeout
    case value
    case ttlMs
    case tag
    case millis
    case counter
    case nodeId
    case payload
    case timestamp
    case writeConcern
    case fencingToken
}

extension FieldKey {
    /// The field whose name begins with these eight bytes, read as a little-endian number and padded with zeros.
    ///
    /// Since no name contains a zero byte, names of up to eight bytes are told apart by it alone. The numbers are the
    /// names' letters from right to left: `0x6469` is `di`, for `id`.
    @inline(__always)
    private init?(word: UInt64) {
        switch word {
        case 0x0000000000006469: self = .id
        case 0x000000000079656b: self = .key
        case 0x0000000065707974: self = .type
        case 0x000000000073706f: self = .ops
        case 0x00656d614e70616d: self = .mapName
        case 0x000065707954706f: self = .opType
        case 0x000064726f636572: self = .record
        case 0x64726f636552726f: self = .orRecord
        case 0x000000676154726f: self = .orTag
        case 0x0074756f656d6974: self = .timeout
        case 0x00000065756c6176: self = .value
        case 0x000000734d6c7474: self = .ttlMs
        case 0x0000000000676174: self = .tag
        case 0x000073696c6c696d: self = .millis
        case 0x007265746e756f63: self = .counter
        case 0x0000644965646f6e: self = .nodeId
        case 0x0064616f6c796170: self = .payload
        case 0x6d617473656d6974: self = .timestamp
        case 0x6e6f436574697277: self = .writeConcern
        case 0x54676e69636e6566: self = .fencingToken
        default: return nil
        }
    }

    /// The field of that name; `nil` for one that is none of these.
    @inline(__always)
    init?(_ name: UnsafeRawBufferPointer) {
        guard name.count > 0, name.count <= 12 else { return nil }
        self.init(word: firstWord(name))
        switch self {
        case .timestamp: guard name.count == 9, name[8] == UInt8(ascii: "p") else { return nil }
        case .writeConcern: guard name.count == 12, tail(name) == 0x6e72_6563 else { return nil }
        case .fencingToken: guard name.count == 12, tail(name) == 0x6e65_6b6f else { return nil }
        default: guard name.count <= 8, name[name.count &- 1] != 0 else { return nil }
        }
    }
}

/// Up to eight bytes from the start as a little-endian number.
@inline(__always)
private func firstWord(_ name: UnsafeRawBufferPointer) -> UInt64 {
    if name.count >= 8 { return UInt64(littleEndian: name.loadUnaligned(as: UInt64.self)) }
    if name.count >= 4 {
        let low = UInt64(UInt32(littleEndian: name.loadUnaligned(as: UInt32.self)))
        let shift = name.count &- 4
        let high = UInt64(UInt32(littleEndian: name.loadUnaligned(fromByteOffset: shift, as: UInt32.self)))
        return low | high &<< UInt64(truncatingIfNeeded: shift &* 8)
    }
    var word = UInt64(name[0])
    if name.count > 1 { word |= UInt64(name[1]) &<< 8 }
    if name.count > 2 { word |= UInt64(name[2]) &<< 16 }
    return word
}

/// The four bytes behind the first eight.
@inline(__always)
private func tail(_ name: UnsafeRawBufferPointer) -> UInt32 {
    UInt32(littleEndian: name.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
}
