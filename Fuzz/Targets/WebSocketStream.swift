/// What a stream of WebSocket frames should come to, by a parser that is as simple as RFC 6455 lets it be: it has all of
/// the stream at once. And streams to begin with.
enum WebSocketStream {
    enum End: Equatable {
        /// The stream ends here, maybe inside a frame.
        case open
        case goodbye
        case violation(code: UInt16)
    }

    struct Meaning: Equatable {
        var messages: [[UInt8]] = []
        var controls = 0
        /// What the last ping carried.
        var ping: [UInt8]?
        var end = End.open
    }

    private struct Frame {
        var opcode: UInt8
        var isFinal: Bool
        var length: Int
        var mask: [UInt8]
        /// What there is of it, unmasked.
        var payload: [UInt8]
        /// Bytes of the whole frame.
        var size: Int
    }

    private enum Reading {
        case cut
        case broken
        case frame(Frame)
    }

    /// - Parameter isMasked: whether frames must be masked, as they are on the way to a server, or must not be.
    static func meaning(_ stream: [UInt8], isMasked: Bool, messageBytesMax: Int) -> Meaning {
        var meaning = Meaning()
        var rest = stream[...]
        var message: (isText: Bool, bytes: [UInt8], count: Int)?
        while true {
            switch read(rest, isMasked: isMasked) {
            case .cut: return meaning
            case .broken:
                meaning.end = .violation(code: 1002)
                return meaning
            case .frame(let frame):
                if frame.opcode >= 8 {
                    guard frame.payload.count == frame.length else { return meaning }
                    meaning.controls += 1
                    if frame.opcode == 9 { meaning.ping = frame.payload }
                    if frame.opcode == 8 {
                        meaning.end = goodbye(frame.payload, isStrict: isMasked)
                        return meaning
                    }
                } else {
                    guard (frame.opcode == 0) == (message != nil) else {
                        meaning.end = .violation(code: 1002)
                        return meaning
                    }
                    var under = message ?? (frame.opcode == 1, [], 0)
                    let bytes = frame.isFinal ? frame.length : max(1, frame.length)
                    // Not the sum, which may be beyond all numbers.
                    guard bytes <= messageBytesMax - under.count else {
                        meaning.end = .violation(code: 1009)
                        return meaning
                    }
                    under.count += bytes
                    guard frame.payload.count == frame.length else { return meaning }
                    under.bytes += frame.payload
                    message = frame.isFinal ? nil : under
                    if frame.isFinal, !under.isText { meaning.messages.append(under.bytes) }
                }
                rest = rest.dropFirst(frame.size)
            }
        }
    }

    private static func read(_ bytes: ArraySlice<UInt8>, isMasked: Bool) -> Reading {
        let bytes = Array(bytes)
        guard bytes.count >= 2 else { return .cut }
        let opcode = bytes[0] & 0x0f
        let isFinal = bytes[0] & 0x80 != 0
        guard bytes[0] & 0x70 == 0, [0, 1, 2, 8, 9, 10].contains(opcode), (bytes[1] & 0x80 != 0) == isMasked else {
            return .broken
        }
        let short = Int(bytes[1] & 0x7f)
        guard opcode < 8 || isFinal && short <= 125 else { return .broken }
        let wide = short == 126 ? 2 : short == 127 ? 8 : 0
        guard bytes.count >= 2 + wide else { return .cut }
        let declared = bytes[2..<2 + wide].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard declared >> 63 == 0 else { return .broken }
        let length = wide == 0 ? short : Int(declared)
        let header = 2 + wide + (isMasked ? 4 : 0)
        guard bytes.count >= header else { return .cut }
        let mask = isMasked ? Array(bytes[2 + wide..<header]) : [0, 0, 0, 0]
        let payload = bytes[header...].prefix(length).enumerated().map { $1 ^ mask[$0 & 3] }
        return .frame(
            Frame(
                opcode: opcode, isFinal: isFinal, length: length, mask: mask, payload: payload,
                size: header + payload.count))
    }

    /// - Parameter isStrict: whether the code and the reason of a goodbye are looked at.
    private static func goodbye(_ payload: [UInt8], isStrict: Bool) -> End {
        guard payload.count != 1 else { return .violation(code: 1002) }
        guard isStrict, payload.count > 1 else { return .goodbye }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        guard [1000...1003, 1007...1014, 3000...4999].contains(where: { $0.contains(code) }) else {
            return .violation(code: 1002)
        }
        return String(validating: payload[2...], as: UTF8.self) == nil ? .violation(code: 1007) : .goodbye
    }

    // MARK: Writing

    static func frame(
        _ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil
    ) -> [UInt8] {
        let flag: UInt8 = mask == nil ? 0 : 0x80
        var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | opcode]
        switch payload.count {
        case ..<126: bytes.append(flag | UInt8(payload.count))
        case ..<65_536: bytes += [flag | 126, UInt8(payload.count >> 8), UInt8(truncatingIfNeeded: payload.count)]
        default:
            bytes.append(flag | 127)
            bytes += (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
        }
        let key = mask ?? [0, 0, 0, 0]
        return bytes + (mask ?? []) + payload.enumerated().map { $1 ^ key[$0 & 3] }
    }

    /// Streams with every kind of frame, for a server or for a client.
    static func seeds(isMasked: Bool) -> [[UInt8]] {
        let mask: [UInt8]? = isMasked ? [0x37, 0xfa, 0x21, 0x3d] : nil
        let text = Array("payload of some length".utf8)
        func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
            Self.frame(opcode, payload, isFinal: isFinal, mask: mask)
        }
        let fragments =
            frame(2, Array(text[..<5]), isFinal: false) + frame(9, [1, 2]) + frame(0, [], isFinal: false)
            + frame(0, Array(text[5...]))
        return [
            frame(2, text), frame(2, []), frame(2, text) + frame(2, text), fragments, frame(1, text),
            frame(1, [104], isFinal: false) + frame(0, [105]), frame(9, text), frame(10, []),
            frame(8, [0x03, 0xe8] + text), frame(8, []), frame(8, [1]), frame(2, Array(repeating: 7, count: 300)),
            frame(2, Array(repeating: 9, count: 66_000)), fragments + frame(2, text) + frame(8, [0x03, 0xe9]),
        ]
    }
}
