import TopGunModel
import TopGunWire

/// A client of a real server that hears of each of its operations by itself.
struct ResultClient {
    let socket: SocketClient

    /// Connects and greets; `nil` if nobody serves.
    static func connect(port: Int) async throws -> ResultClient? {
        guard let socket = await SocketClient.connect(port: port) else { return nil }
        socket.send(.hello([.results]))
        let isGreeted = try await socket.first { if case .deviceAcknowledged = $0 { true } else { nil } }
        return isGreeted == true ? ResultClient(socket: socket) : nil
    }

    func send(_ operations: [ClientOperation], timeoutMillis: Int64? = nil) {
        socket.send(.operations(OperationBatch(operations: operations, timeoutMillis: timeoutMillis)))
    }

    /// Waits for the next result of each operation; those that are missing had none when the connection ended.
    func results(of ids: some Sequence<UInt64>) async throws -> [UInt64: OperationResult] {
        let wanted = Set(ids)
        var found: [UInt64: OperationResult] = [:]
        guard !wanted.isEmpty else { return found }
        _ = try await socket.first { message -> Bool? in
            guard case .acknowledgement(let message) = message else { return nil }
            for result in message.results ?? [] where wanted.contains(result.id) { found[result.id] = result }
            return found.count == wanted.count ? true : nil
        }
        return found
    }

    /// The same for one.
    func result(of id: UInt64) async throws -> OperationResult? {
        try await results(of: [id])[id]
    }

    /// Sends one and waits for its result; `nil` if the connection ends before.
    func write(_ operation: ClientOperation) async throws -> OperationResult? {
        guard let id = operation.id else { return nil }
        send([operation])
        return try await result(of: id)
    }

    /// Whether a heartbeat is answered.
    func isAnswered(_ timestamp: Int64) async throws -> Bool {
        socket.send(.ping(timestamp: timestamp))
        return try await socket.first { if case .pong(timestamp, _) = $0 { true } else { nil } } == true
    }
}
