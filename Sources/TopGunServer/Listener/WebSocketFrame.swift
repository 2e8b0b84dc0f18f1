import NIOCore

/// The kinds of frames of RFC 6455; the values from 8 on are control frames.
enum WebSocketOpcode: UInt8 {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10
}

/// The close codes of RFC 6455 that the server uses.
enum WebSocketCloseCode {
    static let normal: UInt16 = 1000
    static let goingAway: UInt16 = 1001
    static let protocolError: UInt16 = 1002
    static let invalidText: UInt16 = 1007
    static let policy: UInt16 = 1008
    static let tooLarge: UInt16 = 1009
    static let tryAgainLater: UInt16 = 1013

    /// Whether a client may send this code.
    static func isValid(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}

extension ByteBuffer {
    /// The header of a whole frame as a server sends it: final and unmasked.
    mutating func writeFrameHeader(_ opcode: WebSocketOpcode, payloadBytes: Int) {
        let first = 0x80 | opcode.rawValue
        switch payloadBytes {
        case ..<126:
            writeInteger(UInt16(first) << 8 | UInt16(payloadBytes))
        case ..<65_536:
            writeMultipleIntegers(first, UInt8(126), UInt16(payloadBytes))
        default:
            writeMultipleIntegers(first, UInt8(127), UInt64(payloadBytes))
        }
    }

    /// A whole close frame; the reason is cut to what a control frame holds.
    mutating func writeCloseFrame(code: UInt16, reason: String) {
        var text = ByteBuffer()
        text.writeString(reason)
        // Cut between characters: a close reason must be valid UTF-8.
        var room = min(text.readableBytes, Limits.closeReasonBytesMax)
        while room > 0, room < text.readableBytes, (text.getInteger(at: room, as: UInt8.self) ?? 0) & 0xc0 == 0x80 {
            room -= 1
        }
        writeFrameHeader(.close, payloadBytes: 2 + room)
        writeInteger(code)
        if let slice = text.readSlice(length: room) { writeImmutableBuffer(slice) }
    }
}
