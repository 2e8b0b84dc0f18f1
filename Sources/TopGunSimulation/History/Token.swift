import Foundation
package import TopGunModel

/// The value of one write, found again wherever it turns up: `~^` and eight hexadecimal digits, then filling that is no
/// other value's.
package enum Token {
    package static let bytes = 10

    /// MessagePack of a text that begins with the token and is `length` bytes long.
    package static func payload(_ token: UInt32, length: Int) -> Payload {
        let length = min(max(length, bytes), 255)
        var payload: [UInt8] = [0xd9, UInt8(length), UInt8(ascii: "~"), UInt8(ascii: "^")]
        for shift in stride(from: 28, through: 0, by: -4) {
            payload.append(digits[Int(token >> UInt32(shift) & 15)])
        }
        for place in bytes..<length { payload.append(filling(token, at: place)) }
        return Payload(payload)
    }

    /// What ``of(_:)`` takes a value for that nobody wrote as it is.
    package static let broken = UInt32.max

    /// The token of a value; a tombstone has none.
    package static func of(_ payload: Payload) -> UInt32? {
        payload.bytes.withUnsafeBytes { bytes in
            if bytes.count == 1, bytes[0] == 0xc0 { return nil }
            // Behind the head of the text, as ``payload(_:length:)`` puts it.
            guard let base = bytes.baseAddress, bytes.count >= Self.bytes + 2, bytes[0] == 0xd9,
                Int(bytes[1]) == bytes.count - 2, bytes[2] == UInt8(ascii: "~"), let token = token(at: base + 2)
            else { return broken }
            for place in Self.bytes..<bytes.count - 2 where bytes[place + 2] != filling(token, at: place) {
                return broken
            }
            return token
        }
    }

    private static func filling(_ token: UInt32, at place: Int) -> UInt8 {
        UInt8(ascii: "A") + UInt8(truncatingIfNeeded: (token &* 7 &+ UInt32(truncatingIfNeeded: place)) % 26)
    }

    /// Every token among some bytes. Bytes that begin none are skipped by the C library, many at a time: every message and
    /// every sector of a world comes through here.
    static func each(in bytes: UnsafeRawBufferPointer, _ body: (UInt32) -> Void) {
        guard let base = bytes.baseAddress else { return }
        var index = 0
        while index + Self.bytes <= bytes.count,
            let found = memchr(base + index, Int32(UInt8(ascii: "~")), bytes.count - Self.bytes + 1 - index)
        {
            index = UnsafeRawPointer(found) - base
            guard let token = token(at: base + index) else {
                index += 1
                continue
            }
            body(token)
            index += Self.bytes
        }
    }

    /// The token that begins with the byte at an address, which is a `~`.
    private static func token(at start: UnsafeRawPointer) -> UInt32? {
        guard start.load(fromByteOffset: 1, as: UInt8.self) == UInt8(ascii: "^") else { return nil }
        var token: UInt32 = 0
        for digit in 2..<bytes {
            guard let value = value(ofDigit: start.load(fromByteOffset: digit, as: UInt8.self)) else { return nil }
            token = token << 4 | value
        }
        return token
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
