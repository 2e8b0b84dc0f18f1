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

    @Test func `M09 a message in a million fragments costs what it is long, and not its square`() {
        let count = 1_000_000
        var input = ByteBuffer()
        for index in 0..<count {
            let opcode: UInt8 = index == 0 ? 2 : 0
            input.writeBytes(Self.frame(opcode, [UInt8(truncatingIfNeeded: index)], isFinal: index == count - 1))
        }
        var reassembly = WebSocketClientReassembly()
        var messages: [ByteBuffer] = []
        for _ in 0..<count {
            if case .message(let message) = reassembly.next(from: &input) { messages.append(message) }
        }
        #expect(messages.map(\.readableBytes) == [count])
        #expect(messages[0].readableBytesView.enumerated().allSatisfy { $1 == UInt8(truncatingIfNeeded: $0) })
        #expect(input.readableBytes == 0)
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
