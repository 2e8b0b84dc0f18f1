/// What the load generator says to a server and how it counts the answers; one value per connection.
///
/// Both speakers write the same keys and values, so that only the servers differ.
protocol Speaker {
    /// Done once on a fresh, blocking connection.
    mutating func greet(_ socket: borrowing Socket) throws

    /// Appends one batch of writes to the keys that `picker` names.
    mutating func appendBatch(of operations: Int, to output: inout [UInt8], picker: inout KeyPicker)

    /// Reads answers from `input` from `offset` on and returns how many operations they acknowledge.
    mutating func acknowledged(in input: [UInt8], from offset: inout Int) throws -> Int
}

/// Keys as `redis-benchmark` writes them, `key:` and twelve digits, and one value of a fixed size.
struct KeySpace {
    var keys: Int
    var value: [UInt8]

    static let keyBytes = 16

    init(keys: Int, valueBytes: Int) {
        self.keys = keys
        self.value = (0..<valueBytes).map { UInt8(ascii: "a") + UInt8($0 % 26) }
    }

    /// A key with its digits still to be written, from ``digitsOffset`` on.
    static let keyTemplate = Array("key:000000000000".utf8)
    static let digitsOffset = 4
    static let digits = 12
}

/// Which of a connection's keys comes next: at random, or one after the other.
///
/// Every connection has its own share of the keys. TopGun tells each client that wrote to a map of what others write
/// there, which Redis does not do for a `SET`; so each share is a map of its own, and the fan-out stays out of the ratio.
struct KeyPicker {
    private let share: Int
    private let shares: Int
    private let keysOfShare: Int
    private var state: UInt64
    private var following: Int?

    static func random(share: Int, of shares: Int, keys: Int, seed: UInt64) -> KeyPicker {
        KeyPicker(
            share: share, shares: shares, keysOfShare: max(keys / shares, 1),
            state: (seed &+ UInt64(share)) &* 0x9e37_79b9_7f4a_7c15 | 1, following: nil)
    }

    static func sequence(share: Int, of shares: Int, keys: Int) -> KeyPicker {
        KeyPicker(share: share, shares: shares, keysOfShare: max(keys / shares, 1), state: 0, following: 0)
    }

    mutating func next() -> Int {
        if let key = following {
            following = key + 1
            return share + key % keysOfShare * shares
        }
        // Marsaglia's xorshift64*.
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return share + Int((state &* 0x2545_f491_4f6c_dd1d) >> 33) % keysOfShare * shares
    }
}

/// Redis: `SET key value` in RESP.
struct RedisSpeaker: Speaker {
    let space: KeySpace
    private var template: BatchTemplate?
    private static let beforeKey = Array("*3\r\n$3\r\nSET\r\n$16\r\n".utf8)

    init(space: KeySpace) {
        self.space = space
    }

    mutating func greet(_ socket: borrowing Socket) throws {}

    mutating func appendBatch(of operations: Int, to output: inout [UInt8], picker: inout KeyPicker) {
        if template?.operations != operations {
            let key = Self.beforeKey + KeySpace.keyTemplate
            let value = Array("\r\n$\(space.value.count)\r\n".utf8) + space.value + [13, 10]
            template = BatchTemplate(operations: operations, header: [], operation: key + value)
        }
        let offset = Self.beforeKey.count + KeySpace.digitsOffset
        template?.append(to: &output) { operation in
            operation.store(decimal: picker.next(), digits: KeySpace.digits, at: offset)
        }
    }

    mutating func acknowledged(in input: [UInt8], from offset: inout Int) throws -> Int {
        var operations = 0
        while offset + 5 <= input.count {
            guard input[offset] == UInt8(ascii: "+") else {
                throw BenchmarkError("Redis answered \(String(decoding: input[offset...].prefix(80), as: UTF8.self))")
            }
            offset += 5
            operations += 1
        }
        return operations
    }
}

