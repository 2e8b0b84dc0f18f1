import Foundation
import Testing

@testable import TopGunServer

/// A real file system that turns read-only under a real `topgund`, as ext4 does when it finds an error.
@Suite(
    .timeLimit(.minutes(2)), .enabled(if: PrivateDisk.obstacle == nil, "\(PrivateDisk.obstacle ?? "")")
) struct ReadOnlyDiskTests {
    @Test func `D12 a file system that turns read-only stops the node, and mended it has everything`() async throws {
        let disk = try PrivateDisk(.ordered)
        let server = try TopgundProcess(on: disk)
        let port = try #require(await server.port(), "\(server.log)")
        let load = Load()
        async let writers: Void = load.run(round: 0, port: port)
        let isBusy = await load.reaches(200)
        let turned = Result { try disk.turnReadOnly() }
        if case .failure = turned { server.signal(SIGKILL) }
        let ending = await server.end()
        await writers
        try turned.get()
        #expect(isBusy)
        // Not to be restarted: `what a restart cannot mend is not restarted` holds this code against the unit file.
        #expect(ending == .exit(ExitCode.disk))
        #expect(server.log.contains("the disk failed"), "\(server.log)")

        let early = try TopgundProcess(on: disk)
        #expect(await early.end() == .exit(ExitCode.disk))
        #expect(early.log.contains("readOnly"), "\(early.log)")

        try disk.repair()
        let mended = try TopgundProcess(on: disk)
        let newPort = try #require(await mended.port(), "\(mended.log)")
        let lost = try await Load.lost(load.acknowledged, port: newPort)
        #expect(lost == 0)
        mended.signal(SIGTERM)
        #expect(await mended.end() == .exit(0))
    }
}
