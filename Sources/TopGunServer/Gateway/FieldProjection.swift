import TopGunModel

/// The top-level fields that a query shows of each value (protocol.md 6.4); what it filters and sorts by is the whole value.
struct FieldProjection: Sendable {
    private let names: [ByteString]

    init(_ names: [ByteString]) {
        self.names = names
    }

    /// Writes a value with these fields only, in their order in the value; one that is no map as it is.
    func write(_ value: UnsafeRawBufferPointer, to sink: ByteSink) {
        do throws(MessagePackError) {
            guard let kept = try fields(of: value) else { return sink.append(value) }
            MessagePackWriter(sink).writeMapHead(kept.count)
            for field in kept { sink.append(UnsafeRawBufferPointer(rebasing: value[field])) }
        } catch {
            preconditionFailure("a stored value cannot be read: \(error)")
        }
    }

    /// Where the fields lie, key and value; `nil` if the value is no map.
    private func fields(of value: UnsafeRawBufferPointer) throws(MessagePackError) -> [Range<Int>]? {
        var reader = MessagePackReader(value)
        guard try reader.peekKind() == .map else { return nil }
        var kept: [Range<Int>] = []
        for _ in 0..<(try reader.readMapCount()) {
            let start = reader.offset
            var isKept = false
            if try reader.peekKind() == .string {
                isKept = has(try reader.readString())
            } else {
                try reader.skipValueOfAnyDepth()
            }
            try reader.skipValueOfAnyDepth()
            if isKept { kept.append(start..<reader.offset) }
        }
        return kept
    }

    private func has(_ name: UnsafeRawBufferPointer) -> Bool {
        names.contains { $0.count == name.count && $0.bytes.elementsEqual(name) }
    }
}
