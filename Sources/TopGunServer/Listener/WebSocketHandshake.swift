import Crypto
import Foundation
import NIOHTTP1

/// Whether a request may become a client's WebSocket, by RFC 6455 and by who may come in.
struct WebSocketHandshake: Sendable {
    /// Why not, as HTTP says it.
    struct Refusal: Error, Equatable {
        var status: HTTPResponseStatus
        /// A sentence for the developer on the other side.
        var reason: String

        static let notServing = Refusal(
            status: .serviceUnavailable, reason: "This node does not serve at the moment; try again soon.")
    }

    /// Pages of which sites may connect.
    enum Origins: Sendable, Equatable {
        /// Only these, compared as a whole.
        case listed([String])
        /// Pages served from this machine. Without authentication the loopback address is the only guard, and a page of
        /// any site that a browser on this machine shows could reach it.
        case local
        /// Every one: a token guards the data.
        case every
    }

    var origins: Origins

    /// The paths that clients connect to.
    static let paths: Set<String> = ["/", "/ws"]
    private static let magic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

    /// Returns what `Sec-WebSocket-Accept` has to say.
    func check(_ request: HTTPRequestHead) throws(Refusal) -> String {
        guard Self.paths.contains(Self.path(request.uri)) else {
            throw Refusal(status: .notFound, reason: "Clients connect to / or /ws.")
        }
        guard request.method == .GET else {
            throw Refusal(status: .methodNotAllowed, reason: "A WebSocket begins with GET.")
        }
        guard Self.asksForWebSocket(request) else {
            throw Refusal(status: .upgradeRequired, reason: "TopGun is here: connect a WebSocket to this address.")
        }
        // Where these two do not hold, HTTP goes on to read what comes next, and the first messages would be lost to it.
        guard request.headers[canonicalForm: "connection"].contains(where: { $0.lowercased() == "upgrade" }) else {
            throw Refusal(status: .badRequest, reason: "Connection must say Upgrade.")
        }
        guard !Self.hasBody(request) else {
            throw Refusal(status: .badRequest, reason: "A handshake has no body.")
        }
        guard request.headers["sec-websocket-version"] == ["13"] else {
            throw Refusal(status: .upgradeRequired, reason: "Sec-WebSocket-Version must be 13.")
        }
        let keys = request.headers["sec-websocket-key"]
        guard keys.count == 1, let key = keys.first, Data(base64Encoded: key)?.count == 16 else {
            throw Refusal(status: .badRequest, reason: "Sec-WebSocket-Key must be 16 bytes in base64, once.")
        }
        let claimed = request.headers["origin"]
        guard claimed.count <= 1, claimed.allSatisfy(isAllowed) else {
            throw Refusal(
                status: .forbidden,
                reason: "Pages of this origin may not connect; the setting --allowed-origins lists those that may.")
        }
        return Self.accept(key)
    }

    static func asksForWebSocket(_ request: HTTPRequestHead) -> Bool {
        request.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
    }

    private static func hasBody(_ request: HTTPRequestHead) -> Bool {
        request.headers.contains(name: "transfer-encoding")
            || request.headers["content-length"].contains { $0 != "0" }
    }

    static func accept(_ key: String) -> String {
        Data(Insecure.SHA1.hash(data: Data((key + magic).utf8))).base64EncodedString()
    }

    static func path(_ uri: String) -> String {
        String(uri.prefix { $0 != "?" && $0 != "#" })
    }

    /// The URL that a client dialed, put together from what its request repeats of it; `nil` if that is no host. A path
    /// of `/` is left away, as people do who write it.
    static func dialedURL(_ request: HTTPRequestHead, isSecure: Bool) -> String? {
        let hosts = request.headers["host"]
        guard hosts.count == 1, let host = hosts.first, (1...Limits.urlBytesMax).contains(host.utf8.count),
            host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }), !host.contains(where: { "/?#@\\".contains($0) })
        else { return nil }
        let path = path(request.uri)
        return (isSecure ? "wss://" : "ws://") + host + (path == "/" ? "" : path)
    }

    private func isAllowed(_ origin: String) -> Bool {
        switch origins {
        case .every: true
        case .listed(let list): list.contains { $0.utf8.elementsEqual(origin.utf8) }
        case .local: Self.isLocal(origin)
        }
    }

    /// Whether the origin is a page served from this machine, whatever its port.
    private static func isLocal(_ origin: String) -> Bool {
        for scheme in ["http://", "https://"] where origin.hasPrefix(scheme) {
            var host = origin.dropFirst(scheme.count)
            if let colon = host.lastIndex(of: ":"), host[colon...].dropFirst().allSatisfy(\.isNumber) {
                host = host[..<colon]
            }
            return ["localhost", "127.0.0.1", "[::1]"].contains(String(host))
        }
        return false
    }
}

extension WebSocketHandshake {
    init(_ configuration: ServerConfiguration) {
        switch (configuration.allowedOrigins, configuration.authentication) {
        case (.some(let list), _): origins = .listed(list)
        case (.none, .none): origins = .local
        case (.none, .token): origins = .every
        }
    }
}
