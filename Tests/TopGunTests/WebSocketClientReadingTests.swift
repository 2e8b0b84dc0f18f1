import NIOCore
import NIOEmbedded
import Testing

@testable import TopGunEnvironment

/// What a server may make the client's end of a WebSocket do and hold.
@Suite struct WebSocketClientReadingTests {
    private static func frame(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
        let length: [UInt8] =
            payload.count < 126
            ? [UInt8(payload.count)] : [126, UInt8(payload.count >> 8), UInt8(truncatingIfNeeded: payload.count)]
        return [(isFinal ? 0x80 : 0) | opcode] + length + payload
    }

    @Test(.timeLimit(.minutes(1)))
    func `M09 a message in thousands of fragments costs what it is long, and not its square`() throws {
        let (count, bytes) = (8_000, 4_096)
        var reassembly = WebSocketClientReassembly()
        var messages: [ByteBuffer] = []
        for index in 0..<count {
            let payload = [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: bytes)
            var input = ByteBuffer(
                bytes: Self.frame(index == 0 ? 2 : 0, payload, isFinal: index == count - 1))
            if case .message(let message) = reassembly.next(from: &input) { messages.append(message) }
            #expect(input.readableBytes == 0)
        }
        let message = try #require(messages.first)
        #expect(messages.count == 1 && message.readableBytes == count * bytes)
        for index in 0..<count {
            #expect(message.getInteger(at: index * bytes, as: UInt8.self) == UInt8(truncatingIfNeeded: index))
        }
    }

    @Test func `text in fragments is read over, and what follows is taken`() {
        var input = ByteBuffer()
        input.writeBytes(Self.frame(1, [104], isFinal: false) + Self.frame(0, [105]) + Self.frame(2, [7, 8]))
        var reassembly = WebSocketClientReassembly()
        var messages: [[UInt8]] = []
        for _ in 0..<3 {
            if case .message(let message) = reassembly.next(from: &input) {
                messages.append(Array(message.readableBytesView))
            }
        }
        #expect(messages == [[7, 8]])
    }

    @Test func `C13 reads that never end with a frame hold one frame and not all that came`() throws {
        let receiver = CountingReceiver()
        let handler = WebSocketClientHandler(
            attempt: WebSocketClientAttempt(receiver: receiver), entropy: SystemEntropy())
        let channel = EmbeddedChannel(handler: handler)
        handler.begin()
        let frame = Self.frame(2, Array(repeating: 7, count: 4_000))
        try channel.writeInbound(ByteBuffer(bytes: frame.prefix(2_000)))
        for _ in 0..<1_000 {
            try channel.writeInbound(ByteBuffer(bytes: frame.dropFirst(2_000) + frame.prefix(2_000)))
            #expect(handler.inputCapacity <= 64 * 1_024)
        }
        #expect(receiver.messages == 1_000)
        _ = try channel.finish()
    }

    /// Unchecked because there is one thread.
    private final class CountingReceiver: MessageReceiver, @unchecked Sendable {
        var messages = 0

        func connected(_ connection: any MessageConnection) {}
        func received(_ message: ByteBuffer) { messages += 1 }
        func closed(reason: String) {}
    }
}
