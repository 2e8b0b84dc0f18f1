import TopGunEnvironment
import TopGunModel
import TopGunSimulation

@testable import TopGunStorage

/// What an input does to the files of an image.
///
/// ```
/// u8 kind   u8 file   u16 place   what the kind needs     again and again
/// ```
struct StorageEdits {
    /// Whether bytes were changed and nothing else: no file came, went, or has another length.
    private(set) var changesBytesOnly = true
    private let disk: SimulatedDisk

    private static let strangeNames = [
        "segment-0000000000000000.log", "segment-ffffffffffffffff.log", "segment-0000000000000002.log",
        "segment-0000000000000009.log", "segment-xyz.log", "spare-ffffffffffffffff.log", "spare-0000000000000000.log",
        "preparing.log", "reserve.log", "partition-000.checkpoint", "partition-001.new", "partition-270.checkpoint",
        "nonsense",
    ]

    /// Makes the edits on a disk, to the files whose path holds `part`.
    init(_ input: inout FuzzInput, on disk: SimulatedDisk, folder: String, touching part: String) {
        self.disk = disk
        let files = disk.paths.filter { $0.contains(part) }
        var left = 16
        while !input.isAtEnd, left > 0, !files.isEmpty {
            left -= 1
            let kind = input.byte()
            let path = files[input.choice(files.count)]
            let place = Int(input.word())
            guard var content = disk.content(path) else { continue }
            let offset = content.isEmpty ? 0 : place % content.count
            switch kind % 8 {
            case 0, 1:
                let mask = input.byte()
                if offset < content.count { content[offset] ^= mask }
            case 2:
                for (index, byte) in input.piece().enumerated() where offset + index < content.count {
                    content[offset + index] = byte
                }
            case 3:
                content.removeSubrange(offset...)
                changesBytesOnly = false
            case 4:
                content += input.piece()
                changesBytesOnly = false
            case 5:
                changesBytesOnly = false
                remove(path)
                continue
            case 6:
                changesBytesOnly = false
                write(content, to: "\(folder)/\(Self.strangeNames[input.choice(Self.strangeNames.count)])")
                continue
            default:
                changesBytesOnly = false
                write([], to: "\(folder)/\(Self.strangeNames[input.choice(Self.strangeNames.count)])")
                continue
            }
            write(content, to: path)
        }
    }

    /// Makes every checksum right again, as somebody would who knows the format: what is behind them must hold too.
    func seal(_ part: String, salt: UInt64) {
        for path in disk.paths where path.contains(part) {
            guard var content = disk.content(path), content.count >= FileHeader.bytes else { continue }
            let kind: FileHeader.Kind =
                path.hasSuffix(".checkpoint") ? .checkpoint : path.hasSuffix("identity") ? .identity : .segment
            Self.sealHeader(&content, kind)
            Self.sealGroups(&content, salt: salt)
            write(content, to: path)
        }
    }

    private static func sealHeader(_ content: inout [UInt8], _ kind: FileHeader.Kind) {
        let sealed = content.withUnsafeBytes { raw in
            func load<Number: FixedWidthInteger>(_ offset: Int, _ type: Number.Type) -> Number {
                Number(littleEndian: raw.loadUnaligned(fromByteOffset: offset, as: Number.self))
            }
            let clusterCount = min(Int(load(104, UInt16.self)), Limits.clusterIDBytes)
            let nodeCount = min(Int(load(106, UInt16.self)), Limits.nodeIDBytes)
            return FileHeader(
                kind: kind, incarnation: load(16, UInt64.self), restoreEpoch: load(24, UInt64.self),
                clockBound: load(32, Int64.self), number: load(40, UInt64.self),
                position: LogPosition(load(48, Int64.self)), chain: load(56, UInt64.self),
                partitions: PartitionSet(loading: raw, at: 64),
                clusterID: ByteString(Array(raw[108..<108 + clusterCount])),
                nodeID: ByteString(Array(raw[172..<172 + nodeCount]))
            ).encoded()
        }
        content.replaceSubrange(..<FileHeader.bytes, with: sealed)
    }

