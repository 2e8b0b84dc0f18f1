import NIOCore
import NIOEmbedded
import TopGunSimulation

@testable import TopGunEnvironment
@testable import TopGunServer

extension FuzzTarget {
    /// What a hostile server sends to the SDK's end of a WebSocket, from the answer to the handshake on.
    ///
    /// Nothing traps. The application hears of a connection only behind the right answer, gets every message as it was
    /// sent, and hears of the end exactly once. All that whatever the pieces in which the bytes come.
    ///
    /// ```
    /// u8 flags: 1 the stream begins with the answer to the handshake   u8 how the stream is cut   the stream
    /// ```
    static let clientSocket = FuzzTarget(
        name: "clientsocket", lengthMax: 1 << 17,
        seeds: {
            let answers = [
                ClientReading.answer(accept: ClientReading.accept), ClientReading.answer(accept: "wrong"),
                "HTTP/1.1 503 No\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\nno", "HTTP/1.1 100 Continue\r\n\r\n",
                "HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 101 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ].map { Array($0.utf8) }
            let frames = WebSocketStream.seeds(isMasked: false)
            return answers.map { [1, 5] + $0 } + frames.flatMap { frame in [0, 9].map { [0, $0] + frame } }
                + frames.map { [1, 11] + answers[0] + $0 }
        },
        words: words(
            "HTTP/1.1 101 ", "Upgrade: websocket\r\n", "Connection: upgrade\r\n", "Sec-WebSocket-Accept: ", "\r\n\r\n",
            "Transfer-Encoding: chunked\r\n", "Content-Length: ")
            + [[0x82, 126], [0x82, 127], [0x02, 1], [0, 1], [0x80, 1]],
        body: { bytes in
            var input = FuzzInput(bytes)
            let isFromStart = input.byte() & 1 != 0
            let cuts = input.byte()
            let stream = Array(input.rest)
            let whole = ClientReading.outcome(of: [stream], isFromStart: isFromStart)
            if !isFromStart {
                let expected = WebSocketStream.meaning(stream, isMasked: false, messageBytesMax: 64 << 20)
                expect(whole.opened == 1, "the right answer opened nothing")
                expect(
                    whole.messages == expected.messages, "\(whole.messages.count) messages, sent \(expected.summary)")
            } else if whole.opened == 1 {
                let text = String(decoding: stream, as: UTF8.self)
                expect(text.contains(ClientReading.accept) && text.contains(" 101"), "opened by a wrong answer")
            }
            let pieces = ClientReading.outcome(
                of: cut(stream, by: cuts == 0 && stream.count > 2_000 ? 1 : cuts), isFromStart: isFromStart)
            expect(
                pieces.opened == whole.opened && pieces.messages == whole.messages,
                "in pieces: \(pieces.messages.count) messages, at once: \(whole.messages.count)")
        })
}

private enum ClientReading {
    struct Outcome {
        var opened = 0
        var closed = 0
        var messages: [[UInt8]] = []
    }

    /// What answers the key of every attempt here: its entropy is always the same.
    static let accept: String = {
        let (channel, _) = open()
        guard let request = sent(by: channel),
            let line = request.split(separator: "\r\n").first(where: { $0.lowercased().hasPrefix("sec-websocket-key:") }
            )
        else { fatalError("a client that asks for nothing") }
        return WebSocketHandshake.accept(line.dropFirst("sec-websocket-key:".count).trimmingPrefix(" ").description)
    }()

    static func answer(accept: String) -> String {
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: \(accept)\r\n\r\n"
    }

    private static func open() -> (EmbeddedChannel, Receiver) {
        guard let address = WebSocketClientAddress("ws://example.com/ws") else { fatalError("an address that is none") }
        let receiver = Receiver()
        let attempt = WebSocketClientAttempt(receiver: receiver)
        let handlers = WebSocketClientUpgrade.handlers(
            address: address, attempt: attempt, entropy: SeededEntropy(seed: 1))
        let channel = EmbeddedChannel()
        guard attempt.take(channel) else { fatalError("an attempt that was over before it began") }
        do {
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            try channel.pipeline.syncOperations.addHandlers(handlers)
        } catch {
            fatalError("no pipeline: \(error)")
        }
        return (channel, receiver)
    }

    private static func sent(by channel: EmbeddedChannel) -> String? {
        var text = ""
        do {
            while let buffer = try channel.readOutbound(as: ByteBuffer.self) { text += String(buffer: buffer) }
        } catch {
            fatalError("a client wrote what are no bytes: \(error)")
        }
        return text
    }

    static func outcome(of pieces: [[UInt8]], isFromStart: Bool) -> Outcome {
        let (channel, receiver) = open()
        var pieces = pieces
        if !isFromStart {
            pieces.insert(Array(answer(accept: accept).utf8), at: 0)
        }
        for piece in pieces {
            // What the other side did wrong is told to the pipeline, which closes.
            _ = try? channel.writeInbound(ByteBuffer(bytes: piece))
            channel.pipeline.fireChannelReadComplete()
            channel.embeddedEventLoop.run()
        }
        channel.embeddedEventLoop.advanceTime(by: .minutes(2))
        // Closed already, or with an error of the connection.
        _ = try? channel.finish(acceptAlreadyClosed: true)
        expect(receiver.outcome.opened < 2 && receiver.outcome.closed == 1, "\(receiver.outcome.closed) ends")
        return receiver.outcome
    }

    /// Unchecked because there is one thread.
    private final class Receiver: MessageReceiver, @unchecked Sendable {
        var outcome = Outcome()

        func connected(_ connection: any MessageConnection) { outcome.opened += 1 }
        func received(_ message: ByteBuffer) { outcome.messages.append(Array(message.readableBytesView)) }
        func closed(reason: String) { outcome.closed += 1 }
    }
}
