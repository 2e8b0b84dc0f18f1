import Foundation
import Testing
import TopGunModel
import TopGunWire

@testable import TopGunServer

/// A real file system that becomes full under a real `topgund`, and gets room again.
@Suite(
    .timeLimit(.minutes(2)), .enabled(if: PrivateDisk.obstacle == nil, "\(PrivateDisk.obstacle ?? "")")
) struct DiskSpaceTests {
    private static let batch: UInt64 = 16

    @Test func `D01 B13 a disk that becomes full refuses writes, takes removals, and goes on when there is room`()
        async throws
    {
        let disk = try PrivateDisk(megabytes: 80)
        let server = try TopgundProcess(on: disk)
        let port = try #require(await server.port(), "\(server.log)")
        let client = try #require(try await ResultClient.connect(port: port))
        var taken: Set<UInt64> = []
        var id: UInt64 = 1
        var refused: [OperationResult] = []
        // More than the disk holds.
        while refused.isEmpty, id < 8_000 {
            let ids = id..<(id + Self.batch)
            client.send(ids.map { Make.blob($0, "k\($0)", bytes: 16_000, millis: 1_000) })
            let results = try await client.results(of: ids)
            #expect(results.count == ids.count)
            taken.formUnion(results.values.filter(\.isSuccess).map(\.id))
            refused = results.values.filter { !$0.isSuccess }
            id += Self.batch
        }
        #expect(!refused.isEmpty && refused.allSatisfy { $0.refusal == .nodeFull && $0.isFinal != true })
        #expect(taken.count > 100)

        #expect(try await Load.rows(port: port).count == taken.count, "what is there can be read")
        let gone = try #require(taken.min())
        let removal = try #require(try await client.write(Make.remove(id, "k\(gone)")))
        #expect(removal.isSuccess && removal.level == .replicated)
        #expect(try await client.write(Make.put(id + 1, "more", 1))?.refusal == .nodeFull)

        try disk.resize(megabytes: 300)
        id += 2
        let isOpen = try await Poll.until(seconds: 20) {
            id += 1
            return try await client.write(Make.put(id, "more", 2))?.isSuccess == true
        }
        #expect(isOpen)
        server.signal(SIGKILL)
        _ = await server.end()
        let again = try TopgundProcess(on: disk)
        let rows = try await Load.rows(port: try #require(await again.port(), "\(again.log)"))
        #expect(Set(rows.keys) == Set(taken.subtracting([gone]).map { ByteString("k\($0)") }).union(["more"]))
        again.signal(SIGTERM)
        #expect(await again.end() == .exit(0))
    }

    @Test func `D01 B13 a disk without room from the start takes removals until the reserve is used up`() async throws {
        let disk = try PrivateDisk(megabytes: 24)
        let server = try TopgundProcess(on: disk)
        let port = try #require(await server.port(), "\(server.log)")
        let client = try #require(try await ResultClient.connect(port: port))
        var id: UInt64 = 0
        let isFull = try await Poll.until(seconds: 20) {
            id += 1
            return try await client.write(Make.put(id, "a", 1, millis: Int64(id)))?.refusal == .nodeFull
        }
        #expect(isFull)
        // As long as keys may be, so that they fill it.
        let padding = String(repeating: "k", count: 4_000)
        id += 1
        let first = id
        var taken = 0
        var refused: [OperationResult] = []
        while refused.isEmpty, id < first + 8_000 {
            let ids = id..<(id + Self.batch)
            client.send(ids.map { Make.remove($0, "\($0)\(padding)") })
            let results = try await client.results(of: ids)
            #expect(results.count == ids.count)
            taken += results.values.count(where: \.isSuccess)
            refused = results.values.filter { !$0.isSuccess }
            id += Self.batch
        }
        #expect(!refused.isEmpty && refused.allSatisfy { $0.refusal == .nodeFull && $0.isFinal != true })
        // The first segment and most of the reserve at least, 4 MiB each, and no more than the disk.
        #expect(taken > 1_200 && taken < 6_000, "\(taken)")
        try disk.resize(megabytes: 300)
        let isOpen = try await Poll.until(seconds: 20) {
            id += 1
            return try await client.write(Make.put(id, "a", 2))?.isSuccess == true
        }
        #expect(isOpen)
        server.signal(SIGTERM)
        #expect(await server.end() == .exit(0))
    }
}
