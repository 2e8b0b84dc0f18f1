package import TopGunModel

/// What `groupBy` and `aggregations` of a query ask for (protocol.md 6.6).
package struct Grouping: Sendable {
    /// The fields whose combinations make the groups; none makes one group of everything.
    package let fields: [FieldPath]
    package let aggregations: [Aggregation]

    package struct Aggregation: Hashable, Sendable {
        package enum Function: Sendable {
            case sum
            case min
            case max
            case average
        }

        package var function: Function
        package var field: FieldPath

        /// The field of a group's row that holds the result.
        var name: ByteString {
            let prefix: ByteString =
                switch function {
                case .sum: "__sum_"
                case .min: "__min_"
                case .max: "__max_"
                case .average: "__avg_"
                }
            return ByteString(prefix.bytes + field.name.bytes)
        }
    }

    package init(fields: [FieldPath], aggregations: [Aggregation]) {
        self.fields = fields
        self.aggregations = aggregations
    }
}

/// The rows of a grouped query, gathered record by record.
///
/// Sums are exact while all numbers are whole and fit in 64 bits; otherwise they are doubles and depend on the order in
/// which the records came in their last digits.
package struct GroupedRows {
    private let grouping: Grouping
    private var groups: [ByteString: Group] = [:]

    private struct Group {
        /// The value of each group field, from the first record of the group.
        var values: [Payload]
        var count = 0
        var totals: [Total]
    }

    private struct Total {
        var count = 0
        /// `nil` once a number was not whole or the sum left 64 bits.
        var wholeSum: Int64? = 0
        var sum = 0.0
        var minimum: PayloadNumber?
        var maximum: PayloadNumber?

        mutating func add(_ number: PayloadNumber) {
            count += 1
            sum += number.double
            if let total = wholeSum, let whole = number.wholeNumber {
                let (next, overflow) = total.addingReportingOverflow(whole)
                wholeSum = overflow ? nil : next
            } else {
                wholeSum = nil
            }
            if minimum.map({ PayloadNumber.compare(number, $0) == .older }) ?? true { minimum = number }
            if maximum.map({ PayloadNumber.compare(number, $0) == .newer }) ?? true { maximum = number }
        }
    }

    package init(_ grouping: Grouping) {
        self.grouping = grouping
        if grouping.fields.isEmpty { groups[""] = emptyGroup(values: []) }
    }

    private func emptyGroup(values: [Payload]) -> Group {
        Group(values: values, totals: Array(repeating: Total(), count: grouping.aggregations.count))
    }

    /// Counts a record that the query's filter let through.
    package mutating func add(_ record: RecordView) {
        var id: [UInt8] = []
        for field in grouping.fields { BucketID.append(field.value(in: record) ?? .null, to: &id) }
        let key = ByteString(id)
        var group = groups[key] ?? emptyGroup(values: grouping.fields.map { Self.payload(of: $0, in: record) })
        group.count += 1
        for (index, aggregation) in grouping.aggregations.enumerated() {
            guard case .number(let number)? = aggregation.field.value(in: record), !number.isNaN else { continue }
            group.totals[index].add(number)
        }
        groups[key] = group
    }

    private static func payload(of field: FieldPath, in record: RecordView) -> Payload {
        if let bytes = field.bytes(in: record) { return Payload(copying: bytes) }
        guard field.name == FieldPath.keyName else { return .tombstone }
        let sink = ByteSink(capacity: record.key.count + 8)
        MessagePackWriter(sink).writeString(record.key)
        return Payload(copying: sink.bytes)
    }

    /// The rows, ascending by bucket id; sort and limit are applied to them like to any rows.
    package func rows() -> [(key: ByteString, value: Payload)] {
        groups.keys.sorted().map { key in (key, row(key, groups[key]!)) }
    }

    private func row(_ key: ByteString, _ group: Group) -> Payload {
        let sink = ByteSink()
        let writer = MessagePackWriter(sink)
        writer.writeMapHead(2 + grouping.aggregations.count + grouping.fields.count)
        writer.write("__key" as StaticString)
        writer.write(key)
        writer.write("__count" as StaticString)
        writer.write(group.count)
        for (aggregation, total) in zip(grouping.aggregations, group.totals) {
            writer.write(aggregation.name)
            Self.write(aggregation.function, of: total, to: writer)
        }
        for (field, value) in zip(grouping.fields, group.values) {
            writer.write(field.name)
            writer.write(value)
        }
        return Payload(copying: sink.bytes)
    }

    private static func write(
        _ function: Grouping.Aggregation.Function, of total: Total, to writer: MessagePackWriter
    ) {
        switch function {
        case .sum:
            if let whole = total.wholeSum { writer.write(whole) } else { write(.double(total.sum), to: writer) }
        case .min: write(total.minimum, to: writer)
        case .max: write(total.maximum, to: writer)
        case .average:
            if total.count == 0 { writer.writeNil() } else { writer.write(total.sum / Double(total.count)) }
        }
    }

    /// Writes a number as an integer where it is a whole one.
    private static func write(_ number: PayloadNumber?, to writer: MessagePackWriter) {
        switch number {
        case nil: writer.writeNil()
        case .unsigned(let whole)?: writer.write(whole)
        case .integer(let whole)?: writer.write(whole)
        case .double(let double)?:
            if let whole = Int64(whole: double) { writer.write(whole) } else { writer.write(double) }
        }
    }
}

