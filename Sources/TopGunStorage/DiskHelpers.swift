import TopGunEnvironment

extension Disk {
    /// Puts a whole new content under a name: after a crash there is the old one or the new one.
    func replace(_ path: String, in directory: String, with bytes: [UInt8]) throws(DiskError) {
        let new = "\(path).new"
        try removeIfThere(new)
        let file = try open(new, .create)
        defer { file.close() }
        try file.write(bytes, at: 0)
        try file.sync()
        try rename(new, to: path)
        try syncDirectory(directory)
    }

    func removeIfThere(_ path: String) throws(DiskError) {
        do {
            try remove(path)
        } catch  where error.code == .notFound {
            return
        }
    }
}

extension DiskFile {
    func write(_ bytes: [UInt8], at offset: Int64) throws(DiskError) {
        try write(bytes, first: bytes.count, at: offset)
    }

    func write(_ bytes: [UInt8], first count: Int, at offset: Int64) throws(DiskError) {
        try bytes.withUnsafeBytes { raw in
            let part = UnsafeRawBufferPointer(rebasing: raw[..<count])
            return Result { () throws(DiskError) in try write(part, at: offset) }
        }
        .get()
    }

    /// The first bytes of the file, as many as there are up to `limit`.
    func readAll(_ limit: Int) throws(DiskError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = try bytes.withUnsafeMutableBytes { raw in
            Result { () throws(DiskError) in try read(into: raw, at: 0) }
        }
        .get()
        bytes.removeLast(limit - count)
        return bytes
    }
}
