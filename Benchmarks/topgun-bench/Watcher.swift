import Glibc

/// Two connections: one writes a key, the other, idle but interested in the map, is timed until it hears of it.
struct Watcher: ~Copyable {
    private let listener: Socket
    private let writer: Socket

    init(listener: consuming Socket, writer: consuming Socket) {
        self.listener = listener
        self.writer = writer
    }

    /// Microseconds of each write, ascending.
    func measure(writes: Int, speaker: TopGunSpeaker) throws -> [Double] {
        var listening = TopGunSpeaker(space: speaker.space, concern: "MEMORY", node: "bench-l", share: 0)
        try listening.greet(listener)
        var writing = speaker
        try writing.greet(writer)
        var hello: [UInt8] = []
        hello.appendFrame { frame in
            frame.append(0x83)
            frame.appendString("type")
            frame.appendString("SYNC_INIT")
            frame.appendString("mapName")
            frame.appendString(speaker.map)
            frame.appendString("lastSyncTimestamp")
            frame.append(0)
        }
        try listener.writeAll(hello)
        try drain(listener, until: "SYNC_RESP_ROOT")
        var picker = KeyPicker.random(share: 0, of: 1, keys: speaker.space.keys, seed: 7)
        var micros: [Double] = []
        for _ in 0..<writes {
            var output: [UInt8] = []
            writing.appendBatch(of: 1, to: &output, picker: &picker)
            let start = monotonicNanos()
            try writer.writeAll(output)
            try drain(listener, until: "SERVER_EVENT")
            micros.append(Double(monotonicNanos() - start) / 1000)
            try drain(writer, until: "OP_ACK")
            usleep(500)
        }
        return micros.sorted()
    }

    /// Reads until what came contains the word; each wait here ends with its message, so nothing of the next is lost.
    private func drain(_ socket: borrowing Socket, until word: String) throws {
        var seen: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while !seen[...].contains(subsequence: word) {
            var waiting = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 5000) == 1 else { throw BenchmarkError("no \(word) within five seconds") }
            let count = recv(socket.descriptor, &chunk, chunk.count, 0)
            guard count > 0 else { throw BenchmarkError("closed while waiting for \(word)") }
            seen.append(contentsOf: chunk[0..<count])
        }
    }
}
