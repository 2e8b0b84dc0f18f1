/// Cuts what one client's socket brings into messages, by the rules that RFC 6455 has for a server.
///
/// ```
///   byte 0   FIN RSV RSV RSV opcode(4)
///   byte 1   MASK length(7)      126: u16 follows, 127: u64 follows
///            mask, 4 bytes       always there, or the client broke the rules
///            payload             exclusive or with the mask
///
///   input ──► header ──► whole binary message in this read? ──yes──► unmasked into the loop's scratch
///               ▲                     │ no
///               │                     ▼
///               └── end of frame ◄─ payload, piece by piece ──► MessageBuffer of this connection
/// ```
///
/// A pure function of its input and of what came before: it may be cut anywhere. Text messages are read over, control
/// frames may stand between fragments. What a frame announces is checked against ``messageBytesMax`` before a byte of it
/// is kept, and memory grows only with bytes that came.
package struct WebSocketFrameParser {
    /// What the handler has to do besides delivering the messages in the scratch.
    package enum Verdict: Equatable {
        case goOn
        /// The client said goodbye; nothing after it counts.
        case goodbye(code: UInt16?)
        /// The client broke the rules: close with this code. What was complete before stands.
        case violation(code: UInt16, reason: String)
    }

    /// Bytes of one message; a longer one is refused as soon as it is announced.
    var messageBytesMax: Int
    /// Control frames of the last read.
    private(set) var controlFrames = 0
    /// What the last ping of the last read carried; only the most recent one needs an answer.
    private(set) var ping: [UInt8]?

    private enum Message {
        case none
        case binary
        case text
    }

    private enum Payload {
        case data
        case control(WebSocketOpcode)
    }

    /// The first bytes of a header that the last read cut.
    private var cutHeader: [UInt8] = []
    /// What is missing of the current frame, its mask from here on, and what it belongs to.
    private var payloadLeft = 0
    private var mask: UInt32 = 0
    private var payload = Payload.data
    private var isFinal = false
    /// The message that is under way over frames, how long it is, and its bytes unless it is text.
    private var message = Message.none
    private var messageBytes = 0
    private var pieces: MessageBuffer?
    private var control: [UInt8] = []

    package init(messageBytesMax: Int) {
        self.messageBytesMax = messageBytesMax
    }

    /// Takes one read. The scratch holds what it completed until ``ReadScratch/end()``, which the caller calls.
    package mutating func parse(_ input: UnsafeRawBufferPointer, into scratch: ReadScratch) -> Verdict {
        controlFrames = 0
        ping = nil
        scratch.begin(input.count)
        var rest = input
        if payloadLeft > 0 {
            let verdict = takePayload(&rest, scratch)
            if verdict != .goOn || payloadLeft > 0 { return verdict }
        }
        while !rest.isEmpty {
            let header: Header
            switch nextHeader(&rest) {
            case .cut: return .goOn
            case .broken(let code, let reason): return .violation(code: code, reason: reason)
            case .whole(let whole): header = whole
            }
            if header.isWholeBinary, message == .none, header.length <= rest.count {
                guard header.length <= messageBytesMax else { return tooLarge }
                scratch.add(unmasking: UnsafeRawBufferPointer(rebasing: rest[..<header.length]), mask: header.mask)
                rest = UnsafeRawBufferPointer(rebasing: rest[header.length...])
                continue
            }
            var verdict = begin(header)
            if verdict == .goOn { verdict = takePayload(&rest, scratch) }
            if verdict != .goOn || payloadLeft > 0 { return verdict }
        }
        return .goOn
    }

    /// Memory of the message that is under way.
    var heldBytes: Int { pieces?.capacity ?? 0 }

    /// Gives memory back when the connection ends in the middle of a message.
    mutating func abandon(to scratch: ReadScratch) {
        if let pieces { scratch.recycle(pieces) }
        pieces = nil
    }
}

// MARK: - Headers

extension WebSocketFrameParser {
    private struct Header {
        var isFinal: Bool
        var opcode: WebSocketOpcode
        var length: Int
        var mask: UInt32
        /// Bytes of the header itself.
        var size: Int

        var isWholeBinary: Bool { isFinal && opcode == .binary }
    }

    private enum HeaderResult {
        case cut
        case whole(Header)
        case broken(code: UInt16, reason: String)
    }

    private var tooLarge: Verdict {
        .violation(code: WebSocketCloseCode.tooLarge, reason: "message above \(messageBytesMax) bytes")
    }

    private mutating func nextHeader(_ rest: inout UnsafeRawBufferPointer) -> HeaderResult {
        guard cutHeader.isEmpty else { return nextCutHeader(&rest) }
        let result = Self.header(rest)
        switch result {
        case .whole(let header): rest = UnsafeRawBufferPointer(rebasing: rest[header.size...])
        case .cut: cutHeader.append(contentsOf: rest)
        case .broken: break
        }
        return result
    }

    private mutating func nextCutHeader(_ rest: inout UnsafeRawBufferPointer) -> HeaderResult {
        let before = cutHeader.count
        cutHeader.append(contentsOf: rest.prefix(Self.headerBytesLongest - before))
        let result = cutHeader.withUnsafeBytes { Self.header($0) }
        if case .whole(let header) = result {
            rest = UnsafeRawBufferPointer(rebasing: rest[(header.size - before)...])
            cutHeader.removeAll(keepingCapacity: true)
        }
        return result
    }

