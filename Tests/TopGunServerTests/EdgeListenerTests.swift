import NIOCore
import Testing

@testable import TopGunServer

@Suite(.timeLimit(.minutes(1))) struct EdgeListenerTests {
    @Test(arguments: ["/", "/ws", "/ws?token=none"])
    func `a client may connect with and without the path`(path: String) async throws {
        try await RunningListener.run { listener in
            try await listener.connect { client in
                let head = try await client.handshake(path: path)
                #expect(head.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
                // The example of RFC 6455.
                #expect(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
            }
        }
    }

    @Test func `M10 compression is never agreed to, whoever offers it`() async throws {
        try await RunningListener.run { listener in
            try await listener.connect { client in
                let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                let head = try await client.handshake(headers: offer)
                #expect(head.hasPrefix("HTTP/1.1 101 "))
                #expect(!head.lowercased().contains("extensions"))
            }
        }
    }

    @Test func `messages of every size come back in order`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                let sizes = [0, 1, 125, 126, 127, 4_000, 65_535, 65_536, 300_000, 3]
                for (index, size) in sizes.enumerated() {
                    try await client.send(message: [UInt8](repeating: UInt8(index), count: size))
                }
                for (index, size) in sizes.enumerated() {
                    let frame = try await client.readFrame()
                    #expect(frame?.opcode == 2)
                    #expect(frame?.payload == [UInt8](repeating: UInt8(index), count: size))
                }
            }
        }
    }

    @Test func `what the client sends right behind its handshake is not lost`() async throws {
        try await RunningListener.run { listener in
            try await listener.connect { client in
                let request =
                    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
                try await client.send(bytes: Array(request.utf8) + RawClient.frame(2, [1, 2, 3]))
                _ = try await client.readHead()
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [1, 2, 3]))
            }
        }
    }

    @Test func `the owner may speak first`() async throws {
        try await RunningListener.run(greeting: [5, 5]) { listener in
            try await listener.connectClient { client in
                let frame = try await client.readFrame()
                #expect(frame == .init(opcode: 2, payload: [5, 5]))
            }
        }
    }

    @Test func `all messages of one read reach the owner in one call`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(bytes: (0..<64).flatMap { RawClient.frame(2, [UInt8($0)]) })
                for index in 0..<64 {
                    #expect(try await client.readFrame() == .init(opcode: 2, payload: [UInt8(index)]))
                }
            }
            var events: [EchoOwner.Event] = []
            for await event in listener.echo.events {
                events.append(event)
                if event == .closed { break }
            }
            #expect(events == [.opened(origin: nil), .received(64), .closed])
        }
    }

    @Test func `text messages are ignored and pings answered`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(bytes: RawClient.frame(1, Array("{}".utf8)))
                try await client.send(bytes: RawClient.frame(9, [1, 2, 3]))
                #expect(try await client.readFrame() == .init(opcode: 10, payload: [1, 2, 3]))
                try await client.send(message: [4])
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [4]))
            }
        }
    }

    @Test func `goodbye is answered with the same code and the connection ends`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(message: [1])
                try await client.send(bytes: RawClient.frame(8, [0x0f, 0xa0]))
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [1]))
                #expect(try await client.readFrame()?.closeCode == 4000)
                #expect(try await client.readFrame() == nil)
            }
        }
    }

    @Test func `the owner closes with its code and its last messages arrive before`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(
                    bytes: RawClient.frame(2, [1]) + RawClient.frame(2, Array("close me".utf8))
                        + RawClient.frame(2, [2]))
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [1]))
                let goodbye = try await client.readFrame()
                #expect(goodbye?.closeCode == 1008)
                #expect(goodbye?.payload.dropFirst(2).elementsEqual("you asked for it".utf8) == true)
                try await client.send(bytes: RawClient.frame(8, [0x03, 0xf0]))
                #expect(try await client.readFrame() == nil)
            }
        }
    }

    @Test(
        arguments: [
            ("unmasked", [0x82, 0x01, 0x00], 1002),
            ("reserved bit", [0xc2, 0x80, 0, 0, 0, 0], 1002),
            ("above the limit", [0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0], 1009),
        ] as [(String, [UInt8], UInt16)])
    func `M09 a client that breaks the rules hears why`(what: String, bytes: [UInt8], code: UInt16) async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                // More behind it, so that data is unread when the connection ends.
                try await client.send(bytes: bytes + [UInt8](repeating: 0x82, count: 200_000))
                #expect(try await client.readFrame()?.closeCode == code, "\(what)")
                #expect(try await client.readFrame() == nil)
            }
        }
    }

    @Test func `a message of the limit passes and one byte more does not`() async throws {
        var configuration = ServerConfiguration()
        configuration.messageBytesMax = 100_000
        try await RunningListener.run(configuration) { listener in
            try await listener.connectClient { client in
                try await client.send(message: [UInt8](repeating: 1, count: 100_000))
                #expect(try await client.readFrame()?.payload.count == 100_000)
                try await client.send(message: [UInt8](repeating: 1, count: 100_001))
                #expect(try await client.readFrame()?.closeCode == 1009)
            }
        }
    }

    @Test func `M06 a client that must say who it is may send a greeting and no more`() async throws {
        try await RunningListener.run(admits: false) { listener in
            try await listener.connectClient { client in
                try await client.send(message: [UInt8](repeating: 1, count: Limits.strangerMessageBytesMax))
                #expect(try await client.readFrame()?.payload.count == Limits.strangerMessageBytesMax)
                try await client.send(message: [UInt8](repeating: 1, count: Limits.strangerMessageBytesMax + 1))
                #expect(try await client.readFrame()?.closeCode == 1009)
            }
        }
    }

    @Test func `M06 messages that never end share a bounded memory, and whoever finds it full is sent away`()
        async throws
    {
        try await RunningListener.run { listener in
            let sockets = listener.door.sockets[0]
            sockets.heldBytesMax = 200_000
            try await listener.connectClient { first in
                let message = [UInt8](repeating: 1, count: 150_000)
                let frame = RawClient.frame(2, message)
                try await first.send(bytes: Array(frame.prefix(120_000)))
                try await listener.connectClient { second in
                    try await second.send(bytes: Array(frame.prefix(120_000)))
                    #expect(try await second.readFrame()?.closeCode == 1013)
                }
                try await first.send(bytes: Array(frame.dropFirst(120_000)))
                #expect(try await first.readFrame()?.payload.count == 150_000)
                #expect(sockets.heldBytes == 0)
            }
        }
    }

    @Test func `M20 a flood of pings ends the connection`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(bytes: (0..<1_000).flatMap { _ in RawClient.frame(9, []) })
                while let frame = try await client.readFrame() {
                    if frame.opcode == 8 {
                        #expect(frame.closeCode == 1008)
                        return
                    }
                }
                Issue.record("no goodbye")
            }
        }
    }

    @Test func `M20 what a client does not read is counted for its owner`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(message: [1])
                _ = try await client.readFrame()
                var queued = 0
                for _ in 0..<40 { queued = await listener.echo.send(bytes: 1_024 * 1_024) }
                // Kernel buffers and the test's own take a few of the 40 MB.
                #expect(queued > 10 * 1_024 * 1_024)
                for _ in 0..<40 { #expect(try await client.readFrame()?.payload.count == 1_024 * 1_024) }
                #expect(await listener.echo.queuedBytes == 0)
            }
        }
    }

    @Test func `a connection that is not read delivers nothing until it is`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(message: "stop reading")
                var events = listener.echo.events.makeAsyncIterator()
                #expect(await events.next() == .opened(origin: nil))
                #expect(await events.next() == .received(1))
                try await client.send(message: [1])
                try await client.send(message: [2])
                await listener.echo.resumeReading()
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [1]))
                #expect(try await client.readFrame() == .init(opcode: 2, payload: [2]))
            }
        }
    }

    @Test func `P08 draining tells every client and lets nobody in`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(message: [1])
                _ = try await client.readFrame()
                async let drained: Void = listener.door.drain(withinMillis: 10_000)
                #expect(try await client.readFrame()?.closeCode == 1001)
                try await client.send(bytes: RawClient.frame(8, [0x03, 0xe9]))
                #expect(try await client.readFrame() == nil)
                await drained
            }
            try await listener.connect { client in
                let head = try await client.handshake()
                #expect(head.hasPrefix("HTTP/1.1 503 "))
            }
            try await listener.connect { client in
                let (head, body) = try await client.get("/ready")
                #expect(head.hasPrefix("HTTP/1.1 503 "))
                #expect(body == "draining: letting clients go\n")
            }
        }
    }

    @Test func `P08 a client that ignores the goodbye is cut off in time`() async throws {
        try await RunningListener.run { listener in
            try await listener.connectClient { client in
                try await client.send(message: [1])
                _ = try await client.readFrame()
                await listener.door.drain(withinMillis: 1_000)
                #expect(try await client.readFrame()?.closeCode == 1001)
                #expect(try await client.readFrame() == nil)
            }
        }
    }
}
