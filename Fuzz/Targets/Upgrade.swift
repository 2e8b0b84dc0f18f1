import HummingbirdCore
import Logging
import NIOCore
import NIOEmbedded
import TopGunEnvironment

@testable import TopGunServer

extension FuzzTarget {
    /// What a new connection brings, to everything between the socket and the gateway: HTTP, the handshake, frames.
    ///
    /// Nothing traps. A connection becomes a client's only if its request is a handshake of RFC 6455 from an origin that
    /// may connect, and the door is open; then every message arrives as it was sent. All that whatever the pieces in which
    /// the bytes come.
    ///
    /// ```
    /// u8 flags: 1 the door is closed, 2 all origins   u8 how the stream is cut   the stream
    /// ```
    static let upgrade = FuzzTarget(
        name: "upgrade", lengthMax: 32_768,
        seeds: {
            let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            let host = "Host: a\r\n"
            let ask = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            let requests = [
                "GET /ws HTTP/1.1\r\n\(host)\(ask)\(key)\r\n", "GET / HTTP/1.1\r\n\(host)\(ask)\(key)\r\n",
                "GET /ws?x=1#y HTTP/1.1\r\n\(host)\(ask)\(key)Origin: \(UpgradeReading.origin)\r\n\r\n",
                "GET /ws HTTP/1.1\r\n\(host)\(ask)\(key)Origin: https://evil.example\r\n\r\n",
                "GET /ws HTTP/1.1\r\n\(host)\(ask)\(key)Origin: null\r\n\r\n", "GET /ws HTTP/1.1\r\n\(host)\(ask)\r\n",
                "GET /ws HTTP/1.1\r\n\(host)Connection: upgrade, keep-alive\r\nUpgrade: h2c, WebSocket\r\n\(key)\r\n",
                "POST /ws HTTP/1.1\r\n\(host)\(ask)\(key)Content-Length: 3\r\n\r\nabc",
                "GET /health HTTP/1.1\r\n\(host)\r\n",
                "GET /ws HTTP/1.0\r\n\(ask)\(key)\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                "POST /x HTTP/1.1\r\n\(host)Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
                "GET /ws HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 70) + "\(ask)\(key)\r\n",
            ].map { Array($0.utf8) }
            let frames = WebSocketStream.seeds(isMasked: true).filter { $0.count < 1_000 }
            return requests.flatMap { request in (UInt8(0)..<4).map { [$0, 3] + request } }
                + frames.map { [2, 7] + requests[0] + $0 }
        },
        words: words(
            "GET ", "POST ", " HTTP/1.1\r\n", "/ws", "Host: ", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n",
            "Origin: ",
            UpgradeReading.origin, "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: ", "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Extensions: permessage-deflate\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: ",
            "\r\n",
            "Expect: 100-continue\r\n", "\r\n\r\n"),
        body: { bytes in
            var input = FuzzInput(bytes)
            let flags = input.byte()
            let cuts = input.byte()
            let stream = Array(input.rest)
            let whole = UpgradeReading.outcome(of: [stream], flags)
            UpgradeReading.check(whole, stream, flags)
            let pieces = UpgradeReading.outcome(
                of: cut(stream, by: cuts == 0 && stream.count > 2_000 ? 1 : cuts), flags)
            expect(
                pieces.status == whole.status && pieces.messages == whole.messages,
                "in pieces: \(pieces.status) \(pieces.messages.count), at once: \(whole.status) \(whole.messages.count)"
            )
        })
}

private enum UpgradeReading {
    static let origin = "https://app.example"

    struct Outcome {
        /// The number behind `HTTP/1.1`; empty if nothing was answered.
        var status = ""
        var answer: [UInt8] = []
        var messages: [[UInt8]] = []
        var opened = 0
        var closed = 0
    }

    static func outcome(of pieces: [[UInt8]], _ flags: UInt8) -> Outcome {
        let channel = EmbeddedChannel()
        let owner = RecordingOwner()
        let loop = NIOLoop(channel.embeddedEventLoop, executor: owner.unownedExecutor)
        let door = ClientDoor(loops: [loop], metrics: ServerMetrics(loops: 1))
        if flags & 1 == 0 { door.open([owner]) }
        let log = ServerLog(Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
        let child = ClientChildChannel(
            upgrader: ClientUpgrader(
                door: door, handshake: WebSocketHandshake(origins: flags & 2 == 0 ? .listed([origin]) : .every),
                messageBytesMax: 1 << 20, clock: StillClock(), log: log, isSecure: false),
            credentials: nil,
            responder: { _, _, _ in })
        do {
            _ = try child.setup(channel: channel, logger: Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() })
                .wait()
        } catch {
            fatalError("no pipeline: \(error)")
        }
        do {
            try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        } catch {
            fatalError("no connection: \(error)")
        }
        for piece in pieces {
            // What the other side did wrong is told to the pipeline, which answers or closes.
            _ = try? channel.writeInbound(ByteBuffer(bytes: piece))
            channel.pipeline.fireChannelReadComplete()
            channel.embeddedEventLoop.run()
        }
        var outcome = Outcome()
        while let buffer = readOutbound(channel) { outcome.answer += Array(buffer.readableBytesView) }
        channel.embeddedEventLoop.advanceTime(by: .minutes(2))
        // Closed already, or with an error of the connection that was looked at above.
        _ = try? channel.finish(acceptAlreadyClosed: true)
        owner.assumeIsolated { owner in
            outcome.messages = owner.messages
            (outcome.opened, outcome.closed) = (owner.opened, owner.closed)
        }
        expect(
            outcome.opened == outcome.closed && outcome.opened < 2, "\(outcome.opened) opened, \(outcome.closed) closed"
        )
        if outcome.answer.starts(with: Array("HTTP/1.1 ".utf8)) {
            outcome.status = String(decoding: outcome.answer.dropFirst(9).prefix(3), as: UTF8.self)
        }
        return outcome
    }

