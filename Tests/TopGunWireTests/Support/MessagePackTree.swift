import GoldenVectors

/// MessagePack as a tree to compare with JSON; written apart from the reader that it helps to test.
indirect enum Tree: Equatable, CustomStringConvertible {
    case null
    case bool(Bool)
    case number(Double)
    case text([UInt8])
    case binary([UInt8])
    case list([Tree])
    /// In the order of the names, so that order does not matter.
    case map([[UInt8]: Tree])

    /// The tree of whole bytes; they must be well-formed.
    init(_ bytes: [UInt8]) {
        var rest = bytes[...]
        self = Tree.read(&rest)
        precondition(rest.isEmpty, "bytes behind the value")
    }

    private static func read(_ bytes: inout ArraySlice<UInt8>) -> Tree {
        let head = bytes.removeFirst()
        switch head {
        case 0x00...0x7f: return .number(Double(head))
        case 0xe0...0xff: return .number(Double(Int8(bitPattern: head)))
        case 0x80...0x8f: return map(Int(head & 15), &bytes)
        case 0x90...0x9f: return list(Int(head & 15), &bytes)
        case 0xa0...0xbf: return .text(take(Int(head & 31), &bytes))
        case 0xc0: return .null
        case 0xc2, 0xc3: return .bool(head == 0xc3)
        case 0xc4...0xc6: return .binary(take(Int(number(1 << (Int(head) - 0xc4), &bytes)), &bytes))
        case 0xca: return .number(Double(Float(bitPattern: UInt32(number(4, &bytes)))))
        case 0xcb: return .number(Double(bitPattern: number(8, &bytes)))
        case 0xcc...0xcf: return .number(Double(number(1 << (Int(head) - 0xcc), &bytes)))
        case 0xd0: return .number(Double(Int8(truncatingIfNeeded: number(1, &bytes))))
        case 0xd1: return .number(Double(Int16(truncatingIfNeeded: number(2, &bytes))))
        case 0xd2: return .number(Double(Int32(truncatingIfNeeded: number(4, &bytes))))
        case 0xd3: return .number(Double(Int64(bitPattern: number(8, &bytes))))
        case 0xd9...0xdb: return .text(take(Int(number(1 << (Int(head) - 0xd9), &bytes)), &bytes))
        case 0xdc, 0xdd: return list(Int(number(2 << (Int(head) - 0xdc), &bytes)), &bytes)
        case 0xde, 0xdf: return map(Int(number(2 << (Int(head) - 0xde), &bytes)), &bytes)
        default: preconditionFailure("head \(head)")
        }
    }

    private static func number(_ width: Int, _ bytes: inout ArraySlice<UInt8>) -> UInt64 {
        take(width, &bytes).reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func take(_ count: Int, _ bytes: inout ArraySlice<UInt8>) -> [UInt8] {
        defer { bytes.removeFirst(count) }
        return Array(bytes.prefix(count))
    }

    private static func list(_ count: Int, _ bytes: inout ArraySlice<UInt8>) -> Tree {
        .list((0..<count).map { _ in read(&bytes) })
    }

    private static func map(_ count: Int, _ bytes: inout ArraySlice<UInt8>) -> Tree {
        var map: [[UInt8]: Tree] = [:]
        for _ in 0..<count {
            guard case .text(let name) = read(&bytes) else { preconditionFailure("a name that is no text") }
            map[name] = read(&bytes)
        }
        return .map(map)
    }

    /// What a vector file says a frame decodes to; `{"$bin": hex}` stands for bytes.
    init(_ json: JSON) {
        switch json {
        case .null: self = .null
        case .bool(let flag): self = .bool(flag)
        case .number: self = .number(json.double)
        case .string(let text): self = .text(Array(text.utf8))
        case .array(let elements): self = .list(elements.map { Tree($0) })
        case .object(let members):
            if members.count == 1, members[0].name == "$bin" {
                self = .binary(bytes(hex: members[0].value.text))
            } else {
                self = .map(Dictionary(uniqueKeysWithValues: members.map { (Array($0.name.utf8), Tree($0.value)) }))
            }
        }
    }

    /// The value under a name; setting nil removes it, and anything but a map has none.
    subscript(name: String) -> Tree? {
        get {
            guard case .map(let map) = self else { return nil }
            return map[Array(name.utf8)]
        }
        set {
            guard case .map(var map) = self else { return }
            map[Array(name.utf8)] = newValue
            self = .map(map)
        }
    }

    var elements: [Tree] {
        guard case .list(let elements) = self else { return [] }
        return elements
    }

    var description: String {
        switch self {
        case .null: "null"
        case .bool(let flag): "\(flag)"
        case .number(let number): "\(number)"
        case .text(let text): "\"\(String(decoding: text, as: UTF8.self))\""
        case .binary(let bytes): "bin\(bytes)"
        case .list(let elements): "\(elements)"
        case .map(let map):
            "{"
                + map.map { "\(String(decoding: $0.key, as: UTF8.self)): \($0.value)" }.sorted().joined(separator: ", ")
                + "}"
        }
    }
}

func bytes(hex: String) -> [UInt8] {
    let digits = Array(hex.utf8).map { UInt8($0 < 0x3a ? $0 - 0x30 : $0 - 0x57) }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}
