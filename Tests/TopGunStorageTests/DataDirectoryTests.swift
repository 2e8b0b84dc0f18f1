import Testing
import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

@Suite struct DataDirectoryTests {
    private func open(
        _ disk: SimulatedDisk, node: ByteString? = nil, cluster: ByteString? = nil
    ) throws(StorageError) -> DataDirectory {
        try DataDirectory.open(
            path: "/var/topgun", disk: disk, entropy: SeededEntropy(seed: 1), nodeID: node, clusterID: cluster)
    }

    @Test func `P13: a second process is refused until the first is gone`() throws {
        let disk = SimulatedDisk(seed: 1)
        let first = try open(disk)
        let error = #expect(throws: StorageError.self) { try self.open(disk) }
        #expect(error?.code == .inUse)
        #expect(error?.message.contains("--data-dir") == true)
        first.close()
        let second = try open(disk)
        _ = second
        disk.processKill()
        #expect(throws: Never.self) { try self.open(disk) }
    }

    @Test func `P14: the directory of another node or cluster is refused`() throws {
        let disk = SimulatedDisk(seed: 1)
        try open(disk, node: "a", cluster: "blue").close()
        let node = #expect(throws: StorageError.self) { try self.open(disk, node: "b", cluster: "blue") }
        #expect(node?.code == .foreign)
        #expect(node?.message.contains("belongs to node a, not to b") == true)
        let cluster = #expect(throws: StorageError.self) { try self.open(disk, node: "a", cluster: "red") }
        #expect(cluster?.code == .foreign)
        #expect(cluster?.message.contains("belongs to cluster blue, not to red") == true)
        // A refusal does not keep the lock.
        #expect(throws: Never.self) { try self.open(disk, node: "a", cluster: "blue") }
    }

    @Test func `every start has its own incarnation, and the rest stays`() throws {
        let disk = SimulatedDisk(seed: 1)
        var last: Identity?
        for start in 1...5 {
            let directory = try open(disk)
            #expect(directory.identity.incarnation == UInt64(start))
            if let last {
                #expect(directory.identity.nodeID == last.nodeID)
                #expect(directory.identity.clusterID == last.clusterID)
                #expect(directory.identity.salt == last.salt)
            }
            last = directory.identity
            disk.powerCut()
        }
    }

    @Test func `a newer format is refused, an unknown newer version with old readers is not`() throws {
        let disk = SimulatedDisk(seed: 1)
        let directory = try open(disk)
        let identity = directory.identity
        directory.close()
        var header = FileHeader(
            kind: .identity, formatVersion: 9, oldestReader: 1, incarnation: 1, restoreEpoch: 0, clockBound: 0,
            clusterID: identity.clusterID, nodeID: identity.nodeID)
        try disk.replace("/var/topgun/identity", in: "/var/topgun", with: header.encoded())
        try open(disk).close()
        header.oldestReader = 9
        try disk.replace("/var/topgun/identity", in: "/var/topgun", with: header.encoded())
        let error = #expect(throws: StorageError.self) { try self.open(disk) }
        #expect(error?.code == .newerFormat)
        #expect(error?.message.contains("version 9") == true)
    }

    @Test func `a format from before the first release is refused as such, not taken for damage`() throws {
        let disk = SimulatedDisk(seed: 1)
        let directory = try open(disk)
        let header = FileHeader(
            kind: .identity, formatVersion: 1, oldestReader: 1, incarnation: 1, restoreEpoch: 0, clockBound: 0,
            clusterID: directory.identity.clusterID, nodeID: directory.identity.nodeID)
        directory.close()
        var bytes = header.encoded()
        bytes[511] ^= 1  // Its checksum was another.
        try disk.replace("/var/topgun/identity", in: "/var/topgun", with: bytes)
        let error = #expect(throws: StorageError.self) { try self.open(disk) }
        #expect(error?.code == .olderFormat)
        #expect(error?.message.contains("in format 1") == true)
    }

    @Test func `a damaged or missing identity is refused when there is data`() throws {
        let disk = SimulatedDisk(seed: 1)
        let directory = try open(disk)
        try disk.replace("\(directory.logPath)/segment-1.log", in: directory.logPath, with: [1])
        directory.close()
        for offset in 0..<512 {
            let copy = disk.copy(seed: 1)
            copy.flip("/var/topgun/identity", at: offset, mask: 4)
            let error = #expect(throws: StorageError.self) { try self.open(copy) }
            #expect(error.map { [.damagedIdentity, .newerFormat].contains($0.code) } == true)
        }
        try disk.remove("/var/topgun/identity")
        let error = #expect(throws: StorageError.self) { try self.open(disk) }
        #expect(error?.code == .damagedIdentity)
    }

    @Test func `a start that is interrupted anywhere leaves a directory that opens`() throws {
        for call in 0..<40 {
            for seed in UInt64(0)..<8 {
                let disk = SimulatedDisk(seed: seed)
                let first = try open(disk, node: "a").identity
                disk.processKill()
                disk.faults.callsUntilHalt = call
                let isOpen = (try? open(disk, node: "a")) != nil
                disk.powerCut()
                let identity = try open(disk, node: "a").identity
                #expect(identity.clusterID == first.clusterID)
                #expect(identity.incarnation >= (isOpen ? 3 : 2))
            }
        }
    }

    @Test func `a first start that is interrupted anywhere leaves a directory that opens`() throws {
        for call in 0..<40 {
            for seed in UInt64(0)..<8 {
                let disk = SimulatedDisk(seed: seed)
                disk.faults.callsUntilHalt = call
                let identity = (try? open(disk, node: "a"))?.identity
                disk.powerCut()
                let again = try open(disk, node: "a").identity
                if let identity { #expect(again.clusterID == identity.clusterID) }
            }
        }
    }
}