    private static func sealGroups(_ content: inout [UInt8], salt: UInt64) {
        content.withUnsafeMutableBytes { raw in
            var offset = FileHeader.bytes
            while offset + GroupHeader.bytes <= raw.count {
                let rest = UnsafeMutableRawBufferPointer(rebasing: raw[offset...])
                func load<Number: FixedWidthInteger>(_ offset: Int, _ type: Number.Type) -> Number {
                    Number(littleEndian: rest.loadUnaligned(fromByteOffset: offset, as: Number.self))
                }
                guard load(0, UInt32.self) == GroupHeader.magic else {
                    offset += 8
                    continue
                }
                let payloadBytes = Int(load(4, UInt32.self))
                let there = min(payloadBytes, rest.count - GroupHeader.bytes)
                let payload = UnsafeRawBufferPointer(rebasing: rest[GroupHeader.bytes..<GroupHeader.bytes + there])
                let header = GroupHeader(
                    payloadBytes: payloadBytes, number: load(8, UInt64.self),
                    position: LogPosition(load(16, Int64.self)), durableBefore: LogPosition(load(24, Int64.self)),
                    clockBound: load(32, Int64.self),
                    partitions: PartitionSet(loading: UnsafeRawBufferPointer(rest), at: 40),
                    payloadChecksum: GroupHeader.checksum(ofPayload: payload, salt: salt), chain: load(88, UInt64.self))
                _ = header.store(to: rest, salt: salt)
                offset += min(header.totalBytes, rest.count)
            }
        }
    }

    // MARK: Files

    private func write(_ content: [UInt8], to path: String) {
        do {
            let isThere = try disk.exists(path)
            let file = try disk.open(path, isThere ? .readWrite : .create)
            try content.withUnsafeBytes { try file.write($0, at: 0) }
            try file.truncate(to: Int64(content.count))
            file.close()
        } catch {
            fatalError("the simulated disk cannot be written: \(error)")
        }
    }

    private func remove(_ path: String) {
        do throws(DiskError) {
            if try disk.exists(path) { try disk.remove(path) }
        } catch {
            fatalError("the simulated disk cannot be written: \(error)")
        }
    }
}

/// What must hold of a directory after any edits.
enum StorageReading {
    /// Starts on the disk, twice: what was read, or why not. A log that was read goes on, and what it takes is there at
    /// the next start.
    static func start(_ disk: SimulatedDisk) -> Result<[Int?], StorageError> {
        do throws(StorageError) {
            let node = try StorageImage.Node(disk: disk, segmentBytes: 2_048)
            let first = node.recovered
            node.append([500_000])
            node.settle()
            node.close()
            disk.processKill()
            let again = try StorageImage.Node(disk: disk, segmentBytes: 2_048)
            again.close()
            disk.processKill()
            expect(again.recovered == first + [500_000], "a log that was read and went on is another at the next start")
            return .success(first)
        } catch {
            disk.processKill()
            return .failure(error)
        }
    }

    /// Salvages, and starts on what is left of it. What is kept is as it was written, and as much as is said.
    static func salvage(_ disk: SimulatedDisk, isSealed: Bool, of numbers: [Int]) {
        do throws(StorageError) {
            let report = try Salvage.run(path: StorageImage.path, disk: disk, entropy: SeededEntropy(seed: 2))
            disk.processKill()
            let node = try StorageImage.Node(disk: disk, segmentBytes: 2_048)
            let kept = node.recovered
            node.close()
            disk.processKill()
            expect(kept.count == report.keptRecords, "\(report.keptRecords) records kept, \(kept.count) there")
            if !isSealed { expect(Set(kept).isSubset(of: numbers.map { $0 }), "a record that nobody wrote was kept") }
            _ = report.lines
        } catch {
            let mayFail: Set<StorageError.Code> = [.damagedIdentity, .newerFormat, .foreign]
            expect(mayFail.contains(error.code), "no salvage: \(error)")
        }
    }
}
