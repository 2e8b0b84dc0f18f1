import TopGunSimulation

@testable import TopGunStorage

extension FuzzTarget {
    /// A log with damage, or with forgeries whose checksums are right.
    ///
    /// No reading of it traps. Of a closed log no byte changes without being noticed; of one whose process was killed no
    /// record is read that was not written, and they come in their order. A salvage keeps nothing that was not there.
    ///
    /// ```
    /// u8 flags: 1 killed, 2 sealed, 4 salvage      edits
    /// ```
    static let log = FuzzTarget(
        name: "log", lengthMax: 4_096,
        seeds: {
            var seeds: [[UInt8]] = [[0], [1], [4], [7]]
            for flags: UInt8 in 0..<8 {
                for place: UInt8 in [0, 8, 24, 48, 104] {
                    seeds.append([flags, 0, 0, place, 0, 0x80])
                    seeds.append([flags, 0, 1, place, 2, 0xff, 2, 2, place, 0, 4, 0, 1, 2, 3, 4])
                }
                seeds += [[flags, 3, 1, 0, 3], [flags, 5, 1, 0, 0], [flags, 6, 0, 0, 0, 1], [flags, 7, 0, 0, 0, 0]]
                // A position near the end of all positions, and a length that lies.
                seeds.append([flags, 2, 0, 48, 0, 8, 0] + [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
                seeds.append([flags, 2, 0, 4, 2, 4, 0, 0xff, 0xff, 0xff, 0xff])
            }
            return seeds
        },
        words: [[0x54, 0x47, 0x52, 0x50], Array("TGSEGMEN".utf8)],
        body: { bytes in
            var input = FuzzInput(bytes)
            let flags = input.byte()
            let image = flags & 1 == 0 ? StorageImage.closed : StorageImage.killed
            let isSealed = flags & 2 != 0
            let disk = image.disk.copy(seed: 1)
            let edits = StorageEdits(&input, on: disk, folder: "\(StorageImage.path)/log-0", touching: "/log-0/")
            if isSealed { edits.seal("/log-0/", salt: image.salt) }
            if flags & 4 != 0 {
                return StorageReading.salvage(disk, isSealed: isSealed, of: image.numbers)
            }
            guard case .success(let found) = StorageReading.start(disk), !isSealed else { return }
            if flags & 1 == 0, edits.changesBytesOnly {
                expect(found == image.numbers, "a changed byte was not noticed: \(found)")
            } else {
                expect(found == image.numbers.prefix(found.count).map { $0 }, "not what was written: \(found)")
            }
        })

    /// Checkpoints and the file that says whose they are, with damage or with forgeries whose checksums are right.
    ///
    /// No reading of them traps, and of a checkpoint that is needed no byte changes without being noticed.
    ///
    /// ```
    /// u8 flags: 1 the identity too, 2 sealed, 4 salvage      edits
    /// ```
    static let checkpoint = FuzzTarget(
        name: "checkpoint", lengthMax: 4_096,
        seeds: {
            var seeds: [[UInt8]] = [[0], [1], [4], [7]]
            for flags: UInt8 in 0..<8 {
                for (place, high): (UInt8, UInt8) in [(0, 0), (40, 0), (48, 0), (64, 0), (4, 2), (16, 2), (104, 2)] {
                    seeds.append([flags, 0, 0, place, high, 0x80])
                    seeds.append([flags, 2, 1, place, high, 8, 0] + [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])
                }
                seeds += [
                    [flags, 3, 1, 0, 2], [flags, 5, 1, 0, 0], [flags, 6, 0, 0, 0, 9], [flags, 6, 0, 0, 0, 11],
                ]
            }
            return seeds
        },
        words: [[0x54, 0x47, 0x52, 0x50], Array("TGCHECKP".utf8), Array("TGIDENTI".utf8)],
        body: { bytes in
            var input = FuzzInput(bytes)
            let flags = input.byte()
            let image = StorageImage.checkpointed
            let isSealed = flags & 2 != 0
            let disk = image.disk.copy(seed: 1)
            let folder = "\(StorageImage.path)/checkpoints-0"
            let part = flags & 1 == 0 ? "/checkpoints-0/" : "/data/identity"
            let edits = StorageEdits(&input, on: disk, folder: folder, touching: part)
            if isSealed { edits.seal(part, salt: image.salt) }
            if flags & 4 != 0 {
                return StorageReading.salvage(disk, isSealed: isSealed, of: image.numbers)
            }
            guard case .success(let found) = StorageReading.start(disk), !isSealed else { return }
            // What is in a checkpoint and in the log comes twice.
            expect(Set(found) == Set(image.numbers), "something is missing, or was never written: \(found)")
        })
}
