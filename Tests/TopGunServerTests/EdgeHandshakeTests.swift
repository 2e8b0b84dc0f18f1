import NIOHTTP1
import Testing
import TopGunEnvironment

@testable import TopGunServer

@Suite(.timeLimit(.minutes(1))) struct EdgeHandshakeTests {
    private static func request(
        _ uri: String = "/ws", method: HTTPMethod = .GET, without missing: String? = nil,
        with extra: [(String, String)] = []
    ) -> HTTPRequestHead {
        var headers = HTTPHeaders([
            ("Host", "localhost"), ("Upgrade", "websocket"), ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"),
        ])
        if let missing { headers.remove(name: missing) }
        for (name, value) in extra { headers.add(name: name, value: value) }
        return HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: headers)
    }

    private static func status(
        _ request: HTTPRequestHead, _ origins: WebSocketHandshake.Origins = .every
    ) -> HTTPResponseStatus? {
        do throws(WebSocketHandshake.Refusal) {
            _ = try WebSocketHandshake(origins: origins).check(request)
            return nil
        } catch {
            return error.status
        }
    }

    @Test func `the accept header is the one of RFC 6455`() throws {
        let accept = try WebSocketHandshake(origins: .every).check(Self.request())
        #expect(accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    }

    @Test func `only a whole handshake on a client path becomes a WebSocket`() {
        #expect(Self.status(Self.request("/")) == nil)
        #expect(Self.status(Self.request("/?a=b")) == nil)
        #expect(Self.status(Self.request("/metrics")) == .notFound)
        #expect(Self.status(Self.request("/ws/")) == .notFound)
        #expect(Self.status(Self.request(method: .POST)) == .methodNotAllowed)
        #expect(Self.status(Self.request(without: "Upgrade")) == .upgradeRequired)
        #expect(Self.status(Self.request(without: "Sec-WebSocket-Version")) == .upgradeRequired)
        #expect(Self.status(Self.request(with: [("Sec-WebSocket-Version", "8")])) == .upgradeRequired)
        #expect(Self.status(Self.request(without: "Sec-WebSocket-Key")) == .badRequest)
        #expect(Self.status(Self.request(with: [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])) == .badRequest)
        let short = Self.request(without: "Sec-WebSocket-Key", with: [("Sec-WebSocket-Key", "dGhl")])
        #expect(Self.status(short) == .badRequest)
    }

    @Test func `what leaves HTTP reading on becomes no WebSocket`() {
        #expect(Self.status(Self.request(without: "Connection")) == .badRequest)
        for connection in ["close", "keep-alive", "Upgraded", "C.nnection: Upgrade"] {
            let request = Self.request(without: "Connection", with: [("Connection", connection)])
            #expect(Self.status(request) == .badRequest, "\(connection)")
        }
        let several = Self.request(without: "Connection", with: [("Connection", "keep-alive, upgrade")])
        #expect(Self.status(several) == nil)
        #expect(Self.status(Self.request(with: [("Content-Length", "3")])) == .badRequest)
        #expect(Self.status(Self.request(with: [("Content-Length", "0")])) == nil)
        #expect(Self.status(Self.request(with: [("Transfer-Encoding", "chunked")])) == .badRequest)
    }

    @Test func `M01 a list of origins admits exactly those on it, and clients that are no browser`() {
        let origins = WebSocketHandshake.Origins.listed(["https://app.example.com", "http://localhost:3000"])
        func origin(_ text: String) -> HTTPResponseStatus? {
            Self.status(Self.request(with: [("Origin", text)]), origins)
        }
        #expect(origin("https://app.example.com") == nil)
        #expect(origin("http://localhost:3000") == nil)
        #expect(Self.status(Self.request(), origins) == nil)
        let foreign = [
            "https://evil.com", "null", "", "https://app.example.com.evil.com", "https://app.example.com:8443",
            "http://app.example.com", "https://APP.example.com", "https://app.example.com/",
            "https://xapp.example.com", "http://localhost:30000", "https://app.example.com, https://evil.com",
        ]
        for text in foreign { #expect(origin(text) == .forbidden, "\(text)") }
        let two = Self.request(with: [("Origin", "https://app.example.com"), ("Origin", "https://evil.com")])
        #expect(Self.status(two, origins) == .forbidden)
    }

    @Test func `M01 without authentication only pages of this machine may connect`() {
        func origin(_ text: String) -> HTTPResponseStatus? {
            Self.status(Self.request(with: [("Origin", text)]), .local)
        }
        for text in ["http://localhost:3000", "http://localhost", "https://127.0.0.1:8443", "http://[::1]:5173"] {
            #expect(origin(text) == nil, "\(text)")
        }
        let foreign = [
            "https://evil.com", "null", "http://localhost.evil.com", "http://evil.com:80", "http://127.0.0.1.evil.com",
            "http://localhost:80:evil.com", "ftp://localhost", "http://evil.com/localhost",
        ]
        for text in foreign { #expect(origin(text) == .forbidden, "\(text)") }
        #expect(WebSocketHandshake(ServerConfiguration()).origins == .local)
    }

    @Test func `a refused handshake is told why over HTTP`() async throws {
        try await RunningListener.run { listener in
            let head = try await listener.connect { try await $0.handshake(key: "short") }
            #expect(head.hasPrefix("HTTP/1.1 400 "))
            let foreign = try await listener.connect {
                try await $0.handshake(headers: "Origin: https://evil.com\r\n")
            }
            #expect(foreign.hasPrefix("HTTP/1.1 403 "))
            #expect(foreign.contains("Connection: close\r\n"))
        }
    }

    @Test func `an upgrade that is none of ours is ignored`() async throws {
        try await RunningListener.run { listener in
            let page = try await listener.connect { try await $0.handshake(path: "/metrics") }
            #expect(page.hasPrefix("HTTP/1.1 200 "))
            let head = try await listener.connect { client in
                try await client.send(
                    "GET /health/live HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"
                        + "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n")
                return try await client.readHead()
            }
            #expect(head.hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func `the pages of the server answer`() async throws {
        try await RunningListener.run { listener in
            func get(_ path: String) async throws -> (String, String) {
                let (head, body) = try await listener.connect { try await $0.get(path) }
                return (String(head.split(separator: "\r\n").first ?? ""), body)
            }
            for path in ["/health/live", "/health/ready", "/healthz", "/ready", "/metrics"] {
                let (status, _) = try await get(path)
                #expect(status == "HTTP/1.1 200 OK", "\(path)")
            }
            let (health, page) = try await get("/health")
            #expect(health == "HTTP/1.1 200 OK")
            for part in [
                #""state":"ready""#, #""connections":0"#, #""in_flight":3"#, #""partitions_not_open":[17,18]"#,
                #""partitions_lost":[18]"#, #""uptime_secs":"#,
            ] {
                #expect(page.contains(part))
            }
            let (_, status) = try await get("/api/status")
            for part in [#""mode":"normal""#, #""detail":"echoing""#, #""partitionsLost":[18]"#] {
                #expect(status.contains(part))
            }
            let (_, auth) = try await get("/api/auth/status")
            #expect(auth == #"{"authRequired":false}"#)
            let (metrics, text) = try await get("/metrics")
            #expect(metrics == "HTTP/1.1 200 OK")
            #expect(text.contains("# TYPE topgun_records gauge\ntopgun_records 42\n"))
            #expect(text.contains("\ntopgun_partitions_closed 2\n") && text.contains("\ntopgun_partitions_lost 1\n"))
            #expect(text.contains("topgun_state{state=\"ready\"} 1\n"))
            #expect(text.contains("# TYPE topgun_connections_opened_total counter\n"))
            let (root, _) = try await get("/")
            #expect(root == "HTTP/1.1 426 Upgrade Required")
            let (missing, _) = try await get("/nothing")
            #expect(missing == "HTTP/1.1 404 Not Found")
        }
    }

    @Test func `a partition is restarted from this machine, and by no page in a browser`() async throws {
        try await RunningListener.run { listener in
            func post(_ partition: String, _ headers: String = "") async throws -> String {
                try await listener.connect { client in
                    try await client.send(
                        "POST /api/partitions/\(partition)/restart HTTP/1.1\r\nHost: localhost\r\n\(headers)"
                            + "Content-Length: 0\r\nConnection: close\r\n\r\n")
                    return try await client.readHead()
                }
            }
            let restarted = try await post("3")
            #expect(restarted.hasPrefix("HTTP/1.1 200 "))
            let underWay = try await post("4")
            #expect(underWay.hasPrefix("HTTP/1.1 409 "), "it is being rebuilt already")
            for unknown in ["271", "x"] {
                let answer = try await post(unknown)
                #expect(answer.hasPrefix("HTTP/1.1 404 "))
            }
            let fromPage = try await post("3", "Origin: http://localhost\r\n")
            #expect(fromPage.hasPrefix("HTTP/1.1 403 "))
        }
    }

    @Test func `with authentication only the role admin may restart a partition`() async throws {
        /// Whose token is a list of roles.
        struct Roles: TokenVerifier {
            func verify(_ token: String) async -> Result<Principal, AuthFailure> {
                if token.isEmpty { return .failure(AuthFailure(.malformed)) }
                return .success(
                    Principal(subject: "x", roles: token.split(separator: ",").map(String.init), expiresAtMillis: 0))
            }
        }
        try await RunningListener.run { listener in
            let report = StatusReport(
                door: listener.door, metrics: listener.metrics, requiresAuthentication: true, clock: SystemClock(),
                tokens: Roles())
            #expect(await report.mayAdminister(bearer: "user,admin", origin: nil))
            #expect(await report.mayAdminister(bearer: "admin", origin: "https://console.example.com"))
            #expect(await !report.mayAdminister(bearer: "user", origin: nil))
            #expect(await !report.mayAdminister(bearer: "", origin: nil))
            #expect(await !report.mayAdminister(bearer: nil, origin: nil))
        }
    }

    @Test func `before the node is ready probes say so and clients are asked to wait`() async throws {
        try await RunningListener.run(isOpen: false) { listener in
            let ready = try await listener.connect { try await $0.get("/ready") }
            #expect(ready.head.hasPrefix("HTTP/1.1 503 "))
            #expect(ready.body == "starting: reading the log\n")
            let live = try await listener.connect { try await $0.get("/health/live") }
            #expect(live.head.hasPrefix("HTTP/1.1 200 "))
            let head = try await listener.connect { try await $0.handshake() }
            #expect(head.hasPrefix("HTTP/1.1 503 "))
            #expect(head.lowercased().contains("retry-after: 1"))
        }
    }

    @Test func `M04 a flood of headers is refused`() async throws {
        try await RunningListener.run { listener in
            let many = (0..<100).map { "X-\($0): 1\r\n" }.joined()
            let crowd = try await listener.connect { try await $0.handshake(headers: many) }
            #expect(!crowd.hasPrefix("HTTP/1.1 101 "))
            let long = "X: " + String(repeating: "x", count: 20_000) + "\r\n"
            let giant = try await listener.connect { try await $0.handshake(headers: long) }
            #expect(!giant.hasPrefix("HTTP/1.1 101 "))
        }
    }
}
