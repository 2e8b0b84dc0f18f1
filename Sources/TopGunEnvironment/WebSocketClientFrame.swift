package import NIOCore

/// Frames of RFC 6455 as a client writes and reads them.
///
/// ```
///   byte 0   FIN RSV RSV RSV opcode(4)
///   byte 1   MASK length(7)      126: u16 follows, 127: u64 follows
///   [mask]   4 bytes, only from client to server
///   payload
/// ```
package enum WebSocketClientOpcode: UInt8, Sendable {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    var isControl: Bool { rawValue >= 8 }

    /// Appends one whole, masked frame.
    package func writeFrame(_ payload: UnsafeRawBufferPointer, mask: UInt32, into output: inout ByteBuffer) {
        output.writeInteger(0x80 | rawValue)
        switch payload.count {
        case ..<126:
            output.writeInteger(0x80 | UInt8(payload.count))
        case ..<65536:
            output.writeInteger(0x80 | UInt8(126))
            output.writeInteger(UInt16(payload.count))
        default:
            output.writeInteger(0x80 | UInt8(127))
            output.writeInteger(UInt64(payload.count))
        }
        output.writeInteger(mask, endianness: .little)
        output.writeWithUnsafeMutableBytes(minimumWritableBytes: payload.count) { target in
            Self.exclusiveOr(payload, mask, into: target)
            return payload.count
        }
    }

    /// Eight bytes at a time; the mask is in the order of memory, its first byte lowest.
    private static func exclusiveOr(
        _ source: UnsafeRawBufferPointer, _ mask: UInt32, into target: UnsafeMutableRawBufferPointer
    ) {
        let wide = UInt64(mask) << 32 | UInt64(mask)
        var offset = 0
        while offset &+ 8 <= source.count {
            let word = UInt64(littleEndian: source.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) ^ wide
            target.storeBytes(of: word.littleEndian, toByteOffset: offset, as: UInt64.self)
            offset &+= 8
        }
        while offset < source.count {
            target[offset] = source[offset] ^ UInt8(truncatingIfNeeded: wide >> UInt64((offset & 3) * 8))
            offset &+= 1
        }
    }
}

/// Cuts the incoming bytes into frames and joins the fragments of messages.
package struct WebSocketClientReassembly {
    package enum Event {
        case needsMore
        case message(ByteBuffer)
        /// A frame of which there is nothing to tell: a fragment, or a text message.
        case ignored
        case ping(ByteBuffer)
        case pong
        case close(code: UInt16?, reason: String)
        /// The server broke the rules; close with this code.
        case violation(code: UInt16, reason: String)
    }

    private enum Message {
        case none
        case binary
        case text
    }

    /// The message that is under way over fragments, how long it is, and its bytes unless it is text. The bytes have one
    /// owner, so that a fragment is appended in place: copying what came before for each would cost its square.
    private var message = Message.none
    private var heldBytes = 0
    private var pieces = ByteBuffer()

    package init() {}

    /// Takes one frame from the front of the input.
    package mutating func next(from input: inout ByteBuffer) -> Event {
        let start = input.readerIndex
        guard let first = input.getInteger(at: start, as: UInt8.self),
            let second = input.getInteger(at: start + 1, as: UInt8.self)
        else { return .needsMore }
        guard first & 0x70 == 0, let opcode = WebSocketClientOpcode(rawValue: first & 0x0f) else {
            return .violation(code: 1002, reason: "unknown kind of frame")
        }
        guard second & 0x80 == 0 else { return .violation(code: 1002, reason: "masked frame from a server") }
        let isFinal = first & 0x80 != 0
        var header = 2
        var length = UInt64(second & 0x7f)
        if length == 126 {
            guard let wide = input.getInteger(at: start + 2, as: UInt16.self) else { return .needsMore }
            length = UInt64(wide)
            header = 4
        } else if length == 127 {
            guard let wide = input.getInteger(at: start + 2, as: UInt64.self) else { return .needsMore }
            length = wide
            header = 10
        }
        if opcode.isControl, !isFinal || length > 125 {
            return .violation(code: 1002, reason: "control frame too long or in fragments")
        }
        guard length <= UInt64(Limits.clientMessageBytesMax - heldBytes) else {
            return .violation(code: 1009, reason: "message above \(Limits.clientMessageBytesMax) bytes")
        }
        let count = Int(length)
        guard input.readableBytes >= header + count else {
            // Room for the whole frame at once, so that a large one is not moved again and again as it grows. The
            // length is below the limit, so it can be believed this far.
            let missing = header + count - input.readableBytes
            if input.writableBytes < missing, input.readableBytes > 0 {
                input.reserveCapacity(minimumWritableBytes: missing)
            }
            return .needsMore
        }
        input.moveReaderIndex(forwardBy: header)
        guard let payload = input.readSlice(length: count) else { return .needsMore }
        return take(opcode, isFinal, payload)
    }

    private mutating func take(_ opcode: WebSocketClientOpcode, _ isFinal: Bool, _ payload: ByteBuffer) -> Event {
        switch (opcode, message) {
        case (.binary, .none):
            if isFinal { return .message(payload) }
            message = .binary
            return hold(payload, isFinal: false)
        case (.text, .none):
            if isFinal { return .ignored }
            message = .text
            return hold(payload, isFinal: false)
        case (.continuation, .binary), (.continuation, .text):
            return hold(payload, isFinal: isFinal)
        case (.continuation, .none):
            return .violation(code: 1002, reason: "a continuation of nothing")
        case (.binary, .binary), (.binary, .text), (.text, .binary), (.text, .text):
            return .violation(code: 1002, reason: "a message inside another")
        case (.ping, _):
            return .ping(payload)
        case (.pong, _):
            return .pong
        case (.close, _):
            return close(payload)
        }
    }

    /// Takes a fragment. Copies it, so that the fragments to come do not keep the whole read buffer.
    private mutating func hold(_ payload: ByteBuffer, isFinal: Bool) -> Event {
        let isText = if case .text = message { true } else { false }
        heldBytes += payload.readableBytes
        if !isText { pieces.writeImmutableBuffer(payload) }
        guard isFinal else { return .ignored }
        let whole = pieces
        pieces = ByteBuffer()
        heldBytes = 0
        message = .none
        return isText ? .ignored : .message(whole)
    }

    private func close(_ payload: ByteBuffer) -> Event {
        var payload = payload
        if payload.readableBytes == 1 { return .violation(code: 1002, reason: "half a close code") }
        let code = payload.readInteger(as: UInt16.self)
        return .close(code: code, reason: String(buffer: payload))
    }
}
