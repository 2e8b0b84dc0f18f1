import HTTPTypes
import Hummingbird
import NIOCore

/// The pages of the server (protocol.md 10.2).
struct Routes {
    typealias Context = BasicRequestContext

    let report: StatusReport

    func router() -> Router<Context> {
        let router = Router(context: Context.self)
        let report = report
        router.get("/health") { _, _ in await HealthAnswer(report) }
        router.get("/health/live") { _, _ in HTTPResponse.Status.ok }
        for path in ["/health/ready", "/healthz", "/ready"] {
            router.get(RouterPath(path)) { _, _ in await Self.ready(report) }
        }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: .init(byteBuffer: ByteBuffer(string: await report.prometheus())))
        }
        router.get("/api/status") { _, _ in StatusAnswer(report) }
        router.get("/api/auth/status") { _, _ in AuthAnswer(authRequired: report.requiresAuthentication) }
        for path in WebSocketHandshake.paths.sorted() {
            router.get(RouterPath(path)) { _, _ in
                var response = Self.text(.upgradeRequired, "TopGun is here: connect a WebSocket to this address.\n")
                response.headers[.upgrade] = "websocket"
                return response
            }
        }
        return router
    }

    private static func ready(_ report: StatusReport) async -> Response {
        let health = await report.health()
        let isReady = health.state == .ready && report.door.isOpen
        return text(isReady ? .ok : .serviceUnavailable, "\(health.state.rawValue): \(health.detail)\n")
    }

    private static func text(_ status: HTTPResponse.Status, _ text: String) -> Response {
        Response(
            status: status, headers: [.contentType: "text/plain; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }
}

private struct HealthAnswer: ResponseCodable {
    var state: String
    var detail: String
    var connections: Int
    var inFlight: Int
    var uptimeSeconds: Int

    private enum CodingKeys: String, CodingKey {
        case state
        case detail
        case connections
        case inFlight = "in_flight"
        case uptimeSeconds = "uptime_secs"
    }

    init(_ report: StatusReport) async {
        let health = await report.health()
        state = health.state.rawValue
        detail = health.detail
        connections = report.connections
        inFlight = health.operationsInFlight
        uptimeSeconds = report.uptimeSeconds
    }
}

private struct StatusAnswer: ResponseCodable {
    var configured = true
    var version = StatusReport.version
    var mode = "normal"
    var connections: Int
    var uptimeSeconds: Int
    var totalOperations: Int

    init(_ report: StatusReport) {
        connections = report.connections
        uptimeSeconds = report.uptimeSeconds
        totalOperations = report.operations
    }
}

private struct AuthAnswer: ResponseCodable {
    var authRequired: Bool
}
