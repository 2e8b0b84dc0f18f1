@testable import TopGunServer

extension FuzzTarget {
    /// What one client's socket brings, to the server's parser.
    ///
    /// Cut anywhere it comes to the same: what a parser says that has all of it at once. Memory grows with bytes that
    /// came, never with what was announced.
    ///
    /// ```
    /// u8 limit   u8 how the stream is cut   the stream
    /// ```
    static let webSocket = FuzzTarget(
        name: "websocket", lengthMax: 1 << 17,
        seeds: {
            WebSocketStream.seeds(isMasked: true).flatMap { stream in [0, 2, 3].map { [$0, 1] + stream } }
        },
        words: [
            [0x82, 0xfe], [0x82, 0xff], [0x02, 0x80], [0x00, 0x80], [0x80, 0x80], [0x89, 0x80], [0x88, 0x82],
        ],
        body: { bytes in
            var input = FuzzInput(bytes)
            let messageBytesMax = [16, 200, 70_000, 2 << 20][input.choice(4)]
            let cuts = input.byte()
            let stream = Array(input.rest)
            let expected = WebSocketStream.meaning(stream, isMasked: true, messageBytesMax: messageBytesMax)
            let whole = WebSocketReading.outcome(of: [stream], messageBytesMax)
            expect(whole == expected, "in one piece: \(whole.summary), but it is \(expected.summary)")
            let pieces = WebSocketReading.outcome(of: cut(stream, by: cuts), messageBytesMax)
            expect(pieces == expected, "in pieces: \(pieces.summary), but it is \(expected.summary)")
        })

    /// The stream in pieces whose lengths come from a byte: each a byte long, or of lengths that change.
    static func cut(_ stream: [UInt8], by choice: UInt8) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = stream[...]
        var length = choice == 0 ? 1 : Int(choice)
        while !rest.isEmpty {
            pieces.append(Array(rest.prefix(length)))
            rest = rest.dropFirst(length)
            if choice != 0 { length = length * 7 % 251 + 1 }
        }
        return pieces
    }
}

private enum WebSocketReading {
    static func outcome(of pieces: [[UInt8]], _ messageBytesMax: Int) -> WebSocketStream.Meaning {
        var parser = WebSocketFrameParser(messageBytesMax: messageBytesMax)
        let scratch = ReadScratch()
        var meaning = WebSocketStream.Meaning()
        var received = 0
        for piece in pieces {
            received += piece.count
            let verdict = piece.withUnsafeBytes { parser.parse($0, into: scratch) }
            meaning.messages += scratch.messages.map { Array($0) }
            meaning.controls += parser.controlFrames
            if let ping = parser.ping { meaning.ping = ping }
            scratch.end()
            expect(parser.heldBytes <= max(2 * received, 1_024), "\(parser.heldBytes) bytes held of \(received)")
            expect(parser.heldBytes <= max(2 * messageBytesMax, 1_024), "more is held than a message may have")
            switch verdict {
            case .goOn: continue
            case .goodbye: meaning.end = .goodbye
            case .violation(let code, _): meaning.end = .violation(code: code)
            }
            break
        }
        parser.abandon(to: scratch)
        expect(parser.heldBytes == 0, "an abandoned parser holds memory")
        return meaning
    }
}

extension WebSocketStream.Meaning {
    var summary: String { "\(messages.map(\.count)) messages, \(controls) control frames, \(end)" }
}