/// TopGun: `OP_BATCH` in a masked WebSocket frame, answered by `OP_ACK`.
struct TopGunSpeaker: Speaker {
    let space: KeySpace
    let concern: String
    let node: String
    let map: String
    /// Ten digits from the first to the last, so that all operations have one length.
    private var nextID = 1_000_000_000
    private var millis: Int64 = 0
    private var counter: UInt32 = 0
    private var unanswered: [Int] = []
    private var template: BatchTemplate?
    private var offsets = Offsets()

    /// Where in an operation stands what differs.
    private struct Offsets {
        var id = 0
        var key = 0
        var millis = 0
        var counter = 0
    }

    init(space: KeySpace, concern: String, node: String, share: Int) {
        self.space = space
        self.concern = concern
        self.node = node
        self.map = TopGunSpeaker.map(ofShare: share)
    }

    static func map(ofShare share: Int) -> String { "bench-\(share)" }

    mutating func greet(_ socket: borrowing Socket) throws {
        try socket.writeAll(
            Array(
                """
                GET /ws HTTP/1.1\r
                Host: 127.0.0.1\r
                Connection: Upgrade\r
                Upgrade: websocket\r
                Sec-WebSocket-Version: 13\r
                Sec-WebSocket-Key: dG9wZ3VuLWJlbmNobWFyaw==\r
                \r

                """.utf8))
        let head = try socket.readHead()
        guard head.hasPrefix("HTTP/1.1 101") else { throw BenchmarkError("no upgrade: \(head.prefix(60))") }
        // As clients with extensions greet: such a client hears of others' writes only where it asked to, and gets one
        // short acknowledgement for a batch. A client without them is told of every map it wrote to.
        var hello: [UInt8] = [0x83]
        hello.appendString("type")
        hello.appendString("DEVICE_HELLO")
        hello.appendString("protocolVersion")
        hello.append(3)
        hello.appendString("features")
        hello.append(0x91)
        hello.appendString("flow")
        var output: [UInt8] = []
        output.appendFrame { $0.append(contentsOf: hello) }
        try socket.writeAll(output)
    }

    mutating func appendBatch(of operations: Int, to output: inout [UInt8], picker: inout KeyPicker) {
        let now = wallMillis()
        if now > millis { (millis, counter) = (now, 0) }
        if template?.operations != operations { template = makeTemplate(operations) }
        let (offsets, millis) = (offsets, millis)
        output.appendFrame { frame in
            template?.append(to: &frame) { operation in
                operation.store(decimal: nextID, digits: 10, at: offsets.id)
                operation.store(
                    decimal: picker.next(), digits: KeySpace.digits, at: offsets.key + KeySpace.digitsOffset)
                operation.store(bigEndian: millis, at: offsets.millis)
                operation.store(bigEndian: counter, at: offsets.counter)
                nextID += 1
                counter += 1
            }
        }
        unanswered.append(operations)
    }

    private mutating func makeTemplate(_ operations: Int) -> BatchTemplate {
        var header: [UInt8] = [0x82]
        header.appendString("type")
        header.appendString("OP_BATCH")
        header.appendString("payload")
        header.append(0x82)
        header.appendString("writeConcern")
        header.appendString(concern)
        header.appendString("ops")
        header.append(contentsOf: [0xdc, UInt8(operations >> 8), UInt8(operations & 255)])
        return BatchTemplate(operations: operations, header: header, operation: makeOperation())
    }

    private mutating func makeOperation() -> [UInt8] {
        var operation: [UInt8] = [0x85]
        operation.appendString("id")
        operation.appendString("0000000000")
        offsets.id = operation.count - 10
        operation.appendString("mapName")
        operation.appendString(map)
        operation.appendString("key")
        operation.appendStringHeader(KeySpace.keyBytes)
        offsets.key = operation.count
        operation.append(contentsOf: KeySpace.keyTemplate)
        operation.appendString("opType")
        operation.appendString("PUT")
        operation.appendString("record")
        operation.append(0x82)
        operation.appendString("value")
        operation.appendStringHeader(space.value.count)
        operation.append(contentsOf: space.value)
        operation.appendString("timestamp")
        operation.append(0x83)
        operation.appendString("millis")
        operation.append(0xcf)
        offsets.millis = operation.count
        operation.append(contentsOf: repeatElement(0, count: 8))
        operation.appendString("counter")
        operation.append(0xce)
        offsets.counter = operation.count
        operation.append(contentsOf: repeatElement(0, count: 4))
        operation.appendString("nodeId")
        operation.appendString(node)
        return operation
    }

