import Testing

@testable import TopGunServer

@Suite struct EdgeFrameParserTests {
    /// What a parser made of bytes, copied out.
    private struct Outcome: Equatable {
        var messages: [[UInt8]] = []
        var pings: [[UInt8]] = []
        var verdict = WebSocketFrameParser.Verdict.goOn
    }

    private static func parse(_ pieces: [[UInt8]], messageBytesMax: Int = 2 * 1_024 * 1_024) -> Outcome {
        var parser = WebSocketFrameParser(messageBytesMax: messageBytesMax)
        let scratch = ReadScratch()
        var outcome = Outcome()
        for piece in pieces {
            outcome.verdict = piece.withUnsafeBytes { parser.parse($0, into: scratch) }
            outcome.messages += scratch.messages.map { Array($0) }
            if let ping = parser.ping { outcome.pings.append(ping) }
            scratch.end()
            if outcome.verdict != .goOn { break }
        }
        return outcome
    }

    private static func frame(
        _ opcode: WebSocketOpcode, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]
    ) -> [UInt8] {
        var bytes: [UInt8] = [(isFinal ? 0x80 : 0) | opcode.rawValue]
        switch payload.count {
        case ..<126: bytes.append(0x80 | UInt8(payload.count))
        case ..<65_536:
            bytes += [0x80 | 126, UInt8(payload.count >> 8), UInt8(truncatingIfNeeded: payload.count)]
        default:
            bytes.append(0x80 | 127)
            bytes += (0..<8).reversed().map { UInt8(truncatingIfNeeded: payload.count >> ($0 * 8)) }
        }
        bytes += mask
        bytes += payload.enumerated().map { $1 ^ mask[$0 & 3] }
        return bytes
    }

    private static func bytes(_ count: Int, seed: UInt8 = 7) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) ^ seed }
    }

    @Test func `messages of every length come out as they went in`() {
        let lengths = [0, 1, 2, 3, 7, 8, 9, 63, 125, 126, 127, 128, 1_000, 65_535, 65_536, 70_000, 300_000]
        let messages = lengths.map { Self.bytes($0) }
        let outcome = Self.parse([messages.flatMap { Self.frame(.binary, $0) }])
        #expect(outcome == Outcome(messages: messages))
    }

    @Test func `a stream may be cut at every byte`() {
        let first = Self.bytes(130)
        let second = Self.bytes(40, seed: 9)
        let third = Self.bytes(5, seed: 1)
        let stream =
            Self.frame(.binary, first)
            + Self.frame(.binary, Array(second[..<13]), isFinal: false)
            + Self.frame(.ping, [1, 2, 3])
            + Self.frame(.continuation, Array(second[13..<14]), isFinal: false)
            + Self.frame(.continuation, [], isFinal: false)
            + Self.frame(.continuation, Array(second[14...]))
            + Self.frame(.text, [104, 105])
            + Self.frame(.binary, third)
            + Self.frame(.close, [0x03, 0xe8, 111, 107])
        let expected = Outcome(
            messages: [first, second, third], pings: [[1, 2, 3]], verdict: .goodbye(code: 1000))
        for cut in 0...stream.count {
            #expect(Self.parse([Array(stream[..<cut]), Array(stream[cut...])].filter { !$0.isEmpty }) == expected)
        }
        #expect(Self.parse(stream.map { [$0] }) == expected)
    }

    @Test func `M09 a million fragments of one byte are one message`() {
        let count = 1_000_000
        var stream = Self.frame(.binary, [0], isFinal: false)
        for index in 1..<count - 1 {
            stream += Self.frame(.continuation, [UInt8(truncatingIfNeeded: index)], isFinal: false)
        }
        stream += Self.frame(.continuation, [UInt8(truncatingIfNeeded: count - 1)])
        var pieces: [[UInt8]] = []
        for start in stride(from: 0, to: stream.count, by: 65_536) {
            pieces.append(Array(stream[start..<min(start + 65_536, stream.count)]))
        }
        let outcome = Self.parse(pieces)
        #expect(outcome.verdict == .goOn)
        #expect(outcome.messages == [(0..<count).map { UInt8(truncatingIfNeeded: $0) }])
    }

    @Test(arguments: [0, 1])
    func `M09 a message that never ends is refused at the limit`(fragmentBytes: Int) {
        let fragment = Self.frame(.continuation, Self.bytes(fragmentBytes), isFinal: false)
        var pieces = [Self.frame(.binary, [1], isFinal: false)]
        pieces += Array(repeating: fragment, count: 2_000)
        let outcome = Self.parse(pieces, messageBytesMax: 1_000)
        #expect(outcome.messages.isEmpty)
        #expect(outcome.verdict == .violation(code: 1009, reason: "message above 1000 bytes"))
    }

    @Test func `a text message that never ends is refused at the limit too`() {
        var pieces = [Self.frame(.text, Self.bytes(600), isFinal: false)]
        pieces.append(Self.frame(.continuation, Self.bytes(600), isFinal: false))
        #expect(
            Self.parse(pieces, messageBytesMax: 1_000).verdict
                == .violation(code: 1009, reason: "message above 1000 bytes"))
    }

    @Test func `a message of the limit is taken and one byte more is refused before it came`() {
        let limit = 2 * 1_024 * 1_024
        let whole = Self.bytes(limit)
        let taken = Self.parse([Self.frame(.binary, whole)], messageBytesMax: limit)
        #expect(taken == Outcome(messages: [whole]))

        let header = Array(Self.frame(.binary, Self.bytes(limit + 1))[..<14])
        #expect(
            Self.parse([header], messageBytesMax: limit).verdict
                == .violation(code: 1009, reason: "message above \(limit) bytes"))
    }

    @Test(arguments: [
        (UInt64.max, UInt16(1002)), (UInt64(1) << 63, UInt16(1002)), (UInt64(Int64.max), UInt16(1009)),
        (UInt64(UInt32.max), UInt16(1009)),
    ])
    func `M09 lengths of 64 bits that lie end the connection and allocate nothing`(announced: UInt64, code: UInt16) {
        var header: [UInt8] = [0x82, 0xff]
        header += (0..<8).reversed().map { UInt8(truncatingIfNeeded: announced >> ($0 * 8)) }
        header += [1, 2, 3, 4]
        guard case .violation(let got, _) = Self.parse([header]).verdict else {
            Issue.record("accepted")
            return
        }
        #expect(got == code)
        // Behind a fragment, where the sum might overflow.
        guard
            case .violation(let again, _) = Self.parse([Self.frame(.binary, [1], isFinal: false), continuing(header)])
                .verdict
        else {
            Issue.record("accepted as continuation")
            return
        }
        #expect(again == code)
    }

    private func continuing(_ header: [UInt8]) -> [UInt8] { [0x80] + header.dropFirst() }

    @Test(
        arguments: [
            ("unmasked", [0x82, 0x01, 0x00]),
            ("reserved bit 1", [0xc2, 0x80, 1, 2, 3, 4]),
            ("reserved bit 2", [0xa2, 0x80, 1, 2, 3, 4]),
            ("reserved bit 3", [0x92, 0x80, 1, 2, 3, 4]),
            ("unknown data opcode", [0x83, 0x80, 1, 2, 3, 4]),
            ("unknown control opcode", [0x8b, 0x80, 1, 2, 3, 4]),
            ("fragmented ping", [0x09, 0x80, 1, 2, 3, 4]),
            ("long ping", [0x89, 0xfe, 0, 126, 1, 2, 3, 4]),
            ("continuation of nothing", [0x80, 0x80, 1, 2, 3, 4]),
            ("message inside another", [0x02, 0x80, 1, 2, 3, 4, 0x82, 0x80, 1, 2, 3, 4]),
            ("text inside another", [0x02, 0x80, 1, 2, 3, 4, 0x81, 0x80, 1, 2, 3, 4]),
            ("half a close code", [0x88, 0x81, 0, 0, 0, 0, 3]),
            ("impossible close code", [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xed]),
        ] as [(String, [UInt8])])
    func `M09 what breaks the rules is answered with 1002`(what: String, stream: [UInt8]) {
        for pieces in [[stream], stream.map { [$0] }] {
            guard case .violation(let code, _) = Self.parse(pieces).verdict else {
                Issue.record("accepted: \(what)")
                continue
            }
            #expect(code == 1002, "\(what)")
        }
    }

    @Test func `a close reason that is not UTF-8 is answered with 1007`() {
        #expect(
            Self.parse([Self.frame(.close, [0x03, 0xe8, 0xff])]).verdict
                == .violation(code: 1007, reason: "close reason is not UTF-8"))
    }

    @Test func `what was complete before a violation is delivered`() {
        let outcome = Self.parse([Self.frame(.binary, [1, 2]) + [0x82, 0x01, 0x00]])
        #expect(outcome.messages == [[1, 2]])
        #expect(outcome.verdict == .violation(code: 1002, reason: "unmasked frame"))
    }

    @Test func `only the last ping of a read is remembered and all are counted`() {
        var parser = WebSocketFrameParser(messageBytesMax: 1_000)
        let scratch = ReadScratch()
        let stream = (0..<50).flatMap { Self.frame(.ping, [UInt8($0)]) }
        _ = stream.withUnsafeBytes { parser.parse($0, into: scratch) }
        scratch.end()
        #expect(parser.controlFrames == 50)
        #expect(parser.ping == [49])
    }

    @Test func `a random stream cut at random is the same stream`() {
        for seed in UInt64(1)...20 {
            var random = SplitMix(state: seed)
            var stream: [UInt8] = []
            var expected: [[UInt8]] = []
            for _ in 0..<40 {
                let message = Self.bytes(Int(random.next() % 5_000), seed: UInt8(truncatingIfNeeded: random.next()))
                expected.append(message)
                var start = 0
                var opcode = WebSocketOpcode.binary
                while random.next() % 3 == 0, start < message.count {
                    let end = start + Int(random.next() % UInt64(message.count - start + 1))
                    stream += Self.frame(opcode, Array(message[start..<end]), isFinal: false)
                    if random.next() % 2 == 0 { stream += Self.frame(.pong, [5]) }
                    start = end
                    opcode = .continuation
                }
                stream += Self.frame(opcode, Array(message[start...]))
            }
            var pieces: [[UInt8]] = []
            var start = 0
            while start < stream.count {
                let end = min(stream.count, start + 1 + Int(random.next() % 3_000))
                pieces.append(Array(stream[start..<end]))
                start = end
            }
            #expect(Self.parse(pieces) == Outcome(messages: expected), "seed \(seed)")
        }
    }
}

private struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
