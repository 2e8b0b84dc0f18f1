package import NIOCore
import TopGunEnvironment
package import TopGunServer

/// What a client's WebSocket library makes of a message: one masked frame, or several with a ping among them, as the
/// seed says.
struct FrameWriter {
    /// One message in so many goes in fragments.
    private static let fragmentedOneIn = 8

    func frames(of message: UnsafeRawBufferPointer, _ network: SimulatedNetwork) -> ByteBuffer {
        var output = ByteBuffer()
        guard message.count > 1, network.below(Self.fragmentedOneIn) == 0 else {
            WebSocketClientOpcode.binary.writeFrame(message, mask: network.mask(), into: &output)
            return output
        }
        network.onEvent?(.messageFragmented)
        var rest = message
        var opcode = WebSocketClientOpcode.binary
        for _ in 0..<1 + network.below(3) where rest.count > 1 {
            let count = network.below(rest.count)
            let start = output.writerIndex
            opcode.writeFrame(UnsafeRawBufferPointer(rebasing: rest[..<count]), mask: network.mask(), into: &output)
            // Not the last one.
            let head = output.getInteger(at: start, as: UInt8.self) ?? 0
            output.setInteger(head & 0x7f, at: start)
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            opcode = .continuation
            if network.below(4) == 0 {
                WebSocketClientOpcode.ping.writeFrame(
                    UnsafeRawBufferPointer(rebasing: message[..<min(message.count, 4)]), mask: network.mask(),
                    into: &output)
            }
        }
        opcode.writeFrame(rest, mask: network.mask(), into: &output)
        return output
    }
}

/// What a server's listener makes of the bytes of one client: the product's own parser, fed with whatever pieces came.
package struct FrameReader {
    private var parser: WebSocketFrameParser
    private let scratch: ReadScratch

    /// The scratch is shared by all connections of a process.
    package init(messageBytesMax: Int, scratch: ReadScratch) {
        parser = WebSocketFrameParser(messageBytesMax: messageBytesMax)
        self.scratch = scratch
    }

    /// Hands on the messages that some bytes complete, valid during the call. Says whether the bytes keep the rules.
    package mutating func take(
        _ bytes: ByteBuffer, _ body: (UnsafeBufferPointer<UnsafeRawBufferPointer>) -> Void
    ) -> Bool {
        let verdict = bytes.withUnsafeReadableBytes { parser.parse($0, into: scratch) }
        if !scratch.messages.isEmpty { scratch.messages.withUnsafeBufferPointer(body) }
        scratch.end()
        return verdict == .goOn
    }
}