    mutating func acknowledged(in input: [UInt8], from offset: inout Int) throws -> Int {
        var operations = 0
        while let message = try nextMessage(in: input, from: &offset) {
            if message.contains(subsequence: "OP_ACK") {
                guard !message.contains(subsequence: "success\u{c2}") else { throw BenchmarkError("refused operation") }
                guard !unanswered.isEmpty else { throw BenchmarkError("an acknowledgement too many") }
                operations += unanswered.removeFirst()
            } else if message.contains(subsequence: "ERROR") || message.contains(subsequence: "OP_REJECTED") {
                throw BenchmarkError("TopGun answered \(String(decoding: message.prefix(200), as: UTF8.self))")
            }
        }
        return operations
    }

    private func nextMessage(in input: [UInt8], from offset: inout Int) throws -> ArraySlice<UInt8>? {
        guard input.count - offset >= 2 else { return nil }
        guard input[offset] & 0x0f != 0x8 else { throw BenchmarkError("TopGun closed the connection") }
        var length = Int(input[offset + 1] & 0x7f)
        var header = 2
        if length >= 126 {
            let width = length == 126 ? 2 : 8
            guard input.count - offset >= 2 + width else { return nil }
            length = input[offset + 2..<offset + 2 + width].reduce(0) { $0 << 8 | Int($1) }
            header += width
        }
        guard input.count - offset >= header + length else { return nil }
        defer { offset += header + length }
        return input[offset + header..<offset + header + length]
    }
}

extension [UInt8] {
    /// Appends a masked binary WebSocket frame around what `body` writes.
    mutating func appendFrame(_ body: (inout [UInt8]) -> Void) {
        let start = count
        // Room for the longest header used here; moved down to what the length needs afterwards.
        append(contentsOf: repeatElement(0, count: 14))
        body(&self)
        let length = count - start - 14
        let width = length < 126 ? 0 : length < 65536 ? 2 : 8
        let header = 6 + width
        let bodyStart = start + 14
        self[start + 14 - header] = 0x82
        self[start + 15 - header] = 0x80 | (width == 0 ? UInt8(length) : width == 2 ? 126 : 127)
        for index in 0..<width {
            self[start + 16 - header + index] = UInt8(truncatingIfNeeded: length >> (8 * (width - 1 - index)))
        }
        let mask: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]
        for index in 0..<4 { self[bodyStart - 4 + index] = mask[index] }
        let word = UInt64(0x3d21_fa37_3d21_fa37)
        withUnsafeMutableBytes { bytes in
            var index = bodyStart
            while index + 8 <= bodyStart + length {
                let masked = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ word
                bytes.storeBytes(of: masked, toByteOffset: index, as: UInt64.self)
                index += 8
            }
            while index < bodyStart + length {
                bytes[index] ^= mask[(index - bodyStart) & 3]
                index += 1
            }
        }
        removeSubrange(start..<start + 14 - header)
    }

    mutating func appendStringHeader(_ length: Int) {
        if length < 32 {
            append(0xa0 | UInt8(length))
        } else if length < 256 {
            append(contentsOf: [0xd9, UInt8(length)])
        } else {
            append(contentsOf: [0xda, UInt8(length >> 8), UInt8(length & 255)])
        }
    }

    mutating func appendString(_ text: String) {
        appendStringHeader(text.utf8.count)
        append(contentsOf: text.utf8)
    }
}

extension ArraySlice<UInt8> {
    func contains(subsequence text: String) -> Bool {
        let wanted = Array(text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) })
        guard count >= wanted.count else { return false }
        return withUnsafeBytes { bytes in
            for start in 0...bytes.count - wanted.count where bytes[start] == wanted[0] {
                if (1..<wanted.count).allSatisfy({ bytes[start + $0] == wanted[$0] }) { return true }
            }
            return false
        }
    }
}
