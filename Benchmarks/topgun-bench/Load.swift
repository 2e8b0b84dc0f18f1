import Glibc

/// What one load run found.
struct LoadResult: Codable {
    var operationsPerSecond: Double
    /// Microseconds from handing a batch to the socket until it was acknowledged.
    var p50Micros: Double
    var p99Micros: Double
    var operations: Int
    var serverCPUMicrosPerOperation: Double?
}

/// A closed loop over many connections on one thread: each connection has one batch in flight, and sends the next
/// when the last one is acknowledged, as `redis-benchmark` does.
struct Load {
    var host = "127.0.0.1"
    var port: Int
    var connections: Int
    var batch: Int
    var warmUpSeconds = 1.0
    var seconds: Double
    /// The process whose CPU time is read before and after, where that is of interest.
    var serverProcess: Int32?

    func run<S: Speaker>(keys: Int, seed: UInt64, speaker: (Int) -> S) throws -> LoadResult {
        let lines = try (0..<connections).map { index in
            try Line(
                socket: Socket(host: host, port: port), speaker: speaker(index),
                picker: .random(share: index, of: connections, keys: keys, seed: seed))
        }
        var waiting = lines.map { pollfd(fd: $0.socket.descriptor, events: Int16(POLLIN), revents: 0) }
        let start = monotonicNanos()
        let counted = start + Int64(warmUpSeconds * 1e9)
        let end = counted + Int64(seconds * 1e9)
        var latencies: [Int64] = []
        latencies.reserveCapacity(4_000_000)
        var operations = 0
        var cpuBefore: Double?
        for line in lines { try line.sendBatch(of: batch) }
        while true {
            guard poll(&waiting, nfds_t(connections), 10_000) > 0 else {
                throw BenchmarkError("no answer for ten seconds")
            }
            var now = monotonicNanos()
            if now >= end { break }
            for (index, line) in lines.enumerated() where waiting[index].revents != 0 {
                let acknowledged = try line.read()
                guard line.outstanding == 0 else { continue }
                now = monotonicNanos()
                if now >= counted {
                    if cpuBefore == nil { cpuBefore = serverProcess.flatMap(cpuSeconds) }
                    operations += acknowledged > 0 ? batch : 0
                    latencies.append(now - line.sentAt)
                }
                try line.sendBatch(of: batch)
            }
        }
        let elapsed = Double(monotonicNanos() - counted) / 1e9
        let cpu = cpuBefore.flatMap { before in serverProcess.flatMap(cpuSeconds).map { $0 - before } }
        latencies.sort()
        func percentile(_ share: Double) -> Double {
            latencies.isEmpty ? .nan : Double(latencies[Int(Double(latencies.count - 1) * share)]) / 1000
        }
        return LoadResult(
            operationsPerSecond: Double(operations) / elapsed, p50Micros: percentile(0.5), p99Micros: percentile(0.99),
            operations: operations, serverCPUMicrosPerOperation: cpu.map { $0 * 1e6 / Double(max(operations, 1)) })
    }
}

/// One connection with its speaker and buffers.
private final class Line<S: Speaker> {
    let socket: Socket
    private var speaker: S
    private var picker: KeyPicker
    private var output: [UInt8] = []
    private var input: [UInt8] = []
    private var chunk = [UInt8](repeating: 0, count: 65536)
    private(set) var outstanding = 0
    private(set) var sentAt: Int64 = 0

    init(socket: consuming Socket, speaker: S, picker: KeyPicker) throws {
        self.speaker = speaker
        self.picker = picker
        try self.speaker.greet(socket)
        socket.setNonBlocking()
        self.socket = socket
    }

    func sendBatch(of operations: Int) throws {
        output.removeAll(keepingCapacity: true)
        speaker.appendBatch(of: operations, to: &output, picker: &picker)
        outstanding += operations
        sentAt = monotonicNanos()
        var sent = 0
        while sent < output.count {
            let count = output.withUnsafeBytes { send(socket.descriptor, $0.baseAddress! + sent, $0.count - sent, 0) }
            if count > 0 {
                sent += count
            } else if errno == EAGAIN {
                var waiting = pollfd(fd: socket.descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&waiting, 1, 1000)
            } else {
                throw BenchmarkError("write failed: \(errnoText())")
            }
        }
    }

    /// Reads what is there; returns how many operations it acknowledged.
    func read() throws -> Int {
        while true {
            let count = recv(socket.descriptor, &chunk, chunk.count, 0)
            if count == 0 { throw BenchmarkError("the server closed the connection") }
            if count < 0 { break }
            input.append(contentsOf: chunk[0..<count])
            if count < chunk.count { break }
        }
        var offset = 0
        let acknowledged = try speaker.acknowledged(in: input, from: &offset)
        input.removeFirst(offset)
        outstanding -= acknowledged
        return acknowledged
    }
}

/// Writes every key of one share once, in batches, so that a load that follows overwrites.
func fillKeys(_ socket: consuming Socket, share: Int, of shares: Int, keys: Int, speaker: some Speaker) throws {
    let line = try Line(socket: socket, speaker: speaker, picker: .sequence(share: share, of: shares, keys: keys))
    let ownKeys = keys / shares
    var written = 0
    while written < ownKeys {
        let batch = min(500, ownKeys - written)
        try line.sendBatch(of: batch)
        while line.outstanding > 0 {
            var waiting = pollfd(fd: line.socket.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, 10_000) == 1 else { throw BenchmarkError("no answer for ten seconds") }
            _ = try line.read()
        }
        written += batch
    }
}

/// User and system seconds a process has used.
func cpuSeconds(of process: Int32) -> Double? {
    guard let file = fopen("/proc/\(process)/stat", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 1024)
    guard fgets(&line, 1024, file) != nil else { return nil }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let name = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(name, offsetBy: 2)...].split(separator: " ")
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
    return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
}

/// Resident bytes of a process.
func residentBytes(of process: Int32) -> Int? {
    guard let file = fopen("/proc/\(process)/statm", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, 256, file) != nil else { return nil }
    let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return text.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map {
        $0 * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
