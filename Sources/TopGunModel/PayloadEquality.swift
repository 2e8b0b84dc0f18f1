/// When two values are the same: by content in depth, whatever their encoding (protocol.md 6.2).
///
/// Numbers by value (5 equals 5.0), texts by bytes, arrays element by element, maps by their keys and values whatever
/// the order; of a key that occurs twice the last one counts. Different types are never equal, and NaN equals nothing.
package enum PayloadEquality {
    /// Whether a server's copy of a value says what ours says; the same bytes always do, also with a NaN inside.
    package static func sameContent(_ left: Payload, _ right: Payload) -> Bool {
        if left.bytes == right.bytes { return true }
        return left.bytes.withUnsafeBytes { leftBytes in
            right.bytes.withUnsafeBytes { rightBytes in
                guard let leftValue = PayloadValue(leftBytes), let rightValue = PayloadValue(rightBytes) else {
                    return false
                }
                return equal(leftValue, rightValue)
            }
        }
    }

    package static func equal(_ left: PayloadValue, _ right: PayloadValue) -> Bool {
        equal(left, right, depth: 0)
    }

    private static func equal(_ left: PayloadValue, _ right: PayloadValue, depth: Int) -> Bool {
        switch (left, right) {
        case (.null, .null): true
        case (.bool(let left), .bool(let right)): left == right
        case (.number(let left), .number(let right)): left == right
        case (.string(let left), .string(let right)), (.binary(let left), .binary(let right)):
            VersionOrder.equal(left, right)
        case (.extended(let leftType, let left), .extended(let rightType, let right)):
            leftType == rightType && VersionOrder.equal(left, right)
        case (.array(let left), .array(let right)): equalArrays(left, right, depth: depth + 1)
        case (.map(let left), .map(let right)): equalMaps(left, right, depth: depth + 1)
        case (.null, _), (.bool, _), (.number, _), (.string, _), (.binary, _), (.extended, _), (.array, _), (.map, _):
            false
        }
    }

    private static func equalArrays(_ left: PayloadElements, _ right: PayloadElements, depth: Int) -> Bool {
        guard left.count == right.count, depth <= ModelLimits.valueDepthMax else { return false }
        var (leftReader, rightReader) = (PayloadReader(left.bytes), PayloadReader(right.bytes))
        for _ in 0..<left.count {
            guard let leftValue = leftReader.read(), let rightValue = rightReader.read(),
                equal(leftValue, rightValue, depth: depth)
            else { return false }
        }
        return true
    }

    private static func equalMaps(_ left: PayloadElements, _ right: PayloadElements, depth: Int) -> Bool {
        guard depth <= ModelLimits.valueDepthMax else { return false }
        let (leftEntries, rightEntries) = (entries(of: left), entries(of: right))
        guard leftEntries.count == rightEntries.count else { return false }
        for (leftEntry, rightEntry) in zip(leftEntries, rightEntries) {
            guard leftEntry.isText == rightEntry.isText, VersionOrder.equal(leftEntry.key, rightEntry.key),
                equal(leftEntry.value, rightEntry.value, depth: depth)
            else { return false }
        }
        return true
    }

    private struct Entry {
        /// The text of a textual key, else the encoded key.
        var key: UnsafeRawBufferPointer
        var isText: Bool
        var value: PayloadValue
    }

    /// The entries of a map in the order of their keys, each key once. Sorting them keeps a hostile map from costing
    /// more than its size times a logarithm.
    private static func entries(of map: PayloadElements) -> [Entry] {
        var entries: [Entry] = []
        entries.reserveCapacity(map.count)
        var reader = PayloadReader(map.bytes)
        for _ in 0..<map.count {
            var keyReader = reader
            guard let rawKey = reader.skipValue(), let value = reader.read() else { break }
            let text = keyReader.readString()
            entries.append(Entry(key: text ?? rawKey, isText: text != nil, value: value))
        }
        if entries.count > 1 { sortKeepingLast(&entries) }
        return entries
    }

    private static func sortKeepingLast(_ entries: inout [Entry]) {
        func order(_ left: Entry, _ right: Entry) -> VersionOrder.Result {
            if left.isText != right.isText { return left.isText ? .older : .newer }
            return VersionOrder.compare(bytes: left.key, to: right.key)
        }
        var isSorted = true
        for index in 1..<entries.count where order(entries[index - 1], entries[index]) != .older {
            isSorted = false
            break
        }
        guard !isSorted else { return }
        let sorted = entries.indices.sorted { left, right in
            let result = order(entries[left], entries[right])
            return result == .same ? left < right : result == .older
        }
        var kept: [Entry] = []
        kept.reserveCapacity(entries.count)
        for index in sorted {
            if let last = kept.last, order(last, entries[index]) == .same { kept.removeLast() }
            kept.append(entries[index])
        }
        entries = kept
    }
}
