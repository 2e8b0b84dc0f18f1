package import TopGunModel

/// The value of one write, found again wherever it turns up: `~^` and eight hexadecimal digits, then filling.
package enum Token {
    package static let bytes = 10

    /// MessagePack of a text that begins with the token and is `length` bytes long.
    package static func payload(_ token: UInt32, length: Int) -> Payload {
        let length = min(max(length, bytes), 255)
        var payload: [UInt8] = [0xd9, UInt8(length), UInt8(ascii: "~"), UInt8(ascii: "^")]
        for shift in stride(from: 28, through: 0, by: -4) {
            payload.append(digits[Int(token >> UInt32(shift) & 15)])
        }
        payload.append(contentsOf: repeatElement(UInt8(ascii: "."), count: length - bytes))
        return Payload(payload)
    }

    /// The token of a value, if it has one; a tombstone has none.
    package static func of(_ payload: Payload) -> UInt32? {
        var found: UInt32?
        payload.bytes.withUnsafeBytes { bytes in each(in: bytes) { found = found ?? $0 } }
        return found
    }

    /// Every token among some bytes.
    package static func each(in bytes: UnsafeRawBufferPointer, _ body: (UInt32) -> Void) {
        guard bytes.count >= Self.bytes else { return }
        var index = 0
        let last = bytes.count - Self.bytes
        while index <= last {
            guard bytes[index] == UInt8(ascii: "~"), bytes[index + 1] == UInt8(ascii: "^") else {
                index += 1
                continue
            }
            var token: UInt32 = 0
            var isWhole = true
            for digit in index + 2..<index + Self.bytes {
                guard let value = value(ofDigit: bytes[digit]) else {
                    isWhole = false
                    break
                }
                token = token << 4 | value
            }
            if isWhole { body(token) }
            index += isWhole ? Self.bytes : 2
        }
    }

    private static let digits = Array("0123456789abcdef".utf8)

    private static func value(ofDigit digit: UInt8) -> UInt32? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(digit - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(digit - UInt8(ascii: "a") + 10)
        default: nil
        }
    }
}
