import HTTPTypes
import Hummingbird
import NIOCore
import TopGunModel

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
        router.get("/api/status") { _, _ in await StatusAnswer(report) }
        router.post("/api/partitions/:id/restart") { request, context in
            await Self.restart(context.parameters.get("id"), request.headers, report)
        }
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

    /// Tears a partition down and rebuilds it; answers when it is open again.
    private static func restart(_ id: String?, _ headers: HTTPFields, _ report: StatusReport) async -> Response {
        let scheme = "Bearer "
        let bearer = headers[.authorization].flatMap { value in
            value.hasPrefix(scheme) ? String(value.dropFirst(scheme.count)) : nil
        }
        guard await report.mayAdminister(bearer: bearer, origin: headers[.origin]) else {
            return text(.forbidden, "Only an administrator may restart a partition.\n")
        }
        guard let number = id.flatMap({ Int($0) }), (0..<PartitionID.count).contains(number) else {
            return text(.notFound, "Partitions have the numbers 0 to \(PartitionID.count - 1).\n")
        }
        switch await report.restart(partition: number) {
        case true?: return text(.ok, "Partition \(number) was rebuilt and is open.\n")
        case false?: return text(.conflict, "Partition \(number) is being rebuilt already.\n")
        case nil: return text(.serviceUnavailable, "The node does not serve yet.\n")
        }
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
    var partitionsNotOpen: [Int]
    var partitionsLost: [Int]
    var uptimeSeconds: Int

    private enum CodingKeys: String, CodingKey {
        case state
        case detail
        case connections
        case inFlight = "in_flight"
        case partitionsNotOpen = "partitions_not_open"
        case partitionsLost = "partitions_lost"
        case uptimeSeconds = "uptime_secs"
    }

    init(_ report: StatusReport) async {
        let health = await report.health()
        state = health.state.rawValue
        detail = health.detail
        connections = report.connections
        inFlight = health.operationsInFlight
        partitionsNotOpen = health.closedPartitions
        partitionsLost = health.lostPartitions
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
    var detail: String
    var partitionsNotOpen: [Int]
    var partitionsLost: [Int]

    init(_ report: StatusReport) async {
        connections = report.connections
        uptimeSeconds = report.uptimeSeconds
        totalOperations = report.operations
        let health = await report.health()
        detail = health.detail
        partitionsNotOpen = health.closedPartitions
        partitionsLost = health.lostPartitions
    }
}

private struct AuthAnswer: ResponseCodable {
    var authRequired: Bool
}