/// The texts that name groups: equal values have equal texts, and no two texts run into each other.
enum BucketID {
    static func append(_ value: PayloadValue, to id: inout [UInt8]) {
        append(value, to: &id, depth: 0)
    }

    private static func append(_ value: PayloadValue, to id: inout [UInt8], depth: Int) {
        switch value {
        case .null: id.append(UInt8(ascii: "N"))
        case .bool(let bool): id.append(ascii: bool ? "B1" : "B0")
        case .number(let number): append(number, to: &id)
        case .string(let text): append(text: text, to: &id)
        case .binary(let bytes): append(other: "b", bytes, to: &id)
        case .extended(let type, let bytes):
            id.append(ascii: "Ox")
            id.append(decimal: Int64(type))
            append(text: bytes, to: &id)
            id.append(UInt8(ascii: ";"))
        case .array(let elements):
            id.append(ascii: "Oa")
            var reader = PayloadReader(elements.bytes)
            for _ in 0..<elements.count where depth < ModelLimits.valueDepthMax {
                guard let element = reader.read() else { break }
                append(element, to: &id, depth: depth + 1)
            }
            id.append(UInt8(ascii: ";"))
        case .map(let elements):
            id.append(ascii: "Om")
            // Of a name that occurs twice the last counts, and the order of names does not.
            var entries: [ByteString: [UInt8]] = [:]
            var reader = PayloadReader(elements.bytes)
            for _ in 0..<elements.count where depth < ModelLimits.valueDepthMax {
                var nameReader = reader
                guard let rawName = reader.skipValue(), let element = reader.read() else { break }
                var (nameID, elementID): ([UInt8], [UInt8]) = ([], [])
                // What is no text is the same name only in the same bytes, as in ``PayloadEquality``.
                if let name = nameReader.readString() {
                    append(text: name, to: &nameID)
                } else {
                    append(other: "k", rawName, to: &nameID)
                }
                append(element, to: &elementID, depth: depth + 1)
                entries[ByteString(nameID)] = elementID
            }
            for name in entries.keys.sorted() {
                id.append(contentsOf: name.bytes)
                id.append(contentsOf: entries[name]!)
            }
            id.append(UInt8(ascii: ";"))
        }
    }

    private static func append(_ number: PayloadNumber, to id: inout [UInt8]) {
        switch number {
        case .integer(let whole):
            id.append(UInt8(ascii: "I"))
            id.append(decimal: whole)
        case .unsigned(let whole):
            id.append(UInt8(ascii: "I"))
            id.append(decimal: whole)
        case .double(let double):
            if let whole = Int64(whole: double) { return append(.integer(whole), to: &id) }
            if let whole = UInt64(whole: double) { return append(.unsigned(whole), to: &id) }
            id.append(UInt8(ascii: "F"))
            id.append(decimal: double.bitPattern)
        }
        id.append(UInt8(ascii: ";"))
    }

    private static func append(text: UnsafeRawBufferPointer, to id: inout [UInt8]) {
        id.append(UInt8(ascii: "S"))
        id.append(decimal: Int64(text.count))
        id.append(UInt8(ascii: ":"))
        id.append(contentsOf: text)
    }

    private static func append(other kind: StaticString, _ bytes: UnsafeRawBufferPointer, to id: inout [UInt8]) {
        id.append(UInt8(ascii: "O"))
        id.append(ascii: kind)
        append(text: bytes, to: &id)
        id.append(UInt8(ascii: ";"))
    }
}
