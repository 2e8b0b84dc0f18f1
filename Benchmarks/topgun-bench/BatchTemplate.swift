/// The bytes of one batch, laid out once for a connection: before each sending only what differs is written over.
///
/// Both servers share the machine with the load, so what a batch costs its sender is taken from what they can do; the
/// encoding of a real client is not what is measured here.
///
/// ```
///  header | operation | operation | …      all operations have the same length, and the same offsets inside
/// ```
struct BatchTemplate {
    let operations: Int
    private var bytes: [UInt8]
    private let headerBytes: Int
    private let operationBytes: Int

    init(operations: Int, header: [UInt8], operation: [UInt8]) {
        self.operations = operations
        headerBytes = header.count
        operationBytes = operation.count
        bytes = header
        for _ in 0..<operations { bytes.append(contentsOf: operation) }
    }

    /// Lets `fill` write into each operation in turn and appends the batch.
    mutating func append(to output: inout [UInt8], fill: (UnsafeMutableRawBufferPointer) -> Void) {
        bytes.withUnsafeMutableBytes { bytes in
            for index in 0..<operations {
                let start = headerBytes + index * operationBytes
                fill(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + operationBytes]))
            }
        }
        output.append(contentsOf: bytes)
    }
}

extension UnsafeMutableRawBufferPointer {
    /// Writes a number as so many decimal digits, with zeros in front.
    func store(decimal number: Int, digits: Int, at offset: Int) {
        var rest = UInt64(number)
        var index = offset + digits
        while index > offset {
            index -= 1
            self[index] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    func store(bigEndian number: some FixedWidthInteger, at offset: Int) {
        storeBytes(of: number.bigEndian, toByteOffset: offset, as: type(of: number))
    }
}
