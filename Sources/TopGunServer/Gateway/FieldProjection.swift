import TopGunModel
import TopGunQuery

/// The top-level fields that a query shows of each value (protocol.md 6.4); what it filters and sorts by is the whole value.
struct FieldProjection: Sendable {
    /// In order: a value may have as many fields as it likes.
    private let names: [ByteString]

    init(_ names: [ByteString]) throws(QueryError) {
        guard names.count <= Limits.shownFieldsMax else {
            throw QueryError(code: .tooLarge, message: "fields names too many fields")
        }
        self.names = names.sorted()
    }

    /// Writes a value with these fields only, in their order in the value; one that is no map, or cannot be read, as it is.
    func write(_ value: UnsafeRawBufferPointer, to sink: ByteSink) {
        // What its memory broke is found by the checks; it ends no node.
        guard let kept = try? fields(of: value) else { return sink.append(value) }
        MessagePackWriter(sink).writeMapHead(kept.count)
        for field in kept { sink.append(UnsafeRawBufferPointer(rebasing: value[field])) }
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
        var (low, high) = (0, names.count)
        while low < high {
            let middle = (low + high) / 2
            if names[middle].bytes.lexicographicallyPrecedes(name) { low = middle + 1 } else { high = middle }
        }
        return low < names.count && names[low].bytes.elementsEqual(name)
    }
}
