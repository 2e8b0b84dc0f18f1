extension JSON {
    /// How a document is written as MessagePack; the same content has many forms, and none may matter.
    package enum Form: Sendable, CaseIterable {
        /// The shortest form of everything.
        case shortest
        /// As the official client writes: `map16`, and `float64` for whole numbers beyond 32 bits.
        case officialClient
        /// The widest form of everything, and every number a `float64`.
        case widest
    }

    /// The MessagePack bytes of the document; written by hand here so that no reader is tested with its own writer.
    package func messagePack(_ form: Form = .shortest) -> [UInt8] {
        switch self {
        case .null: return [0xc0]
        case .bool(let bool): return [bool ? 0xc3 : 0xc2]
        case .number(let digits): return Self.number(digits, form)
        case .string(let text):
            let bytes = Array(text.utf8)
            if bytes.count < 32, form != .widest { return [0xa0 | UInt8(bytes.count)] + bytes }
            return [0xdb] + Self.bigEndian(UInt32(bytes.count)) + bytes
        case .array(let elements):
            let header =
                elements.count < 16 && form != .widest
                ? [0x90 | UInt8(elements.count)] : [0xdd] + Self.bigEndian(UInt32(elements.count))
            return header + elements.flatMap { $0.messagePack(form) }
        case .object(let members):
            let header: [UInt8] =
                switch form {
                case .shortest where members.count < 16: [0x80 | UInt8(members.count)]
                case .shortest, .officialClient: [0xde] + Self.bigEndian(UInt16(members.count))
                case .widest: [0xdf] + Self.bigEndian(UInt32(members.count))
                }
            return header + members.flatMap { JSON.string($0.name).messagePack(form) + $0.value.messagePack(form) }
        }
    }

    private static func number(_ digits: String, _ form: Form) -> [UInt8] {
        let double = [0xcb] + bigEndian(Double(digits)!.bitPattern)
        guard let int = Int64(digits), form != .widest else { return double }
        switch int {
        case 0..<128: return [UInt8(int)]
        case -32..<0: return [UInt8(bitPattern: Int8(int))]
        case Int64(Int32.min)...Int64(Int32.max): return [0xd2] + bigEndian(Int32(int))
        case Int64(Int32.max)...Int64(UInt32.max): return [0xce] + bigEndian(UInt32(int))
        default: return form == .officialClient ? double : [0xd3] + bigEndian(int)
        }
    }

    private static func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
