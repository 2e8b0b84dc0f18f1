import Foundation
import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// A minute of comings and goings: what a server holds for each of them must be given back.
@Suite(
    .timeLimit(.minutes(3)), .enabled(if: ProcessFigures.obstacle == nil, "\(ProcessFigures.obstacle ?? "")")
) struct SoakTests {
    private static let rounds = 8
    private static let connectionsPerRound = 150

    @Test func `P16 churn of connections, keys and queries reaches a level of memory and of open files`() async throws {
        let server = try TopgundProcess()
        let port = try #require(await server.port(), "\(server.log)")
        var memory: [Int] = []
        var files: [Int] = []
        for round in 0..<Self.rounds {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for worker in 0..<3 {
                    group.addTask {
                        for turn in 0..<Self.connectionsPerRound / 3 {
                            try await Self.visit(port, worker: worker, stamp: Int64(1_000 + round * 1_000 + turn))
                        }
                    }
                }
                try await group.waitForAll()
            }
            // Every connection is over before it is measured.
            let isQuiet = try await Poll.until(seconds: 20) { try await Self.connections(port) == 0 }
            #expect(isQuiet)
            let figures = try ProcessFigures(of: server.id)
            memory.append(figures.residentBytes)
            files.append(figures.openFiles)
        }
        // A level, not a slope: the second half is not above the first one's end.
        let half = Self.rounds / 2
        let level = memory[..<half].max() ?? 0
        let end = memory[half...].min() ?? 0
        #expect(end < level + 4 << 20, "\(memory.map { $0 >> 10 }) KiB")
        #expect(files[half...].max() ?? 0 <= (files[..<half].max() ?? 0) + 2, "\(files)")
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
    }

    /// Connects, writes and removes the same few keys, asks, listens, and goes, now and then without a word.
    private static func visit(_ port: Int, worker: Int, stamp: Int64) async throws {
        let client = try #require(await SocketClient.connect(port: port))
        client.send(.syncStart(SyncStart(mapName: "todos", lastSyncTimestamp: 0)))
        client.send(.querySubscribe(QuerySubscription(queryID: "q", mapName: "todos", query: QueryRequest())))
        var operations: [ClientOperation] = []
        for index in 0..<40 {
            let id = UInt64(index + 1)
            operations.append(Make.blob(id, "w\(worker)-\(index)", bytes: 1_000, millis: stamp * 2))
        }
        for index in 0..<20 {
            operations.append(Make.remove(UInt64(41 + index), "w\(worker)-\(index)", millis: stamp * 2 + 1))
        }
        client.send(.operations(OperationBatch(operations: operations)))
        let last = try await client.first {
            if case .acknowledgement(let ack) = $0, ack.lastID == 60 { true } else { nil }
        }
        #expect(last == true)
        client.close()
    }

    private static func connections(_ port: Int) async throws -> Int {
        try await RunningListener.connect(port) { client in
            let (_, body) = try await client.get("/health")
            let count = try #require(body.firstMatch(of: /"connections":(\d+)/)?.1)
            return try #require(Int(count))
        }
    }
}