    private static func readOutbound(_ channel: EmbeddedChannel) -> ByteBuffer? {
        do {
            return try channel.readOutbound(as: ByteBuffer.self)
        } catch {
            fatalError("a server wrote what are no bytes: \(error)")
        }
    }

    /// Holds what became of a connection against the request, read line by line.
    static func check(_ outcome: Outcome, _ stream: [UInt8], _ flags: UInt8) {
        expect(outcome.answer.isEmpty || !outcome.status.isEmpty, "an answer that is not HTTP")
        expect(
            (outcome.status == "101") == (outcome.opened == 1), "answered \(outcome.status), opened \(outcome.opened)")
        guard outcome.opened == 1 else {
            expect(outcome.messages.isEmpty, "messages of nobody")
            return
        }
        expect(flags & 1 == 0, "a client came through a closed door")
        guard let end = end(of: stream) else { fatalError("an answer to a request that has no end") }
        let fields = fields(stream[..<end])
        expect(stream.starts(with: Array("GET /".utf8)), "a handshake that does not begin with GET")
        expect(fields["sec-websocket-version"] == ["13"], "another version of WebSocket")
        expect(
            fields["upgrade"]?.contains { $0.lowercased().contains("websocket") } ?? false, "nobody asked for WebSocket"
        )
        guard let keys = fields["sec-websocket-key"], keys.count == 1 else { fatalError("a handshake without its key") }
        let accept = "\r\nsec-websocket-accept: \(WebSocketHandshake.accept(keys[0]).lowercased())\r\n"
        let answer = String(decoding: outcome.answer, as: UTF8.self).lowercased()
        expect(answer.contains(accept), "a wrong answer to the key")
        expect(!answer.contains("sec-websocket-extensions"), "an extension was agreed on")
        if flags & 2 == 0 {
            expect(fields["origin"].map { $0 == [origin] } ?? true, "a foreign origin: \(fields["origin"] ?? [])")
        }
        let expected = WebSocketStream.meaning(Array(stream[end...]), isMasked: true, messageBytesMax: 1 << 20)
        // A flood of control frames ends a connection, and the same read may hold messages behind it.
        guard expected.controls <= Limits.controlFramesPerSecondMax else { return }
        expect(outcome.messages == expected.messages, "\(outcome.messages.count) messages, sent \(expected.summary)")
    }

    /// Behind the empty line.
    private static func end(of stream: [UInt8]) -> Int? {
        var isAtStart = false
        for (index, byte) in stream.enumerated() {
            switch byte {
            case 0x0a where isAtStart: return index + 1
            case 0x0a: isAtStart = true
            case 0x0d: continue
            default: isAtStart = false
            }
        }
        return nil
    }

    private static func fields(_ head: ArraySlice<UInt8>) -> [String: [String]] {
        var fields: [String: [String]] = [:]
        for line in head.split(separator: 0x0a).dropFirst() {
            guard let colon = line.firstIndex(of: 0x3a) else { continue }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            let value = String(decoding: line[(colon + 1)...].filter { $0 != 0x0d }, as: UTF8.self)
            fields[name, default: []].append(value.trimmingPrefix { $0 == " " || $0 == "\t" }.description)
        }
        return fields.mapValues { values in
            values.map { value in
                var value = value
                while let last = value.last, last == " " || last == "\t" { value.removeLast() }
                return value
            }
        }
    }
}

struct StillClock: Clock {
    func wallMillis() -> Int64 { 1_700_000_000_000 }
    func monotonicNanos() -> Int64 { 0 }
}

/// Keeps what it is told.
private actor RecordingOwner: ClientConnectionOwner {
    private(set) var messages: [[UInt8]] = []
    private(set) var opened = 0
    private(set) var closed = 0
    private let executor = HereExecutor()

    nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    func opened(_ connection: any ClientConnection, peer: PeerInfo) -> SessionID {
        opened += 1
        connection.admit()
        return SessionID(number: 1)
    }

    func received(_ session: SessionID, messages: UnsafeBufferPointer<UnsafeRawBufferPointer>) {
        self.messages += messages.map { Array($0) }
    }

    func drained(_ session: SessionID) {}

    func closed(_ session: SessionID) {
        closed += 1
    }

    func drain() async {}
}

/// The thread that asks: the only one there is.
private final class HereExecutor: SerialExecutor {
    func enqueue(_ job: consuming ExecutorJob) {
        UnownedJob(job).runSynchronously(on: asUnownedSerialExecutor())
    }

    func checkIsolated() {}
}