    /// Two bytes, a length of eight, a mask of four.
    private static let headerBytesLongest = 14

    @inline(__always)
    private static func header(_ bytes: UnsafeRawBufferPointer) -> HeaderResult {
        guard bytes.count >= 2 else { return .cut }
        let first = bytes[0]
        let second = bytes[1]
        guard first & 0x70 == 0, let opcode = WebSocketOpcode(rawValue: first & 0x0f) else {
            return .broken(code: WebSocketCloseCode.protocolError, reason: "unknown kind of frame")
        }
        guard second & 0x80 != 0 else {
            return .broken(code: WebSocketCloseCode.protocolError, reason: "unmasked frame")
        }
        var length = Int(second & 0x7f)
        var size = 2
        if opcode.rawValue >= 8, length > 125 || first & 0x80 == 0 {
            return .broken(code: WebSocketCloseCode.protocolError, reason: "control frame too long or in fragments")
        }
        if length == 126 {
            guard bytes.count >= 4 else { return .cut }
            length = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
            size = 4
        } else if length == 127 {
            guard bytes.count >= 10 else { return .cut }
            let announced = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
            guard announced >> 63 == 0 else {
                return .broken(code: WebSocketCloseCode.protocolError, reason: "impossible length")
            }
            length = Int(announced)
            size = 10
        }
        guard bytes.count >= size + 4 else { return .cut }
        let mask = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: size, as: UInt32.self))
        return .whole(
            Header(isFinal: first & 0x80 != 0, opcode: opcode, length: length, mask: mask, size: size + 4))
    }
}

// MARK: - Payload

extension WebSocketFrameParser {
    /// Turns to the frame that the header announces, if it may stand here.
    private mutating func begin(_ header: Header) -> Verdict {
        isFinal = header.isFinal
        mask = header.mask
        payloadLeft = header.length
        switch (header.opcode, message) {
        case (.close, _), (.ping, _), (.pong, _):
            payload = .control(header.opcode)
            control.removeAll(keepingCapacity: true)
            return .goOn
        case (.continuation, .none):
            return .violation(code: WebSocketCloseCode.protocolError, reason: "continuation of nothing")
        case (.text, .binary), (.text, .text), (.binary, .binary), (.binary, .text):
            return .violation(code: WebSocketCloseCode.protocolError, reason: "message inside another")
        case (.continuation, .binary), (.continuation, .text):
            break
        case (.text, .none):
            message = .text
            messageBytes = 0
        case (.binary, .none):
            message = .binary
            messageBytes = 0
        }
        payload = .data
        // An empty fragment counts as a byte, so that a message without an end has one.
        let (sum, overflow) = messageBytes.addingReportingOverflow(
            header.isFinal ? header.length : max(1, header.length))
        guard !overflow, sum <= messageBytesMax else { return tooLarge }
        messageBytes = sum
        return .goOn
    }

    /// Takes what there is of the current frame, and ends the frame if that was all of it.
    private mutating func takePayload(_ rest: inout UnsafeRawBufferPointer, _ scratch: ReadScratch) -> Verdict {
        let count = min(payloadLeft, rest.count)
        if count > 0 {
            let piece = UnsafeRawBufferPointer(rebasing: rest[..<count])
            take(piece, scratch)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            mask = WebSocketMask.advanced(mask, by: count)
            payloadLeft -= count
        }
        return payloadLeft == 0 ? endFrame(scratch) : .goOn
    }

    private mutating func take(_ piece: UnsafeRawBufferPointer, _ scratch: ReadScratch) {
        switch payload {
        case .control:
            let start = control.count
            control.append(contentsOf: piece)
            for index in start..<control.count {
                control[index] ^= UInt8(truncatingIfNeeded: WebSocketMask.advanced(mask, by: index - start))
            }
        case .data:
            guard message == .binary else { return }
            let buffer = pieces ?? scratch.takeBuffer()
            pieces = buffer
            buffer.append(unmasking: piece, mask: mask)
        }
    }

    private mutating func endFrame(_ scratch: ReadScratch) -> Verdict {
        switch payload {
        case .control(let opcode):
            controlFrames += 1
            return endControl(opcode)
        case .data:
            guard isFinal else { return .goOn }
            if message == .binary { scratch.add(pieces ?? scratch.takeBuffer()) }
            pieces = nil
            message = .none
            return .goOn
        }
    }

    private mutating func endControl(_ opcode: WebSocketOpcode) -> Verdict {
        switch opcode {
        case .ping:
            ping = control
            return .goOn
        case .close:
            return goodbye()
        case .pong, .continuation, .text, .binary:
            return .goOn
        }
    }

    private func goodbye() -> Verdict {
        guard !control.isEmpty else { return .goodbye(code: nil) }
        guard control.count >= 2 else {
            return .violation(code: WebSocketCloseCode.protocolError, reason: "half a close code")
        }
        let code = UInt16(control[0]) << 8 | UInt16(control[1])
        guard WebSocketCloseCode.isValid(code) else {
            return .violation(code: WebSocketCloseCode.protocolError, reason: "impossible close code")
        }
        guard String(validating: control[2...], as: UTF8.self) != nil else {
            return .violation(code: WebSocketCloseCode.invalidText, reason: "close reason is not UTF-8")
        }
        return .goodbye(code: code)
    }
}
