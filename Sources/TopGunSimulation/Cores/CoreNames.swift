import TopGunModel

/// The names and values that a run of cores writes with, each at an address of its own: operations are views over bytes,
/// and nothing is to be copied for them.
final class CoreNames {
    let maps: [UnsafeRawBufferPointer]
    let keys: [UnsafeRawBufferPointer]
    let keyHashes: [UInt32]
    /// Authors first, then servers: in the order of their bytes.
    let writers: [UnsafeRawBufferPointer]
    let mapNames: [ByteString]
    let writerNames: [ByteString]
    let removal: UnsafeRawBufferPointer
    private let storage: UnsafeMutableRawBufferPointer

    init(maps: Int, keys: Int, authors: Int, servers: Int) {
        let mapNames = (0..<maps).map { ByteString("map\($0)") }
        let keyNames = (0..<keys).map { ByteString("k\($0)") }
        let writerNames =
            (0..<authors).map { ByteString("author-\(10 + $0)") } + (0..<servers).map { ByteString("server-\($0)") }
        let all = mapNames + keyNames + writerNames + [ByteString([0xc0])]
        storage = .allocate(byteCount: all.reduce(0) { $0 + $1.count }, alignment: 8)
        var used = 0
        var views: [UnsafeRawBufferPointer] = []
        for text in all {
            let target = UnsafeMutableRawBufferPointer(rebasing: storage[used..<used + text.count])
            target.copyBytes(from: text.bytes)
            views.append(UnsafeRawBufferPointer(target))
            used += text.count
        }
        self.maps = Array(views[..<maps])
        self.keys = Array(views[maps..<maps + keys])
        keyHashes = keyNames.map { KeyHash.of($0) }
        writers = Array(views[(maps + keys)..<(maps + keys + writerNames.count)])
        removal = views[views.count - 1]
        self.mapNames = mapNames
        self.writerNames = writerNames
    }

    deinit {
        storage.deallocate()
    }
}
