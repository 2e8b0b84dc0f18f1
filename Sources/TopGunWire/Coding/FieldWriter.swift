import TopGunModel

/// Writes one map of the protocol, field by field, and its head when all are there.
///
/// The head is one byte, so a map has at most fifteen fields; no message needs more. A field whose value is absent is
/// left out, as the official client wants it (protocol.md 1.3).
struct FieldWriter {
    let out: MessagePackWriter
    private let head: Int
    private var count = 0

    private init(_ sink: ByteSink) {
        out = MessagePackWriter(sink)
        head = sink.count
        out.writeMapHead(0)
    }

    static func write(
        into sink: ByteSink, _ content: (inout FieldWriter) -> Void
    ) {
        var map = FieldWriter(sink)
        content(&map)
        precondition(map.count <= 15, "a map of \(map.count) fields")
        (sink.base + map.head).storeBytes(of: 0x80 | UInt8(truncatingIfNeeded: map.count), as: UInt8.self)
    }

    private mutating func name(_ name: StaticString) {
        count += 1
        out.write(name)
    }
}

// MARK: - Scalars

extension FieldWriter {
    mutating func text(_ name: StaticString, _ text: ByteString?) {
        guard let text else { return }
        self.name(name)
        out.write(text)
    }

    mutating func string(_ name: StaticString, _ text: String?) {
        guard let text else { return }
        self.name(name)
        out.write(text)
    }

    mutating func word(_ name: StaticString, _ word: StaticString?) {
        guard let word else { return }
        self.name(name)
        out.write(word)
    }

    mutating func integer(_ name: StaticString, _ number: Int64?) {
        guard let number else { return }
        self.name(name)
        out.write(number)
    }

    mutating func hash(_ name: StaticString, _ hash: UInt32?) {
        guard let hash else { return }
        self.name(name)
        out.write(hash)
    }

    /// A number as decimal text.
    mutating func decimal(_ name: StaticString, _ number: UInt64?) {
        guard let number else { return }
        self.name(name)
        out.writeDecimal(number)
    }

    mutating func number(_ name: StaticString, _ number: Double?) {
        guard let number else { return }
        self.name(name)
        out.write(number: number)
    }

    mutating func bool(_ name: StaticString, _ flag: Bool?) {
        guard let flag else { return }
        self.name(name)
        out.write(flag)
    }

    mutating func binary(_ name: StaticString, _ bytes: [UInt8]?) {
        guard let bytes else { return }
        self.name(name)
        bytes.withUnsafeBytes { out.writeBinary($0) }
    }

    mutating func payload(_ name: StaticString, _ payload: Payload?) {
        guard let payload else { return }
        self.name(name)
        out.write(payload)
    }

    /// A value that `write` puts down.
    mutating func value(_ name: StaticString, _ write: (MessagePackWriter) -> Void) {
        self.name(name)
        write(out)
    }

    mutating func null(_ name: StaticString) {
        self.name(name)
        out.writeNil()
    }
}

// MARK: - Containers

extension FieldWriter {
    /// A map of the protocol.
    mutating func fields(_ name: StaticString, _ content: (inout FieldWriter) -> Void) {
        self.name(name)
        FieldWriter.write(into: out.sink, content)
    }

    mutating func texts(_ name: StaticString, _ texts: [ByteString]?) {
        guard let texts else { return }
        self.name(name)
        out.writeArrayHead(texts.count)
        for text in texts { out.write(text) }
    }

    /// A list of maps of the protocol.
    mutating func list<Element>(
        _ name: StaticString, _ elements: [Element]?, _ content: (Element, inout FieldWriter) -> Void
    ) {
        guard let elements else { return }
        self.name(name)
        out.writeArrayHead(elements.count)
        for element in elements { FieldWriter.write(into: out.sink) { content(element, &$0) } }
    }

    /// A list of values that are MessagePack already.
    mutating func values(_ name: StaticString, _ values: [Payload]?) {
        guard let values else { return }
        self.name(name)
        out.writeArrayHead(values.count)
        for value in values { out.write(value) }
    }

    /// A map whose keys are not the protocol's.
    mutating func pairs<Element>(
        _ name: StaticString, _ elements: [Element]?, _ pair: (Element, MessagePackWriter) -> Void
    ) {
        guard let elements else { return }
        self.name(name)
        out.writeMapHead(elements.count)
        for element in elements { pair(element, out) }
    }
}

extension MessagePackWriter {
    /// Writes a number as decimal text.
    func writeDecimal(_ number: UInt64) {
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { digits in
            var start = 20
            var rest = number
            repeat {
                start &-= 1
                digits[start] = 0x30 | UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while rest > 0
            writeString(UnsafeRawBufferPointer(rebasing: digits[start..<20]))
        }
    }
}
